"""Snapshots that dbt made, read as a store's history: the versions are ours of the observations that it saw."""

import datetime as dt
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from plant_assets.cli.runs import Outcome
from plant_assets.transforms.snapshots import product_snapshots
from plant_assets.warehouse.expressions import to_sql
from plant_assets_tests.support.dbt import INSTANTS, MODES, Snapshots, take_snapshots
from plant_assets_tests.support.engines import table
from plant_assets_tests.support.machine import need
from plant_assets_tests.support.real_store import STORE
from plant_assets_tests.support.small_stores import Store, assert_accounted, event, new_store
from plant_assets_tests.support.tables import mart_rows

AS_OF = dt.datetime(2021, 3, 2)
# Snapshots with dbt's own names of columns, of which deleted products are not left.
SAME = ("invalidate", "new_record", "to_current")
VERSIONS = to_sql(product_snapshots(table("raw_products"), table("raw_observations")))
FIRST, SECOND, THIRD, FOURTH = INSTANTS


@pytest.fixture(scope="module")
def snapshots(tmp_path_factory: pytest.TempPathFactory) -> Snapshots:
    return take_snapshots(tmp_path_factory.mktemp("dbt"), STORE)


@pytest.fixture
def stores(tmp_path: Path) -> Callable[..., Store]:
    def store(name: str, **files: bytes) -> Store:
        made = new_store(tmp_path / name)
        made.remove("products/2021-02-08.csv")
        made.put("events.csv", [event("e1", "2021-03-01 12:00:00", product_id="fern")])
        for file, content in files.items():
            made.put(f"{file}.parquet", content)
        return made

    return store


def _put_observations(store: Store, snapshots: Snapshots, name: str, *places: int) -> Store:
    for place in places:
        store.put(f"products/{INSTANTS[place]:%Y-%m-%d}.csv", snapshots.observed(name, place))
    return store


def versions(store: Store) -> list[tuple[Any, ...]]:
    """The product versions of what a load stored."""
    store.load(AS_OF)
    return store.rows(f"from ({VERSIONS}) order by all")


@pytest.fixture
def expected(stores: Callable[..., Store], snapshots: Snapshots) -> Callable[[str], list[tuple[Any, ...]]]:
    """The versions by the observations that dbt saw."""
    return functools.cache(lambda name: versions(_put_observations(stores("dated"), snapshots, name, 0, 1, 2, 3)))


Stores = Callable[..., Store]
Expected = Callable[[str], list[tuple[Any, ...]]]


@pytest.mark.parametrize("mode", SAME)
def test_versions_are_those_of_the_observations(
    mode: str, stores: Stores, snapshots: Snapshots, expected: Expected
) -> None:
    store = stores("history", products_snapshot=snapshots.table("made_up", mode))
    assert versions(store) == expected("made_up")
    assert_accounted(store, products=15, products_snapshot=10 if mode != "invalidate" else 8)


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode != "renamed"])
def test_versions_of_a_real_store_are_those_of_its_observations(
    mode: str, stores: Stores, snapshots: Snapshots, expected: Expected
) -> None:
    need(f"the store {STORE}", STORE.is_dir())
    store = stores("history", products_snapshot=snapshots.table("greenery", mode))
    assert versions(store) == expected("greenery")
    assert len(versions(store)) > 30


def test_what_dbt_ignores_stays_current(stores: Stores, snapshots: Snapshots, expected: Expected) -> None:
    found = versions(stores("history", products_snapshot=snapshots.table("made_up", "ignore")))
    gone = [row for row in expected("made_up") if row[0] in ("moss", "palm")]
    assert [row[0] for row in gone] == ["moss", "moss", "palm"]
    assert [row for row in found if row[0] not in ("moss", "palm")] == [
        row for row in expected("made_up") if row not in gone
    ]
    assert [(row[0], *row[4:6]) for row in found if row[0] in ("moss", "palm")] == [
        ("moss", FIRST, None),
        ("palm", FIRST, None),
    ]


