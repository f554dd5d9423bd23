"""Runs of the jobs in this process, on the instance that the web server shows."""

import datetime as dt
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import dagster as dg

from plant_assets.checks.build import GO_ON
from plant_assets.dagster_private import runs_of_location
from plant_assets.definitions import build_defs
from plant_assets.instance.home import LOCATION
from plant_assets.instance.liveness import fail_dead_runs
from plant_assets.orchestration.alerts import mark_page
from plant_assets.orchestration.jobs import CHECK, REFRESH, plan_run
from plant_assets.orchestration.partitions import AS_OF, ONLY_CHANGED, STARTED_BY, range_tags
from plant_assets.settings import Settings, UsageError
from plant_assets.warehouse.duckdb import Warehouse
from plant_assets.warehouse.open import open_warehouse

LOG = logging.getLogger("plant_assets")
# The daemon would start a run again whose command was killed.
NO_RETRIES = "dagster/max_retries"


class Progress(Protocol):
    """Where a command says what it is doing."""

    def say(self, text: str) -> None: ...
    def expect(self, steps: int) -> None: ...
    def advance(self, text: str) -> None: ...


@dataclass
class Outcome:
    """How runs ended: steps that failed, and checks with what they found."""

    failures: list[str] = field(default_factory=list)
    failed_errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    has_stopped: bool = False


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
    """Plan in this process, then run the job over each range of weeks; as of now, if nothing else is said.

    Raises:
        SourceError: the source cannot be read; nothing was written.
        UsageError: the weeks lie before the store's first.
    """
    outcome = Outcome()
    as_of = as_of or now()
    fail_dead_runs(settings, instance, LOG)
    known = None if accept_source else settings.first_week
    with open_warehouse(settings, LOG, holder="plant-assets run", accept_source=accept_source) as warehouse:
        warehouse.require_engine()
        planned = plan_run(warehouse, as_of, LOG, weeks, every_week)
        if planned.ranges[0][0] < planned.first_week:
            raise UsageError(f"--weeks begins before the store's first week, {planned.first_week}")
        warehouse.remember_store(planned.first_week, planned.stages)
        if known and planned.first_week < known:
            LOG.info("the first week is now %s, not %s: reload the code location in the UI", planned.first_week, known)
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
    """Every check, on everything that is stored."""
    outcome, tags = Outcome(), {AS_OF: (as_of or now()).isoformat(), STARTED_BY: "plant-assets check"}
    with open_warehouse(settings, LOG, holder="plant-assets check") as warehouse:
        warehouse.require_engine()
        _execute(settings, warehouse, instance, CHECK, tags, progress, outcome, debug)
    return outcome


def find_first_week(settings: Settings) -> None:
    """Read the source for its first week, for the definitions that load next."""
    with open_warehouse(settings, LOG, holder="plant-assets dev") as warehouse:
        planned = plan_run(warehouse, now(), LOG)
        warehouse.remember_store(planned.first_week, planned.stages)


def now() -> dt.datetime:
    """This instant in UTC, as whole seconds."""
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
    for event in result.all_events:
        if event.is_step_failure and not _is_of_check(event.step_failure_data.error):
            outcome.failures.append(f"{event.step_key}: {_reason(event.step_failure_data.error)}")
    outcome.has_stopped = not result.success
    stopped = instance.get_run_by_id(result.run_id) if outcome.has_stopped and job_name == REFRESH else None
    if stopped:
        # No daemon needs to be up for a run of the command line.
        mark_page(settings, instance, stopped, GO_ON)
    evaluations = result.get_asset_check_evaluations()
    for evaluation in sorted(evaluations, key=lambda each: each.check_name):
        found = f": {evaluation.description}" if evaluation.description else ""
        if evaluation.passed:
            outcome.lines.append(f"passed  {evaluation.check_name}")
            continue
        count = evaluation.metadata["offending"].value
        line = f"{evaluation.check_name}, {count} times{found}"
        is_error = evaluation.severity == dg.AssetCheckSeverity.ERROR
        (outcome.failed_errors if is_error else outcome.warnings).append(line)
        outcome.lines.append(f"{'FAILED' if is_error else 'warned'}  {line}")
    if not result.success and not outcome.failures and not outcome.failed_errors:
        outcome.failures.append(f"run {result.run_id} did not end well; see it in the UI")


def _innermost(error: Any) -> Any:
    while error is not None and error.cause is not None:
        error = error.cause
    return error


def _is_of_check(error: Any) -> bool:
    """Whether a step failed for a blocking check, which says itself what it found."""
    return getattr(_innermost(error), "cls_name", None) == "DagsterAssetCheckFailedError"


def _reason(error: Any) -> str:
    """The innermost message of a step's error, in one line."""
    found = _innermost(error)
    return " ".join(str(found.message).split()) if found else "unknown"


def _progress_logger(progress: Progress) -> dg.LoggerDefinition:
    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            try:
                self._show(record)
            except Exception:  # noqa: BLE001 - what is shown of a step does not fail it
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
