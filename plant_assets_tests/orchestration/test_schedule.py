"""The 6-hourly tick: what it asks for, when it skips, and that its run does it."""

import datetime as dt
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import pytest

from plant_assets.cli.runs import Outcome
from plant_assets.definitions import build_defs
from plant_assets.instance.liveness import hold_run
from plant_assets.sample import store as sample
from plant_assets.settings import Settings, read_settings
from plant_assets.warehouse.ledger.due import due_path
from plant_assets.warehouse.open import open_warehouse
from plant_assets_tests.support import postgres
from plant_assets_tests.support.runs import END
from plant_assets_tests.support.tables import contents, rows
from plant_assets_tests.support.ticking import tick

TICK = dt.timedelta(hours=6)


def _run(settings: Settings, instance: dg.DagsterInstance, request: dg.RunRequest) -> dg.ExecuteInProcessResult:
    job = build_defs(settings).resolve_job_def("refresh")
    return job.execute_in_process(instance=instance, tags=request.tags, raise_on_error=False)


def _range(request: dg.RunRequest) -> tuple[str, str]:
    return (
        request.tags["dagster/asset_partition_range_start"],
        request.tags["dagster/asset_partition_range_end"],
    )


@pytest.fixture(scope="module")
def records() -> Iterator[dg.DagsterInstance]:
    """Ticks need records that last."""
    with dg.instance_for_test() as instance:
        yield instance


@pytest.fixture
def instance(records: dg.DagsterInstance) -> dg.DagsterInstance:
    for run in records.get_runs():
        records.delete_run(run.run_id)
    return records


def _extend(settings: Settings, folder: Path, at: dt.datetime) -> None:
    """Let the store go on to an instant, in the folder or in the database that has the folder's rows."""
    if settings.database is None:
        sample.write(folder, at)
    else:
        postgres.extend(str(settings.source), folder, at)
        postgres.fill_history(str(settings.source), folder)


def test_is_on_every_six_hours_in_utc() -> None:
    schedule = build_defs(read_settings()).resolve_schedule_def("every_six_hours")
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("0 */6 * * *", "UTC")
    assert schedule.default_status == dg.DefaultScheduleStatus.RUNNING


def test_asks_for_the_running_and_the_late_week_in_one_run(
    living: Settings, folder: Path, instance: dg.DagsterInstance
) -> None:
    _extend(living, folder, END + TICK)
    [request] = tick(living, instance, END + TICK)
    assert _range(request) == ("2026-10-05", "2026-10-12")


def test_its_run_materializes_weeks_and_the_rest(living: Settings, folder: Path, instance: dg.DagsterInstance) -> None:
    _extend(living, folder, END + TICK)
    [request] = tick(living, instance, END + TICK)
    result = _run(living, instance, request)
    assert result.success
    made = [(event.asset_key.to_user_string(), event.partition) for event in result.get_asset_materialization_events()]
    assert {week for name, week in made if name == "inventory"} == {"2026-10-05", "2026-10-12"}
    assert ("funnel", None) in made
    assert ("marts", None) in made
    assert rows(living, "select max(observed_at) from raw_products") == [(END + TICK,)]


def test_a_plain_source_file_is_observed_at_the_ticks_time(
    tmp_path: Path, small_store: Path, instance: dg.DagsterInstance
) -> None:
    source = tmp_path / "single"
    shutil.copytree(small_store, source, ignore=shutil.ignore_patterns("products"))
    shutil.copy(small_store / "products" / f"{END:%Y-%m-%dT%H-%M-%SZ}.csv", source / "products.csv")
    settings = read_settings(source=source, warehouse=tmp_path / "w.duckdb", start="2026-09-28")
    [request] = tick(settings, instance, END)
    assert _run(settings, instance, request).success
    assert rows(settings, "select distinct observed_at from raw_products") == [(END,)]


@pytest.mark.parametrize(
    ("either_once", "missed"), [("files", 1), ("files", 100), ("database", 30)], indirect=["either_once"]
)
def test_the_next_tick_catches_up(
    living: Settings,
    folder: Path,
    instance: dg.DagsterInstance,
    missed: int,
    tmp_path: Path,
    refresh: Callable[..., Outcome],
) -> None:
    at = END + TICK * (missed + 1)
    _extend(living, folder, at)
    for request in tick(living, instance, at):
        assert _run(living, instance, request).success
    if due_path(living).exists():
        # The weeks of a database are known once a run has read them.
        for request in tick(living, instance, at):
            assert _run(living, instance, request).success
    rebuilt = living.model_copy(update={"warehouse": tmp_path / "rebuilt.duckdb"})
    assert not refresh(rebuilt, as_of=at).failures
    assert contents(living) == contents(rebuilt)


def test_skips_with_a_reason_while_a_run_is_going(built: Settings, instance: dg.DagsterInstance) -> None:
    job = build_defs(built).resolve_job_def("refresh")
    going = instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
    with hold_run(built, going.run_id):
        [skip] = tick(built, instance, END)
    assert skip.skip_message == f"run {going.run_id} is still going"


def test_skips_with_a_reason_while_the_warehouse_is_in_use(built: Settings, instance: dg.DagsterInstance) -> None:
    with open_warehouse(built, holder="a test"):
        [skip] = tick(built, instance, END)
    assert "in use by a test" in skip.skip_message


def test_a_source_that_cannot_be_read_is_shown_by_a_failed_run(
    living: Settings, folder: Path, instance: dg.DagsterInstance
) -> None:
    before = contents(living)
    if living.database:
        postgres.execute(str(living.source), "drop table events")
    else:
        shutil.rmtree(folder / "events")
    [request] = tick(living, instance, END + TICK)
    result = _run(living, instance, request)
    assert not result.success
    [failure] = [event for event in result.all_events if event.is_step_failure]
    assert failure.step_key == "load_source"
    assert "has no table events" in str(failure.step_failure_data.error)
    assert contents(living) == before


def test_the_sample_store_is_extended_to_the_ticks_time(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    settings = read_settings(home=tmp_path)
    sample.write(settings.source_path, END, sessions=200, weeks=2, products=4)
    tick(settings, instance, END + TICK)
    manifest = sample.read_manifest(settings.source_path)
    assert manifest
    assert manifest.end == (END + TICK).isoformat()
