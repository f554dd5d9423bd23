"""Records in a database: what is said where it cannot be used, and that it is one warehouse's."""

import datetime as dt
import json
import os
import shutil
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import dagster as dg
import pytest

from plant_assets.instance.home import prepare_home
from plant_assets.settings import Settings, UsageError, read_settings
from plant_assets_tests.support import postgres
from plant_assets_tests.support.commands import one_sentence, plant_assets

SECRET = "p@ss/word"


@pytest.fixture(autouse=True)
def _same_environment() -> Iterator[None]:
    """What prepares a home changes the environment of its process."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


def _settings(folder: Path, database: str | None) -> Settings:
    return read_settings(source=folder, warehouse=folder / "w.duckdb", records=database)


def _refusal(settings: Settings) -> str:
    with pytest.raises(UsageError) as refused:
        prepare_home(settings)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def _with(url: str, **parts: str) -> str:
    """The URL with another host, database or user."""
    known = urlsplit(url)
    user = parts.get("user", f"{known.username}:{known.password}")
    host = parts.get("host", f"{known.hostname}:{known.port}")
    return f"postgresql://{user}@{host}/{parts.get('name', known.path[1:])}"


def test_runs_are_rows_of_the_database(tmp_path: Path, database: str) -> None:
    settings = _settings(tmp_path, database)
    prepare_home(settings)
    with dg.DagsterInstance.get() as instance:
        instance.create_run_for_job(dg.GraphDefinition(name="nothing", node_defs=[]).to_job())
    [(name, created)] = postgres.execute(database, "select pipeline_name, create_timestamp from runs")
    assert name == "nothing"
    # Whatever the server's zone is.
    assert abs(created - dt.datetime.now(dt.UTC).replace(tzinfo=None)) < dt.timedelta(minutes=2)
    assert list(settings.dagster_home.rglob("*.db")) == []
    assert postgres.PASSWORD not in "".join(
        path.read_text() for path in settings.dagster_home.rglob("*") if path.is_file()
    )


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"host": "127.0.0.1:1"}, "Connection refused"),
        ({"host": "nowhere.invalid"}, "could not translate host name"),
        ({"user": "owner:wrong%40word"}, "password authentication failed"),
        ({"name": "absent"}, 'database "absent" does not exist'),
        ({"name": "postgres?sslmode=some"}, 'invalid sslmode value: "some"'),
        ({"name": "postgres?colour=green"}, "colour"),
    ],
    ids=lambda value: " ".join(value.values()) if isinstance(value, dict) else "",
)
def test_a_database_that_cannot_be_reached_is_one_sentence(
    parts: dict[str, str], message: str, tmp_path: Path, postgres_server: str
) -> None:
    said = _refusal(_settings(tmp_path, _with(postgres_server, **parts)))
    assert said.startswith("PLANT_RECORDS: the database postgresql://owner@")
    assert message in said
    assert not {postgres.PASSWORD, "wrong%40word", "wrong@word"} & set(said.split())
    assert not (tmp_path / "w.duckdb.dagster" / "dagster.yaml").exists()


def test_the_extra_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # As Python has it where the package is not installed.
    monkeypatch.setitem(sys.modules, "dagster_postgres", None)
    said = _refusal(_settings(tmp_path, "postgresql://u:secret@127.0.0.1:1/d"))
    assert said == "PLANT_RECORDS needs an extra: python -m pip install 'plant-assets[postgres]'"


def test_a_user_who_may_make_no_tables_is_refused(tmp_path: Path, database: str) -> None:
    postgres.execute(database, "drop role if exists reader")
    postgres.execute(database, f"create role reader login password '{SECRET}'")
    said = _refusal(_settings(tmp_path, _with(database, user="reader:p%40ss%2Fword")))
    assert "permission denied for schema public" in said
    assert SECRET not in said


@pytest.mark.parametrize(
    "value",
    ["mysql://u:secret@h/d", "host=h password=secret", "postgresql://u:se@cret@h/d", "postgresql://u:secret@h1,h2/d"],
)
def test_what_is_no_database_is_refused_without_its_password(value: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as refused:
        _settings(tmp_path, value)
    assert str(refused.value).startswith("PLANT_RECORDS=*** is not allowed: ")
    assert not [part for part in ("secret", "cret@") if part in str(refused.value)]


def test_a_command_ends_at_once_where_the_database_is_not(tmp_path: Path) -> None:
    done = plant_assets("run", PLANT_HOME=str(tmp_path), PLANT_RECORDS="postgresql://u:secret@127.0.0.1:1/d")
    assert done.returncode == 2
    assert "Connection refused" in one_sentence(done)
    assert "secret" not in done.stderr


def test_another_warehouse_is_refused_by_name(tmp_path: Path, database: str) -> None:
    ours, other = tmp_path / "ours", tmp_path / "other"
    prepare_home(_settings(ours, database))
    prepare_home(_settings(ours, database))
    said = _refusal(_settings(other, database))
    assert f"{ours / 'w.duckdb'} on {socket.gethostname()}" in said
    assert f"not of {other / 'w.duckdb'}" in said


def test_a_copy_of_a_warehouses_folder_is_refused_and_a_moved_one_is_not(tmp_path: Path, database: str) -> None:
    ours, moved = tmp_path / "ours", tmp_path / "moved"
    prepare_home(_settings(ours, database))
    (ours / "w.duckdb").touch()
    shutil.copytree(ours, moved)
    assert "give each warehouse a database of its own" in _refusal(_settings(moved, database))
    shutil.rmtree(ours)
    prepare_home(_settings(moved, database))
    assert postgres.execute(database, "select path from plant_assets_warehouse") == [(str(moved / "w.duckdb"),)]


def test_a_warehouse_without_its_folder_is_let_in_once_the_database_is_handed_over(
    tmp_path: Path, database: str
) -> None:
    settings = _settings(tmp_path, database)
    prepare_home(settings)
    shutil.rmtree(settings.dagster_home)
    assert "give each warehouse a database of its own" in _refusal(settings)
    postgres.execute(database, "delete from plant_assets_warehouse")
    prepare_home(settings)
    [(own_id,)] = postgres.execute(database, "select id from plant_assets_warehouse")
    assert json.loads((settings.dagster_home / "records.json").read_text())["id"] == own_id


def test_the_database_of_another_dagster_is_refused(tmp_path: Path, database: str) -> None:
    postgres.execute(database, "create table runs (run_id text)")
    assert "has the records of another Dagster" in _refusal(_settings(tmp_path, database))


def test_a_web_server_elsewhere_reads_and_does_not_take(tmp_path: Path, database: str) -> None:
    prepare_home(_settings(tmp_path / "web", database), is_at_warehouse=False)
    prepare_home(_settings(tmp_path / "warehouse", database))
    prepare_home(_settings(tmp_path / "web", database), is_at_warehouse=False)
    [(path,)] = postgres.execute(database, "select path from plant_assets_warehouse")
    assert path == str(tmp_path / "warehouse" / "w.duckdb")


def test_without_the_setting_runs_do_not_go_where_nobody_looks(tmp_path: Path, database: str) -> None:
    prepare_home(_settings(tmp_path, database))
    os.environ.pop("PLANT_RECORDS")
    said = _refusal(_settings(tmp_path, None))
    assert "are in the database postgresql://owner@" in said
    (tmp_path / "w.duckdb.dagster" / "records.json").unlink()
    prepare_home(_settings(tmp_path, None))
    assert "EventLog" in (tmp_path / "w.duckdb.dagster" / "dagster.yaml").read_text()


def test_env_prints_no_password(tmp_path: Path, database: str) -> None:
    done = plant_assets("env", PLANT_HOME=str(tmp_path), PLANT_RECORDS=database)
    assert done.returncode == 0, done.stderr
    assert "export PLANT_WAREHOUSE=" in done.stdout or "export PLANT_HOME=" in done.stdout
    assert postgres.PASSWORD not in done.stdout
