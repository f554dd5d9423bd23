"""Contracts of orders, sales and customers."""

from plant_assets.contracts.shared import PRODUCT_ID
from plant_assets.contracts.types import (
    COUNT,
    DATE,
    FLAG,
    FRACTION,
    ID,
    INSTANT,
    MONEY,
    PRICE,
    TEXT,
    Partition,
    Table,
    may,
    must,
)

_WEEK = may("week_start_date", DATE, "Monday of the week of the orders' instants; NULL: orders without one")
_UNITS = (
    must("units", COUNT, "Sum of the quantities of the lines; returns subtract"),
    must("lines_without_quantity", COUNT, "Lines of which no quantity is known; they add no units"),
)

TABLES = (
    Table(
        "int_order_events",
        ("event_id",),
        (
            must("event_id", ID, "Event; a UUID where all are"),
            must("session_id", ID, "Session; a UUID where all are"),
            may("user_id", TEXT, "User"),
            must("created_at", INSTANT, "Instant of the event, UTC"),
            must("event_type", TEXT, "checkout or package_shipped"),
            may("order_id", TEXT, "Order; NULL where the event names none"),
        ),
        partition=Partition("created_at", is_written=False),
    ),
    Table(
        "int_orders",
        ("order_id",),
        (
            must("order_id", TEXT, "Order"),
            may("ordered_at", INSTANT, "Instant of the order, else of its first checkout, UTC; NULL: unknown"),
            may("week_start_date", DATE, "Monday of that instant's week, in the store's time zone"),
            may("user_id", TEXT, "User of the order, else of its first checkout"),
            may("order_total", PRICE, "Total, in the store's currency"),
            may("status", TEXT, "State of the order, as the store writes it"),
            must("is_sold", FLAG, "The mapping's not_sold does not name its status"),
        ),
    ),
    Table(
        "sales_by_week",
        ("week_start_date",),
        (
            _WEEK,
            must("orders", COUNT, "Sold orders"),
            *_UNITS,
            may("revenue", MONEY, "Sum of order_total, in the store's currency; NULL: no order has one"),
            may("average_order", FRACTION, "revenue over the orders that have a total"),
            must("buyers", COUNT, "Distinct users with an order"),
            must("new_buyers", COUNT, "Users whose first dated order ever is in this week"),
            must("returning_buyers", COUNT, "buyers less new_buyers"),
        ),
    ),
    Table(
        "sales_by_product_week",
        ("week_start_date", "product_id"),
        (
            _WEEK,
            PRODUCT_ID,
            may("product_name", TEXT, "Name last held by the week's end, else the first known after it"),
            must("orders", COUNT, "Sold orders with the product"),
            *_UNITS,
            may("list_value", MONEY, "Sum of quantity times the price at the order's instant, where both are known"),
            must("lines_without_price", COUNT, "Lines of which the price at the order's instant is not known"),
        ),
    ),
    Table(
        "customers",
        (),
        (
            must("buyers", COUNT, "Distinct users with a sold order"),
            must("with_one_order", COUNT, "Of these, users with one"),
            must("with_two_orders", COUNT, "Users with two"),
            must("with_three_or_more", COUNT, "Users with three or more"),
            may("repeat_rate", FRACTION, "Share of buyers with two orders or more; NULL without buyers"),
        ),
        exact_rows=1,
    ),
)
