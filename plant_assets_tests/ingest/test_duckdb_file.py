"""A store in a DuckDB file: its URL, its views, which weeks are read, and what is said where it cannot be read."""

import datetime as dt
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from plant_assets.calendar import WEEK
from plant_assets.duckdb_url import DuckDBUrl
from plant_assets.settings import UsageError, read_settings
from plant_assets.sources.duckdb_file import database
from plant_assets.sources.errors import SourceError
from plant_assets.sources.open import require_files
from plant_assets_tests.support.small_stores import AS_OF, DuckDBStore, Store, event, new_duckdb_store, product

RUNNING = dt.date(2021, 3, 1)


@pytest.fixture
def store(tmp_path: Path) -> DuckDBStore:
    """A loaded store with one event in each of the last six weeks."""
    store = new_duckdb_store(tmp_path)
    store.put("events.csv", [event(f"e{ago}", str(RUNNING - ago * WEEK)) for ago in range(6)])
    store.load()
    return store


def execute(store: DuckDBStore, statement: str) -> None:
    with duckdb.connect(path_of(store)) as connection:
        connection.execute(statement)


def path_of(store: DuckDBStore) -> Path:
    assert isinstance(store.settings.database, DuckDBUrl)
    return store.settings.database.path


@pytest.mark.parametrize(
    ("given", "path", "schema"),
    [
        ("duckdb:///shop.duckdb", "shop.duckdb", "main"),
        ("duckdb:////data/a%20shop.duckdb?schema=staging", "/data/a shop.duckdb", "staging"),
    ],
)
def test_three_slashes_are_relative_and_four_absolute(given: str, path: str, schema: str) -> None:
    assert DuckDBUrl.of(given) == DuckDBUrl(Path(path), schema)
    settings = read_settings(source=given)
    assert settings.database == DuckDBUrl(Path(path).resolve(), schema)
    assert settings.source_name == settings.store()["source"] == settings.source


@pytest.mark.parametrize("given", ["duckdb://shop.duckdb", "duckdb:///", "duckdb:///a?x=1", "duckdb:///a?schema="])
def test_a_url_that_names_no_file_is_refused(given: str) -> None:
    with pytest.raises(UsageError, match=r"PLANT_SOURCE=duckdb.* is not allowed: a URL like duckdb:///shop\.duckdb"):
        read_settings(source=given)


def test_settled_weeks_are_not_read_again_and_late_rows_are_counted(store: DuckDBStore) -> None:
    load = Store.load(store, AS_OF).load
    assert sorted(load.events.staged.files) == ["events/2021-02-22", "events/2021-03-01", "events/other"]
    execute(store, "insert into events by name select * replace ('late' as event_id) from events where event_id = 'e4'")
    load = store.load().load
    assert "events/2021-02-01" in load.events.staged.files
    assert store.events()["late"] == "2021-02-01"


def test_views_of_a_schema_are_tables(store: DuckDBStore, tmp_path: Path) -> None:
    execute(
        store,
        "create schema staging;"
        "create view staging.events as select e.* exclude (product_id), p.product_id from main.events as e"
        " join main.products as p using (product_id);"
        "create view staging.products as from main.products",
    )
    other = store.under(
        source=f"{store.settings.source}?schema=staging", warehouse=tmp_path / "other" / "w.duckdb", home=tmp_path
    )
    other.load()
    assert len(other.events()) == 6
    with pytest.raises(SourceError, match=r"expected events in the schema none; tables found: main\.events, "):
        store.under(source=f"{store.settings.source}?schema=none", warehouse=tmp_path / "third.duckdb").load()


def test_a_file_that_is_written_is_waited_for_then_refused(store: DuckDBStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "MOST_WAIT", 0.5)
    writes = (
        f"import duckdb, sys; c = duckdb.connect({str(path_of(store))!r}); print('open', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", writes], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout
        assert writer.stdout.readline() == "open\n"
        with pytest.raises(SourceError, match=r"shop\.duckdb: another process has been writing the file for .* s: run"):
            store.load()
    store.load()


def test_what_is_no_file_of_duckdb_is_refused(tmp_path: Path) -> None:
    for name, content, said in (("none.duckdb", None, "there is no file"), ("text.duckdb", "a" * 9999, "not a valid")):
        if content:
            (tmp_path / name).write_text(content)
        store = new_duckdb_store(tmp_path).under(source=f"duckdb:///{tmp_path / name}")
        with pytest.raises(SourceError, match=said):
            store.load()


def test_the_warehouse_is_no_source_of_itself(store: DuckDBStore) -> None:
    itself = store.under(source=f"duckdb:///{store.settings.warehouse_path}")
    with pytest.raises(SourceError, match=r"is the warehouse itself, .*: name the store's own file"):
        require_files(itself.settings)


def test_a_load_leaves_the_file_as_it_is(store: DuckDBStore) -> None:
    before = path_of(store).read_bytes()
    store.put("products.csv", [product("p1"), product("p2", inventory="3")])
    assert path_of(store).read_bytes() != before
    before = path_of(store).read_bytes()
    store.load()
    assert path_of(store).read_bytes() == before
