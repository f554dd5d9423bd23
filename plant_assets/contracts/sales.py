"""Contracts of orders: where and when each was placed, and by whom."""

from plant_assets.contracts.types import DATE, FLAG, ID, INSTANT, PRICE, TEXT, Partition, Table, may, must

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
)
