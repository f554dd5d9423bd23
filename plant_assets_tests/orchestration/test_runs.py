"""Runs that die, and weeks that change after they closed: found, and done again."""

import datetime as dt
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import pytest

from plant_assets.checks import published
from plant_assets.checks.build import checks_of
from plant_assets.cli.runs import NO_RETRIES, Outcome
from plant_assets.contracts import TABLES
from plant_assets.dagster_private import runs_of_location
from plant_assets.definitions import build_defs
from plant_assets.instance.home import LOCATION, prepare_home
from plant_assets.instance.liveness import fail_dead_runs, hold_run
from plant_assets.orchestration.partitions import STARTED_BY, is_of_daemon
from plant_assets.settings import Settings, read_settings
from plant_assets.warehouse.open import open_warehouse
from plant_assets_tests.support import postgres
from plant_assets_tests.support.runs import END
from plant_assets_tests.support.tables import contents, rows
from plant_assets_tests.support.ticking import evaluate

LOG = logging.getLogger("test")


@pytest.fixture(scope="module")
def records() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as instance:
        yield instance


def _started(settings: Settings, records: dg.DagsterInstance, ago: dt.timedelta) -> dg.DagsterRun:
    """A run that was recorded as started a while ago."""
    job = build_defs(settings).resolve_job_def("refresh")
    run = records.create_run_for_job(job)
    event = dg.DagsterEvent(
        event_type_value=dg.DagsterEventType.PIPELINE_START.value, job_name=run.job_name, message="started"
    )
    at = time.time() - ago.total_seconds()
    records.handle_new_event(
        dg.EventLogEntry(
            error_info=None,
            level=logging.INFO,
            user_message="",
            run_id=run.run_id,
            timestamp=at,
            job_name=run.job_name,
            dagster_event=event,
        )
    )
    return run


def test_a_run_without_its_process_is_failed(built: Settings, records: dg.DagsterInstance) -> None:
    run = _started(built, records, dt.timedelta(minutes=1))
    assert fail_dead_runs(built, records, LOG) == [run.run_id]
    assert records.get_run_by_id(run.run_id).status == dg.DagsterRunStatus.FAILURE
    assert fail_dead_runs(built, records, LOG) == []


def test_a_run_with_its_process_goes_on(built: Settings, records: dg.DagsterInstance) -> None:
    run = _started(built, records, dt.timedelta(minutes=1))
    with hold_run(built, run.run_id):
        assert fail_dead_runs(built, records, LOG) == []
    assert fail_dead_runs(built, records, LOG) == [run.run_id]


def test_a_run_that_has_just_started_is_left_alone(built: Settings, records: dg.DagsterInstance) -> None:
    _started(built, records, dt.timedelta())
    assert fail_dead_runs(built, records, LOG) == []


def test_a_run_of_several_weeks_plans_checks_and_whole_tables_once(
    built: Settings, instance: dg.DagsterInstance, refresh: Callable[..., Outcome]
) -> None:
    refresh(built, every_week=True)
    (run,) = instance.get_runs()
    check_key = dg.AssetCheckKey(dg.AssetKey("int_events"), "int_events_keeps_its_contract")
    (execution,) = instance.event_log_storage.get_asset_check_execution_history(check_key, limit=10)
    planned = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED)
    weeks: dict[str, list[str | None]] = {"funnel": [], "report": []}
    for event in (log.get_dagster_event() for log in planned):
        weeks.get(event.asset_key.to_user_string(), []).append(event.partition)
    assert (execution.status.value, weeks["funnel"]) == ("SUCCEEDED", [None])
    assert weeks["report"] == ["2026-09-21", "2026-09-28", "2026-10-05", "2026-10-12"]
    asked = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED)
    # No step makes rejected_rows, each load writes to it: only the job `check` asks its check.
    written = set(TABLES) - {"rejected_rows"}
    assert sorted(log.get_dagster_event().event_specific_data.check_name for log in asked) == sorted(
        check.name for check in (*(each for name in written for each in checks_of(name)), *published.CHECKS)
    )


def test_a_commands_run_names_its_weeks_and_its_command_and_is_not_tried_again(
    built: Settings, instance: dg.DagsterInstance, refresh: Callable[..., Outcome], check: Callable[..., Outcome]
) -> None:
    refresh(built, weeks=(dt.date(2026, 9, 28), dt.date(2026, 10, 5)))
    check(built)
    checked, refreshed = instance.get_runs()
    assert refreshed.tags["plant/weeks"] == "2026-09-28..2026-10-05"
    assert refreshed.tags["plant/started_by"] == "plant-assets run"
    assert checked.tags["plant/started_by"] == "plant-assets check"
    for run in (checked, refreshed):
        assert run.remote_job_origin.location_name == "plant_assets.definitions"
        assert run.tags["dagster/max_retries"] == "0"
        assert not is_of_daemon(run)


