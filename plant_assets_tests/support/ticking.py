"""Ticks and sensors of a store's code location, evaluated as the daemon does, and the runs that they request."""

import datetime as dt
from typing import Any

import dagster as dg

from plant_assets.definitions import build_defs
from plant_assets.settings import Settings


def tick(settings: Settings, instance: dg.DagsterInstance, at: dt.datetime) -> list[Any]:
    """Evaluate the schedule at an instant: its requests, or why it skips."""
    defs = build_defs(settings)
    context = dg.build_schedule_context(
        instance=instance,
        scheduled_execution_time=at.replace(tzinfo=dt.UTC),
        repository_def=defs.get_repository_def(),
    )
    data = defs.resolve_schedule_def("every_six_hours").evaluate_tick(context)
    return list(data.run_requests or []) or [dg.SkipReason(data.skip_message)]


def evaluate(settings: Settings, records: dg.DagsterInstance, name: str = "late_events") -> Any:
    """Evaluate a sensor of the code location."""
    defs = build_defs(settings)
    with dg.build_sensor_context(instance=records, repository_def=defs.get_repository_def()) as context:
        return defs.resolve_sensor_def(name).evaluate_tick(context)


def run(settings: Settings, records: dg.DagsterInstance, request: dg.RunRequest) -> str | None:
    """Load as the request's run does; what it fails with."""
    raw = ("raw_events", "raw_products", "raw_observations", "raw_orders", "raw_order_items")
    result = (
        build_defs(settings)
        .resolve_job_def("refresh")
        .execute_in_process(
            instance=records,
            tags={**request.tags, "dagster/run_key": str(request.run_key)},
            asset_selection=[dg.AssetKey(name) for name in raw],
            raise_on_error=False,
        )
    )
    errors = [each.step_failure_data.error for each in result.all_events if each.is_step_failure]
    assert errors or result.success, result.all_events[-1].message
    return (errors[0].cause or errors[0]).message if errors else None
