"""Problems of runs as values, made once from Dagster's events. `alerts.py` and `cli/` print them."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import dagster as dg

from plant_assets.text import counted

ENDED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
# Dagster raises it for a step with a blocking check that failed. The check is a problem itself.
_CHECK_FAILED = "DagsterAssetCheckFailedError"


@dataclass(frozen=True)
class Problem:
    """A step that failed, a check that failed or warned, or a run that failed without either.

    Attributes:
        job: the job of the run.
        step: the step; None for a check, and for the run as a whole.
        check: the check; None for a step, and for the run as a whole.
        reason: why, as one line.
        stops_run: whether the run ended because of it.
        is_error: whether it is a failure; False for a check that only warns.
    """

    job: str
    step: str | None
    check: dg.AssetCheckKey | None
    reason: str
    stops_run: bool
    is_error: bool = True

    @property
    def where(self) -> str:
        """The asset and check, the step, or the run's job. Problems of a job are the same if these are."""
        if self.check:
            return f"asset {self.check.asset_key.to_user_string()}, check {self.check.name}"
        return f"step {self.step}" if self.step else f"run of {self.job}"

    def __str__(self) -> str:
        """Return the problem as one line: where it is, and why."""
        return f"{self.where}: {self.reason}"


def problems_in(events: Iterable[dg.DagsterEvent], job: str) -> list[Problem]:
    """Return the problems in the events of one run of a job, in their order."""
    found: list[Problem] = []
    for event in events:
        if event.is_step_failure:
            error = _innermost(event.step_failure_data.error)
            if getattr(error, "cls_name", None) != _CHECK_FAILED:
                found.append(Problem(job, event.step_key, None, _in_one_line(error), stops_run=True))
        elif event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            if not event.asset_check_evaluation_data.passed:
                found.append(_of_check(job, event.asset_check_evaluation_data))
        elif event.is_run_failure and not any(each.stops_run for each in found):
            found.append(Problem(job, None, None, event.message or "it failed", stops_run=True))
    return found


def _of_check(job: str, evaluation: dg.AssetCheckEvaluation) -> Problem:
    count: Any = evaluation.metadata["offending"].value
    times = counted(count, "time")
    reason = f"{times}: {evaluation.description}" if evaluation.description else times
    is_error = evaluation.severity == dg.AssetCheckSeverity.ERROR
    return Problem(job, None, evaluation.asset_check_key, reason, bool(evaluation.blocking), is_error)


def _innermost(error: Any) -> Any:
    while error is not None and error.cause is not None:
        error = error.cause
    return error


def _in_one_line(error: Any) -> str:
    return " ".join(str(error.message).split()) if error else "unknown"


def problems_of(instance: dg.DagsterInstance, run: dg.DagsterRun) -> list[Problem]:
    """Return the problems of a recorded run; a check that only warns is none."""
    events = [entry.dagster_event for entry in instance.all_logs(run.run_id) if entry.dagster_event]
    return [problem for problem in problems_in(events, run.job_name) if problem.is_error]


def new_problems(instance: dg.DagsterInstance, run: dg.DagsterRun) -> list[Problem]:
    """Return the run's problems that neither the job's previous run had nor the run that it retries."""
    record = instance.get_run_record_by_id(run.run_id)
    before = instance.get_runs(
        dg.RunsFilter(
            job_name=run.job_name, statuses=ENDED, created_before=record.create_timestamp if record else None
        ),
        limit=1,
    )
    tried = instance.get_run_by_id(run.parent_run_id) if run.parent_run_id else None
    known = {problem.where for earlier in (*before, tried) if earlier for problem in problems_of(instance, earlier)}
    return [problem for problem in problems_of(instance, run) if problem.where not in known]
