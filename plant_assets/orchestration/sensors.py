"""Jobs, the 6-hourly schedule and the sensors: what runs, when, and over which weeks."""

import contextlib
import datetime as dt
import logging
from collections.abc import Iterator

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from plant_assets.calendar import WEEK, weeks_between
from plant_assets.ingest.load import Load, Plan, RefusedLoad, plan
from plant_assets.instance.home import STARTED, fail_dead_runs, hold_run
from plant_assets.orchestration.partitions import AS_OF, ONLY_CHANGED, first_week_of, range_tags
from plant_assets.orchestration.watch import forget_skipped_ticks, note_skipped_tick, place_of
from plant_assets.sample import store as sample
from plant_assets.settings import Settings, UsageError
from plant_assets.sources.base import SourceError
from plant_assets.sources.open import source_of
from plant_assets.warehouse.duckdb import Warehouse
from plant_assets.warehouse.maintenance import BACKUPS_KEPT, back_up, compact, prune, restore
from plant_assets.warehouse.open import open_warehouse

REFRESH, CHECK = "refresh", "check"
LATE_EVENTS_EVERY, DEAD_RUNS_EVERY = 900, 30
UNDER_WAY = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def plan_run(
    warehouse: Warehouse,
    as_of: dt.datetime,
    log: logging.Logger,
    weeks: tuple[dt.date, dt.date] | None = None,
    every_week: bool = False,
    extends_sample: bool = True,
    counts_weeks: bool = False,
) -> Plan:
    """Read the source as of an instant and decide what a run has to do; nothing is written.

    With `counts_weeks` a database counts the events of closed weeks, and those that differ are read again.

    Raises:
        SourceError: the source cannot be read, or too much of it is refused.
        StoreMismatch: the warehouse is another store's.
    """
    warehouse.require_store()
    settings, running_week = warehouse.settings, warehouse.calendar.week_of(as_of)
    if weeks and weeks[1] > running_week:
        raise RefusedLoad(f"the week {weeks[1]} has not begun: the last one is the running week, {running_week}")
    if settings.is_sample and extends_sample:
        sample.extend(settings.source_path, as_of)
    anew = (dt.date.min, dt.date.max) if every_week else weeks
    source = source_of(settings, as_of, warehouse.first_week(), anew, counts_weeks)
    # What is read is staged, and judged: the writing needs no source.
    with contextlib.closing(source):
        load = Load(
            warehouse,
            source,
            as_of,
            log,
            accepts_changes=every_week,
            is_forced=every_week or weeks is not None,
        )
        return plan(load, weeks_between(*weeks) if weeks else None, every_week)


def jobs() -> list[UnresolvedAssetJobDefinition]:
    """`refresh` materializes the whole lineage with its checks; `check` evaluates every check on what is stored."""
    return [
        dg.define_asset_job(
            REFRESH,
            selection=dg.AssetSelection.all(),
            description="The whole lineage, with its checks.",
            # Dagster tries a crashed run again from the step that failed; the marts are published of a whole run.
            tags={"dagster/retry_strategy": "ALL_STEPS"},
        ),
        dg.define_asset_job(
            CHECK,
            selection=dg.AssetSelection.all_asset_checks(),
            description="Every asset check, on everything that is stored.",
        ),
    ]


def six_hourly_schedule(settings: Settings) -> dg.ScheduleDefinition:
    """One run every six hours over the weeks that are due, and all that is not partitioned."""

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
        going = _run_under_way(context.instance)
        if going:
            reason = f"run {going} is still going"
            note_skipped_tick(settings, context.log, reason, f", {place_of(context.instance, going)}")
            yield dg.SkipReason(reason)
            return
        at = context.scheduled_execution_time.astimezone(dt.UTC).replace(tzinfo=None)
        start = first_week_of(settings)
        running = settings.calendar.week_of(at)
        try:
            with open_warehouse(settings, context.log, wait=False) as warehouse:
                ranges = plan_run(warehouse, at, context.log).ranges
        except SourceError as error:
            # The run meets the same error and shows it as its failure.
            context.log.error("%s", error)
            ranges = [(max(start, running - settings.late_weeks * WEEK), running)]
        except UsageError as error:
            note_skipped_tick(settings, context.log, str(error))
            yield dg.SkipReason(str(error))
            return
        forget_skipped_ticks(settings)
        if ranges[0][0] < start:
            context.log.warning("the source begins before %s: reload the code location", start)
        yield from _requests(ranges, start, at, at.isoformat())

    return every_six_hours


