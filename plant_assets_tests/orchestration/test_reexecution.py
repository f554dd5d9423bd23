"""Re-executions: the rest of a run counts as that run, and marts are published of one reading of the source."""

from collections.abc import Iterator

import dagster as dg
import pytest

from plant_assets.contracts import MARTS
from plant_assets.definitions import build_defs
from plant_assets.readers.page import verdicts
from plant_assets.readers.page.render import page_path
from plant_assets.settings import Settings, read_settings
from plant_assets.warehouse.marts import open_marts
from plant_assets.warehouse.open import open_warehouse
from plant_assets_tests.support.tables import rows

WEEK = {"dagster/partition": "2026-10-05"}
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def refresh_of(source: str, warehouse: str) -> dg.JobDefinition:
    """The job of a store, for Dagster to build anew."""
    return build_defs(read_settings(source=source, warehouse=warehouse)).resolve_job_def("refresh")


@pytest.fixture(scope="module")
def records() -> Iterator[dg.DagsterInstance]:
    """Dagster goes on with runs of records that last only."""
    with dg.instance_for_test() as instance:
        yield instance


def _execute(settings: Settings, records: dg.DagsterInstance, **how: object) -> dg.DagsterRun:
    job = dg.build_reconstructable_job(__name__, "refresh_of", (settings.source, str(settings.warehouse_path)))
    result = dg.execute_job(job, records, **{"tags": WEEK, "run_config": QUIET, **how})  # type: ignore[arg-type]
    run = records.get_run_by_id(result.run_id)
    assert run
    return run


def _rest_of(failed: dg.DagsterRun, records: dg.DagsterInstance) -> dict[str, dg.ReexecutionOptions]:
    """What the UI's "Re-execute from failure" asks for."""
    return {"reexecution_options": dg.ReexecutionOptions.from_failure(failed.run_id, records)}


def _fail_at(settings: Settings, records: dg.DagsterInstance, table: str, **how: object) -> dg.DagsterRun:
    """A run that fails in the step of a table, which cannot be replaced meanwhile: another one refers to it."""
    with open_warehouse(settings) as warehouse:
        warehouse.execute(f"create or replace table {table} (id int primary key)")
        warehouse.execute(f"create table referring (id int references {table} (id))")
    run = _execute(settings, records, **how)
    with open_warehouse(settings) as warehouse:
        warehouse.execute("drop table referring")
    assert run.is_failure
    assert _publisher(settings) != f"run {run.run_id}"
    return run


def _publisher(settings: Settings) -> str | None:
    with open_marts(settings) as marts:
        return marts.publisher()


def test_the_rest_of_a_failed_run_publishes_and_its_page_has_all_checks(
    built: Settings, records: dg.DagsterInstance
) -> None:
    failed = _fail_at(built, records, "funnel")
    rest = _execute(built, records, **_rest_of(failed, records))
    assert (rest.is_success, rest.root_run_id) == (True, failed.run_id)
    assert _publisher(built) == f"run {rest.run_id}"
    found = verdicts.of_runs(records, [failed, rest])
    assert len(found) > max(len(verdicts.of_runs(records, [run])) for run in (failed, rest))
    # The check of the page comes after it.
    passed = [each for each in found if each.passed and each.name != "report_shows_the_marts"]
    assert f"{len(passed)} passed, " in page_path(built).read_text()


def test_the_rest_of_the_rest_of_a_backfills_run_counts_as_the_backfill(
    built: Settings, records: dg.DagsterInstance
) -> None:
    failed = _fail_at(built, records, "product_snapshots", tags={**WEEK, "dagster/backfill": "all-weeks"})
    # Dagster leaves the backfill's tag out once the backfill is over.
    again = _fail_at(built, records, "stockouts", **_rest_of(failed, records))
    rest = _execute(built, records, **_rest_of(again, records))
    assert _publisher(built) == f"run {rest.run_id}"
    of_marts = "from _writes where week is null and list_contains(?, table_name)"
    assert rows(built, f"select distinct run_id {of_marts}", [list(MARTS)]) == [("all-weeks",)]


def test_a_run_that_failed_to_read_is_continued_by_what_reads(built: Settings, records: dg.DagsterInstance) -> None:
    with open_warehouse(built) as warehouse:
        warehouse.ledger.facts.remember(source="another store")
    unread = _execute(built, records)
    assert unread.is_failure
    with open_warehouse(built) as warehouse:
        warehouse.ledger.facts.remember(**built.store())
    failed = _fail_at(built, records, "funnel", **_rest_of(unread, records))
    rest = _execute(built, records, **_rest_of(failed, records))
    assert _publisher(built) == f"run {rest.run_id}"


@pytest.mark.parametrize("between", ["raw_events", "raw_orders", "int_session_days"])
def test_the_rest_is_not_published_with_what_another_run_wrote_in_between(
    built: Settings, records: dg.DagsterInstance, between: str
) -> None:
    published = _publisher(built)
    failed = _fail_at(built, records, "funnel")
    job = refresh_of(str(built.source), str(built.warehouse_path))
    assert job.execute_in_process(instance=records, tags=WEEK, asset_selection=[dg.AssetKey(between)]).success
    assert _execute(built, records, **_rest_of(failed, records)).is_success
    assert _publisher(built) == published


def test_what_is_read_again_is_not_published_with_what_was_read_before(
    built: Settings, records: dg.DagsterInstance
) -> None:
    first = _execute(built, records)
    assert _publisher(built) == f"run {first.run_id}"
    for steps in (["load_source"], ["funnel", "publish_marts"]):
        again = dg.ReexecutionOptions(first.run_id, steps)
        assert _execute(built, records, reexecution_options=again).is_success
    assert _publisher(built) == f"run {first.run_id}"
