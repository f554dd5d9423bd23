"""What checks have found, from Dagster's records."""

from collections.abc import Iterable

import dagster as dg

from plant_assets.report.page import CheckResult


def of_run(instance: dg.DagsterInstance, run_id: str) -> list[CheckResult]:
    """What a run's checks have found so far; one result per check."""
    records = instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION).records
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
