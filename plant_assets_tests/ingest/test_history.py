"""dbt's snapshot table as observations: its odd rows, what changes in it, and how it stands beside dated files."""

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import pytest

from plant_assets.settings import UsageError
from plant_assets.sources.errors import SourceError
from plant_assets.warehouse.maintenance import forget_observation
from plant_assets_tests.support import postgres
from plant_assets_tests.support.small_stores import (
    AS_OF,
    DATED,
    LOG,
    LiveStore,
    Row,
    Store,
    assert_accounted,
    event,
    new_live_store,
    new_store,
    product,
)


def valid(product_id: str | None, since: str | None, until: str | None = None, **others: str | None) -> Row:
    """A row of dbt's snapshot table; days of February 2021 may be given by their number."""
    given = {"dbt_valid_from": _day(since), "dbt_valid_to": _day(until)}
    return {**product(product_id), "dbt_scd_id": "x", "dbt_updated_at": _day(since), **given, **others}


def _day(text: str | None) -> str | None:
    return f"2021-02-{int(text):02}" if text and text.isdigit() else text


def without_products(store: Store) -> Store:
    """The store of one event, its products removed."""
    store.remove(DATED)
    store.put("events.csv", [event("e1", "2021-03-02")])
    return store


@pytest.fixture
def store(new_either: Callable[..., Store]) -> Store:
    """A store without products, in files or in a database."""
    return without_products(new_either(products=DATED))


@pytest.fixture
def files(tmp_path: Path) -> Store:
    """A store without products in files."""
    return without_products(new_store(tmp_path))


def observed(store: Store) -> dict[str, list[str]]:
    """The products of each observation, by name and stock."""
    found = store.rows(
        "select o.observed_at::varchar, list(p.product_id || ' ' || inventory order by p.product_id)"
        " filter (where p.product_id is not null)"
        " from raw_observations as o left join raw_products as p using (observed_at) group by all order by 1"
    )
    return {at.removeprefix("2021-02-").removesuffix(" 00:00:00"): seen or [] for at, seen in found}


def test_each_instant_holds_the_rows_that_are_valid_then(store: Store) -> None:
    assert_two_instants(store, "products_snapshot.csv")


@pytest.mark.parametrize("name", ["products_snapshot/a.jsonl.gz", "products_snapshot.parquet"])
def test_it_may_be_of_any_format(files: Store, name: str) -> None:
    assert_two_instants(files, name)


def assert_two_instants(store: Store, name: str) -> None:
    store.put(name, [valid("p1", "8", "9"), valid("p1", "9", inventory="4"), valid("p2", "8")])
    store.load()
    assert observed(store) == {"08": ["p1 10", "p2 10"], "09": ["p1 4", "p2 10"]}
    assert_accounted(store, products=4, products_snapshot=3)
    before = store.contents()
    store.load()
    assert store.contents() == before


def test_what_a_clock_ahead_made_of_it_stops_no_later_load(store: Store) -> None:
    before = [valid("p1", "8", "9"), valid("p2", "8")]
    store.put(
        "products_snapshot.csv", [*before, valid("p1", "9", "2021-04-01"), valid("p1", "2021-04-01", inventory="4")]
    )
    store.load(dt.datetime(2021, 4, 1))
    at_first = observed(store)
    assert list(at_first) == ["08", "09", "2021-04-01"]
    store.load()
    assert observed(store) == at_first
    forget_observation(store.settings, LOG, dt.datetime(2021, 4, 1), "a test")
    store.load()
    assert list(observed(store)) == ["08", "09"]


def test_what_a_clock_behind_reads_of_it_stops_no_load(store: Store) -> None:
    store.put("products_snapshot.csv", [valid("p1", "8", "9"), valid("p1", "9", "10"), valid("p1", "10")])
    store.load()
    at_first = observed(store)
    store.load(dt.datetime(2021, 2, 8, 12))
    store.load()
    assert observed(store) == at_first


