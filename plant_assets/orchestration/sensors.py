"""The sensors: late events, runs that died or hang, alerts. What they do is in `alerts.py` and `watch.py`."""

import datetime as dt
from collections.abc import Iterator

import dagster as dg

from plant_assets.calendar import WEEK
from plant_assets.instance.liveness import fail_dead_runs
from plant_assets.orchestration.alerts import mark_page, tell
from plant_assets.orchestration.jobs import REFRESH
from plant_assets.orchestration.ticks import load_anew, look, request_for, run_under_way
from plant_assets.orchestration.watch import end_long_runs
from plant_assets.settings import Settings, UsageError
from plant_assets.warehouse.ledger.due import due_path

LATE_EVENTS_EVERY, DUE_WEEKS_EVERY, DEAD_RUNS_EVERY, LONG_RUNS_EVERY = 900, 30, 30, 30


def late_events_sensor(settings: Settings, loaded: dt.date) -> dg.SensorDefinition:
    """Return the sensor that requests runs for closed weeks whose source differs from what was loaded.

    `loaded` is the first week with which the definitions are loaded.
    """

    @dg.sensor(
        name="late_events",
        job_name=REFRESH,
        minimum_interval_seconds=LATE_EVENTS_EVERY,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Requests the closed weeks whose source changed after they were loaded.",
    )
    def late_events(context: dg.SensorEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
        going = run_under_way(context.instance)
        if going:
            yield dg.SkipReason(f"run {going} is still going")
            return
        at = dt.datetime.now(dt.UTC).replace(tzinfo=None, microsecond=0)
        ticks_do = settings.calendar.week_of(at) - settings.late_weeks * WEEK
        try:
            outlook = look(settings, at, context.log, holder="the sensor late_events")
        except UsageError as error:
            yield dg.SkipReason(str(error))
            return
        if outlook.is_unreadable or any(week < ticks_do for week in outlook.changed):
            # By the state: a source that the run rejects is tried again by the next tick, or once it has changed.
            key = f"late {outlook.state}"
        elif outlook.counts_weeks:
            key = f"count on {at.date()}"
        else:
            yield dg.SkipReason("no closed week differs from what was loaded")
            return
        yield from request_for(settings, loaded, outlook, at, key, context.log)

    return late_events


def due_weeks_sensor(settings: Settings, loaded: dt.date) -> dg.SensorDefinition:
    """Return the sensor that requests the weeks that were noted as due, once a note.

    `loaded` is the first week with which the definitions are loaded. If a run or a command has found another one, the
    sensor has them loaded again.
    """

    @dg.sensor(
        name="due_weeks",
        job_name=REFRESH,
        minimum_interval_seconds=DUE_WEEKS_EVERY,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Requests the weeks that a run could not do without others.",
    )
    def due_weeks(context: dg.SensorEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
        if waits := load_anew(settings, loaded, context.log):
            yield dg.SkipReason(waits)
            return
        if not due_path(settings).exists():
            yield dg.SkipReason("no run noted weeks as due")
            return
        going = run_under_way(context.instance)
        if going:
            yield dg.SkipReason(f"run {going} is still going")
            return
        noted_at, at = due_path(settings).read_text(), dt.datetime.now(dt.UTC).replace(tzinfo=None, microsecond=0)
        try:
            outlook = look(settings, at, context.log, holder="the sensor due_weeks")
        except UsageError as error:
            yield dg.SkipReason(str(error))
            return
        yield from request_for(settings, loaded, outlook, at, f"due since {noted_at}", context.log)

    return due_weeks


def dead_runs_sensor(settings: Settings) -> dg.SensorDefinition:
    """Return the sensor that fails runs whose process is gone, so that nothing waits for them."""

    @dg.sensor(
        name="dead_runs",
        minimum_interval_seconds=DEAD_RUNS_EVERY,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Marks runs as failed whose process is gone.",
    )
    def dead_runs(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        dead = fail_dead_runs(settings, context.instance, context.log)
        return dg.SkipReason(f"failed {', '.join(dead)}" if dead else "every started run is alive")

    return dead_runs


def long_runs_sensor(settings: Settings) -> dg.SensorDefinition:
    """Return the sensor that ends runs that hang, so that nothing waits for them."""

    @dg.sensor(
        name="long_runs",
        minimum_interval_seconds=LONG_RUNS_EVERY,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Ends runs that take longer than PLANT_MAX_RUN_HOURS; sends a message for those of commands.",
    )
    def long_runs(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        long = end_long_runs(settings, context.instance, context.log)
        return dg.SkipReason(f"{', '.join(long)} took too long" if long else "no run takes too long")

    return long_runs


def alert_sensors(settings: Settings) -> list[dg.SensorDefinition]:
    """Return two sensors: for failed runs, and for failed error checks of successful runs."""

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


def stopped_page_sensor(settings: Settings, job_name: str) -> dg.SensorDefinition:
    """Return the sensor that shows on the weekly page that a run of the job stopped."""

    @dg.run_status_sensor(
        run_status=dg.DagsterRunStatus.FAILURE,
        name="mark_page_of_stopped_runs",
        description="Says on the latest weekly page which run was stopped, and by which check.",
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=30,
    )
    def mark(context: dg.RunStatusSensorContext) -> None:
        if context.dagster_run.job_name == job_name and (
            page := mark_page(settings, context.instance, context.dagster_run)
        ):
            context.log.info("%s says that the run was stopped", page)

    return mark
