"""The jobs, and the plan of a refresh. When they run is in `schedules.py` and `sensors.py`."""

import contextlib
import datetime as dt
import logging

import dagster as dg

from plant_assets.calendar import weeks_between
from plant_assets.dagster_private import UnresolvedAssetJobDefinition
from plant_assets.ingest.limits import RejectedLoad
from plant_assets.ingest.load import Load
from plant_assets.ingest.plan import Plan, plan
from plant_assets.instance.liveness import hold_run
from plant_assets.sample import store as sample
from plant_assets.settings import Settings
from plant_assets.sources.open import source_of
from plant_assets.warehouse.maintenance import BACKUPS_KEPT, back_up, compact, prune, restore
from plant_assets.warehouse.warehouse import Warehouse

REFRESH, CHECK, CHECK_EVERYTHING = "refresh", "check", "check_everything"


def plan_run(
    warehouse: Warehouse,
    as_of: dt.datetime,
    log: logging.Logger,
    weeks: tuple[dt.date, dt.date] | None = None,
    every_week: bool = False,
    extends_sample: bool = True,
    counts_weeks: bool = False,
) -> Plan:
    """Read the source as of an instant and decide what a run has to do; write nothing.

    Args:
        warehouse: the warehouse.
        as_of: when the source is observed.
        log: the log.
        weeks: the first and last week to load, whatever changed; default those that are due.
        every_week: whether to load every week, and to accept changes of what was loaded.
        extends_sample: whether to extend the sample store to `as_of` first.
        counts_weeks: whether a database counts the events of closed weeks, so that weeks that differ are read again.

    Raises:
        SourceError: the source cannot be read, or too many rows are rejected.
        RejectedLoad: `weeks` ends after the running week.
        StoreMismatch: the warehouse belongs to another store.
    """
    warehouse.require_store()
    settings, running_week = warehouse.settings, warehouse.calendar.week_of(as_of)
    if weeks and weeks[1] > running_week:
        raise RejectedLoad(f"the week {weeks[1]} has not begun: the last one is the running week, {running_week}")
    if settings.is_sample and extends_sample:
        sample.extend(settings.source_path, as_of)
    anew = (dt.date.min, dt.date.max) if every_week else weeks
    source = source_of(settings, as_of, warehouse.ledger.facts.first_week(), anew, counts_weeks)
    # The plan stages and validates all rows, so that writing them needs no source.
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
    """Return `refresh`, which materializes all assets with their checks, and the jobs that check what is stored.

    `check` is the command's, `check_everything` the weekly schedule's.
    """
    return [
        dg.define_asset_job(
            REFRESH,
            selection=dg.AssetSelection.all(),
            description="The whole lineage, with its checks.",
            # By default Dagster retries a crashed run from the failed step, but marts are published from whole runs.
            tags={"dagster/retry_strategy": "ALL_STEPS"},
        ),
        *(
            dg.define_asset_job(
                name,
                selection=dg.AssetSelection.all_asset_checks(),
                description=f"Every asset check, on everything that is stored{when}.",
            )
            for name, when in ((CHECK, ""), (CHECK_EVERYTHING, ", once a week"))
        ),
    ]


def maintenance_jobs(settings: Settings) -> list[dg.JobDefinition]:
    """Return the jobs for the UI: `back_up`, `restore`, `compact` and `prune`."""

    @dg.op(name="back_up_warehouse", config_schema={"keep": dg.Field(int, default_value=BACKUPS_KEPT)})
    def back_up_op(context: dg.OpExecutionContext) -> None:
        """Copies the warehouse to `<warehouse>.backups`, verifies the copy and keeps the latest ones."""
        with hold_run(settings, context.run_id):
            path = back_up(settings, context.log, context.op_config["keep"], f"run {context.run_id}")
        context.log.info("backed up to %s", path)

    @dg.op(name="restore_warehouse", config_schema={"backup": dg.Field(str, is_required=False)})
    def restore_op(context: dg.OpExecutionContext) -> None:
        """Replaces the warehouse by a backup: the named one, or the latest."""
        with hold_run(settings, context.run_id):
            path = restore(settings, context.log, context.op_config.get("backup"), f"run {context.run_id}")
        context.log.info("restored from %s", path)

    @dg.op(name="compact_warehouse")
    def compact_op(context: dg.OpExecutionContext) -> None:
        """Rewrites the warehouse without the space of deleted rows."""
        with hold_run(settings, context.run_id):
            before, after = compact(settings, context.log, f"run {context.run_id}")
        context.log.info("%s bytes before, %s after", before, after)

    @dg.op(name="prune_refused_rows", config_schema={"days": dg.Field(int, default_value=90)})
    def prune_op(context: dg.OpExecutionContext) -> None:
        """Removes the text of rows that were rejected long ago; their reasons and counts stay."""
        with hold_run(settings, context.run_id):
            rows = prune(settings, context.log, context.op_config["days"], f"run {context.run_id}")
        context.log.info("%s rows pruned", rows)

    def job(name: str, op: dg.OpDefinition) -> dg.JobDefinition:
        # Not the IO manager of the assets: it would hold the warehouse that the operation needs.
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