def test_an_observation_that_it_gives_again_is_not_forgotten(store: Store) -> None:
    store.put("products_snapshot.csv", [valid("p1", "8", "9"), valid("p1", "9", inventory="4")])
    store.load()
    with pytest.raises(UsageError, match=r"^2021-02-09T00:00:00Z would be loaded again: dbt's history in .* mend it"):
        forget_observation(store.settings, LOG, dt.datetime(2021, 2, 9), "a test")
    store.put("products_snapshot.csv", [valid("p1", "8")])
    store.load()
    forget_observation(store.settings, LOG, dt.datetime(2021, 2, 9), "a test")
    store.load()
    assert observed(store) == {"08": ["p1 10"]}


@pytest.mark.parametrize("end", [None, "9999-12-31", "9999-12-31 23:59:59.999999", "infinity", "2199-01-01+02"])
def test_an_open_end_may_be_any_date_far_ahead(store: Store, end: str | None) -> None:
    store.put("products_snapshot.csv", [valid("p1", "8", end), valid("p2", "9", end)])
    store.load()
    assert list(observed(store)) == ["08", "09"]


def test_rows_that_say_deleted_do_not_contradict_one_another(store: Store) -> None:
    gone = {"dbt_is_deleted": "True"}
    rows = [
        valid("p1", "1", "5", dbt_is_deleted="False"),
        valid("p1", "5", "9", **gone),
        valid("p1", "5", None, **gone, inventory="3"),
        valid("p1", "7", None, **gone),
        valid("p1", "12", None, dbt_is_deleted="False"),
        valid("p2", "1", None, dbt_is_deleted="False"),
    ]
    store = store.under(max_rejected=0.9)
    store.put("products_snapshot.csv", rows[:4] + rows[5:])
    store.load()
    assert store.refused("products_snapshot") == []
    assert observed(store) == {"01": ["p1 10", "p2 10"], "05": ["p2 10"]}
    store.put("products_snapshot.csv", rows)
    store.load(every_week=True)
    assert store.refused("products_snapshot") == [("p1", "dbt_valid_to", "conflict")] * 2
    assert observed(store)["12"] == ["p1 10", "p2 10"]
    assert_accounted(store, products_snapshot=len(rows))


@pytest.mark.parametrize("is_deleted", ["True", "true", "t", "1"])
def test_a_deleted_product_is_absent(store: Store, is_deleted: str) -> None:
    given = [valid("p1", "8", "9"), valid("p1", "9", "10"), valid("p1", "10"), valid("p2", "8")]
    deleted = ["False", is_deleted, "False", "False"]
    rows = [row | {"dbt_is_deleted": each} for row, each in zip(given, deleted, strict=True)]
    store.put("products_snapshot.csv", rows)
    store.load()
    assert observed(store) == {"08": ["p1 10", "p2 10"], "09": ["p2 10"], "10": ["p1 10", "p2 10"]}


def test_instants_are_whole_seconds(store: Store) -> None:
    store.put(
        "products_snapshot.csv",
        [
            valid("p1", "2021-02-08 00:00:00.25", "2021-02-08 00:00:00.75", inventory="1"),
            valid("p1", "2021-02-08 00:00:00.75", "2021-02-09 00:00:00.5", inventory="2"),
            valid("p1", "2021-02-09 00:00:00.5", inventory="3"),
            valid("p2", "2021-02-08 00:00:00.9"),
        ],
    )
    store.load()
    assert observed(store) == {"08": ["p1 2", "p2 10"], "09": ["p1 3", "p2 10"]}
    # The version of half a second is kept as dbt has it.
    assert_accounted(store, products=4, products_snapshot=4)