def late_events_sensor(settings: Settings) -> dg.SensorDefinition:
    """Finds weeks that closed and whose source differs from what was loaded, and has them done again."""

    @dg.sensor(
        name="late_events",
        job_name=REFRESH,
        minimum_interval_seconds=LATE_EVENTS_EVERY,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Requests the closed weeks whose source changed after they were loaded.",
    )
    def late_events(context: dg.SensorEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
        going = _run_under_way(context.instance)
        if going:
            yield dg.SkipReason(f"run {going} is still going")
            return
        at = dt.datetime.now(dt.UTC).replace(tzinfo=None, microsecond=0)
        if settings.database and context.cursor == str(at.date()):
            yield dg.SkipReason("the closed weeks of a database are counted once a day")
            return
        ticks_do = settings.calendar.week_of(at) - settings.late_weeks * WEEK
        try:
            with open_warehouse(settings, context.log, holder="the sensor late_events", wait=False) as warehouse:
                planned = plan_run(warehouse, at, context.log, extends_sample=False, counts_weeks=True)
                changed = planned.load.changed_weeks() & set(planned.load.known_weeks(planned.first_week))
                late = {week for week in changed if week < ticks_do}
                written = warehouse.next_write_number()
        except (SourceError, UsageError) as error:
            yield dg.SkipReason(str(error))
            return
        context.update_cursor(str(at.date()))
        if not late:
            yield dg.SkipReason("no closed week differs from what was loaded")
            return
        yield from _requests(planned.ranges, first_week_of(settings), at, f"late after write {written}")

    return late_events


def dead_runs_sensor(settings: Settings) -> dg.SensorDefinition:
    """Fails the runs whose process is gone, so that nothing waits for them."""

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


def _run_under_way(instance: dg.DagsterInstance) -> str | None:
    """Return the run of the job that others wait for: one that has started, else one that waits itself."""
    runs = instance.get_runs(dg.RunsFilter(job_name=REFRESH, statuses=UNDER_WAY))
    return min(runs, key=lambda run: run.status not in STARTED).run_id if runs else None


def _requests(
    ranges: list[tuple[dt.date, dt.date]], start: dt.date, at: dt.datetime, key: str
) -> Iterator[dg.RunRequest]:
    """A run for each range, as far as this process has its weeks."""
    for first, last in ranges:
        if last >= start:
            first = max(first, start)
            tags = {**range_tags(first, last), AS_OF: at.isoformat(), ONLY_CHANGED: "yes"}
            yield dg.RunRequest(run_key=f"{key} {first}", tags=tags)


def maintenance_jobs(settings: Settings) -> list[dg.JobDefinition]:
    """`back_up`, `restore`, `compact` and `prune`, for the UI."""

    @dg.op(name="back_up_warehouse", config_schema={"keep": dg.Field(int, default_value=BACKUPS_KEPT)})
    def back_up_op(context: dg.OpExecutionContext) -> None:
        """Copies the warehouse to `<warehouse>.backups`, reads it back and keeps the last ones."""
        with hold_run(settings, context.run_id):
            path = back_up(settings, context.log, context.op_config["keep"], f"run {context.run_id}")
        context.log.info("backed up to %s", path)

    @dg.op(name="restore_warehouse", config_schema={"backup": dg.Field(str, is_required=False)})
    def restore_op(context: dg.OpExecutionContext) -> None:
        """Puts a backup in the warehouse's place: the one named, or the last."""
        with hold_run(settings, context.run_id):
            path = restore(settings, context.log, context.op_config.get("backup"), f"run {context.run_id}")
        context.log.info("restored from %s", path)

    @dg.op(name="compact_warehouse")
    def compact_op(context: dg.OpExecutionContext) -> None:
        """Writes the warehouse anew without the space of deleted rows."""
        with hold_run(settings, context.run_id):
            before, after = compact(settings, context.log, f"run {context.run_id}")
        context.log.info("%s bytes before, %s after", before, after)

    @dg.op(name="prune_refused_rows", config_schema={"days": dg.Field(int, default_value=90)})
    def prune_op(context: dg.OpExecutionContext) -> None:
        """Forgets the text of rows refused long ago; their reasons and counts stay."""
        with hold_run(settings, context.run_id):
            rows = prune(settings, context.log, context.op_config["days"], f"run {context.run_id}")
        context.log.info("%s rows pruned", rows)

    def job(name: str, op: dg.OpDefinition) -> dg.JobDefinition:
        # Not the assets' IO manager, which would hold the warehouse that the operation asks for.
        resources = {"io_manager": dg.mem_io_manager}
        return dg.GraphDefinition(name=name, node_defs=[op]).to_job(
            name=name, description=op.description, resource_defs=resources
        )

    return [
        job("back_up", back_up_op),
        job("restore", restore_op),
        job("compact", compact_op),
        job("prune", prune_op),
    ]
