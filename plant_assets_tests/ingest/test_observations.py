"""Observations without a product, without optional tables beside them, and those that were accepted before."""

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from plant_assets.cli.runs import Outcome
from plant_assets_tests.support.small_stores import Store, event, new_store, product
from plant_assets_tests.support.tables import rows

AS_OF = dt.datetime(2021, 3, 3)
FIRST, SECOND = "products/2021-03-01.csv", "products/2021-03-02.csv"
THREE = [product("p1"), product("p2", name="Ivy"), product("p3", name="Croton")]


def observed(new: Callable[..., Store], **settings: Any) -> Store:
    """A store of one event and one observation of three products."""
    store = new(products=FIRST, **settings)
    store.put(FIRST, THREE)
    store.put("events.csv", [event("e1", "2021-03-02T12:00:00Z")])
    return store


@pytest.fixture
def store(new_either: Callable[..., Store]) -> Store:
    """That store in files or in a database."""
    return observed(new_either)


@pytest.mark.parametrize(
    ("new_either", "has_table"), [("files", False), ("files", True), ("database", True)], indirect=["new_either"]
)
def test_a_store_without_orders_runs(store: Store, has_table: bool, refresh: Callable[..., Outcome]) -> None:
    if has_table:
        store.put("orders.csv", [])
    outcome = refresh(store.settings, as_of=AS_OF)
    assert not outcome.failures
    assert not outcome.failed_errors


def test_an_observation_without_a_product_is_kept_out_and_fails_its_check_until_it_is_accepted(
    store: Store, refresh: Callable[..., Outcome]
) -> None:
    store.put(SECOND, [])
    for _time in range(2):
        outcome = refresh(store.settings, as_of=AS_OF)
        assert not outcome.failures
        [failed] = outcome.failed_errors
        assert failed.where == "asset raw_products, check raw_products_observations_are_whole"
        assert failed.reason.startswith("1 time: 2021-03-02 00:00:00")
        assert "PLANT_MIN_PRODUCTS" in failed.reason
        refused = rows(store.settings, "select reason, observed_at, rejected_at from rejected_rows")
        assert refused == [("too_few_products", dt.datetime(2021, 3, 2), AS_OF)]
    # A real clear-out.
    accepting = store.under(min_products=0.0).settings
    assert not refresh(accepting, as_of=AS_OF).failed_errors
    assert rows(accepting, "select distinct valid_to from product_snapshots") == [(dt.datetime(2021, 3, 2),)]
    assert rows(accepting, "select count(*) from rejected_rows") == [(0,)]


def test_what_was_accepted_is_not_judged_again(tmp_path: Path, refresh: Callable[..., Outcome]) -> None:
    store = observed(lambda **given: new_store(tmp_path, **given))
    store.put(SECOND, THREE)
    refresh(store.settings, as_of=AS_OF)
    store.put(SECOND, [product("p1", inventory="4")])
    outcome = refresh(store.settings, as_of=AS_OF, every_week=True)
    assert not outcome.failed_errors
    found = rows(store.settings, "select product_id from raw_products where observed_at = timestamp '2021-03-02'")
    assert found == [("p1",)]


def test_a_name_that_is_lost_stays_the_last_known(store: Store, refresh: Callable[..., Outcome]) -> None:
    store.put(SECOND, [product("p1", name=None), *THREE[1:]])
    refresh(store.settings, as_of=AS_OF)
    assert rows(store.settings, "select product_name from int_events") == [("Fern",)]


def test_another_gap_makes_all_weeks_again(tmp_path: Path, refresh: Callable[..., Outcome]) -> None:
    store = new_store(tmp_path)
    days = ["2021-02-16", "2021-02-17", "2021-03-01", "2021-03-02"]
    for day in days:
        store.put(f"products/{day}.csv", THREE)
    store.put("events.csv", [event(f"e{day}", f"{day}T12:00:00Z") for day in days])
    observed_hours = "select week_start_date::varchar, max(hours_observed) from inventory group by all order by all"
    refresh(store.settings, as_of=AS_OF)
    assert {hours for _week, hours in rows(store.settings, observed_hours)} == {0}
    daily = store.under(max_gap_hours=24.0).settings
    refresh(daily, as_of=AS_OF)
    by_week = dict(rows(daily, observed_hours))
    assert (by_week["2021-02-15"], by_week["2021-02-22"], by_week["2021-03-01"]) == (24, 0, 24)
