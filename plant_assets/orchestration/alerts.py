"""Messages about failed runs and failed error checks, sent through one URL (`PLANT_ALERT_URL`).

A problem that the run before had too is not told again: one message per problem, not one per retry or tick.
"""

import datetime as dt
import logging
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from plant_assets.readers.page.render import show_banner
from plant_assets.settings import Settings
from plant_assets.text import printable

if TYPE_CHECKING:
    import apprise

ENDED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]


def problems_of(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dict[str, str]:
    """What went wrong in a run: the step, or the asset and check, with the reason."""
    found: dict[str, str] = {}
    for entry in instance.all_logs(run.run_id):
        event = entry.dagster_event
        if event is None:
            continue
        if event.is_step_failure and event.step_failure_data.error:
            error = event.step_failure_data.error
            while error.cause:
                error = error.cause
            if error.cls_name == "DagsterAssetCheckFailedError":
                # The check that failed its step is told itself.
                continue
            found[f"step {event.step_key}"] = " ".join(error.message.split())
        elif event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            evaluation = event.asset_check_evaluation_data
            if not evaluation.passed and evaluation.severity == dg.AssetCheckSeverity.ERROR:
                asset = evaluation.asset_key.to_user_string()
                reason = f"{evaluation.metadata['offending'].value} times: {evaluation.description}"
                found[f"asset {asset}, check {evaluation.check_name}"] = reason
        elif event.is_run_failure and not found:
            found[f"run of {run.job_name}"] = event.message or "it failed"
    return found


def new_problems(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dict[str, str]:
    """The run's problems that the job's run before did not have, nor the run that it is a retry of."""
    record = instance.get_run_record_by_id(run.run_id)
    before = instance.get_runs(
        dg.RunsFilter(
            job_name=run.job_name, statuses=ENDED, created_before=record.create_timestamp if record else None
        ),
        limit=1,
    )
    tried = instance.get_run_by_id(run.parent_run_id) if run.parent_run_id else None
    known = {where for earlier in (*before, tried) if earlier for where in problems_of(instance, earlier)}
    return {where: why for where, why in problems_of(instance, run).items() if where not in known}


def message_of(settings: Settings, run: dg.DagsterRun, problems: Mapping[str, str]) -> str:
    """Return the run, its problems with their reasons, and a link to it, a line each."""
    lines = [printable(f"{where}: {why}") for where, why in problems.items()]
    return "\n".join([f"run {run.run_id} of {run.job_name}", *lines, f"{settings.ui_url}/runs/{run.run_id}"])


def tell(settings: Settings, instance: dg.DagsterInstance, run: dg.DagsterRun, log: logging.Logger) -> str | None:
    """Send what is new of a run's problems; return the message, None where there is none.

    Without `PLANT_ALERT_URL` it is a line in the log, and so where that URL is none or cannot be reached.
    """
    problems = new_problems(instance, run)
    if not problems:
        return None
    message = message_of(settings, run, problems)
    send(settings, f"{len(problems)} problem{'s' if len(problems) > 1 else ''}", message, log)
    return message


def send(settings: Settings, title: str, message: str, log: logging.Logger) -> None:
    """Send a message to `PLANT_ALERT_URL`; without it, write it to the log."""
    if settings.alert_url is None:
        log.error("%s", message)
        return
    if problem := _send(settings.alert_url.get_secret_value(), f"plant_assets: {title}", message):
        log.error("PLANT_ALERT_URL %s; it was to send: %s", problem, message)


def is_known_address(url: str) -> bool:
    """Return whether Apprise knows where an alert URL leads; nothing is sent."""
    return _receiver(url) is not None


def _receiver(url: str) -> "apprise.Apprise | None":
    # Only who is to be told pays for its import.
    import apprise

    receiver, log = apprise.Apprise(), logging.getLogger("apprise")
    was_disabled, log.disabled = log.disabled, True
    try:
        # Apprise logs a URL that it cannot read, or the part that is wrong: a token.
        return receiver if receiver.add(url) else None
    finally:
        log.disabled = was_disabled


def _send(url: str, title: str, message: str) -> str | None:
    """Send a message; return what went wrong."""
    receiver = _receiver(url)
    if receiver is None:
        return "is no URL that Apprise knows: see https://appriseit.com"
    # Mail is HTML: without this, names of products would be too.
    is_sent = receiver.notify(body=message, title=title, body_format="text")
    return None if is_sent else "could not be reached"


def alert_sensors(settings: Settings) -> list[dg.SensorDefinition]:
    """One sensor for failed runs, one for error checks that failed in runs that went on."""

    def sensor(name: str, status: dg.DagsterRunStatus, description: str) -> dg.SensorDefinition:
        @dg.run_status_sensor(
            run_status=status,
            name=name,
            description=description,
            default_status=dg.DefaultSensorStatus.RUNNING,
            minimum_interval_seconds=30,
        )
        def alert(context: dg.RunStatusSensorContext) -> None:
            tell(settings, context.instance, context.dagster_run, context.log)

        return alert

    return [
        sensor("alert_on_failed_runs", dg.DagsterRunStatus.FAILURE, "Sends a message for each run that failed."),
        sensor(
            "alert_on_failed_checks",
            dg.DagsterRunStatus.SUCCESS,
            "Sends a message for each error check that failed in a run that went on.",
        ),
    ]


def mark_page(
    settings: Settings, instance: dg.DagsterInstance, run: dg.DagsterRun, go_on: Collection[str]
) -> Path | None:
    """Say on the latest page which run was stopped, and by what.

    Args:
        settings: of the warehouse.
        instance: with the run's events.
        run: the one that was stopped.
        go_on: the names of the checks that stop no run.

    Returns:
        The page, or None if none is older than the run.
    """
    found = problems_of(instance, run)
    stopping = {where: why for where, why in found.items() if where.split("check ")[-1] not in go_on} or found
    record = instance.get_run_record_by_id(run.run_id)
    ended = record.end_time or record.create_timestamp.timestamp() if record else 0
    ended_at = dt.datetime.fromtimestamp(ended, dt.UTC).replace(tzinfo=None)
    local = ended_at + settings.calendar.offset_at(ended_at)
    reasons = [f"{where}: {why}" for where, why in stopping.items()]
    return show_banner(settings, f"run {run.run_id} of {local:%Y-%m-%d %H:%M}", ended_at, reasons)


def stopped_page_sensor(settings: Settings, job_name: str, go_on: Collection[str]) -> dg.SensorDefinition:
    """Keep readers of the weekly page informed if a run of the job was stopped; the checks `go_on` stop none."""

    @dg.run_status_sensor(
        run_status=dg.DagsterRunStatus.FAILURE,
        name="mark_page_of_stopped_runs",
        description="Says on the latest weekly page which run was stopped, and by which check.",
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=30,
    )
    def mark(context: dg.RunStatusSensorContext) -> None:
        if context.dagster_run.job_name == job_name and (
            page := mark_page(settings, context.instance, context.dagster_run, go_on)
        ):
            context.log.info("%s says that the run was stopped", page)

    return mark
