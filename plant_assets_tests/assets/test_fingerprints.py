"""Fingerprints of definitions: what changes them, and what runs do with what another definition wrote."""

import datetime as dt
import hashlib
import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

from plant_assets.assets.fingerprints import compute, fingerprints
from plant_assets.cli.runs import Outcome, run_refresh
from plant_assets.contracts import LOADED, TABLES
from plant_assets.definitions import build_defs
from plant_assets.orchestration.partitions import AS_OF, range_tags
from plant_assets.orchestration.ticks import look
from plant_assets.sample import store as sample
from plant_assets.settings import Settings, read_settings
from plant_assets.sources.tables import SOURCE_TABLES
from plant_assets.warehouse.compiled import Statements
from plant_assets.warehouse.fingerprints import OF_MEANING, keep_fingerprints, key_of
from plant_assets.warehouse.marts import open_marts
from plant_assets_tests.support.changed_code import command, copy_package
from plant_assets_tests.support.runs import END, Silence
from plant_assets_tests.support.tables import contents, rows
from plant_assets_tests.support.ticking import evaluate

HOURS = (
    "transforms/inventory.py",
    'return seconds.cast("float64") / 3600.0',
    'return seconds.cast("float64") / 1800.0',
)
# What no check holds against another table: the run ends well.
OBSERVED = (
    "transforms/inventory.py",
    "hours_observed=_hours(_.observed.sum())",
    "hours_observed=_hours(_.observed.sum()) / 2",
)
# The tables whose hours are counted by that function, and all that is made of them.
OF_HOURS = {
    "funnel_stages_by_week",
    "inventory",
    "inventory_by_week",
    "inventory_changes",
    "inventory_until_week",
    "stockouts",
    "stockouts_by_week",
}
SHOW = """
import json
from plant_assets.assets.fingerprints import compute
from plant_assets.settings import read_settings
print(json.dumps(compute(read_settings(source='/', warehouse='/tmp/none.duckdb'))))
"""
LOG = logging.getLogger("test")
LAST_WEEK = dt.date(2026, 10, 12)
BAD_EVENTS = """event_id,session_id,user_id,page_url,created_at,event_type,order_id,product_id
x1,s1,u1,/x,2026-10-10T10:00:00Z,wave,,
x1,s1,u1,/y,2026-10-10T10:00:00Z,wave,,
x2,,u1,/x,2026-10-10T10:00:00Z,wave,,
x3,s1,u1,/x,tomorrow,page_view,,
x4,s1,NULL,/x,1760090400,page_view,,fern
"""
LOADED_BY_NUMBER = (
    {"raw_events": 1, "raw_products": 1, "raw_orders": 1, "raw_order_items": 1, "raw_products_snapshot": 1},
    {
        "raw_events": "bcbcb72f7825",
        "raw_products": "500bd7fbe717",
        "raw_observations": "fed57f7dc15b",
        "raw_products_snapshot": "4f53cda18c2b",
        "raw_orders": "097ff4529665",
        "raw_order_items": "24d26e99ad2d",
        "rejected_rows": "4b43b2c7ff22",
    },
)


