"""Whole runs on a PostgreSQL database: the same tables as from files, ticks, the late weeks, and what commands say."""

import datetime as dt
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from plant_assets.cli.runs import Outcome
from plant_assets.doctor.diagnose import diagnose
from plant_assets.settings import Settings, UsageError, read_settings
from plant_assets_tests.support import postgres
from plant_assets_tests.support.commands import one_sentence, plant_assets
from plant_assets_tests.support.machine import need
from plant_assets_tests.support.postgres import PASSWORD, execute, fill, fill_all
from plant_assets_tests.support.real_store import AS_OF, STORE
from plant_assets_tests.support.runs import END
from plant_assets_tests.support.tables import contents, rows

# An observation's file is called otherwise.
ALIKE = "raw_observations"


@pytest.fixture
def files(tmp_path: Path, small_store: Path) -> Settings:
    """The small store with its last products as a single file."""
    source = tmp_path / "files"
    shutil.copytree(small_store, source, ignore=shutil.ignore_patterns("products"))
    shutil.copy(max((small_store / "products").iterdir()), source / "products.csv")
    return read_settings(source=source, warehouse=tmp_path / "of-files" / "w.duckdb")


@pytest.fixture
def live(tmp_path: Path, small_store: Path, database: str) -> Settings:
    """The same store in a database."""
    fill_all(database, small_store)
    return read_settings(source=database, warehouse=tmp_path / "live" / "w.duckdb")


def extend(files: Settings, live: Settings, at: dt.datetime) -> None:
    """Let both stores go on to an instant: new events, orders and items."""
    postgres.extend(str(live.source), files.source_path, at)
    shutil.rmtree(files.source_path / "products")


def test_the_tables_are_those_of_the_same_rows_in_files(
    files: Settings, live: Settings, refresh: Callable[..., Outcome]
) -> None:
    for settings in (files, live):
        outcome = refresh(settings)
        assert (outcome.failures, outcome.failed_errors) == ([], [])
    assert contents(live, without=(ALIKE,)) == contents(files, without=(ALIKE,))
    # A tick, with new rows of the running week, one of the late week and a changed stock.
    later = END + dt.timedelta(hours=6)
    extend(files, live, later)
    execute(str(live.source), "update products set inventory = 1")
    stock = files.source_path / "products.csv"
    header, *lines = stock.read_text().splitlines()
    assert header.endswith(",inventory")
    stock.write_text("\n".join([header, *(line.rpartition(",")[0] + ",1" for line in lines)]) + "\n")
    late = "late,s,,,2026-10-07T12:00:00Z,page_view,,\n"
    (files.source_path / "events" / "late.csv").write_text(
        "event_id,session_id,user_id,page_url,created_at,event_type,order_id,product_id\n" + late
    )
    fill(str(live.source), "events", files.source_path / "events" / "late.csv")
    for settings in (files, live):
        outcome = refresh(settings, as_of=later)
        assert (outcome.failures, outcome.failed_errors) == ([], [])
    assert rows(live, "select count(*) from raw_events where event_id = 'late'") == [(1,)]
    assert contents(live, without=(ALIKE,)) == contents(files, without=(ALIKE,))
    # Once more, with nothing new.
    before = contents(live)
    assert not refresh(live, as_of=later).failures
    assert contents(live) == before


def test_with_dbts_history_the_tables_are_those_of_dated_products(built_once: Settings, live_once: Settings) -> None:
    found, expected = (contents(each, without=("raw_products_snapshot", ALIKE)) for each in (live_once, built_once))
    assert found == expected
    assert rows(live_once, "select count(distinct observed_at) > 50 from raw_products") == [(True,)]


