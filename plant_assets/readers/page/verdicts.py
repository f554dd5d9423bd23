"""What checks have found, from Dagster's records."""

from collections.abc import Iterable

import dagster as dg

from plant_assets.readers.page.render import CheckResult


def of_runs(instance: dg.DagsterInstance, runs: Iterable[dg.DagsterRun]) -> list[CheckResult]:
    """Return what the checks of runs have found so far, the last run's result of each check."""
    evaluated = dg.DagsterEventType.ASSET_CHECK_EVALUATION
    records = [each for run in runs for each in instance.get_records_for_run(run.run_id, of_type=evaluated).records]
    events = [record.event_log_entry.dagster_event for record in records]
    return _by_name(event.asset_check_evaluation_data for event in events if event)


def last_of_each(instance: dg.DagsterInstance, checks: Iterable[tuple[str, str]]) -> list[CheckResult]:
    """What each check, given by asset and name, found when it was last asked; one result per check."""
    keys = [dg.AssetCheckKey(dg.AssetKey(asset), name) for asset, name in checks]
    records = instance.event_log_storage.get_latest_asset_check_execution_by_key(keys).values()
    return _by_name(record.evaluation for record in records if record.evaluation)


def _by_name(evaluations: Iterable[dg.AssetCheckEvaluation]) -> list[CheckResult]:
    found = {}
    for each in evaluations:
        is_error = each.severity == dg.AssetCheckSeverity.ERROR
        found[each.check_name] = CheckResult(each.check_name, each.passed, is_error, each.description or "")
    return [found[name] for name in sorted(found)]
