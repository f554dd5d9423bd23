"""Stock histories: rows of the products with an instant each, or a table of stock beside the products."""

import datetime as dt
from pathlib import Path

import pytest

from plant_assets.sources.errors import SourceError
from plant_assets_tests.support.small_stores import (
    AS_OF,
    Row,
    Store,
    assert_accounted,
    event,
    new_duckdb_store,
    new_live_store,
    new_store,
)

OBSERVED = "select observed_at::varchar, product_id, name, price::double, inventory from raw_products order by all"
NAMES: list[Row] = [
    {"product_id": "p1", "name": "Fern", "price": "9.5"},
    {"product_id": "p2", "name": "Ivy", "price": "8"},
]


def stock(observed_at: str | None, *inventories: int, **others: str | None) -> list[Row]:
    """Rows of the products p1, p2, ... at an instant."""
    return [
        {"observed_at": observed_at, "product_id": f"p{number}", "inventory": str(units), **others}
        for number, units in enumerate(inventories, 1)
    ]


@pytest.fixture(params=["files", "database", "duckdb"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """A store of one event, whose products have names and prices alone, in files or in a database."""
    (tmp_path / "mapping.yaml").write_text("")
    given = {"products": "products.csv", "mapping": tmp_path / "mapping.yaml", "timezone": "Europe/Berlin"}
    if request.param == "files":
        store = new_store(tmp_path, **given)
    elif request.param == "duckdb":
        store = new_duckdb_store(tmp_path, **given)
    else:
        store = new_live_store(request.getfixturevalue("database"), tmp_path, **given)
    store.put("events.csv", [event("e1", "2021-02-16")])
    store.put("products.csv", NAMES)
    return store


def map_by(store: Store, mapping: str) -> None:
    assert store.settings.mapping
    store.settings.mapping.write_text(mapping)


def test_each_instant_of_stock_is_an_observation_with_names_of_the_products(store: Store) -> None:
    store.put("stock.csv", stock("2021-02-15", 3, 4) + stock("2021-02-16T09:00:00.5Z", 2))
    store.load()
    assert store.rows(OBSERVED) == [
        # A date begins in the store's zone.
        ("2021-02-14 23:00:00", "p1", "Fern", 9.5, 3),
        ("2021-02-14 23:00:00", "p2", "Ivy", 8.0, 4),
        ("2021-02-16 09:00:00", "p1", "Fern", 9.5, 2),
    ]
    assert_accounted(store, products=5)


def test_new_rows_are_new_observations_and_names_stay_as_they_were_first(store: Store) -> None:
    store.put("stock.csv", stock("2021-02-15", 3, 4))
    store.load()
    before = store.rows("select * from raw_products order by all")
    store.put("products.csv", [{**NAMES[0], "price": "11"}, NAMES[1]])
    store.put("stock.csv", stock("2021-02-15", 3, 4) + stock("2021-02-17", 1, 1))
    store.load(every_week=True)
    found = store.rows("select * from raw_products order by all")
    assert found[:2] == before
    assert [row[3] for row in found[2:]] == [11, 8]
    assert_accounted(store, products=6)
    store.load()
    assert store.rows("select * from raw_products order by all") == found
    assert_accounted(store, products=6)


def test_an_instant_that_changed_is_refused_until_it_is_accepted(store: Store) -> None:
    store.put("stock.csv", stock("2021-02-15", 3, 4) + stock("2021-02-17", 1, 1))
    store.load()
    store.put("stock.csv", stock("2021-02-15", 3, 5) + stock("2021-02-17", 1, 1))
    with pytest.raises(SourceError, match=r"stock(\.csv)? says otherwise of 2021-02-14 23:00:00Z .* --weeks all`$"):
        store.load()
    store.load(every_week=True)
    assert [row[4] for row in store.rows(OBSERVED)] == [3, 5, 1, 1]
    assert_accounted(store, products=6)


def test_an_instant_that_is_gone_stays(store: Store) -> None:
    store.put("stock.csv", stock("2021-02-15", 3, 4) + stock("2021-02-17", 1, 1))
    store.load()
    store.put("stock.csv", stock("2021-02-17", 1, 1) + stock("2021-02-18", 0, 1))
    store.load()
    assert [row[4] for row in store.rows(OBSERVED)] == [3, 4, 1, 1, 0, 1]
    files = dict(store.rows("select bucket, file from _loads where source_table = 'products' and bucket <> 'no week'"))
    assert [file.partition("@")[2] for file in files.values() if "@" in file] == ["2021-02-14 23:00:00"]
    store.put("stock.csv", stock("2021-02-15", 3, 4) + stock("2021-02-17", 1, 1))
    store.load()
    assert [row[4] for row in store.rows(OBSERVED)] == [3, 4, 1, 1, 0, 1]


@pytest.mark.parametrize(
    ("column", "mapping"), [("observed_at", ""), ("day", "columns: {products: {observed_at: day}}")]
)
def test_products_with_a_column_of_instants_are_observations(store: Store, column: str, mapping: str) -> None:
    map_by(store, mapping)
    rows = [{column: day, **row, "inventory": "3"} for day in ("2021-02-15", "2021-02-17") for row in NAMES]
    store.put("products.csv", rows)
    store.load()
    assert [row[:3] for row in store.rows(OBSERVED)] == [
        ("2021-02-14 23:00:00", "p1", "Fern"),
        ("2021-02-14 23:00:00", "p2", "Ivy"),
        ("2021-02-16 23:00:00", "p1", "Fern"),
        ("2021-02-16 23:00:00", "p2", "Ivy"),
    ]
    assert_accounted(store, products=4)


def test_what_cannot_be_loaded_is_rejected(store: Store) -> None:
    loose = store.under(max_rejected=0.9, min_products=0.0)
    rows = stock("2021-02-15", 3, 4) + stock("2021-02-15", 3) + stock(None, 7) + stock("2021-04-01", 1)
    loose.put("stock.csv", [*rows, {**stock("2021-02-15", 9)[0]}])
    loose.load()
    assert sorted(reason for *_others, reason in loose.refused("products")) == ["conflict", "future", "missing"]
    assert [row[4] for row in loose.rows(OBSERVED)] == [3, 4]
    assert_accounted(loose, products=8)
    # What was not to come yet comes.
    loose.load(dt.datetime(2021, 4, 2))
    assert [row[4] for row in loose.rows(OBSERVED)] == [3, 4, 1]


def test_stock_is_summed_over_places(store: Store) -> None:
    map_by(store, "sum_over: {stock: shop}")
    store.put("stock.csv", stock("2021-02-15", 3, 4, shop="a") + stock("2021-02-15", 2, -1, shop="b"))
    store.load()
    assert [row[4] for row in store.rows(OBSERVED)] == [5, 3]
    assert_accounted(store, products=6)


def test_instants_have_the_form_of_the_mapping_and_dates_its_first_part(store: Store) -> None:
    map_by(
        store,
        "tables: {stock: bestand, events: klicks}\n"
        "columns: {stock: {observed_at: datum}, events: {created_at: zeit}}\n"
        'time: {format: "%d.%m.%Y %H:%M", zone: Europe/Berlin}',
    )
    given = event("e1", None)
    given["zeit"] = "16.02.2021 13:05"
    del given["created_at"]
    store.put("klicks.csv", [given])
    store.put(
        "bestand.csv",
        [
            {"datum": at, "product_id": "p1", "inventory": "1"}
            for at in ("15.02.2021", "2021-02-16", "17.02.2021 13:05")
        ],
    )
    store.load()
    days = ["2021-02-14 23:00:00", "2021-02-15 23:00:00", "2021-02-17 12:05:00"]
    assert [row[0] for row in store.rows(OBSERVED)] == days


def test_stock_alone_names_products_by_their_ids(store: Store) -> None:
    store.remove("products.csv")
    store.put("stock.csv", stock("2021-02-15", 3))
    store.load()
    assert store.rows(OBSERVED) == [("2021-02-14 23:00:00", "p1", "p1", None, 3)]


def test_files_of_stock_may_have_any_name_and_repeat_rows(tmp_path: Path) -> None:
    store = new_store(tmp_path, products="products.csv")
    store.put("events.csv", [event("e1", "2021-02-16")])
    store.put("products.csv", NAMES)
    store.put("stock/spring.csv", stock("2021-02-15", 3, 4))
    store.load()
    store.put("stock/summer.csv", stock("2021-02-15", 3, 4) + stock("2021-02-16", 2, 2))
    store.load()
    assert [row[4] for row in store.rows(OBSERVED)] == [3, 4, 2, 2]
    assert_accounted(store, products=8)
    assert dt.datetime(2021, 2, 16) < AS_OF


@pytest.mark.parametrize("name", ["products/all.csv", "products/2021-02-08.csv"])
def test_a_column_of_instants_counts_more_than_a_name(tmp_path: Path, name: str) -> None:
    store = new_store(tmp_path, products=name)
    store.put("events.csv", [event("e1", "2021-02-16")])
    store.put(name, [{"Observed_At": "2021-02-15", **row, "inventory": "3"} for row in NAMES])
    store.load()
    assert {row[0] for row in store.rows(OBSERVED)} == {"2021-02-15 00:00:00"}


def test_a_table_called_stock_without_instants_is_not_read(store: Store) -> None:
    store.put("products.csv", [{**each, "inventory": "4"} for each in NAMES])
    store.put("stock.csv", [{"product_id": "p1", "inventory": "7"}])
    store.load()
    assert store.rows("select product_id, inventory from raw_products order by all") == [("p1", 4), ("p2", 4)]
    map_by(store, "tables: {stock: stock}")
    with pytest.raises(SourceError, match="lacks observed_at"):
        store.load()
