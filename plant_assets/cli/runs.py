"""Runs the jobs in this process, with the records that the web server shows."""

import datetime as dt
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import dagster as dg

from plant_assets.assets.fingerprints import fingerprints
from plant_assets.dagster_private import runs_of_location
from plant_assets.definitions import build_defs
from plant_assets.instance.home import LOCATION
from plant_assets.instance.liveness import fail_dead_runs
from plant_assets.orchestration.alerts import mark_page
from plant_assets.orchestration.jobs import CHECK, REFRESH, plan_run
from plant_assets.orchestration.partitions import AS_OF, ONLY_CHANGED, STARTED_BY, range_tags
from plant_assets.orchestration.problems import Problem, problems_in
from plant_assets.sample.aside import set_aside_other_version
from plant_assets.settings import Settings, UsageError
from plant_assets.warehouse.open import open_warehouse
from plant_assets.warehouse.warehouse import Warehouse

LOG = logging.getLogger("plant_assets")
# With retries, the daemon would start a run again whose command was killed.
NO_RETRIES = "dagster/max_retries"


class Progress(Protocol):
    """Where a command shows its progress."""

    def say(self, text: str) -> None:
        """Show what is being done now."""

    def expect(self, steps: int) -> None:
        """Set the number of steps."""

    def advance(self, text: str) -> None:
        """Count one more step as done."""


@dataclass
class Outcome:
    """How the runs of a command ended: their problems, and the names of the checks that passed."""

    problems: list[Problem] = field(default_factory=list)
    passed: list[str] = field(default_factory=list)
    has_stopped: bool = False

    @property
    def failures(self) -> list[Problem]:
        """The failed steps, and the runs that failed without one."""
        return [problem for problem in self.problems if problem.check is None]

    @property
    def failed_errors(self) -> list[Problem]:
        """The failed checks of severity error."""
        return [problem for problem in self.problems if problem.check and problem.is_error]

    @property
    def warnings(self) -> list[Problem]:
        """The failed checks that only warn."""
        return [problem for problem in self.problems if not problem.is_error]


def run_refresh(
    settings: Settings,
    instance: dg.DagsterInstance,
    progress: Progress,
    weeks: tuple[dt.date, dt.date] | None = None,
    every_week: bool = False,
    accept_source: bool = False,
    debug: bool = False,
    as_of: dt.datetime | None = None,
) -> Outcome:
    """Plan in this process, then run the job over each range of weeks until a run fails.

    Args:
        settings: the settings.
        instance: Dagster's records.
        progress: where to show the progress.
        weeks: the first and last week to load; default those that are due.
        every_week: whether to load every week.
        accept_source: whether the warehouse may take another source or time zone.
        debug: whether to log what Dagster logs.
        as_of: the instant that the runs are as of; default now.

    Raises:
        SourceError: the source cannot be read; nothing was written.
        UsageError: `weeks` begins before the store's first week.
    """
    outcome = Outcome()
    as_of = as_of or now()
    fail_dead_runs(settings, instance, LOG)
    set_aside_other_version(settings, LOG, "plant-assets run")
    fingerprints(settings)
    known = None if accept_source else settings.first_week
    with open_warehouse(settings, LOG, holder="plant-assets run", accept_source=accept_source) as warehouse:
        warehouse.engine.require()
        planned = plan_run(warehouse, as_of, LOG, weeks, every_week)
        if planned.ranges[0][0] < planned.first_week:
            raise UsageError(f"--weeks begins before the store's first week, {planned.first_week}")
        warehouse.remember_store(planned.first_week, planned.stages)
        if known and planned.first_week < known:
            LOG.info("the store begins with %s, not %s", planned.first_week, known)
        warehouse.staged = planned.load
        for first, last in planned.ranges:
            progress.say(f"weeks {first} to {last}")
            tags = {**range_tags(first, last), AS_OF: as_of.isoformat(), STARTED_BY: "plant-assets run"}
            if not planned.load.reading.is_forced:
                tags[ONLY_CHANGED] = "yes"
            _execute(settings, warehouse, instance, REFRESH, tags, progress, outcome, debug)
            if outcome.has_stopped:
                break
    return outcome


def run_checks(
    settings: Settings,
    instance: dg.DagsterInstance,
    progress: Progress,
    debug: bool = False,
    as_of: dt.datetime | None = None,
) -> Outcome:
    """Evaluate every check on all stored rows, as of an instant, by default now."""
    outcome, tags = Outcome(), {AS_OF: (as_of or now()).isoformat(), STARTED_BY: "plant-assets check"}
    fingerprints(settings)
    with open_warehouse(settings, LOG, holder="plant-assets check") as warehouse:
        warehouse.engine.require()
        _execute(settings, warehouse, instance, CHECK, tags, progress, outcome, debug)
    return outcome


def find_first_week(settings: Settings) -> None:
    """Read the source to find its first week, which the definitions need when they load."""
    with open_warehouse(settings, LOG, holder="plant-assets dev") as warehouse:
        planned = plan_run(warehouse, now(), LOG)
        warehouse.remember_store(planned.first_week, planned.stages)


def now() -> dt.datetime:
    """Return the current instant in UTC, in whole seconds."""
    return dt.datetime.now(dt.UTC).replace(tzinfo=None, microsecond=0)


def _execute(
    settings: Settings,
    warehouse: Warehouse,
    instance: dg.DagsterInstance,
    job_name: str,
    tags: Mapping[str, str],
    progress: Progress,
    outcome: Outcome,
    debug: bool,
) -> None:
    loggers = None if debug else {"progress": _progress_logger(progress)}
    job = build_defs(settings, warehouse, loggers).resolve_job_def(job_name)
    progress.expect(len(job.nodes))
    with runs_of_location(instance, LOCATION, job_name):
        result = job.execute_in_process(
            instance=instance,
            tags={**tags, NO_RETRIES: "0"},
            run_config={"loggers": {"progress": {}}} if loggers else None,
            raise_on_error=False,
        )
    # Steps in the order in which they failed, then checks by name.
    problems = problems_in(result.all_events, job_name)
    outcome.problems += sorted(problems, key=lambda each: each.check.name if each.check else "")
    outcome.passed += [each.check_name for each in result.get_asset_check_evaluations() if each.passed]
    outcome.has_stopped = not result.success
    stopped = instance.get_run_by_id(result.run_id) if outcome.has_stopped and job_name == REFRESH else None
    if stopped:
        # Here as well as in the sensor, because no daemon needs to run.
        mark_page(settings, instance, stopped)


def _progress_logger(progress: Progress) -> dg.LoggerDefinition:
    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            try:
                self._show(record)
            except Exception:  # noqa: BLE001 - a failure to show progress does not fail the step
                self.handleError(record)

        def _show(self, record: logging.LogRecord) -> None:
            event = getattr(record, "dagster_meta", {}).get("dagster_event")
            if event is not None and event.is_step_success:
                progress.advance(event.step_key)
            elif event is None and record.levelno == logging.WARNING:
                progress.say(str(getattr(record, "dagster_meta", {}).get("orig_message", record.getMessage())))

    @dg.logger(config_schema={}, description="What a command shows of its run.")
    def progress_logger(_context: dg.InitLoggerContext) -> logging.Logger:
        logger = logging.Logger("plant_assets.progress")
        logger.addHandler(Handler())
        return logger

    return progress_logger
