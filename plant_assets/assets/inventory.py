"""Assets of product versions and stock."""

import datetime as dt

import dagster as dg
import ibis
import pandas as pd

from plant_assets.calendar import WEEK, weeks_between
from plant_assets.contracts import TABLES, VERSIONS
from plant_assets.orchestration.partitions import as_of, first_week_of, is_only_changed, offsets_of, run_weeks
from plant_assets.settings import max_gap
from plant_assets.transforms import inventory as transforms
from plant_assets.transforms import snapshots, stock_state, weekly
from plant_assets.warehouse.store import Since
from plant_assets.warehouse.warehouse import Warehouse


def weeks(context: dg.AssetExecutionContext, warehouse: dg.ResourceParam[Warehouse]) -> pd.DataFrame:
    """The calendar from the store's first week to the running one; one row per ISO week."""
    calendar = warehouse.calendar
    mondays = weeks_between(first_week_of(warehouse.settings), calendar.week_of(as_of(context)))
    return pd.DataFrame(
        {
            "week_start_date": mondays,
            "starts_at": [calendar.starts_at(monday) for monday in mondays],
            "ends_at": [calendar.starts_at(monday + WEEK) for monday in mondays],
        },
        columns=TABLES["weeks"].names,
    )


def product_snapshots(
    context: dg.AssetExecutionContext,
    warehouse: dg.ResourceParam[Warehouse],
    raw_products: ibis.Table,
    raw_observations: ibis.Table,
) -> Since:
    """What each product was, from when to when; one row per product version.

    A function of all observations: a rebuild gives the same rows, in whatever order observations came. Versions
    that ended before the first new observation stay as they are.
    """
    since, following = _stands_since(warehouse) if is_only_changed(context.run) else (None, None)
    before = TABLES["product_snapshots"].unbound()
    versions = snapshots.product_snapshots(raw_products, raw_observations, before, since)
    return Since(versions, "valid_to", following)


def _stands_since(warehouse: Warehouse) -> tuple[dt.datetime | None, dt.datetime | None]:
    """The last observation before those that came since the versions were written, and the one after it.

    Without a new one, the last two; None where there is none before.
    """
    written, observed = warehouse.ledger.writes.last(VERSIONS), warehouse.ledger.loads.observations()
    if written is None:
        return None, None
    first_new = next((place for place, (_at, number) in enumerate(observed) if number > written), len(observed) - 1)
    if first_new < 1:
        return None, None
    return observed[first_new - 1][0], observed[first_new][0]


def int_stock_intervals(
    warehouse: dg.ResourceParam[Warehouse], product_snapshots: ibis.Table, raw_observations: ibis.Table
) -> ibis.Table:
    """When a product was not plainly in stock, from one observation to the next; one row per product and observation.

    Intervals before a product's first observation and after its last are not here.
    """
    return stock_state.stock_intervals(product_snapshots, raw_observations, max_gap(warehouse.settings))


def inventory(
    context: dg.AssetExecutionContext,
    warehouse: dg.ResourceParam[Warehouse],
    product_snapshots: ibis.Table,
    raw_observations: ibis.Table,
    weeks: ibis.Table,
) -> ibis.Table:
    """Stock at the bounds of each week and its moves; one row per product and week."""
    in_run, offsets = _in_run(context, warehouse, weeks), offsets_of(context, warehouse.settings)
    return transforms.inventory(product_snapshots, raw_observations, in_run, offsets, max_gap(warehouse.settings))


def inventory_changes(
    context: dg.AssetExecutionContext,
    warehouse: dg.ResourceParam[Warehouse],
    inventory: ibis.Table,
    product_snapshots: ibis.Table,
    raw_observations: ibis.Table,
    weeks: ibis.Table,
) -> ibis.Table:
    """Closing stock against the week before; one row per product and week."""
    in_run, offsets = _in_run(context, warehouse, weeks), offsets_of(context, warehouse.settings)
    return transforms.inventory_changes(inventory, product_snapshots, raw_observations, in_run, offsets)


def inventory_fluctuations(
    warehouse: dg.ResourceParam[Warehouse], product_snapshots: ibis.Table, raw_observations: ibis.Table
) -> ibis.Table:
    """How often and how far stock moved, over all weeks or the last ones; one row per product."""
    since = None
    if weeks_back := warehouse.settings.fluctuation_weeks:
        last = warehouse.engine.scalar(raw_observations.aggregate(last=raw_observations.observed_at.max()))
        since = last and warehouse.calendar.starts_at(warehouse.calendar.week_of(last) - (weeks_back - 1) * WEEK)
    return transforms.inventory_fluctuations(product_snapshots, raw_observations, since)


def stockouts(
    warehouse: dg.ResourceParam[Warehouse], product_snapshots: ibis.Table, raw_observations: ibis.Table
) -> ibis.Table:
    """Unbroken times without stock; one row per product and episode out of stock."""
    return transforms.stockouts(product_snapshots, raw_observations, max_gap(warehouse.settings))


def products(product_snapshots: ibis.Table, raw_observations: ibis.Table) -> ibis.Table:
    """Every product ever seen, with its stock now and when it was seen first and last; one row per product."""
    return snapshots.products(product_snapshots, raw_observations)


def product_snapshot_dbt(product_snapshots: ibis.Table) -> ibis.Table:
    """The versions under the names that dbt's snapshots have; one row per product version."""
    return snapshots.as_dbt_names_them(product_snapshots)


def inventory_until_week(
    warehouse: dg.ResourceParam[Warehouse], inventory: ibis.Table, weeks: ibis.Table
) -> ibis.Table:
    """How often and how far stock moved up to a week's end, and where it ran out; one row per week and product.

    Counts the weeks that inventory_fluctuations counts, as far as they were over. Products are out of stock lately if
    they were in one of the last three weeks with an inventory.
    """
    return weekly.inventory_until_week(inventory, weeks, warehouse.settings.fluctuation_weeks)


def inventory_by_week(inventory_changes: ibis.Table) -> ibis.Table:
    """How many products changed, and how many were out of stock at a week's end and the week before; one row per week.

    A week has a row if anything is known of the stock in it.
    """
    return weekly.inventory_by_week(inventory_changes)


def stockouts_by_week(
    context: dg.AssetExecutionContext,
    warehouse: dg.ResourceParam[Warehouse],
    stockouts: ibis.Table,
    weeks: ibis.Table,
) -> ibis.Table:
    """Times without stock as they were known at a week's end; one row per week and episode.

    Has the episodes that touch the week or the seven before it.
    """
    return weekly.stockouts_by_week(stockouts, weeks, offsets_of(context, warehouse.settings))


def _in_run(context: dg.AssetExecutionContext, warehouse: Warehouse, weeks: ibis.Table) -> ibis.Table:
    run = run_weeks(context, warehouse.settings)
    return weeks.filter(weeks.week_start_date.between(run.first, run.last))


# The calendar ends with the week in which the source was read, so a run that fails to read does not extend it.
AFTER = {"weeks": ["raw_observations"]}
ASSETS = (
    weeks,
    product_snapshots,
    product_snapshot_dbt,
    products,
    int_stock_intervals,
    inventory,
    inventory_changes,
    inventory_fluctuations,
    stockouts,
    inventory_until_week,
    inventory_by_week,
    stockouts_by_week,
)
