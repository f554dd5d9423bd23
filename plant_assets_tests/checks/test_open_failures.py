"""A failed check stays failed until what it found is mended: in runs over other weeks, in the ledger, on the page."""

import datetime as dt
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from plant_assets.cli.runs import Outcome
from plant_assets.definitions import build_defs
from plant_assets.readers.page.render import page_path
from plant_assets.settings import Settings
from plant_assets.warehouse.ledger.checks import LookedWhole
from plant_assets.warehouse.marts import open_marts
from plant_assets.warehouse.open import open_warehouse
from plant_assets_tests.support.runs import END
from plant_assets_tests.support.tables import contents, rows

CLOSED = dt.date(2026, 9, 28)
FLOWS = "inventory_flows_balance"
# It always looks at everything, so its failures are not kept open.
MARTS = "marts_equal_the_warehouse"
ADD_INFLOW = "update inventory set inflow = inflow + 1 where week_start_date = $week and opening_inventory is not null"


def _falsify(settings: Settings, week: dt.date = CLOSED) -> None:
    rows(settings, ADD_INFLOW, {"week": week})


def _open(settings: Settings) -> dict[str, set[dt.date]]:
    with open_warehouse(settings) as warehouse:
        return {name: set(failure.weeks) for name, failure in warehouse.ledger.checks.failures().items()}


def _publisher(settings: Settings) -> str | None:
    with open_marts(settings) as marts:
        return marts.publisher()


@pytest.mark.slow
def test_a_falsified_closed_week_fails_every_run_until_it_is_mended(
    built: Settings, refresh: Callable[..., Outcome], check: Callable[..., Outcome]
) -> None:
    before, publisher = contents(built), _publisher(built)
    _falsify(built)
    assert {each.check.name for each in check(built).failed_errors if each.check} == {FLOWS, MARTS}
    assert _open(built) == {FLOWS: {CLOSED}}
    for _again in range(2):
        outcome = refresh(built)
        assert outcome.has_stopped
        assert [each.check.name for each in outcome.failed_errors if each.check] == [FLOWS]
        assert f"plant-assets run --weeks {CLOSED}..{CLOSED}" in outcome.failed_errors[0].reason
        assert _publisher(built) == publisher
        assert "was stopped" in page_path(built).read_text()
    mended = refresh(built, weeks=(CLOSED, CLOSED))
    assert not mended.has_stopped
    assert _open(built) == {}
    refresh(built)
    assert _publisher(built) != publisher
    assert contents(built) == before
    assert "was stopped" not in page_path(built).read_text()


@pytest.mark.parametrize("either_once", ["files"], indirect=True)
def test_what_a_stopped_run_left_half_made_is_made_with_the_named_weeks(
    living: Settings, folder: Path, refresh: Callable[..., Outcome], check: Callable[..., Outcome]
) -> None:
    twice = "insert into raw_events from raw_events where created_at::date = $day and event_type = 'checkout' limit 1"
    rows(living, twice, {"day": CLOSED + dt.timedelta(days=3)})
    check(living)
    session = "00000000-0000-0000-0000-000000000001"
    late = [f"{uuid.uuid4()},{session},,,2026-10-06 05:00:00,{stage},," for stage in ("page_view", "checkout")]
    header = "event_id,session_id,user_id,page_url,created_at,event_type,order_id,product_id"
    (folder / "events" / "late.csv").write_text("\n".join([header, *late, ""]))
    assert refresh(living).has_stopped
    mended = refresh(living, weeks=(CLOSED, CLOSED))
    assert not mended.has_stopped
    assert _open(living) == {}
    assert rows(living, f"select checkout from int_session_days where session_id = '{session}'") == [(True,)]


def test_a_failure_closes_only_after_a_write_or_a_look_at_everything(
    built: Settings, refresh: Callable[..., Outcome], check: Callable[..., Outcome]
) -> None:
    _falsify(built)
    check(built)
    rows(built, ADD_INFLOW.replace("+", "-"), {"week": CLOSED})
    # A higher number than that of any write: nothing that the check reads was written since.
    rows(built, "update _open_checks set write_number = 1000000")
    assert refresh(built).has_stopped
    assert _open(built) == {FLOWS: {CLOSED}}
    rows(built, "update _open_checks set definition = 'another'")
    assert not refresh(built).has_stopped
    assert _open(built) == {}
    _falsify(built)
    check(built)
    rows(built, ADD_INFLOW.replace("+", "-"), {"week": CLOSED})
    rows(built, "update _open_checks set write_number = 1000000")
    assert not check(built).failed_errors
    assert _open(built) == {}


def test_a_failure_whose_weeks_cannot_be_told_is_open_for_everything(
    built: Settings, check: Callable[..., Outcome]
) -> None:
    rows(built, "update funnel set add_to_cart = page_view + 1")
    failed = {each.check.name for each in check(built).failed_errors if each.check} - {MARTS}
    with open_warehouse(built) as warehouse:
        failures = warehouse.ledger.checks.failures()
    assert failures.keys() == failed
    assert failed
    assert all(each.is_whole for each in failures.values())


def test_each_result_says_what_it_looked_at(
    built: Settings, instance: dg.DagsterInstance, refresh: Callable[..., Outcome], check: Callable[..., Outcome]
) -> None:
    key = dg.AssetCheckKey(dg.AssetKey("inventory"), FLOWS)

    def last() -> dict[str, object]:
        (record,) = instance.event_log_storage.get_asset_check_execution_history(key, limit=1)
        evaluation = record.event.dagster_event.asset_check_evaluation_data  # type: ignore[union-attr]
        return {name: value.value for name, value in evaluation.metadata.items()}

    refresh(built)
    assert (last()["looked_at"], last()["rows"]) == ("2026-10-05..2026-10-12", 10)
    check(built)
    (stored,) = rows(built, "select count(*) from inventory")[0]
    (number,) = rows(built, "select max(write_number) from _writes where table_name = 'inventory'")[0]
    assert (last()["looked_at"], last()["rows"], last()["write"]) == ("everything", stored, number)


def test_the_page_says_what_its_checks_looked_at(
    built: Settings, refresh: Callable[..., Outcome], check: Callable[..., Outcome]
) -> None:
    refresh(built)
    assert "on this run's weeks; never looked at whole yet" in page_path(built).read_text()
    check(built)
    refresh(built)
    assert "failed on this run's weeks; last looked at whole on 14 October: all passed" in page_path(built).read_text()
    with open_warehouse(built) as warehouse:
        assert warehouse.ledger.checks.last_whole() == LookedWhole(END, ())


def test_everything_is_checked_on_sundays_at_three_in_the_stores_zone(built: Settings) -> None:
    berlin = built.model_copy(update={"timezone": "Europe/Berlin"})
    with dg.instance_for_test() as records:
        defs = build_defs(berlin)
        schedule = defs.resolve_schedule_def("every_sunday")
        assert (schedule.cron_schedule, schedule.execution_timezone) == ("0 3 * * 0", "Europe/Berlin")
        sunday = dt.datetime(2026, 10, 18, 1, tzinfo=dt.UTC)

        def ticked() -> Any:
            context = dg.build_schedule_context(
                instance=records, scheduled_execution_time=sunday, repository_def=defs.get_repository_def()
            )
            return schedule.evaluate_tick(context)

        (request,) = ticked().run_requests
        assert request.tags["plant/as_of"] == "2026-10-18T01:00:00"
        run = records.create_run_for_job(defs.resolve_job_def("refresh"))
        assert ticked().skip_message == f"run {run.run_id} is still going"
    assert defs.resolve_job_def("check_everything").asset_layer.asset_graph.asset_check_keys