def test_rows_that_make_no_sense_are_refused(store: Store) -> None:
    good = [valid(f"p{number}", "8") for number in range(3, 9)]
    twice = valid("p1", "8")
    rows = [
        *good,
        twice,
        twice,
        valid("p2", "8", "10"),
        # Overlaps the row before it, which is the one refused: dbt wrote this later.
        valid("p2", "9", inventory="4"),
        valid("p9", "9", "8"),
        valid("p9", None),
        valid("p9", "soon"),
        valid(None, "8"),
        valid("p9", "2021-03-05"),
    ]
    rows = [row | {"dbt_is_deleted": None} for row in rows]
    store.put("products_snapshot.csv", [*rows, valid("p9", "8", dbt_is_deleted="perhaps")])
    store.under(max_rejected=0.5).load()
    assert store.refused("products_snapshot") == [
        ("p2", "dbt_valid_to", "conflict"),
        ("p9", "dbt_is_deleted", "not true or false"),
        ("p9", "dbt_valid_from", "future"),
        ("p9", "dbt_valid_from", "missing"),
        ("p9", "dbt_valid_from", "not a timestamp"),
        ("p9", "dbt_valid_to", "ends before it begins"),
        (None, "product_id", "missing"),
    ]
    if not isinstance(store, LiveStore):
        assert [row[1] for row in store.refusals("products_snapshot")] == [10, *range(12, 18)]
    found = observed(store)
    assert (list(found), len(found["08"]), len(found["09"])) == (["08", "09"], 7, 8)
    assert_accounted(store, products=15, products_snapshot=16)
    # What is of the future counts once it has come.
    store.under(max_rejected=0.5).load(AS_OF + dt.timedelta(days=3))
    assert "p9 10" in observed(store)["2021-03-05"]


def test_a_table_without_dbts_columns_is_refused(store: Store) -> None:
    store.put("products_snapshot.csv", [product("p1")])
    with pytest.raises(SourceError, match="products_snapshot lacks dbt_valid_from, dbt_valid_to; columns found"):
        store.load()


def test_new_rows_are_added_and_the_table_may_go(store: Store) -> None:
    store.put("products_snapshot.csv", [valid("p1", "8"), valid("p2", "8")])
    store.load()
    store.put("products_snapshot.csv", [valid("p1", "8", "9"), valid("p1", "9", inventory="4"), valid("p2", "8")])
    store.load()
    expected = {"08": ["p1 10", "p2 10"], "09": ["p1 4", "p2 10"]}
    assert observed(store) == expected
    # dbt began anew: what was observed stays.
    store.put("products_snapshot.csv", [valid("p1", "10", inventory="4"), valid("p2", "10")])
    store.load()
    assert observed(store) == expected | {"10": ["p1 4", "p2 10"]}
    store.remove("products_snapshot.csv")
    store.put("products.csv", [product("p1"), product("p2")])
    store.load()
    assert list(observed(store)) == ["08", "09", "10", "2021-03-03 12:00:00"]
    assert store.rows("from raw_products_snapshot") == []


def test_a_history_that_changed_is_an_error_that_can_be_accepted(store: Store) -> None:
    store.put("products_snapshot.csv", [valid("p1", "8"), valid("p2", "9")])
    store.load()
    before = store.contents()
    store.put("products_snapshot.csv", [valid("p1", "8", inventory="7"), valid("p2", "9")])
    with pytest.raises(SourceError, match=r"says otherwise of 2021-02-08 00:00:00Z .* `plant-assets run --weeks all`"):
        store.load()
    assert store.contents() == before
    store.load(every_week=True)
    assert observed(store) == {"08": ["p1 7"], "09": ["p1 7", "p2 10"]}


def test_where_an_instant_is_in_both_the_dated_file_says_what_was(files: Store) -> None:
    store = files
    store.put("products_snapshot.csv", [valid("p1", "8", "9"), valid("p1", "9", inventory="4")])
    store.put("products/2021-02-08.csv", [product("p1", inventory="11")])
    store.load()
    assert observed(store) == {"08": ["p1 11"], "09": ["p1 4"]}
    # A file that comes later, and stays when it is gone.
    store.put("products/2021-02-09.csv", [product("p1", inventory="5")])
    store.load()
    store.remove("products/2021-02-09.csv")
    store.load()
    assert observed(store) == {"08": ["p1 11"], "09": ["p1 5"]}
    assert_accounted(store, products=2)


