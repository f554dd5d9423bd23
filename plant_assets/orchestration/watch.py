"""Ends runs that hang. Nothing else would: their process lives, and every tick silently waits for them."""

import contextlib
import datetime as dt
import logging
import os
import signal
import time

import dagster as dg

from plant_assets.instance.liveness import live_runs
from plant_assets.orchestration.alerts import send
from plant_assets.orchestration.partitions import is_of_daemon
from plant_assets.settings import Settings

# Seconds that a run has to end after it was asked to.
PATIENCE = 20
# The tag of a command's run that an alert has named.
NAMED = "plant/named_in_alert"
_STEP_EVENTS = {
    dg.DagsterEventType.STEP_START,
    dg.DagsterEventType.STEP_SUCCESS,
    dg.DagsterEventType.STEP_FAILURE,
    dg.DagsterEventType.STEP_SKIPPED,
}


def place_of(instance: dg.DagsterInstance, run_id: str) -> str:
    """Return the step that a run is in and since when, as words that follow the run in a message."""
    under_way: dict[str, float] = {}
    for entry in instance.all_logs(run_id, of_type=_STEP_EVENTS):
        if entry.dagster_event and entry.step_key:
            under_way.pop(entry.step_key, None)
            if entry.dagster_event.event_type == dg.DagsterEventType.STEP_START:
                under_way[entry.step_key] = entry.timestamp
    if not under_way:
        return "in no step"
    step, started = under_way.popitem()
    return f"in the step {step} since {dt.datetime.fromtimestamp(started, dt.UTC):%Y-%m-%d %H:%M} UTC"


def end_long_runs(settings: Settings, instance: dg.DagsterInstance, log: logging.Logger) -> list[str]:
    """End the daemon's runs that take longer than `PLANT_MAX_RUN_HOURS`; send one alert about each run of a command.

    Returns:
        The ids of the runs that were ended or named.
    """
    found = []
    for run_id, process in live_runs(settings).items():
        record = instance.get_run_record_by_id(run_id)
        if record is None or not _is_over(settings, record):
            continue
        run = record.dagster_run
        reason = (
            f"Run {run_id} of {run.job_name} takes longer than PLANT_MAX_RUN_HOURS={settings.max_run_hours:g} allows,"
            f" {place_of(instance, run_id)}"
        )
        if is_of_daemon(run):
            _end(settings, instance, run, process, f"{reason}: it was ended.")
        elif NAMED not in run.tags:
            instance.add_run_tags(run_id, {NAMED: "yes"})
            send(settings, "a run hangs", f"{reason}: end its command, process {process}, if it hangs.", log)
        else:
            continue
        found.append(run_id)
    return found


def _is_over(settings: Settings, record: dg.RunRecord) -> bool:
    longest = settings.max_run_hours * 3600
    return bool(longest and record.start_time and time.time() - record.start_time > longest)


def _end(settings: Settings, instance: dg.DagsterInstance, run: dg.DagsterRun, process: int, reason: str) -> None:
    """Ask a run to end, and kill it if it does not. Report it as failed, because alerts are sent for failed runs."""
    if not run.is_finished:
        instance.report_run_canceling(run, reason)
        _signal(process, signal.SIGTERM)
    until = time.monotonic() + PATIENCE
    # Wait for both: a run frees its lock just before it reports its end, which would overwrite the failure.
    while (is_alive := run.run_id in live_runs(settings)) or not _is_finished(instance, run):
        if time.monotonic() > until:
            break
        time.sleep(0.2)
    ended = instance.get_run_by_id(run.run_id)
    if ended and ended.status not in (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE):
        # Before the kill: the code server would report the lost process without this reason.
        instance.report_run_failed(ended, reason)
    if is_alive:
        _signal(process, signal.SIGKILL)


def _is_finished(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    found = instance.get_run_by_id(run.run_id)
    return found is None or found.is_finished


def _signal(process: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, number)
