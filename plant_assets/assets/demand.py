"""Assets of demand: what visitors wanted, and what of it was in stock."""

import datetime as dt

import dagster as dg
import ibis

from plant_assets.contracts import TABLES
from plant_assets.orchestration.partitions import is_only_changed, offsets_of
from plant_assets.settings import max_gap
from plant_assets.transforms import demand as transforms
from plant_assets.transforms import stock_state
from plant_assets.transforms import stock_status as status
from plant_assets.transforms import units_change as change
from plant_assets.transforms.funnel import of_portion
from plant_assets.transforms.orders import sold_lines
from plant_assets.warehouse.store import Since
from plant_assets.warehouse.warehouse import Warehouse


def int_event_stock_state(
    warehouse: dg.ResourceParam[Warehouse],
    int_events: ibis.Table,
    int_stock_intervals: ibis.Table,
    product_snapshots: ibis.Table,
    raw_observations: ibis.Table,
    weeks: ibis.Table,
) -> ibis.Table:
    """Every event with the state of its product's stock at that instant; one row per event and product.

    in_stock and out are what both observations beside the event say, if they are near enough; uncertain where they
    differ or are far apart, unknown where one lacks the product.
    """
    stock = _stock(warehouse, int_stock_intervals, product_snapshots, raw_observations, weeks)
    return stock_state.events_with_stock_state(int_events, stock)


def int_product_demand(
    context: dg.AssetExecutionContext,
    warehouse: dg.ResourceParam[Warehouse],
    raw_events: ibis.Table,
    raw_order_items: ibis.Table,
    int_orders: ibis.Table,
    sales_by_product_week: ibis.Table,
    int_stock_intervals: ibis.Table,
    product_snapshots: ibis.Table,
    raw_observations: ibis.Table,
    weeks: ibis.Table,
) -> Since:
    """Views, carts and sold units by the state of stock, without names; one row per week and product.

    Weeks before the first one that changed stay as they are: by its events, observations, order items or sold units.
    """
    stock = _stock(warehouse, int_stock_intervals, product_snapshots, raw_observations, weeks)
    offsets = offsets_of(context, warehouse.settings)
    since = _demand_since(context, warehouse, sales_by_product_week)
    events, orders, portions = raw_events, int_orders, 1 if since else warehouse.engine.portions("raw_events")
    if since:
        starts_at = ibis.literal(warehouse.calendar.starts_at(since), "timestamp(6)")
        events, orders = events.filter(events.created_at >= starts_at), orders.filter(orders.week_start_date >= since)
    parts = [of_portion(events, number, portions) for number in range(portions)]
    by_session = [transforms.demand_by_session(part, stock, offsets) for part in parts]
    demand = transforms.product_demand(by_session, events, orders, raw_order_items, stock, offsets)
    return Since(demand, "week_start_date", since)


def product_demand(
    context: dg.AssetExecutionContext,
    warehouse: dg.ResourceParam[Warehouse],
    int_product_demand: ibis.Table,
    product_snapshots: ibis.Table,
) -> ibis.Table:
    """What was wanted of each product, and what met an empty shelf; one row per week and product.

    A product has a row in a week in which it was viewed, put into a cart while in stock, or sold.
    """
    return transforms.named_demand(int_product_demand, product_snapshots, offsets_of(context, warehouse.settings))


def stock_status(
    warehouse: dg.ResourceParam[Warehouse],
    int_orders: ibis.Table,
    raw_order_items: ibis.Table,
    int_stock_intervals: ibis.Table,
    product_snapshots: ibis.Table,
    raw_observations: ibis.Table,
    weeks: ibis.Table,
) -> ibis.Table:
    """What is in stock, how fast it sells while it is, and how long it lasts; one row per product last observed.

    Windows of 28, 56 and 84 days end with the last observation. No rate is told by less than 14 days in stock.
    """
    stock = _stock(warehouse, int_stock_intervals, product_snapshots, raw_observations, weeks)
    return status.stock_status(int_orders, raw_order_items, stock)


def units_change(
    context: dg.AssetExecutionContext,
    warehouse: dg.ResourceParam[Warehouse],
    int_product_demand: ibis.Table,
    int_orders: ibis.Table,
    raw_order_items: ibis.Table,
    product_snapshots: ibis.Table,
    weeks: ibis.Table,
) -> ibis.Table:
    """Why units changed against the week before, in parts that add up; one row per week and product that changed most.

    The row without a product is the whole store. A product whose change chance explains has no parts.
    """
    phi, offsets = status.dispersion(sold_lines(int_orders, raw_order_items)), offsets_of(context, warehouse.settings)
    return change.units_change(int_product_demand, phi, weeks, product_snapshots, offsets)


def _stock(
    warehouse: Warehouse, intervals: ibis.Table, versions: ibis.Table, observations: ibis.Table, weeks: ibis.Table
) -> stock_state.Stock:
    return stock_state.Stock(intervals, versions, observations, weeks, max_gap(warehouse.settings))


def _demand_since(
    context: dg.AssetExecutionContext, warehouse: Warehouse, sales_by_product_week: ibis.Table
) -> dt.date | None:
    """Return the first week whose demand has to be counted again; None for all."""
    name = "int_product_demand"
    if not is_only_changed(context.run):
        return None
    changed = warehouse.ledger.writes.changed_since(name, "raw_events", "raw_order_items")
    if changed is None:
        return None
    stored = TABLES[name].unbound()
    resold: dt.date | None = warehouse.engine.scalar(
        transforms.first_week_of_other_units(stored, sales_by_product_week)
    )
    return min(each for each in (changed, _observed_since(warehouse, name), resold) if each)


def _observed_since(warehouse: Warehouse, name: str) -> dt.date | None:
    """Return the week of the observation before the first one that came since a table was written; None without one."""
    written, before = warehouse.ledger.writes.last(name) or 0, None
    for at, number in warehouse.ledger.loads.observations():
        if number > written:
            return warehouse.calendar.week_of(before or at)
        before = at
    return None


ASSETS = (int_event_stock_state, int_product_demand, product_demand, stock_status, units_change)
