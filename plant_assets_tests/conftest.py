"""Stores and warehouses for the tests: made once, copied where a test writes."""

import contextlib
import datetime as dt
import gc
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import dagster as dg
import pytest

from plant_assets.cli.process import NEW_OBJECTS
from plant_assets.cli.runs import Outcome, run_checks, run_refresh
from plant_assets.sample import store as sample
from plant_assets.settings import Settings, read_settings
from plant_assets.warehouse.open import open_warehouse
from plant_assets_tests.support import postgres
from plant_assets_tests.support.machine import need
from plant_assets_tests.support.runs import END, Silence
from plant_assets_tests.support.webhook import listening

# Spark's Java lives for a minute here: what its better compiler and collector cost, they would never earn.
os.environ.setdefault("JAVA_TOOL_OPTIONS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:MetaspaceSize=256m")
# As the command does.
gc.set_threshold(NEW_OBJECTS)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by the parts of a system that they need, as their fixtures and parameters tell."""
    for item in items:
        fixtures, values = set(getattr(item, "fixturenames", ())), _parameters(item)
        if fixtures & {"cluster", "on_spark"} or values & {"spark", "pyspark"}:
            item.add_marker(pytest.mark.spark)
        if "postgres_server" in fixtures or values & {"database", "live_once"}:
            item.add_marker(pytest.mark.postgres)
        if fixtures & {"browser", "page"}:
            item.add_marker(pytest.mark.browser)


def _parameters(item: pytest.Item) -> set[object]:
    """Return the parameters of a test that are names, and the dialects of those that are engines."""
    found = getattr(item, "callspec", None)
    values = found.params.values() if found else ()
    return {each if isinstance(each, str) else getattr(each, "dialect", None) for each in values}


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the developer's reaches a test."""
    for name in list(os.environ):
        if (name.startswith("PLANT_") and not name.startswith("PLANT_TEST_")) or name == "DAGSTER_HOME":
            monkeypatch.delenv(name)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


@pytest.fixture
def refresh(instance: dg.DagsterInstance) -> Callable[..., Outcome]:
    """Run the job as `plant-assets run` does."""

    def run(settings: Settings, as_of: dt.datetime = END, **how: object) -> Outcome:
        return run_refresh(settings, instance, Silence(), as_of=as_of, **how)  # type: ignore[arg-type]

    return run


@pytest.fixture
def check(instance: dg.DagsterInstance) -> Callable[..., Outcome]:
    """Run every check as `plant-assets check` does."""

    def run(settings: Settings, as_of: dt.datetime = END) -> Outcome:
        return run_checks(settings, instance, Silence(), as_of=as_of)

    return run


@pytest.fixture(scope="session")
def sample_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default sample store, ending at END."""
    directory = tmp_path_factory.mktemp("store") / "sample"
    sample.write(directory, END)
    return directory


@pytest.fixture(scope="session")
def small_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three weeks of a small sample store, ending at END."""
    directory = tmp_path_factory.mktemp("store") / "small"
    sample.write(directory, END, sessions=800, weeks=3, products=6)
    return directory


@pytest.fixture(scope="session")
def built_once(small_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A warehouse of the small store. Not to be written to: see `warehouse`."""
    settings = read_settings(source=small_store, warehouse=tmp_path_factory.mktemp("built") / "w.duckdb")
    with dg.DagsterInstance.ephemeral() as ephemeral:
        outcome = run_refresh(settings, ephemeral, Silence(), as_of=END)
    assert not outcome.failures
    return settings


@pytest.fixture
def built(built_once: Settings, tmp_path: Path) -> Settings:
    """The settings of a warehouse of its own, built from the small store."""
    home = tmp_path / "built"
    shutil.copytree(built_once.warehouse_path.parent, home)
    return read_settings(source=built_once.source, warehouse=home / "w.duckdb")


@pytest.fixture(scope="session")
def live_once(postgres_server: str, small_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """The small store in a database, its products as dbt's history, and a warehouse of it. Not to be written to."""
    with postgres.database(postgres_server) as url:
        postgres.fill_all(url, small_store)
        postgres.fill_history(url, small_store)
        settings = read_settings(source=url, warehouse=tmp_path_factory.mktemp("live") / "w.duckdb")
        with dg.DagsterInstance.ephemeral() as ephemeral:
            outcome = run_refresh(settings, ephemeral, Silence(), as_of=END)
        assert not outcome.failures
        yield settings


@pytest.fixture(params=["files", "database"])
def either_once(request: pytest.FixtureRequest) -> Settings:
    """The small store and its warehouse, in files or in a database. Not to be written to."""
    settings: Settings = request.getfixturevalue("built_once" if request.param == "files" else "live_once")
    return settings


@pytest.fixture
def built_either(either_once: Settings, tmp_path: Path) -> Settings:
    """The settings of a warehouse of its own, built from the small store in files or in a database."""
    shutil.copytree(either_once.warehouse_path.parent, tmp_path / "built")
    return read_settings(source=either_once.source, warehouse=tmp_path / "built" / "w.duckdb")


@pytest.fixture
def folder(small_store: Path, tmp_path: Path) -> Path:
    """A copy of the small store's files, to be changed."""
    shutil.copytree(small_store, tmp_path / "living")
    return tmp_path / "living"


@pytest.fixture
def living(built_either: Settings, folder: Path) -> Iterator[Settings]:
    """A store that goes on, in `folder` or in a database of its own, with a warehouse that is up to date to END."""
    with contextlib.ExitStack() as stack:
        source = str(folder)
        if built_either.database:
            split = urlsplit(str(built_either.source))
            server = split._replace(path="/postgres").geturl()
            source = stack.enter_context(postgres.database(server, like=split.path[1:]))
        settings = read_settings(source=source, warehouse=built_either.warehouse)
        with open_warehouse(settings) as warehouse, warehouse.transaction():
            warehouse.ledger.facts.remember(**settings.store())
        yield settings


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a PostgreSQL server's database `postgres`, as its superuser."""
    need(f"PostgreSQL {postgres.OLDEST}", postgres.binaries() is not None)
    with postgres.server() as url:
        yield url


@pytest.fixture
def database(postgres_server: str) -> Iterator[str]:
    """The URL of a new, empty PostgreSQL database, as its superuser."""
    with postgres.database(postgres_server) as url:
        yield url


@pytest.fixture
def webhook() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """A URL for `PLANT_ALERT_URL`, and the messages that it has received."""
    with listening() as found:
        yield found
