"""The 6-hourly schedule. Sensors are in `sensors.py`."""

import datetime as dt
from collections.abc import Iterator

import dagster as dg

from plant_assets.instance.liveness import fail_dead_runs
from plant_assets.orchestration.jobs import REFRESH
from plant_assets.orchestration.ticks import (
    forget_skipped_ticks,
    look,
    note_skipped_tick,
    request_for,
    run_under_way,
)
from plant_assets.orchestration.watch import place_of
from plant_assets.settings import Settings, UsageError


def six_hourly_schedule(settings: Settings, loaded: dt.date) -> dg.ScheduleDefinition:
    """Return the schedule of a run every six hours, over the weeks that are due and all unpartitioned assets.

    `loaded` is the first week with which the definitions are loaded.
    """

    @dg.schedule(
        name="every_six_hours",
        job_name=REFRESH,
        cron_schedule="0 */6 * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Materializes the lineage over the running week, the late ones and those that are due.",
    )
    def every_six_hours(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
        fail_dead_runs(settings, context.instance, context.log)
        going = run_under_way(context.instance)
        if going:
            reason = f"run {going} is still going"
            note_skipped_tick(settings, context.log, reason, f", {place_of(context.instance, going)}")
            yield dg.SkipReason(reason)
            return
        at = context.scheduled_execution_time.astimezone(dt.UTC).replace(tzinfo=None)
        try:
            outlook = look(settings, at, context.log, extends_sample=True)
        except UsageError as error:
            note_skipped_tick(settings, context.log, str(error))
            yield dg.SkipReason(str(error))
            return
        forget_skipped_ticks(settings)
        yield from request_for(settings, loaded, outlook, at, at.isoformat(), context.log)

    return every_six_hours
