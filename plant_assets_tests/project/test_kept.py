"""Warehouses, records and sample stores that earlier commits made open and go on: those of the archives in `kept/`.

CONTRIBUTING.md says how an archive is made. This test imports no module of plant_assets: they may move.
"""

import datetime as dt
import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import dagster as dg
import duckdb
import pytest

from plant_assets_tests.support.machine import ROOT

KEPT = ROOT / "plant_assets_tests" / "kept"
WAREHOUSE = "sample.duckdb"
DAY = dt.timedelta(days=1)
# They only grow.
HISTORY = ("raw_events", "raw_products", "raw_observations", "raw_orders", "raw_order_items", "rejected_rows")
Tables = dict[str, list[str]]


def plant_assets(home: Path, *arguments: str, is_default: bool = False) -> str:
    """Run the command on the store of a home, by name or as the default one; what it printed."""
    named = {} if is_default else {"PLANT_SOURCE": str(home / "sample"), "PLANT_WAREHOUSE": str(home / WAREHOUSE)}
    done = subprocess.run(
        [sys.executable, "-m", "plant_assets.cli", *arguments],
        env={**os.environ, "PLANT_HOME": str(home), **named},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def tables(home: Path) -> Tables:
    """The rows of each table that users know, in an order of their own."""
    with duckdb.connect(str(home / WAREHOUSE), read_only=True) as connection:
        connection.execute("set TimeZone = 'UTC'; use analytics")
        names = connection.execute(
            "select table_name from information_schema.tables where table_schema = 'analytics' order by all"
        ).fetchall()
        return {name: rows(connection, name) for (name,) in names if not name.startswith("_")}


def rows(connection: duckdb.DuckDBPyConnection, name: str) -> list[str]:
    """The rows of a table as text, whatever the order of its columns."""
    columns = sorted(row[0] for row in connection.execute(f"describe {name}").fetchall())
    return sorted(map(repr, connection.execute(f"select {', '.join(columns)} from {name}").fetchall()))


def grow(home: Path, at: dt.datetime) -> None:
    """Add an event to the store. Its own generator is of another version."""
    header = "event_id,session_id,user_id,page_url,created_at,event_type,order_id,product_id"
    ids = "00000000-0000-0000-0000-000000000001,00000000-0000-0000-0000-000000000002"
    row = f"{ids},u,,{at - dt.timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ},page_view,,"
    (home / "sample" / "events" / f"{at:%Y-%m-%d}.csv").write_text(f"{header}\n{row}\n")


@pytest.fixture(params=sorted(KEPT.glob("*.tar.xz")), ids=lambda path: path.name.partition(".")[0])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """An earlier commit's home, in another folder than it was made in."""
    with tarfile.open(request.param) as archive:
        archive.extractall(tmp_path, filter="data")
    home = tmp_path / "plants"
    with duckdb.connect(str(home / WAREHOUSE)) as connection:
        connection.execute("update analytics._meta set value = ? where name = 'source'", [str(home / "sample")])
    return home


def test_what_an_earlier_commit_made_goes_on(kept: Path, tmp_path: Path) -> None:
    fresh = tmp_path / "fresh"
    shutil.copytree(kept / "sample", fresh / "sample")
    before, made_at = tables(kept), json.loads((kept / "sample" / "sample.json").read_text())["end"]
    later = dt.datetime.fromisoformat(made_at) + 7 * DAY
    grow(kept, later)
    plant_assets(kept, "run", "--as-of", later.isoformat())
    after = tables(kept)
    for name in HISTORY:
        assert set(before[name]) <= set(after[name])
    assert len(after["raw_events"]) > len(before["raw_events"])
    assert "FAILED" not in plant_assets(kept, "check", "--as-of", later.isoformat())
    assert json.loads(plant_assets(kept, "answers", "--json"))["week"] == str(later.date() - later.weekday() * DAY)
    with dg.DagsterInstance.from_config(str(kept / f"{WAREHOUSE}.dagster")) as instance:
        assert [run.status.value for run in instance.get_runs()] == ["SUCCESS"] * 3
    # The same history, by the code of today alone.
    plant_assets(fresh, "run", "--as-of", made_at)
    grow(fresh, later)
    plant_assets(fresh, "run", "--as-of", later.isoformat())
    assert tables(fresh) == after


def test_a_default_sample_of_another_version_is_set_aside_with_its_warehouse(kept: Path) -> None:
    before = tables(kept)
    manifest = (kept / "sample" / "sample.json").read_text()
    plant_assets(kept, "run", is_default=True)
    assert (kept / "sample.before" / "sample.json").read_text() == manifest
    assert '"version": 2' in (kept / "sample" / "sample.json").read_text()
    with duckdb.connect(str(kept / f"{WAREHOUSE}.before"), read_only=True) as connection:
        assert rows(connection, "analytics.raw_events") == before["raw_events"]
    assert not set(tables(kept)["raw_events"]) & set(before["raw_events"])
