"""Weekly backfills: one week, a range, all weeks, in any order, end in the same tables."""

import datetime as dt
from pathlib import Path

import dagster as dg
import pytest

from plant_assets.definitions import build_defs
from plant_assets.orchestration.partitions import range_tags
from plant_assets.settings import Settings
from plant_assets_tests.support.tables import contents, rows

WEEKLY = ["raw_events", "int_session_days", "inventory", "inventory_changes"]


def _backfill(settings: Settings, instance: dg.DagsterInstance, tags: dict[str, str]) -> dg.ExecuteInProcessResult:
    job = build_defs(settings).resolve_job_def("refresh")
    return job.execute_in_process(instance=instance, tags={**tags, "plant/as_of": "2026-10-14T06:00:00"})


def _weeks(settings: Settings) -> list[str]:
    return [str(row[0]) for row in rows(settings, "select distinct week_start_date from inventory order by 1")]


def _empty(settings: Settings, week: str) -> None:
    """Lose a week's rows, as a disk might."""
    rows(settings, f"delete from inventory where week_start_date = '{week}'")
    rows(settings, f"delete from int_session_days where event_date between '{week}' and date '{week}' + 6")


def test_one_week_by_its_key(built_either: Settings, instance: dg.DagsterInstance) -> None:
    before = contents(built_either)
    _empty(built_either, "2026-09-28")
    assert contents(built_either) != before
    result = _backfill(built_either, instance, {"dagster/partition": "2026-09-28"})
    made = {(event.asset_key.to_user_string(), event.partition) for event in result.get_asset_materialization_events()}
    assert {week for name, week in made if name in WEEKLY} == {"2026-09-28"}
    assert contents(built_either) == before


def test_a_range_is_one_run(built_either: Settings, instance: dg.DagsterInstance) -> None:
    before = contents(built_either)
    first, *_between, last = weeks = _weeks(built_either)
    for week in weeks:
        _empty(built_either, week)
    result = _backfill(built_either, instance, range_tags(dt.date.fromisoformat(first), dt.date.fromisoformat(last)))
    made = {(event.asset_key.to_user_string(), event.partition) for event in result.get_asset_materialization_events()}
    for name in WEEKLY:
        assert {week for asset, week in made if asset == name} == set(weeks)
    assert contents(built_either) == before


@pytest.mark.parametrize(
    ("either_once", "order"),
    [("files", "forwards"), ("files", "backwards"), ("database", "backwards")],
    indirect=["either_once"],
)
def test_each_week_its_own_run_from_nothing(
    built_either: Settings, instance: dg.DagsterInstance, tmp_path: Path, order: str
) -> None:
    fresh = built_either.model_copy(update={"warehouse": tmp_path / order / "w.duckdb"})
    fresh.store_path.parent.mkdir(parents=True)
    fresh.store_path.write_text(built_either.store_path.read_text())
    weeks = _weeks(built_either)
    for week in weeks if order == "forwards" else weeks[::-1]:
        assert _backfill(fresh, instance, {"dagster/partition": week}).success
    assert contents(fresh) == contents(built_either)


def test_a_part_of_the_lineage_publishes_no_marts(built: Settings, instance: dg.DagsterInstance) -> None:
    published = built.marts_path.stat().st_mtime_ns
    job = build_defs(built).resolve_job_def("refresh")
    week = dt.date(2026, 10, 12)
    result = job.execute_in_process(
        instance=instance,
        tags=range_tags(week, week),
        asset_selection=[dg.AssetKey("funnel"), dg.AssetKey("marts")],
    )
    assert result.success
    assert built.marts_path.stat().st_mtime_ns == published
