"""The weekly look of all checks at everything that is stored, and what is said of the last one."""

import datetime as dt
from collections.abc import Iterator

import dagster as dg

from plant_assets.calendar import Calendar
from plant_assets.instance.liveness import fail_dead_runs
from plant_assets.orchestration.jobs import CHECK_EVERYTHING
from plant_assets.orchestration.partitions import AS_OF
from plant_assets.orchestration.ticks import run_under_way
from plant_assets.settings import Settings
from plant_assets.warehouse.ledger.checks import LookedWhole


def weekly_checks_schedule(settings: Settings) -> dg.ScheduleDefinition:
    """Return the schedule of the job `check_everything`: Sundays at 03:00 in the store's zone."""

    @dg.schedule(
        name="every_sunday",
        job_name=CHECK_EVERYTHING,
        cron_schedule="0 3 * * 0",
        execution_timezone=settings.timezone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Has every check look at everything that is stored.",
    )
    def every_sunday(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
        fail_dead_runs(settings, context.instance, context.log)
        going = run_under_way(context.instance)
        if going:
            yield dg.SkipReason(f"run {going} is still going")
            return
        at = context.scheduled_execution_time.astimezone(dt.UTC).replace(tzinfo=None)
        yield dg.RunRequest(run_key=at.isoformat(), tags={AS_OF: at.isoformat()})

    return every_sunday


def last_look_in_words(last: LookedWhole | None, calendar: Calendar) -> str:
    """Return when all error checks had looked at everything, in the store's zone, and what they found."""
    if last is None:
        return "never looked at whole yet"
    day = calendar.date_of(last.at)
    found = f"{', '.join(last.failed)} failed" if last.failed else "all passed"
    return f"last looked at whole on {day.day} {day:%B}: {found}"
