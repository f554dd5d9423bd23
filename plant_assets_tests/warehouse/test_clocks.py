"""Runs whose clock is wrong once: what they leave does not count, stops no later run, and can be removed."""

import datetime as dt
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from plant_assets.cli.runs import LOG, Outcome
from plant_assets.settings import Settings, UsageError, read_settings
from plant_assets.warehouse.maintenance import forget_observation
from plant_assets_tests.support.runs import END
from plant_assets_tests.support.tables import contents, rows

# Dagster knows no week after the one that really runs.
AHEAD, BEHIND = END + dt.timedelta(days=30), END - dt.timedelta(days=30)
LATER = END + dt.timedelta(hours=6)
# The tables that keep what was seen, whenever that was.
KEEPING = ("raw_products", "raw_observations")
Refresh = Callable[..., Outcome]


@pytest.fixture
def source(small_store: Path, tmp_path: Path) -> Path:
    """The small store with its last products as a table that is observed at each run."""
    source = tmp_path / "live"
    shutil.copytree(small_store, source, ignore=shutil.ignore_patterns("products"))
    shutil.copy(max((small_store / "products").iterdir()), source / "products.csv")
    return source


def settings_of(source: Path, name: str) -> Settings:
    return read_settings(source=source, warehouse=source.with_name(name) / "w.duckdb")


def put_stock(source: Path, stock: int) -> None:
    path = source / "products.csv"
    header, *lines = path.read_text().splitlines()
    assert header.endswith(",inventory")
    path.write_text("\n".join([header, *(f"{line.rpartition(',')[0]},{stock}" for line in lines)]) + "\n")


def runs(refresh: Refresh, settings: Settings, *instants: dt.datetime) -> None:
    """Run as of these instants, each with another stock: the one of an instant is the same whatever went before."""
    for at in instants:
        put_stock(settings.source_path, 5 + abs((at - END).days))
        outcome = refresh(settings, as_of=at)
        assert (outcome.failures, outcome.failed_errors) == ([], []), at


@pytest.mark.parametrize("wrong", [AHEAD, BEHIND], ids=["ahead", "behind"])
def test_what_a_wrong_clock_observed_can_be_removed(source: Path, refresh: Refresh, wrong: dt.datetime) -> None:
    undisturbed, disturbed = settings_of(source, "undisturbed"), settings_of(source, "disturbed")
    runs(refresh, undisturbed, END, LATER, LATER + dt.timedelta(hours=6))
    runs(refresh, disturbed, END, wrong, LATER)
    backup = forget_observation(disturbed, LOG, wrong, "a test")
    assert backup.exists()
    runs(refresh, disturbed, LATER + dt.timedelta(hours=6))
    assert contents(disturbed) == contents(undisturbed)


def test_what_a_clock_ahead_left_counts_nowhere_after_raw_products(
    source: Path, refresh: Refresh, check: Callable[..., Outcome], caplog: pytest.LogCaptureFixture
) -> None:
    (source / "events" / "to-come.csv").write_text(
        "event_id,session_id,user_id,page_url,created_at,event_type,order_id,product_id\n"
        f"to-come,s,,,{END + dt.timedelta(days=20)},page_view,,\n"
    )
    undisturbed, disturbed = settings_of(source, "undisturbed"), settings_of(source, "disturbed")
    runs(refresh, undisturbed, END, LATER)
    runs(refresh, disturbed, END, AHEAD)
    assert rows(disturbed, "select count(*) from raw_events where event_id = 'to-come'") == [(1,)]
    caplog.clear()
    runs(refresh, disturbed, LATER)
    [warned] = [record.getMessage() for record in caplog.records if "over a day after" in record.getMessage()]
    assert f"plant-assets forget-observation {AHEAD.isoformat()}Z" in warned
    # The event was loaded when its time seemed to have come; elsewhere it is refused.
    without = (*KEEPING, "raw_events", "rejected_rows")
    assert contents(disturbed, without) == contents(undisturbed, without)
    outcome = check(disturbed, as_of=LATER)
    assert outcome.failed_errors == []
    assert any("raw_observations_are_not_ahead" in problem.where for problem in outcome.warnings)


def test_what_was_ahead_counts_once_its_time_has_come(source: Path, refresh: Refresh) -> None:
    undisturbed, disturbed = settings_of(source, "undisturbed"), settings_of(source, "disturbed")
    after = AHEAD + dt.timedelta(hours=6)
    runs(refresh, undisturbed, END, LATER, AHEAD, after)
    runs(refresh, disturbed, END, AHEAD, LATER, after)
    assert contents(disturbed) == contents(undisturbed)


def test_a_clock_ahead_within_the_running_week_is_found_too(source: Path, refresh: Refresh) -> None:
    undisturbed, disturbed = settings_of(source, "undisturbed"), settings_of(source, "disturbed")
    runs(refresh, undisturbed, END, LATER)
    runs(refresh, disturbed, END, END + dt.timedelta(days=3), LATER)
    assert contents(disturbed, KEEPING) == contents(undisturbed, KEEPING)


def test_a_dated_file_that_is_ahead_is_named(built: Settings, folder: Path, refresh: Refresh) -> None:
    settings = read_settings(source=folder, warehouse=folder.with_name("dated") / "w.duckdb")
    shutil.copy(max((folder / "products").iterdir()), folder / "products" / f"{AHEAD:%Y-%m-%dT%H-%M-%SZ}.csv")
    assert not refresh(settings, as_of=AHEAD).failures
    assert not refresh(settings, as_of=END).failures
    without = (*KEEPING, "weeks")
    assert contents(settings, without) == contents(built, without)
    with pytest.raises(UsageError, match=r"\.csv would be loaded again: remove the file first$"):
        forget_observation(settings, LOG, AHEAD, "a test")
    (folder / "products" / f"{AHEAD:%Y-%m-%dT%H-%M-%SZ}.csv").unlink()
    forget_observation(settings, LOG, AHEAD, "a test")
    assert not refresh(settings, as_of=END).failures
    assert contents(settings) == contents(built)


def test_only_an_observation_that_is_there_is_removed(built: Settings) -> None:
    with pytest.raises(UsageError, match=r"there is no observation of 2026-10-14T05:59:59Z; the nearest are 2026-10-1"):
        forget_observation(built, LOG, dt.datetime(2026, 10, 14, 5, 59, 59), "a test")
    assert not built.warehouse_path.with_name("w.duckdb.backups").exists()
