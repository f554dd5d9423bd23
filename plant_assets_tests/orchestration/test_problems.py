"""What went wrong in a run, as values."""

from collections.abc import Iterator

import dagster as dg
import pytest

from plant_assets.orchestration.problems import Problem, problems_in, problems_of

STOCK = dg.AssetKey("stock")


@pytest.fixture
def records() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@dg.asset
def stock() -> None:
    try:
        raise ValueError("the shelf\n  is empty")
    except ValueError as error:
        raise RuntimeError("no stock") from error


def check(name: str, severity: dg.AssetCheckSeverity, is_blocking: bool = False) -> dg.AssetChecksDefinition:
    @dg.asset_check(asset=STOCK, name=name, blocking=is_blocking)
    def evaluate() -> dg.AssetCheckResult:
        metadata = {"offending": 2}
        return dg.AssetCheckResult(passed=False, severity=severity, description="fern; ivy", metadata=metadata)

    return evaluate


CHECKS = [
    check("blocks", dg.AssetCheckSeverity.ERROR, is_blocking=True),
    check("fails", dg.AssetCheckSeverity.ERROR),
    check("warns", dg.AssetCheckSeverity.WARN),
]


def job_of(*names: str, makes_stock: bool = False) -> dg.JobDefinition:
    selection = dg.AssetSelection.checks(*(dg.AssetCheckKey(STOCK, name) for name in names))
    selection |= dg.AssetSelection.assets(STOCK).without_checks() if makes_stock else dg.AssetSelection.assets()
    job = dg.define_asset_job("refresh", selection, executor_def=dg.in_process_executor)
    return dg.Definitions(assets=[stock], asset_checks=CHECKS, jobs=[job]).resolve_job_def("refresh")


def test_a_failed_step_is_told_by_its_first_cause_in_one_line(records: dg.DagsterInstance) -> None:
    result = job_of(makes_stock=True).execute_in_process(instance=records, raise_on_error=False)
    expected = [Problem("refresh", "stock", None, "ValueError: the shelf is empty", stops_run=True)]
    assert problems_in(result.all_events, "refresh") == expected
    assert str(expected[0]) == "step stock: ValueError: the shelf is empty"
    run = records.get_run_by_id(result.run_id)
    assert run
    assert problems_of(records, run) == expected


def test_a_check_stops_its_run_if_it_blocks(records: dg.DagsterInstance) -> None:
    result = job_of("blocks", "fails", "warns").execute_in_process(instance=records, raise_on_error=False)
    found = {each.check.name: each for each in problems_in(result.all_events, "refresh") if each.check}
    assert {name: (each.stops_run, each.is_error) for name, each in found.items()} == {
        "blocks": (True, True),
        "fails": (False, True),
        "warns": (False, False),
    }
    assert str(found["fails"]) == "asset stock, check fails: 2 times: fern; ivy"
    run = records.get_run_by_id(result.run_id)
    assert run
    assert {each.check and each.check.name for each in problems_of(records, run)} == {"blocks", "fails"}


def test_a_run_that_dies_after_a_check_that_stops_nothing_is_a_problem_of_its_own(records: dg.DagsterInstance) -> None:
    result = job_of("fails").execute_in_process(instance=records, raise_on_error=False)
    run = records.get_run_by_id(result.run_id)
    assert run
    records.report_run_failed(run, "the run's process is gone")
    assert [(each.where, each.stops_run) for each in problems_of(records, run)] == [
        ("asset stock, check fails", False),
        ("run of refresh", True),
    ]
