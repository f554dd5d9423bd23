"""A source that holds much less than was loaded is refused before any table is written, unless that is accepted."""

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import pytest

from plant_assets.contracts import PRUNED
from plant_assets.ingest.limits import RejectedLoad
from plant_assets.warehouse.maintenance import prune
from plant_assets_tests.support.small_stores import LOG, Store, event, new_live_store

LATER = dt.datetime(2021, 3, 4, 18)
New = Callable[..., Store]
EVENTS = [event(f"e{number}", f"2021-02-2{2 + number % 7} 09:00") for number in range(60)]
ITEMS = [{"order_id": f"o{number}", "product_id": "p1", "quantity": "1"} for number in range(60)]
ORDERS = [{"order_id": f"o{number}", "user_id": "u", "created_at": "2021-02-22 09:00"} for number in range(60)]
ORDERS = [{**row, "order_total": "1", "status": "paid"} for row in ORDERS]


@pytest.fixture
def store(new_either: New) -> Store:
    """A store with 60 events of one week, 60 orders and 60 items."""
    store = new_either()
    store.put("events.csv", EVENTS)
    store.put("orders.csv", ORDERS)
    store.put("order_items.csv", ITEMS)
    store.load()
    return store


def assert_refused(store: Store, what: str) -> None:
    before = store.contents()
    with pytest.raises(RejectedLoad, match=what) as caught:
        store.load(LATER)
    assert str(caught.value).endswith(
        "less than PLANT_MIN_ROWS=0.5 allows: restore the rows, or accept the loss for one run by"
        " `plant-assets run --accept-fewer`"
    )
    assert store.contents() == before
    store.under(min_rows=0).load(LATER)
    # Once accepted, the loss is what later readings are compared with.
    store.load(LATER)


def test_events_cut_at_the_end_of_a_line_are_refused(store: Store) -> None:
    store.put("events.csv", EVENTS[:29])
    assert_refused(store, ": the week 2021-02-22 of the table events has 29 rows where 60 rows were loaded before, ")
    assert len(store.events()) == 29


def test_a_week_without_any_row_is_refused(store: Store) -> None:
    store.put("events.csv", [event("other", "2021-03-02 09:00")])
    assert_refused(store, ": the week 2021-02-22 of the table events has 0 rows where 60 rows were loaded before, ")


@pytest.mark.parametrize(("table", "rows"), [("orders", ORDERS), ("order_items", ITEMS)])
def test_fewer_orders_and_items_are_refused(store: Store, table: str, rows: list[dict[str, str]]) -> None:
    store.put(f"{table}.csv", rows[:29])
    assert_refused(store, f": the table {table} has 29 rows where 60 rows were loaded before, ")


@pytest.mark.parametrize("table", ["orders", "order_items"])
def test_an_optional_table_that_is_gone_is_refused(store: Store, table: str) -> None:
    store.remove(f"{table}.csv")
    assert_refused(store, f": the table {table} is gone where 60 rows were loaded before, ")
    assert store.rows(f"select count(*) from raw_{table}") == [(0,)]


def test_half_the_rows_are_enough(store: Store) -> None:
    store.put("events.csv", EVENTS[:30])
    store.put("orders.csv", ORDERS[:30])
    store.put("order_items.csv", ITEMS[:30])
    store.load(LATER)
    assert len(store.events()) == 30


def test_a_few_rows_are_no_loss(new_either: New) -> None:
    store = new_either()
    store.put("events.csv", EVENTS[:20])
    store.load()
    store.put("events.csv", EVENTS[:1])
    store.load(LATER)
    assert len(store.events()) == 1


def test_events_ahead_of_the_clock_are_not_missing(new_either: New) -> None:
    store = new_either()
    store.put("events.csv", [event(f"e{number}", f"2021-03-0{1 + number % 3} 09:00") for number in range(60)])
    store.load()
    store.load(dt.datetime(2021, 3, 1, 8), every_week=True)
    assert {reason for _key, _column, reason in store.refused()} == {"future"}
    store.load(LATER)
    assert len(store.events()) == 60


def test_rows_that_another_mapping_loaded_are_not_compared(store: Store) -> None:
    mapping = store.folder.with_name("mapping.yaml")
    mapping.write_text("tables: {order_items: none}\n")
    store.under(mapping=mapping).load(LATER)
    assert store.rows("select count(*) from raw_order_items") == [(0,)]


def test_a_settled_week_that_a_database_forgot_is_not_compared(database: str, tmp_path: Path) -> None:
    store = new_live_store(database, tmp_path)
    store.put("events.csv", [*(row | {"created_at": "2021-02-09 09:00"} for row in EVENTS), event("e", "2021-03-02")])
    store.load()
    store.put("events.csv", [event("e", "2021-03-02")])
    store.load(LATER, every_week=True)
    assert len(store.events()) == 1


def test_pruned_rows_of_a_database_are_known_again(database: str, tmp_path: Path) -> None:
    store = new_live_store(database, tmp_path)
    bad = [event(f"bad{number}", "2021-03-02 09:00", session_id=None) for number in range(3)]
    store.under(max_rejected=1).put("events.csv", [*EVENTS[:2], *bad])
    store.under(max_rejected=1).load()
    refused = store.refused()
    store.load(LATER)
    assert prune(store.settings, LOG, 0, "a test") == 3
    later = store.under(max_rejected=0.05)
    later.load(LATER)
    assert store.refused() == refused
    # What was pruned stays so, though the source still has the rows.
    assert store.rows("select distinct raw_text from rejected_rows") == [(PRUNED,)]
    store.put("events.csv", [*EVENTS[:2], *bad, event("worse", "2021-03-02 09:00", session_id=None)])
    with pytest.raises(RejectedLoad, match="1 of 3 rows of the table events cannot be loaded"):
        later.load(LATER)