def test_by_the_timestamp_strategy_a_version_begins_when_its_row_was_updated(
    stores: Stores, snapshots: Snapshots
) -> None:
    found = versions(stores("history", products_snapshot=snapshots.table("made_up", "timestamp")))
    changed, sold_out = dt.datetime(2021, 2, 13, 9, 30), dt.datetime(2021, 2, 21, 23, 59, 59)
    assert [(row[0], *row[3:6]) for row in found] == [
        ("croton", None, dt.datetime(2021, 2, 20), None),
        ("fern", 10, dt.datetime(2021, 1, 4, 8), None),
        ("ivy", 0, sold_out, None),
        ("ivy", 10, changed, sold_out),
        ("ivy", 10, dt.datetime(2021, 2, 3, 12), changed),
        ("moss", 10, dt.datetime(2021, 2, 5), SECOND),
        ("moss", 10, dt.datetime(2021, 2, 28, 10), None),
        ("palm", 10, dt.datetime(2021, 2, 3, 12), FOURTH),
    ]


def test_dbts_columns_may_have_other_names(
    tmp_path: Path, stores: Stores, snapshots: Snapshots, expected: Expected
) -> None:
    store = stores("history", stock_history=snapshots.table("made_up", "renamed"))
    (tmp_path / "mapping.yaml").write_text(
        "tables: {products_snapshot: stock_history}\n"
        "columns: {products_snapshot: {dbt_valid_from: since, dbt_valid_to: until}}\n"
    )
    assert versions(store.under(mapping=tmp_path / "mapping.yaml")) == expected("made_up")


@pytest.mark.parametrize("mode", SAME)
def test_no_version_is_doubled_beside_observations_of_our_own(
    mode: str, stores: Stores, snapshots: Snapshots, expected: Expected
) -> None:
    history = {"products_snapshot": snapshots.table("made_up", mode)}
    later = _put_observations(stores("beside", **history), snapshots, "made_up", 2, 3)
    assert versions(later) == expected("made_up")
    # A file goes on where the history ends; in the same load, or in a later one.
    single = stores("single", **history)
    single.put("products.csv", snapshots.observed("made_up", 3))
    assert versions(single) == expected("made_up")
    assert single.rows("select max(observed_at) from raw_observations") == [(AS_OF,)]
    joined = stores("joined", **history)
    assert versions(joined) == expected("made_up")
    _put_observations(joined, snapshots, "made_up", 0, 1, 2, 3)
    assert versions(joined) == expected("made_up")
    assert joined.rows("select count(*) from raw_observations where file like 'products/%'") == [(4,)]


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode != "renamed"])
def test_dbt_goes_on(mode: str, stores: Stores, snapshots: Snapshots) -> None:
    growing = stores("growing", products_snapshot=snapshots.table("made_up", mode, runs=1))
    for runs in (2, 4):
        growing.load(AS_OF)
        growing.put("products_snapshot.parquet", snapshots.table("made_up", mode, runs))
    at_once = stores("at_once", products_snapshot=snapshots.table("made_up", mode))
    assert versions(growing) == versions(at_once)
    assert growing.contents()["raw_products"] == at_once.contents()["raw_products"]
    settled = growing.contents()
    growing.load(AS_OF)
    assert growing.contents() == settled


def test_a_store_of_a_history_runs_and_offers_ours_under_dbts_names(
    stores: Stores, snapshots: Snapshots, refresh: Callable[..., Outcome]
) -> None:
    store = stores("history", products_snapshot=snapshots.table("made_up", "invalidate"))
    outcome = refresh(store.settings, as_of=AS_OF)
    assert not outcome.failures
    assert not outcome.failed_errors
    store.put("theirs.parquet", snapshots.table("made_up", "invalidate"))
    names = "product_id, name, price, inventory, dbt_updated_at, dbt_valid_from, dbt_valid_to"
    theirs = store.rows(f"select dbt_scd_id, {names} from '{store.folder}/theirs.parquet' order by all")
    assert (
        mart_rows(store.settings, f"select md5(dbt_scd_id), {names} from product_snapshot_dbt order by all") == theirs
    )
