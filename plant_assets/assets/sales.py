"""Assets of orders: what was sold, when, and to whom."""

import dagster as dg
import ibis

from plant_assets.orchestration.partitions import is_only_changed, offsets_of
from plant_assets.sources.mapping import mapping_of
from plant_assets.transforms import orders as transforms
from plant_assets.warehouse.store import Since
from plant_assets.warehouse.warehouse import Warehouse


def int_order_events(
    context: dg.AssetExecutionContext, warehouse: dg.ResourceParam[Warehouse], raw_events: ibis.Table
) -> Since:
    """Events of orders, so that no order has to be looked for in the click log; one row per checkout or shipment.

    Weeks before the first one that changed stay as they are.
    """
    events = transforms.order_events(raw_events)
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
    return transforms.orders(raw_orders, raw_order_items, int_order_events, not_sold, offsets)


ASSETS = (int_order_events, int_orders)
