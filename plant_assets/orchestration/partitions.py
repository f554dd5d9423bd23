"""Partitions: the ISO weeks of the store's time zone, each named by its Monday. Also the tags of runs over weeks.

Weeks begin on Monday because stores restock and report by ISO weeks; Dagster's default weeks begin on Sunday. The
running week is a partition, so that it can be materialized before it ends. Which instants a week contains is in
`plant_assets.calendar`.
"""

import datetime as dt
from typing import Protocol

import dagster as dg

from plant_assets.calendar import FIRST_MONDAY, LAST_MONDAY, WEEK, Weeks, monday_of
from plant_assets.settings import Settings

KEY_FORMAT = "%Y-%m-%d"
RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
# The weeks of a run in the form of `--weeks`, for readers of the UI.
WEEKS = "plant/weeks"


def first_week_of(settings: Settings) -> dt.date:
    """Return the Monday of the first partition; 52 weeks ago if no source was read yet."""
    today = settings.calendar.date_of(dt.datetime.now(dt.UTC).replace(tzinfo=None))
    return settings.first_week or monday_of(today) - 52 * WEEK


def weekly_partitions(settings: Settings, first_week: dt.date) -> dg.WeeklyPartitionsDefinition:
    """Return the partitions from the store's first week to the running one."""
    return dg.WeeklyPartitionsDefinition(
        start_date=first_week.strftime(KEY_FORMAT),
        fmt=KEY_FORMAT,
        timezone=settings.timezone,
        day_offset=1,
        end_offset=1,
    )


def range_tags(first: dt.date, last: dt.date) -> dict[str, str]:
    """Return the tags of a single run over a range of weeks."""
    return {RANGE_START: first.isoformat(), RANGE_END: last.isoformat(), WEEKS: f"{first}..{last}"}


AS_OF = "plant/as_of"
# The tag of runs over weeks that are due: they load and make only what changed in the source.
ONLY_CHANGED = "plant/only_changed"
# The tag of runs that have a database count the events of closed weeks, and the fact that names the day of the last.
COUNTS_WEEKS, COUNTED_ON = "plant/counts_weeks", "counted_on"
# The step that reads the source.
LOAD_STEP = "load_source"
# The tag of runs of the command line: the command that executes the run.
STARTED_BY = "plant/started_by"


def is_of_daemon(run: dg.DagsterRun) -> bool:
    """Return whether Dagster's daemon launched the run. A re-execution of a command's run keeps the command's tags."""
    return bool(run.remote_job_origin and (STARTED_BY not in run.tags or run.parent_run_id))


def is_only_changed(run: dg.DagsterRun) -> bool:
    """Return whether the run leaves tables of unchanged rows as they are."""
    return ONLY_CHANGED in run.tags


def as_of(context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext) -> dt.datetime:
    """Return the instant that a step's run is as of, in UTC; see `as_of_run`."""
    return as_of_run(context.run, context.instance)


def as_of_run(run: dg.DagsterRun, instance: dg.DagsterInstance) -> dt.datetime:
    """Return the instant that a run is as of, in UTC.

    It is the time of its tick or command; without one, when the run was created that read the source.
    """
    tagged = run.tags.get(AS_OF)
    if tagged:
        return dt.datetime.fromisoformat(tagged)
    record = instance.get_run_record_by_id(continued_runs(instance, run)[0].run_id)
    created = record.create_timestamp if record else dt.datetime.now(dt.UTC)
    return created.astimezone(dt.UTC).replace(tzinfo=None)


def reads_source(run: dg.DagsterRun) -> bool:
    """Return whether the run executes the step that reads the source."""
    if run.step_keys_to_execute is not None:
        return LOAD_STEP in run.step_keys_to_execute
    selected = run.asset_selection
    return selected is None or any(key.to_user_string().startswith("raw_") for key in selected)


def continued_runs(instance: dg.DagsterInstance, run: dg.DagsterRun) -> list[dg.DagsterRun]:
    """Return the chain of re-executions that ends with the run, from the run that read the source."""
    parent = None if reads_source(run) or not run.parent_run_id else instance.get_run_by_id(run.parent_run_id)
    return [*continued_runs(instance, parent), run] if parent else [run]


def request_id(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str:
    """Return the id of the request of a run: the backfill, else the first run of its re-executions."""
    asked_for = continued_runs(instance, run)[0]
    return asked_for.tags.get("dagster/backfill", asked_for.run_id)


def offsets_of(
    context: dg.AssetExecutionContext, settings: Settings, *others: dt.datetime | None
) -> list[tuple[dt.datetime | None, dt.timedelta]]:
    """Return the zone's offsets from the first week to a year after the run, for `local_date`.

    They reach as far as the `others` too, which may lie outside the weeks of events.
    """
    calendar = settings.calendar
    least, most = calendar.starts_at(FIRST_MONDAY), calendar.starts_at(LAST_MONDAY)
    # A day earlier, because clocks may change at the very start of the week.
    first = calendar.starts_at(first_week_of(settings)) - dt.timedelta(days=1)
    last = calendar.starts_at(calendar.week_of(as_of(context)) + 52 * WEEK)
    instants = [first, last, *(min(max(each, least), most) for each in others if each)]
    return calendar.offsets(min(instants), max(instants))


class InRun(Protocol):
    """Any Dagster context of a run over weeks."""

    @property
    def partition_key_range(self) -> dg.PartitionKeyRange:
        """The first and last partition of the run."""


def run_weeks(context: InRun, settings: Settings) -> Weeks:
    """Return the weeks that the run materializes."""
    keys = context.partition_key_range
    return Weeks(settings.calendar, dt.date.fromisoformat(keys.start), dt.date.fromisoformat(keys.end))
