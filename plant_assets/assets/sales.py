"""Assets of orders: what was sold, when, and to whom."""

import dagster as dg
import ibis

from plant_assets.orchestration.partitions import is_only_changed, offsets_of
from plant_assets.sources.mapping import mapping_of
from plant_assets.transforms import orders, sales
from plant_assets.warehouse.store import Since
from plant_assets.warehouse.warehouse import Warehouse


def int_order_events(
    context: dg.AssetExecutionContext, warehouse: dg.ResourceParam[Warehouse], raw_events: ibis.Table
) -> Since:
    """Events of orders, so that no order has to be looked for in the click log; one row per checkout or shipment.

    Weeks before the first one that changed stay as they are.
    """
    events = orders.order_events(raw_events)
    since = None
    if is_only_changed(context.run):
        since = warehouse.ledger.writes.changed_since("int_order_events", "raw_events")
    if since is None:
        return Since(events, "created_at", None)
    starts_at = warehouse.calendar.starts_at(since)
    recent = events.filter(events.created_at >= ibis.literal(starts_at, "timestamp(6)"))
    return Since(recent, "created_at", starts_at)


def int_orders(
    context: dg.AssetExecutionContext,
    warehouse: dg.ResourceParam[Warehouse],
    raw_orders: ibis.Table,
    raw_order_items: ibis.Table,
    int_order_events: ibis.Table,
) -> ibis.Table:
    """Every order that a table or an event names, with its instant and user; one row per order.

    An order without an instant or a user of its own takes those of its first checkout.
    """
    not_sold = mapping_of(warehouse.settings).not_sold
    instant = raw_orders.created_at
    bounds = (warehouse.engine.scalar(raw_orders.aggregate(at=bound)) for bound in (instant.min(), instant.max()))
    offsets = offsets_of(context, warehouse.settings, *bounds)
    return orders.orders(raw_orders, raw_order_items, int_order_events, not_sold, offsets)


def sales_by_week(int_orders: ibis.Table, raw_order_items: ibis.Table) -> ibis.Table:
    """Orders, units, revenue and buyers of each week; one row per week with an order.

    Orders without an instant have a row of their own, without a week, so that none is lost.
    """
    return sales.sales_by_week(int_orders, raw_order_items)


def sales_by_product_week(
    context: dg.AssetExecutionContext,
    warehouse: dg.ResourceParam[Warehouse],
    int_orders: ibis.Table,
    raw_order_items: ibis.Table,
    product_snapshots: ibis.Table,
) -> ibis.Table:
    """Orders, units and list value of each product in each week; one row per week and product with a line.

    The list value is at the price of the order's instant: an order's total is never split over its products.
    """
    offsets = offsets_of(context, warehouse.settings)
    return sales.sales_by_product_week(int_orders, raw_order_items, product_snapshots, offsets)


def customers(int_orders: ibis.Table) -> ibis.Table:
    """How many users have ordered, and how often; one row per store."""
    return sales.customers(int_orders)


ASSETS = (int_order_events, int_orders, sales_by_week, sales_by_product_week, customers)