def test_a_killed_commands_run_is_not_tried_again_by_the_daemon(
    built: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", "")
    prepare_home(built)
    job = build_defs(built).resolve_job_def("refresh")
    with dg.DagsterInstance.get() as kept, runs_of_location(kept, LOCATION, "refresh"):
        of_daemon = kept.create_run_for_job(job)
        of_command = kept.create_run_for_job(job, tags={STARTED_BY: "plant-assets run", NO_RETRIES: "0"})
        again = kept.create_run_for_job(
            job, tags=of_command.tags, parent_run_id=of_command.run_id, root_run_id=of_command.run_id
        )
        assert [is_of_daemon(run) for run in (of_daemon, of_command, again)] == [True, False, True]
        for run, is_retried in ((of_daemon, "true"), (of_command, "false")):
            kept.report_run_failed(run, "The run's process is gone")
            assert kept.get_run_by_id(run.run_id).tags["dagster/will_retry"] == is_retried


def test_a_killed_command_leaves_the_tables_and_is_repaired_by_running_again(
    built: Settings, small_store: Path, tmp_path: Path, refresh: Callable[..., Outcome]
) -> None:
    fresh = built.model_copy(update={"warehouse": tmp_path / "fresh" / "w.duckdb"})
    command = [sys.executable, "-m", "plant_assets.cli", "run"]
    options = ["--source", str(small_store), "--warehouse", str(fresh.warehouse_path), "--as-of", END.isoformat()]
    with subprocess.Popen([*command, *options], stderr=subprocess.PIPE, text=True, env=_clean()) as process:
        assert process.stderr
        assert any(line.startswith("int_session_days") for line in process.stderr)
        process.send_signal(signal.SIGKILL)
    assert rows(fresh, "select count(*) > 0 from raw_events") == [(True,)]
    assert not fresh.marts_path.exists()
    done = subprocess.run([*command, *options], capture_output=True, text=True, env=_clean(), check=False)
    assert done.returncode == 0, done.stderr
    assert contents(fresh) == contents(built)


def _clean() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("PLANT_")}


def _note_counted(settings: Settings) -> None:
    """Note that the weeks of the database were counted today."""
    with open_warehouse(settings) as warehouse:
        warehouse.ledger.facts.remember(counted_on=str(dt.datetime.now(dt.UTC).date()))


@pytest.fixture
def idle(records: dg.DagsterInstance) -> dg.DagsterInstance:
    for run in records.get_runs():
        records.delete_run(run.run_id)
    return records


def test_nothing_new_asks_for_nothing(living: Settings, idle: dg.DagsterInstance) -> None:
    _note_counted(living)
    assert evaluate(living, idle).skip_message == "no closed week differs from what was loaded"


def test_events_before_a_start_that_was_set_ask_for_nothing(
    either_once: Settings, tmp_path: Path, idle: dg.DagsterInstance, refresh: Callable[..., Outcome]
) -> None:
    later = read_settings(source=either_once.source, warehouse=tmp_path / "later.duckdb", start="2026-09-28")
    assert not refresh(later).failures
    _note_counted(later)
    assert evaluate(later, idle).skip_message == "no closed week differs from what was loaded"


def test_an_event_that_comes_late_is_found_and_its_week_done(
    living: Settings, folder: Path, idle: dg.DagsterInstance
) -> None:
    late = folder / "events" / "late.csv"
    late.write_text(
        "event_id,session_id,user_id,page_url,created_at,event_type,order_id,product_id\n"
        "late,s-late,,,2026-10-01T12:00:00Z,page_view,,\n"
    )
    if living.database:
        postgres.fill(str(living.source), "events", late)
    job = build_defs(living).resolve_job_def("refresh")
    [request] = evaluate(living, idle).run_requests
    if living.database:
        # A run counts the weeks, and notes the one that differs.
        assert job.execute_in_process(instance=idle, tags=request.tags).success
        [request] = evaluate(living, idle, "due_weeks").run_requests
    assert request.tags["dagster/asset_partition_range_start"] == "2026-09-28"
    assert job.execute_in_process(instance=idle, tags=request.tags).success
    assert rows(living, "select event_date::varchar from int_events where event_id = 'late'") == [("2026-10-01",)]
    assert evaluate(living, idle).skip_message == "no closed week differs from what was loaded"


def test_a_warehouse_of_an_older_version_gets_its_new_columns(built: Settings, refresh: Callable[..., Outcome]) -> None:
    with open_warehouse(built) as warehouse:
        before = warehouse.rows("from int_session_days order by all")
        warehouse.execute("alter table int_session_days drop column events")
    assert not refresh(built).failures
    with open_warehouse(built) as warehouse:
        assert warehouse.rows("from int_session_days order by all") == before
