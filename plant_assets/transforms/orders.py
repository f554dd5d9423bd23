"""Orders and their lines, from the tables and from the events that name them. What they sum up to is in `sales.py`."""

from collections.abc import Collection

import ibis
from ibis import _

from plant_assets.contracts import ORDER_STAGES, TABLES
from plant_assets.transforms.events import Offsets, local_date, monday


def order_events(events: ibis.Table) -> ibis.Table:
    """Return the events that may name an order. One row per checkout or package_shipped event."""
    return events.filter(_.event_type.isin(ORDER_STAGES)).select(TABLES["int_order_events"].names)


def orders(
    raw_orders: ibis.Table,
    order_items: ibis.Table,
    order_events: ibis.Table,
    not_sold: Collection[str],
    offsets: Offsets,
) -> ibis.Table:
    """Return every order that a table or an event names. One row per order: columns of int_orders.

    An order without an instant or a user of its own takes those of its first checkout.

    Args:
        raw_orders: rows of raw_orders.
        order_items: rows of raw_order_items.
        order_events: rows of int_order_events.
        not_sold: the statuses of orders that are not sold.
        offsets: the zone's offsets.
    """
    named = (rows.filter(_.order_id.notnull()).select("order_id") for rows in (raw_orders, order_items, order_events))
    every = ibis.union(*named, distinct=True)
    first = _first_checkouts(order_events, raw_orders)
    stated = every.left_join(raw_orders, "order_id", rname="stated_{name}")
    known = stated.left_join(first, "order_id", rname="first_{name}").mutate(
        ordered_at=_.created_at.coalesce(_.checked_out_at), user_id=_.user_id.coalesce(_.first_user_id)
    )
    is_sold = ~known.status.isin(list(not_sold)).fill_null(False) if not_sold else ibis.literal(True)
    week = monday(local_date(known.ordered_at, offsets))
    return known.mutate(week_start_date=week, is_sold=is_sold).select(TABLES["int_orders"].names)


def _first_checkouts(order_events: ibis.Table, raw_orders: ibis.Table) -> ibis.Table:
    """Return the first checkout of each order that lacks an instant or a user. One row per order.

    Of checkouts at the same instant, the one with the least event_id is first. Columns: order_id, checked_out_at,
    user_id.
    """
    complete = raw_orders.filter(_.created_at.notnull() & _.user_id.notnull()).select("order_id")
    checkouts = order_events.filter((_.event_type == ORDER_STAGES[0]) & _.order_id.notnull())
    wanted = checkouts.anti_join(complete, "order_id")
    in_order = ibis.window(group_by="order_id", order_by=["created_at", "event_id"])
    placed = wanted.mutate(place=ibis.row_number().over(in_order))
    return placed.filter(_.place == 0).select("order_id", "user_id", checked_out_at="created_at")


def sold_lines(orders: ibis.Table, order_items: ibis.Table) -> ibis.Table:
    """Return the lines of sold orders. One row per order and product.

    Columns: order_id, ordered_at, week_start_date, user_id, product_id, quantity (NULL: unknown).
    """
    sold = orders.filter(_.is_sold).select("order_id", "ordered_at", "week_start_date", "user_id")
    return sold.join(order_items, "order_id")