def test_an_instant_with_too_few_products_is_kept_out_until_it_is_accepted(store: Store) -> None:
    rows = [valid("p1", "8"), *(valid(f"p{number}", "8", "9") for number in (2, 3, 4))]
    store.put("products_snapshot.csv", rows)
    for _time in range(2):
        store.load()
        assert list(observed(store)) == ["08"]
        assert store.refusals("products") == [
            ("products_snapshot@2021-02-09T00:00:00Z", None, None, "too_few_products")
        ]
        assert_accounted(store, products=5)
    store.under(min_products=0.0).load()
    assert observed(store)["09"] == ["p1 10"]
    assert store.refusals("products") == []


def test_instants_are_utc_whatever_clock_the_store_has(store: Store, tmp_path: Path) -> None:
    store.put("products_snapshot.csv", [valid("p1", "2021-02-08 00:00:00"), valid("p2", "2021-02-09 01:00:00+01:00")])
    (tmp_path / "mapping.yaml").write_text("time: {zone: America/New_York}\n")
    store.under(mapping=tmp_path / "mapping.yaml").load()
    assert list(observed(store)) == ["08", "09"]


def test_products_made_from_events_have_no_history_beside_them(store: Store, tmp_path: Path) -> None:
    store.put("products_snapshot.csv", [valid("p1", "8")])
    (tmp_path / "mapping.yaml").write_text("tables: {products: none}\n")
    with pytest.raises(SourceError, match="remove `products: none` from its tables"):
        store.under(mapping=tmp_path / "mapping.yaml").load()


def test_without_products_and_history_both_are_named(store: Store) -> None:
    with pytest.raises(SourceError, match=r"no table products: expected products.*; or dbt's history, products_snapsh"):
        store.load()


def test_a_table_of_a_database(tmp_path: Path, database: str) -> None:
    live = new_live_store(database, tmp_path / "live")
    live.put("events.csv", [event("e1", "2021-03-02")])
    live.remove("products.csv")
    postgres.execute(
        database,
        "create table products_snapshot (product_id uuid, name text, price float8, inventory int, dbt_scd_id text,"
        " dbt_updated_at timestamp, dbt_valid_from timestamp, dbt_valid_to timestamp, dbt_is_deleted text);"
        "insert into products_snapshot select md5(p)::uuid, 'Fern', 9.5, 10, 'x', since, since, until, is_deleted from"
        " (values ('1', timestamp '2021-02-08', timestamp 'infinity', 'False'),"
        " ('2', '2021-02-08 00:00:00.5', '2021-02-09', 'False'), ('2', '2021-02-09', 'infinity', 'True'),"
        " ('3', '2021-02-08', '9999-12-31 23:59:59', 'False')) as given (p, since, until, is_deleted)",
    )
    live.load()
    assert {at: len(seen) for at, seen in observed(live).items()} == {"08": 3, "09": 2}
    assert_accounted(live, products=5, products_snapshot=4)
    # dbt goes on, and products are observed by ourselves too.
    postgres.execute(
        database,
        "update products_snapshot set dbt_valid_to = '2021-03-01' where product_id = md5('3')::uuid;"
        " create table products as select distinct product_id, name, price, inventory from products_snapshot"
        " where product_id = md5('1')::uuid",
    )
    live.load()
    seen = {at: len(seen) for at, seen in observed(live).items()}
    assert seen == {"08": 3, "09": 2, "2021-03-01": 1, "2021-03-03 12:00:00": 1}
    postgres.execute(database, "alter table products_snapshot drop column dbt_is_deleted, drop column dbt_valid_to")
    with pytest.raises(SourceError, match="the table products_snapshot lacks dbt_valid_to; columns found: product_id,"):
        live.load()