def _fingerprints(code: Path, **environment: str) -> dict[str, str]:
    """The fingerprints of the code in a folder."""
    done = subprocess.run(
        [sys.executable, "-c", SHOW],
        cwd=code,
        env={"PYTHONPATH": str(code), "PYTHONDONTWRITEBYTECODE": "1", **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, str] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def as_it_is(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return _fingerprints(copy_package(tmp_path_factory.mktemp("code")))


@pytest.mark.slow
def test_fingerprints_do_not_depend_on_the_process(as_it_is: dict[str, str], tmp_path: Path) -> None:
    settings = read_settings(source="/", warehouse=tmp_path / "w.duckdb")
    assert compute(settings) == as_it_is
    assert set(as_it_is) == set(TABLES)
    assert all(len(each) == 12 and int(each, 16) >= 0 for each in as_it_is.values())
    assert len(set(as_it_is.values())) == len(as_it_is)
    assert _fingerprints(copy_package(tmp_path / "code"), PYTHONHASHSEED="7", TZ="Asia/Tokyo") == as_it_is


@pytest.mark.slow
def test_a_changed_expression_changes_all_that_comes_after_it_and_a_renamed_variable_nothing(
    as_it_is: dict[str, str], tmp_path: Path
) -> None:
    doubled = _fingerprints(copy_package(tmp_path / "doubled", HOURS))
    assert {name for name in TABLES if doubled[name] != as_it_is[name]} == OF_HOURS
    renamed = ("transforms/inventory.py", "def _hours(seconds: ibis.Value)", "def _hours(secs: ibis.Value)")
    body = ("transforms/inventory.py", HOURS[1], HOURS[1].replace("seconds", "secs"))
    assert _fingerprints(copy_package(tmp_path / "renamed", renamed, body)) == as_it_is


@pytest.mark.parametrize(
    ("setting", "changed"),
    [
        ({"fluctuation_weeks": 4}, {"inventory_fluctuations", "inventory_until_week"}),
        ({"timezone": "Europe/Berlin"}, set(TABLES)),
        ({"late_weeks": 3, "max_rejected": 1.0, "min_rows": 0, "memory_limit": "1GB"}, set()),
    ],
    ids=["fluctuation_weeks", "timezone", "limits"],
)
def test_settings_of_meaning_are_part_of_definitions(
    setting: dict[str, object], changed: set[str], tmp_path: Path
) -> None:
    given = {"source": tmp_path, "warehouse": tmp_path / "w.duckdb"}
    before, after = compute(read_settings(**given)), compute(read_settings(**given, **setting))
    assert {name for name in TABLES if before[name] != after[name]} == changed


def test_a_mapping_is_part_of_all_definitions(tmp_path: Path) -> None:
    mapping = tmp_path / "mapping.yaml"
    mapping.write_text("event_types: {seen: page_view, bought: checkout}\n")
    given = {"source": tmp_path, "warehouse": tmp_path / "w.duckdb"}
    before, after = compute(read_settings(**given)), compute(read_settings(**given, mapping=mapping))
    # The calendar is made of no table.
    assert {name for name in TABLES if before[name] != after[name]} == set(TABLES) - {"weeks"}


def test_known_fingerprints_are_looked_up(built: Settings) -> None:
    keep_fingerprints(built, fingerprints(built))
    program = f"""
import time
from plant_assets.settings import read_settings
from plant_assets.warehouse.fingerprints import known_fingerprints
settings = read_settings(source={built.source!r}, warehouse={str(built.warehouse_path)!r})
begun = time.process_time()
found = known_fingerprints(settings)
print(len(found), time.process_time() - begun)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    number, seconds = done.stdout.split()
    assert int(number) == len(TABLES)
    # Measured 0.012 on a quiet machine.
    assert float(seconds) < 0.1


def test_a_new_warehouse_has_the_fingerprints_that_are_kept_for_the_user(tmp_path: Path) -> None:
    settings, cache = read_settings(source="/", warehouse=tmp_path / "w.duckdb"), tmp_path / "plant-assets"
    cache.mkdir()
    Statements(cache / "statements").kept(key_of(settings).encode(), lambda: '{"funnel": "kept"}')
    found = [
        subprocess.run(
            [sys.executable, "-c", SHOW.replace("compute", "fingerprints")],
            env={**os.environ, "XDG_CACHE_HOME": str(tmp_path), "PLANT_TIMEZONE": zone},
            capture_output=True,
            text=True,
            check=True,
        )
        for zone in ("UTC", "Asia/Tokyo")
    ]
    kept, computed = (json.loads(done.stdout) for done in found)
    assert kept == {"funnel": "kept"}
    assert set(computed) == set(TABLES)


# What another definition wrote


def _without_definitions(settings: Settings) -> None:
    """Make a warehouse as versions left it that kept no definitions."""
    rows(settings, "update _writes set definition = null")


@pytest.fixture
def twelve_weeks(tmp_path: Path) -> Settings:
    """A store of twelve weeks and its warehouse, made by the command, and then one more day of data."""
    source = tmp_path / "store"
    sample.write(source, END, sessions=300, weeks=12, products=6)
    settings = read_settings(source=source, warehouse=tmp_path / "home" / "w.duckdb")
    done = command(tmp_path, "run", *_options(settings, END))
    assert done.returncode == 0, done.stderr
    sample.write(source, END + dt.timedelta(days=1))
    return settings


def _options(settings: Settings, as_of: dt.datetime) -> list[str]:
    where = ["--source", str(settings.source), "--warehouse", str(settings.warehouse_path)]
    return [*where, "--as-of", as_of.isoformat()]


@pytest.mark.slow
def test_weeks_by_an_older_definition_are_made_again_and_said(twelve_weeks: Settings, tmp_path: Path) -> None:
    later = END + dt.timedelta(days=1)
    changed = copy_package(tmp_path / "changed", OBSERVED)
    stated = command(changed, "doctor", *_options(twelve_weeks, later)[:4]).stdout
    assert re.search(r"inventory +13 weeks by an older definition: due", stated), stated
    done = command(changed, "run", *_options(twelve_weeks, later))
    assert done.returncode == 0, done.stderr
    assert "inventory: 13 weeks by an older definition are made again" in done.stderr
    fresh = twelve_weeks.model_copy(update={"warehouse": tmp_path / "fresh" / "w.duckdb"})
    anew = command(changed, "run", *_options(fresh, later))
    assert anew.returncode == 0, anew.stderr
    assert contents(twelve_weeks) == contents(fresh)
    again = command(changed, "run", *_options(twelve_weeks, later))
    assert "older definition" not in again.stderr
    assert "older definition" not in command(changed, "doctor", *_options(twelve_weeks, later)[:4]).stdout


def test_a_warehouse_without_definitions_makes_all_but_its_raw_tables_again_once(
    built: Settings, refresh: Callable[..., Outcome], caplog: pytest.LogCaptureFixture
) -> None:
    before = contents(built)
    _without_definitions(built)
    loaded = rows(built, "select table_name, week, write_number from _writes where table_name = 'raw_events'")
    caplog.set_level("INFO", logger="plant_assets")
    assert not refresh(built).failures
    assert "keeps no definitions yet: all that is made of loaded tables is made again, once" in caplog.text
    assert contents(built) == before
    now = rows(built, "select table_name, week, write_number from _writes where table_name = 'raw_events'")
    stayed = set(loaded) & set(now)
    # Only the weeks that every run does were loaded again.
    assert len(stayed) >= len(loaded) - 2
    made = rows(built, "select count(*) from _writes where definition is null and not starts_with(table_name, 'raw_')")
    assert made == [(0,)]
    caplog.clear()
    refresh(built)
    assert "definition" not in caplog.text


def test_a_tick_requests_the_weeks_by_an_older_definition(built: Settings) -> None:
    keep_fingerprints(built, fingerprints(built))
    assert look(built, END, LOG).range == (dt.date(2026, 10, 5), LAST_WEEK)
    rows(built, "update _writes set definition = 'another' where table_name = 'inventory'")
    assert look(built, END, LOG).range == (dt.date(2026, 9, 21), LAST_WEEK)


def test_a_mixture_of_definitions_is_not_published(built: Settings, instance: dg.DagsterInstance) -> None:
    rows(built, "update _writes set definition = 'another' where table_name = 'inventory'")
    with open_marts(built) as marts:
        publisher = marts.publisher()
    tags = {**range_tags(LAST_WEEK, LAST_WEEK), AS_OF: END.isoformat()}
    assert build_defs(built).resolve_job_def("refresh").execute_in_process(instance=instance, tags=tags).success
    with open_marts(built) as marts:
        assert marts.publisher() == publisher
    (request,) = evaluate(built, instance, "due_weeks").run_requests
    assert request.tags["plant/weeks"] == "2026-09-21..2026-10-05"


def test_each_write_and_each_asset_names_its_definition(
    built: Settings, instance: dg.DagsterInstance, refresh: Callable[..., Outcome]
) -> None:
    refresh(built)
    found, graph = fingerprints(built), build_defs(built).resolve_asset_graph()
    assert {name: graph.get(dg.AssetKey(name)).code_version for name in TABLES} == found
    assert dict(rows(built, "select distinct table_name, definition from _writes")).items() <= found.items()
    for name, table in TABLES.items():
        event = instance.get_latest_materialization_event(dg.AssetKey(name))
        if event and event.asset_materialization:
            made = event.asset_materialization
            assert made.metadata["definition"].value == found[name]
            version = (made.tags or {})["dagster/data_version"]
            assert table.week_column or version.startswith(f"{found[name]}.")


def test_loaded_rows_change_only_with_the_number_of_their_loader(folder: Path, tmp_path: Path) -> None:
    """If this fails, a loader makes other rows of the same files: raise its `loader` in SOURCE_TABLES."""
    (folder / "events" / "bad.csv").write_text(BAD_EVENTS)
    settings = read_settings(source=folder, warehouse=tmp_path / "w.duckdb")
    with dg.DagsterInstance.ephemeral() as ephemeral:
        run_refresh(settings, ephemeral, Silence(), as_of=END)
    loaded = {name: each for name, each in contents(settings).items() if name in LOADED}
    digests = {name: hashlib.sha256(repr(each).encode()).hexdigest()[:12] for name, each in loaded.items()}
    numbers = {source.target: source.loader for source in SOURCE_TABLES.values()}
    assert (numbers, digests) == LOADED_BY_NUMBER


def test_a_raised_number_reads_every_file_again(built: Settings, tmp_path: Path) -> None:
    raised = ("sources/tables.py", "bucket=f\"coalesce(week::varchar, '{NO_WEEK}')\",", "loader=2,")
    old, new = raised[1], raised[1] + " " + raised[2]
    code = copy_package(tmp_path / "raised", (raised[0], old, new))
    before = contents(built)
    done = command(code, "run", *_options(built, END))
    assert done.returncode == 0, done.stderr
    assert rows(built, "select distinct content_hash like '%:v2' from _loads where source_table = 'events'") == [
        (True,)
    ]
    assert contents(built) == before


def test_each_setting_is_one_of_meaning_or_not() -> None:
    """A new setting that an asset uses belongs to OF_MEANING: else tables stay as its old value made them."""
    of_loads_and_runs = {
        *("alert_url", "home", "late_weeks", "max_rejected", "max_run_hours", "memory_limit", "min_products"),
        *("min_rows", "records", "source", "start", "tables", "ui_url", "warehouse"),
    }
    assert set(Settings.model_fields) - of_loads_and_runs == set(OF_MEANING)


def test_fingerprints_are_those_of_every_process(tmp_path: Path) -> None:
    """Sets have another order in each process: no statement may have it."""
    code = (
        "import json; from plant_assets.assets.fingerprints import compute;"
        " from plant_assets.settings import read_settings; print(json.dumps(compute(read_settings())))"
    )
    # No statement is kept there.
    no_home = {"XDG_CACHE_HOME": "/dev/null/none", "PLANT_HOME": str(tmp_path)}
    found = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, **no_home, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        for seed in ("1", "2", "3")
    ]
    computed = [json.loads(done.stdout) for done in found]
    assert computed[0].keys() == TABLES.keys()
    assert computed[1] == computed[0]
    assert computed[2] == computed[0]
