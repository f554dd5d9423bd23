"""Lines of one product in an order: one row with their quantities added, in files and in a database."""

from collections.abc import Callable

import pytest

from plant_assets.checks.base import Scope
from plant_assets.checks.build import checks_of
from plant_assets.checks.evaluate import results
from plant_assets.warehouse.open import open_warehouse
from plant_assets_tests.support.small_stores import AS_OF, Row, Store, appended_tables, assert_accounted, event, rebuilt

ITEMS = "select order_id, product_id, quantity from raw_order_items order by all"
ACCOUNTS = "select file, rows_read, rows_loaded, rows_merged, rows_dropped, rows_rejected from _loads"
OF_ITEMS = f"{ACCOUNTS} where source_table = 'order_items' order by file"


def line(quantity: str | None, order_id: str = "o1", product_id: str = "p1") -> Row:
    return {"order_id": order_id, "product_id": product_id, "quantity": quantity}


@pytest.fixture
def store(new_either: Callable[..., Store]) -> Store:
    store = new_either(max_rejected=0.9)
    store.put("events.csv", [event("e1", "2021-03-01")])
    return store


def failing(store: Store) -> list[str | None]:
    """What the checks of order items find."""
    with open_warehouse(store.settings) as warehouse:
        scope = Scope(store.settings, AS_OF, None)
        of_items = [check for check in checks_of("raw_order_items") if check.fact == "rows_are_accounted_for"]
        return [result.description for result in results(warehouse, of_items, scope) if not result.passed]


@pytest.mark.parametrize(
    ("quantities", "total"),
    [(["2", "1"], 3), (["1", "1"], 2), (["2", None], 2), ([None, None], None), (["3", "-1", "0"], 2)],
)
def test_lines_of_one_file_are_one_row(store: Store, quantities: list[str | None], total: int | None) -> None:
    store.put("order_items.csv", [line("5", "o0"), *map(line, quantities), line("7", "o1", "p2")])
    store.load()
    assert store.rows(ITEMS) == [("o0", "p1", 5), ("o1", "p1", total), ("o1", "p2", 7)]
    assert store.refused("order_items") == []
    assert store.rows(OF_ITEMS)[0][1:] == (2 + len(quantities), 3, len(quantities) - 1, 0, 0)
    assert_accounted(store, order_items=2 + len(quantities))
    assert failing(store) == []


def test_loading_lines_twice_adds_them_once(store: Store) -> None:
    store.put("order_items.csv", [line("2"), line("1")])
    for _time in range(2):
        store.load()
        assert store.rows(ITEMS) == [("o1", "p1", 3)]
    store.load(every_week=True)
    assert store.rows(ITEMS) == [("o1", "p1", 3)]


@pytest.mark.parametrize("new_either", ["files"], indirect=True)
def test_another_files_lines_are_copies_or_in_conflict(store: Store) -> None:
    store.put("order_items/a.csv", [line("2"), line("1"), line("4", "o2")])
    store.put("order_items/b.csv", [line("1"), line("2"), line("5", "o2"), line(None, "o3")])
    store.load()
    assert store.rows(ITEMS) == [("o1", "p1", 3), ("o2", "p1", 4), ("o3", "p1", None)]
    assert store.rows(OF_ITEMS) == [("order_items/a.csv", 3, 2, 1, 0, 0), ("order_items/b.csv", 4, 1, 0, 2, 1)]
    assert store.refusals("order_items") == [("order_items/b.csv", 4, None, "conflict")]
    assert_accounted(store, order_items=7)
    assert failing(store) == []


@pytest.mark.parametrize("new_either", ["files"], indirect=True)
@pytest.mark.parametrize("added", [line("3"), line("1", "o2"), line("2", "o9")], ids=["merged", "single", "new"])
def test_a_line_that_is_added_gives_the_rows_of_a_rebuild(store: Store, added: Row) -> None:
    before = [line("2"), line("1"), line("4", "o2")]
    store.put("order_items.csv", before)
    store.load()
    store.put("order_items.csv", [*before, added, added])
    load = store.load().load
    found = store.contents()
    anew = rebuilt(store, store.settings.home / "anew").contents()
    assert (found["raw_order_items"], found["_loads"]) == (anew["raw_order_items"], anew["_loads"])
    assert "order_items" not in appended_tables(load)
