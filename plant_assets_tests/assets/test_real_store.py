"""A real store's answers, through the real job: found by PLANT_TEST_STORE, else beside the project."""

import datetime as dt
import json
from decimal import Decimal
from pathlib import Path

import dagster as dg
import pytest

from plant_assets.cli.runs import Outcome, run_refresh
from plant_assets.readers.answers import read_answers
from plant_assets.readers.answers_text import in_json, in_lines
from plant_assets.settings import Settings, read_settings
from plant_assets.warehouse.marts import open_marts
from plant_assets_tests.support.machine import need
from plant_assets_tests.support.real_store import AS_OF, STORE
from plant_assets_tests.support.runs import Silence
from plant_assets_tests.support.tables import contents, mart_rows, rows


def _run(settings: Settings, **how: object) -> Outcome:
    with dg.DagsterInstance.ephemeral() as instance:
        return run_refresh(settings, instance, Silence(), as_of=AS_OF, **how)  # type: ignore[arg-type]


def _settings(home: Path, **given: str) -> Settings:
    need(f"the store {STORE}", STORE.is_dir())
    return read_settings(source=STORE, warehouse=home / "store.duckdb", **given)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    settings = _settings(tmp_path_factory.mktemp("real"))
    outcome = _run(settings)
    assert not outcome.failures
    assert not outcome.failed_errors
    return settings


def test_every_event_is_there_with_the_products_of_its_order(store: Settings) -> None:
    found = rows(store, "select event_type, count(*) from int_events group by 1")
    assert dict(found) == {"page_view": 1871, "add_to_cart": 986, "checkout": 862, "package_shipped": 794}


def test_every_view_and_unit_is_in_demand_although_stock_was_seen_once_a_week(store: Settings) -> None:
    states = "sum(views_in_stock + views_out + views_unknown), sum(views_uncertain)"
    found = rows(store, f"select {states}, sum(units_in_stock_view + units_other) from product_demand")
    assert found == [(0, 1871, 2165)]
    assert rows(store, "select sum(hours_observed), max(velocity) from inventory, stock_status") == [(0, None)]
    phi = "select sum(quantity * quantity) / sum(quantity) from raw_order_items where quantity > 0"
    assert round(rows(store, phi)[0][0], 2) == 3.01


def test_answers(store: Settings) -> None:
    with open_marts(store) as marts:
        answers = read_answers(marts)
    assert (answers.week, answers.previous_week) == (dt.date(2021, 3, 1), dt.date(2021, 2, 22))
    assert [each.name for each in answers.inventory_changed] == [
        "Bamboo",
        "Monstera",
        "Philodendron",
        "Pothos",
        "String of pearls",
        "ZZ Plant",
    ]
    fluctuating = {each.name: each.changes for each in answers.most_fluctuating}
    assert fluctuating == dict.fromkeys(["Monstera", "Philodendron", "Pothos", "String of pearls"], 3)
    # A week each.
    assert [(each.name, each.hours) for each in answers.out_of_stock] == [("Pothos", 168), ("String of pearls", 168)]
    assert list(answers.funnel.values()) == [578, 467, 361, 335, 100, 81, 62, 58]
    assert [(step["from"], step["lost"], step["points_lost"]) for step in answers.largest_drop_offs] == [
        ("page_view", 111, 19),
        ("add_to_cart", 106, 19),
        ("checkout", 26, 4),
    ]


def test_what_no_observation_is_close_enough_to_tell_is_not_called_none(store: Settings) -> None:
    with open_marts(store) as marts:
        viewed, latest = read_answers(marts, dt.date(2021, 2, 8)), read_answers(marts)
    assert viewed.funnel_week["page_view"] == 578
    assert (viewed.empty_shelf, latest.empty_shelf, latest.short_cover) == (None, None, None)
    assert "Met an empty shelf     not observed" in in_lines(viewed)
    assert json.loads(in_json(viewed))["met_empty_shelf"] is None


def test_largest_drop_by_count_and_by_rate_are_different_steps(store: Settings) -> None:
    found = mart_rows(store, "select from_stage, is_largest_by_count, is_largest_by_rate from funnel_steps")
    assert set(found) == {
        ("page_view", True, False),
        ("add_to_cart", False, True),
        ("checkout", False, False),
    }


FUNNEL = "page_view, add_to_cart, checkout, package_shipped"


def test_funnel_by_date(store: Settings) -> None:
    found = mart_rows(store, "from funnel_by_date order by event_date")
    assert found == [
        (dt.date(2021, 2, 9), 2, 2, 0, 0, 100, 100, 0, 0),
        (dt.date(2021, 2, 10), 175, 176, 177, 130, 100, 101, 101, 74),
        (dt.date(2021, 2, 11), 401, 290, 184, 159, 100, 72, 46, 40),
        (dt.date(2021, 2, 12), 0, 0, 0, 46, None, None, None, None),
    ]


def test_funnel_by_date_in_another_zone(tmp_path: Path) -> None:
    settings = _settings(tmp_path, timezone="America/New_York")
    assert not _run(settings).failures
    found = mart_rows(settings, f"select {FUNNEL} from funnel_by_date order by event_date")
    assert found == [(33, 33, 33, 6), (177, 176, 176, 158), (369, 258, 152, 159), (0, 0, 0, 12)]
    whole = mart_rows(settings, f"select {FUNNEL} from funnel")
    assert whole == [(578, 467, 361, 335)]


def test_funnel_by_product(store: Settings) -> None:
    found = mart_rows(
        store,
        f"select product_name, {FUNNEL} from funnel_by_product"
        " where product_name in ('String of pearls', 'Pothos') order by 1",
    )
    assert found == [("Pothos", 61, 24, 21, 20), ("String of pearls", 64, 44, 39, 38)]


def test_the_closed_funnel_by_entry_date(store: Settings) -> None:
    found = mart_rows(store, f"select {FUNNEL}, is_mature from funnel_by_entry_date order by entry_date")
    assert found == [(2, 2, 2, 2, False), (175, 175, 175, 169, False), (401, 290, 184, 164, False)]


def test_sales_and_customers(store: Settings) -> None:
    found = mart_rows(store, "select sum(orders), sum(units), sum(revenue), sum(buyers) from sales_by_week")
    assert found == [(361, 2165, Decimal("91351.57"), 124)]
    assert mart_rows(store, "select sum(orders), sum(units) from sales_by_product_week") == [(862, 2165)]
    assert mart_rows(store, "from customers") == [(124, 25, 28, 71, 99 / 124)]


def test_a_second_run_changes_no_row(store: Settings) -> None:
    before = contents(store)
    assert not _run(store).failures
    assert contents(store) == before


def test_every_row_of_the_source_is_accounted_for(store: Settings) -> None:
    found = rows(
        store,
        "select source_table, sum(rows_read), sum(rows_loaded), sum(rows_dropped), sum(rows_rejected)"
        " from _loads group by 1 order by 1",
    )
    assert found == [
        ("events", 3553, 3553, 0, 0),
        ("order_items", 862, 862, 0, 0),
        ("orders", 361, 361, 0, 0),
        ("products", 120, 120, 0, 0),
    ]
