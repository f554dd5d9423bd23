"""The code location: puts assets, checks, jobs, schedule, sensors and resources together."""

import os

import dagster as dg

from plant_assets.assets.build import load_assets, tables_read
from plant_assets.assets.fingerprints import fingerprints
from plant_assets.checks.build import load_checks
from plant_assets.orchestration.io_manager import WarehouseIOManager
from plant_assets.orchestration.jobs import REFRESH, jobs, maintenance_jobs
from plant_assets.orchestration.partitions import first_week_of, weekly_partitions
from plant_assets.orchestration.schedules import six_hourly_schedule
from plant_assets.orchestration.sensors import (
    alert_sensors,
    dead_runs_sensor,
    due_weeks_sensor,
    late_events_sensor,
    long_runs_sensor,
    stopped_page_sensor,
)
from plant_assets.orchestration.warehouse_resource import warehouse_resource
from plant_assets.orchestration.weekly_checks import weekly_checks_schedule
from plant_assets.settings import FOR_OWNER_ONLY, Settings, read_settings
from plant_assets.warehouse.warehouse import Warehouse


def build_defs(
    settings: Settings,
    opened: Warehouse | None = None,
    loggers: dict[str, dg.LoggerDefinition] | None = None,
) -> dg.Definitions:
    """Return the definitions of one store.

    Args:
        settings: the settings.
        opened: the warehouse, if this process already holds it.
        loggers: loggers of runs; default Dagster's own.
    """

    # Not a nested resource: Dagster would open the warehouse twice, and the second would wait for the first.
    @dg.io_manager(
        required_resource_keys={"warehouse"},
        description="Writes what assets return to the warehouse, and hands out its tables.",
    )
    def io_manager(context: dg.InitResourceContext) -> WarehouseIOManager:
        return WarehouseIOManager(context.resources.warehouse)

    first_week = first_week_of(settings)
    assets = load_assets(weekly_partitions(settings, first_week), settings.engine, fingerprints(settings))
    return dg.Definitions(
        assets=assets,
        asset_checks=load_checks(tables_read(assets)),
        jobs=[*jobs(), *maintenance_jobs(settings)],
        schedules=[six_hourly_schedule(settings, first_week), weekly_checks_schedule(settings)],
        sensors=[
            late_events_sensor(settings, first_week),
            due_weeks_sensor(settings, first_week),
            dead_runs_sensor(settings),
            long_runs_sensor(settings),
            *alert_sensors(settings),
            stopped_page_sensor(settings, REFRESH),
        ],
        resources={"warehouse": warehouse_resource(settings, opened), "io_manager": io_manager},
        executor=dg.in_process_executor,
        loggers=loggers,
    )


@dg.definitions
def defs() -> dg.Definitions:
    """Return the definitions that `workspace.yaml`, `dagster` and `dg` load: those of the environment's settings."""
    os.umask(FOR_OWNER_ONLY)
    return build_defs(read_settings())
