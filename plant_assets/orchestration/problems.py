"""What went wrong in a run, from its events, and what of it is new. Who is told is in `alerts.py`."""

import dagster as dg

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
