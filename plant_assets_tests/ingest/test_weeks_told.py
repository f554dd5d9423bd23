"""Which week answers and page speak of, and what they say where no stock is known: in files and in a database."""

import datetime as dt
import json
from collections.abc import Callable
from typing import Any

from plant_assets.cli.runs import Outcome
from plant_assets.readers.answers import read_answers
from plant_assets.readers.answers_text import in_json, in_lines
from plant_assets.readers.page.figures import read_figures
from plant_assets.readers.page.headline import big_numbers, headline
from plant_assets.readers.page.render import page_path
from plant_assets.readers.page.tables import funnel_table
from plant_assets.warehouse.marts import open_marts
from plant_assets_tests.support.small_stores import AS_OF, DATED, SINGLE, Store, event, product

EARLIER, RUNNING = "2021-02-15", "2021-03-01"
NewStore = Callable[..., Store]
Refresh = Callable[..., Outcome]


def told(store: Store, week: str | None = None) -> dict[str, Any]:
    """The answers as programs get them, with their lines under `lines`."""
    with open_marts(store.settings) as marts:
        found = read_answers(marts, dt.date.fromisoformat(week) if week else None)
    return {**json.loads(in_json(found)), "lines": in_lines(found).splitlines()}


def steps(*stages: tuple[str, int]) -> list[dict[str, str | None]]:
    """Events of the earlier week: so many sessions in each stage."""
    return [
        event(f"{stage} {number}", f"{EARLIER} 10:00:00", session_id=f"s{number}", event_type=stage)
        for stage, sessions in stages
        for number in range(sessions)
    ]


def test_a_table_that_is_seen_by_each_run_does_not_move_the_answers(new_either: NewStore, refresh: Refresh) -> None:
    store = new_either(products=SINGLE)
    store.put("events.csv", steps(("page_view", 2), ("checkout", 1)))
    refresh(store.settings, as_of=AS_OF)
    found = told(store)
    assert (found["week"], found["previous_week"]) == (EARLIER, None)
    assert_page_says_not_observed(store)
    assert (found["inventory_changed"], found["most_fluctuating"], found["out_of_stock"]["products"]) == (None,) * 3
    assert found["lines"][:4] == [
        f"Week {EARLIER} to 2021-02-21",
        "Inventory changed      not observed",
        "Most fluctuating       not observed",
        "Out of stock, 3 weeks  not observed",
    ]
    running = told(store, RUNNING)
    assert (running["inventory_changed"], running["most_fluctuating"]) == ([], [])
    assert (running["previous_week"], running["out_of_stock"]["products"]) == (EARLIER, [])


def assert_page_says_not_observed(store: Store) -> None:
    """The latest page is that of the earlier week, and says of no product that it was in stock or out of it."""
    week = dt.date.fromisoformat(EARLIER)
    with open_marts(store.settings) as marts:
        figures = read_figures(marts, week)
    assert headline(figures, store.settings.calendar).endswith("No stock was observed in it.")
    assert (big_numbers(figures)[-1].label, big_numbers(figures)[-1].value) == ("Products out of stock", "not observed")
    page = page_path(store.settings).read_text()
    assert page == page_path(store.settings, week).read_text()
    assert page.count("Stock was not observed in this week.") == 3
    assert "No product was out of stock" not in page


def test_it_counts_where_its_week_has_events(new_either: NewStore, refresh: Refresh) -> None:
    store = new_either(products=SINGLE)
    store.put("events.csv", [*steps(("page_view", 1)), event("now", f"{RUNNING} 10:00:00")])
    refresh(store.settings, as_of=AS_OF)
    assert told(store)["week"] == RUNNING


def test_it_counts_where_nothing_else_has_a_week(new_either: NewStore, refresh: Refresh) -> None:
    store = new_either(products=SINGLE)
    store.put("events.csv", [])
    refresh(store.settings, as_of=AS_OF)
    found = told(store)
    assert (found["week"], found["largest_drop_offs"]) == (RUNNING, [])


def test_an_observation_with_a_date_of_its_own_counts(new_either: NewStore, refresh: Refresh) -> None:
    store = new_either(products=DATED)
    store.put("products/2021-02-22.csv", [product("p1", inventory="7"), product("p2")])
    store.put("events.csv", steps(("page_view", 1)))
    refresh(store.settings, as_of=AS_OF)
    found = told(store)
    assert (found["week"], found["previous_week"]) == ("2021-02-22", EARLIER)
    assert (found["inventory_changed"], found["most_fluctuating"]) == (["Fern"], ["Fern"])
    assert told(store, EARLIER)["most_fluctuating"] == []
    assert told(store, EARLIER)["lines"][2] == "Most fluctuating       none"


def test_a_stage_that_is_larger_is_no_drop_off(new_either: NewStore, refresh: Refresh) -> None:
    store = new_either(products=SINGLE)
    store.put("events.csv", steps(("page_view", 4), ("add_to_cart", 1), ("checkout", 1234), ("package_shipped", 3)))
    refresh(store.settings, as_of=AS_OF)
    lost = [(step["from"], step["to"], step["lost"]) for step in told(store)["largest_drop_offs"]]
    assert lost == [("checkout", "package_shipped", 1231), ("page_view", "add_to_cart", 3)]
    with open_marts(store.settings) as marts:
        figures = read_figures(marts, dt.date.fromisoformat(EARLIER))
    assert [row[5].text for row in funnel_table(figures).rows][1:] == ["3", "1,233 more", "1,231"]