def test_a_real_store_has_the_same_tables(tmp_path: Path, database: str, refresh: Callable[..., Outcome]) -> None:
    need(f"the store {STORE}", STORE.is_dir())
    source = tmp_path / "files"
    source.mkdir()
    for table in ("events", "orders", "order_items"):
        [found] = [path for path in STORE.rglob("*.csv") if table in (path.stem, path.parent.name)]
        shutil.copy(found, source / f"{table}.csv")
    shutil.copy(max((STORE / "products").iterdir()), source / "products.csv")
    names = {path.stem: path.read_text().partition("\n")[0].strip() for path in source.iterdir()}
    types = {"created_at": "timestamp", "quantity": "integer", "inventory": "integer", "price": "double precision"}
    for table, header in names.items():
        columns = ", ".join(f"{name} {types.get(name, 'text')}" for name in header.split(","))
        execute(database, f"create table {table} ({columns})")
        fill(database, table, source / f"{table}.csv")
    files = read_settings(source=source, warehouse=tmp_path / "of-files" / "w.duckdb")
    live = read_settings(source=database, warehouse=tmp_path / "live" / "w.duckdb")
    for settings in (files, live):
        outcome = refresh(settings, as_of=AS_OF)
        assert (outcome.failures, outcome.failed_errors) == ([], [])
    assert rows(live, "select page_view, package_shipped from funnel") == [(578, 335)]
    assert contents(live, without=(ALIKE,)) == contents(files, without=(ALIKE,))


def test_commands_say_what_is_wrong_without_the_password(live: Settings, tmp_path: Path) -> None:
    execute(str(live.source), "alter table products rename column price to cost")
    done = plant_assets("run", "--warehouse", live.warehouse_path, PLANT_SOURCE=str(live.source))
    assert done.returncode == 2
    assert "the table products lacks price; columns found: product_id, name, cost, inventory" in one_sentence(done)
    done = plant_assets("doctor", "--source", live.source, "--warehouse", live.warehouse_path)
    assert done.returncode == 2
    assert "-  products has the columns product_id, name, cost, inventory" in done.stdout
    assert "Next: correct this in the source" in done.stdout
    assert PASSWORD not in done.stdout + done.stderr


def test_the_password_is_written_nowhere(live: Settings) -> None:
    done = plant_assets("run", "--source", live.source, "--warehouse", live.warehouse_path)
    assert (done.returncode, done.stderr.count(PASSWORD), done.stdout.count(PASSWORD)) == (0, 0, 0)
    written = [path for path in live.warehouse_path.parent.rglob("*") if path.is_file()]
    assert len(written) > 5
    assert [path for path in written if PASSWORD.encode() in path.read_bytes()] == []
    assert json.loads(live.store_path.read_text())["source"] == live.source_name.replace("owner@", "")


def test_a_password_may_come_from_libpqs_own_places(live: Settings, tmp_path: Path) -> None:
    secrets = tmp_path / "pgpass"
    secrets.write_text(f"*:*:*:*:{PASSWORD}\n")
    secrets.chmod(0o600)
    for variables in ({"PGPASSWORD": PASSWORD}, {"PGPASSFILE": str(secrets)}):
        done = plant_assets("doctor", "--warehouse", live.warehouse_path, PLANT_SOURCE=live.source_name, **variables)
        assert done.returncode == 0, done.stderr


def test_the_doctor_looks_at_a_database(live: Settings) -> None:
    found = diagnose(live, END, [])
    assert found.error is None
    assert found.next_command == "plant-assets run"
    source = dict(found.sections["Source"])
    [(events, products)] = execute(
        str(live.source), "select (select count(*) from events), (select count(*) from products)"
    )
    assert (source["events"], source["products"]) == (f"table, {events} rows", f"table, {products} rows")
    assert source["weeks of events"] == "4, from 2026-09-21 to 2026-10-18"
    assert source["observations"] == "one at each run: the table is as it is then"
    assert not any("index" in each for each in found.odd)
    execute(str(live.source), "drop index events_created_at_idx")
    assert any("no index begins with created_at" in each for each in diagnose(live, END, []).odd)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:hush@hush@h/db",
        "postgresql://u:hu/sh@h/db",
        "postgresql://u:hu?sh@h/db",
        "postgresql://u:hu#sh@h/db",
        "postgresql://u:hush%ZZ@h/db",
        "postgresql://u:hush",
        "postgresql://h/db?password=hush&x",
        "postgresql://h/db?password=hu sh",
    ],
)
def test_a_url_that_libpq_would_misread_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(UsageError, match=r"^PLANT_SOURCE=postgresql://\*\*\* is not allowed: ") as caught:
        read_settings(source=url)
    assert not any(part in str(caught.value) for part in ("hu", "sh@"))


def test_children_read_the_same_database(live: Settings) -> None:
    assert live.environment()["PLANT_SOURCE"] == os.fspath(live.source or "")
    assert PASSWORD not in repr(live)
