"""Demand after late and corrected data: what runs add up to is what one run over everything makes."""

import datetime as dt
from collections.abc import Callable
from pathlib import Path

from plant_assets.cli.runs import Outcome
from plant_assets_tests.support.small_stores import Row, Store, event, new_store, product
from plant_assets_tests.support.tables import contents, rows

AS_OF = dt.datetime(2021, 3, 11)
DEMAND = ("int_stock_intervals", "int_event_stock_state", "product_demand", "stock_status", "units_change", "inventory")


def observe(store: Store, instant: str, units: int, more: list[Row] | None = None) -> None:
    store.put(f"products/{instant}.csv", [product("p1", inventory=str(units)), *(more or [])])


def order(order_id: str, at: str) -> Row:
    return {"order_id": order_id, "user_id": "u1", "created_at": at, "order_total": "9", "status": "paid"}


def line(order_id: str, quantity: int, product_id: str = "p1") -> Row:
    return {"order_id": order_id, "product_id": product_id, "quantity": str(quantity)}


def shop(tmp_path: Path) -> Store:
    """Two weeks of a product that sells out: two orders, and views before and after."""
    store = new_store(tmp_path, products="products/2021-03-01T00-00-00Z.csv")
    for instant, units in (("2021-03-01T00", 9), ("2021-03-01T06", 9), ("2021-03-01T12", 0), ("2021-03-08T00", 5)):
        observe(store, f"{instant}-00-00Z", units)
    checkout = {"event_type": "checkout", "product_id": None}
    store.put(
        "events/first.csv",
        [
            event("e1", "2021-03-01T05:00:00Z"),
            event("e2", "2021-03-01T05:05:00Z", **checkout, order_id="o1"),
            event("e3", "2021-03-01T13:00:00Z", session_id="s2"),
            event("e4", "2021-03-08T05:00:00Z", session_id="s3"),
            event("e5", "2021-03-08T05:05:00Z", **checkout, session_id="s3", order_id="o2"),
        ],
    )
    store.put("orders.csv", [order("o1", "2021-03-01T05:05:00Z"), order("o2", "2021-03-08T05:05:00Z")])
    store.put("order_items.csv", [line("o1", 2), line("o2", 1)])
    return store


def test_late_and_corrected_data_give_what_one_run_gives(tmp_path: Path, refresh: Callable[..., Outcome]) -> None:
    store = shop(tmp_path)
    refresh(store.settings, as_of=AS_OF)
    counted = "week_start_date::varchar, units_in_stock_view, units_other, views_unknown"
    units = f"select {counted} from product_demand order by 1"
    assert rows(store.settings, units) == [("2021-03-01", 2, 0, 0), ("2021-03-08", 1, 0, 0)]
    # A late view of a product that only a late observation knows, and an order that moves to the other week.
    store.put("events/late.csv", [event("e6", "2021-03-02T05:00:00Z", product_id="p9")])
    observe(store, "2021-03-01T18-00-00Z", 0, [product("p9", name="Late fern", inventory="1")])
    store.put("orders.csv", [order("o1", "2021-03-01T05:05:00Z"), order("o2", "2021-03-02T05:05:00Z")])
    store.put("order_items.csv", [line("o1", 2), line("o2", 1), line("o2", 4, "p9")])
    outcome = refresh(store.settings, as_of=AS_OF)
    assert (outcome.failures, outcome.failed_errors) == ([], [])
    anew = store.under(home=tmp_path / "anew", warehouse=tmp_path / "anew" / "plant.duckdb")
    refresh(anew.settings, as_of=AS_OF)
    after, once = contents(store.settings), contents(anew.settings)
    assert {name: after[name] for name in DEMAND} == {name: once[name] for name in DEMAND}
    assert ("2021-03-01", 0, 4, 1) in rows(store.settings, units)


def test_a_run_leaves_demand_of_unchanged_weeks_as_it_is(tmp_path: Path, refresh: Callable[..., Outcome]) -> None:
    store = shop(tmp_path)
    refresh(store.settings, as_of=AS_OF)
    counted = "update int_product_demand set carts_in_stock = 7"
    rows(store.settings, counted)
    store.put("events/new.csv", [event("e7", "2021-03-10T05:00:00Z")])
    refresh(store.under(late_weeks=0).settings, as_of=AS_OF)
    kept = "select week_start_date::varchar, carts_in_stock from product_demand order by 1"
    assert rows(store.settings, kept) == [("2021-03-01", 7), ("2021-03-08", 0)]
