"""The funnel by entry date, run after run: late, corrected and withdrawn events, and orders that ship weeks later."""

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import pytest

from plant_assets.cli.runs import Outcome
from plant_assets.settings import Settings
from plant_assets.warehouse.open import open_warehouse
from plant_assets_tests.support.small_stores import Row, Store, event, new_store
from plant_assets_tests.support.tables import rows

AS_OF = dt.datetime(2021, 3, 31, 12)
FIRST_DATE, ENTERED = dt.date(2021, 2, 9), dt.date(2021, 3, 2)


def at(day: str, session: str, event_type: str, order_id: str | None = None) -> Row:
    """An event at noon of a date, with an id by which it is known."""
    given = {"session_id": session, "event_type": event_type, "order_id": order_id}
    return event(f"{session} {event_type} {day}", f"{day} 12:00:00", **given)


def bought(session: str, day: str, order_id: str) -> list[Row]:
    steps = ("page_view", None), ("add_to_cart", None), ("checkout", order_id)
    return [at(day, session, event_type, order) for event_type, order in steps]


def by_date(settings: Settings) -> dict[dt.date | None, list[int]]:
    found = rows(
        settings,
        "select entry_date, page_view, add_to_cart, checkout, package_shipped, late_package_shipped"
        " from funnel_by_entry_date",
    )
    return {date: counts for date, *counts in found}


def everything(settings: Settings) -> list[tuple[object, ...]]:
    return rows(settings, "from funnel_by_entry_date order by all")


@pytest.fixture
def store(tmp_path: Path, refresh: Callable[..., Outcome]) -> Store:
    """Sessions that enter in two weeks, and a run over them; a later day has events too, so that dates are mature."""
    store = new_store(tmp_path, min_rows=0)
    store.put("events/1.csv", bought("s1", "2021-02-09", "o1"))
    store.put("events/2.csv", [*bought("s2", "2021-03-02", "o2"), *bought("s3", "2021-03-02", "o3")])
    store.put("events/3.csv", [at("2021-03-29", "s9", "page_view")])
    assert not refresh(store.settings, AS_OF).failures
    assert by_date(store.settings) == {
        FIRST_DATE: [1, 1, 1, 0, 0],
        ENTERED: [2, 2, 2, 0, 0],
        dt.date(2021, 3, 29): [1, 0, 0, 0, 0],
    }
    return store


def test_a_row_follows_whatever_bears_on_it(store: Store, refresh: Callable[..., Outcome], tmp_path: Path) -> None:
    def after(name: str, content: list[Row], date: dt.date) -> list[int]:
        store.put(name, content)
        outcome = refresh(store.settings, AS_OF)
        assert not outcome.failures
        assert not outcome.failed_errors
        return by_date(store.settings)[date]

    # Shipped weeks later, in time for one order, under a session of its own, which never views a page.
    later = [at("2021-03-08", "s8", "package_shipped", "o2"), at("2021-03-15", "s3", "package_shipped", "o3")]
    assert after("events/4.csv", later, ENTERED) == [2, 2, 2, 1, 1]
    # The shipment is withdrawn: no session of the week is left that leads to the date.
    assert after("events/4.csv", later[1:], ENTERED) == [2, 2, 2, 0, 1]
    # A late view moves a session to an earlier date.
    assert after("events/5.csv", [at("2021-02-09", "s3", "page_view")], FIRST_DATE) == [2, 2, 2, 0, 1]
    assert by_date(store.settings)[ENTERED] == [1, 1, 1, 0, 0]
    # It is withdrawn too.
    assert after("events/5.csv", [at("2021-02-09", "s1", "wish")], FIRST_DATE) == [1, 1, 1, 0, 0]
    anew = store.under(home=tmp_path / "anew", warehouse=tmp_path / "anew" / "w.duckdb")
    assert not refresh(anew.settings, AS_OF).failures
    assert everything(store.settings) == everything(anew.settings)


def test_only_dates_that_a_change_bears_on_are_counted_again(store: Store, refresh: Callable[..., Outcome]) -> None:
    with open_warehouse(store.settings) as warehouse:
        warehouse.execute("update funnel_by_entry_date set page_view_rate = 7 where entry_date = ?", [FIRST_DATE])
    store.put("events/4.csv", [at("2021-03-08", "s8", "package_shipped", "o2")])
    refresh(store.settings, AS_OF)
    kept = "select page_view_rate from funnel_by_entry_date where entry_date is not null order by entry_date"
    assert rows(store.settings, kept) == [(7,), (100,), (100,)]
    # Another limit bears on all dates.
    refresh(store.settings.model_copy(update={"ship_limit_days": 5}), AS_OF)
    assert rows(store.settings, kept) == [(100,), (100,), (100,)]
    assert by_date(store.settings)[ENTERED] == [2, 2, 2, 0, 1]


def test_a_date_is_mature_once_the_limit_has_passed_since_its_end(
    store: Store, refresh: Callable[..., Outcome]
) -> None:
    def mature() -> list[dt.date]:
        return [date for (date,) in rows(store.settings, "select entry_date from funnel_by_entry_date where is_mature")]

    assert mature() == [FIRST_DATE, ENTERED]
    # The latest event, not the run's clock, says up to when the store is known.
    store.put("events/6.csv", [at("2021-03-21", "s7", "page_view"), at("2021-03-22", "s7", "page_view")])
    refresh(store.settings, AS_OF)
    assert mature() == [FIRST_DATE, ENTERED, dt.date(2021, 3, 21)]
    store.remove("events/3.csv")
    refresh(store.settings, AS_OF)
    assert mature() == [FIRST_DATE, ENTERED]
