"""Contracts of the raw tables and of rejected rows."""

from plant_assets.contracts.shared import PRODUCT, PRODUCT_ID
from plant_assets.contracts.types import COUNT, DATE, FLAG, ID, INSTANT, PRICE, TEXT, Partition, Table, may, must

TABLES = (
    Table(
        "raw_events",
        ("event_id",),
        (
            must("event_id", ID, "Event; a UUID where all are"),
            must("session_id", ID, "Session: the unit of every funnel; a UUID where all are"),
            may("user_id", TEXT, "User"),
            may("page_url", TEXT, "Address of the page"),
            must("created_at", INSTANT, "Instant of the event, UTC"),
            must("event_type", TEXT, "Stage of the funnel, or a type that is no stage"),
            may("order_id", TEXT, "Order, on checkout and package_shipped"),
            may("product_id", TEXT, "Product, on page_view and add_to_cart"),
        ),
        partition=Partition("created_at"),
        instant="created_at",
    ),
    Table(
        "raw_products",
        ("observed_at", "product_id"),
        (
            must("observed_at", INSTANT, "Instant at which the products were seen, UTC"),
            *PRODUCT,
        ),
        partition=Partition("observed_at", is_written=False),
        instant="observed_at",
    ),
    Table(
        "raw_observations",
        ("observed_at",),
        (
            must("observed_at", INSTANT, "Instant at which the products were seen, UTC"),
            must("file", TEXT, "File or table that was read"),
            must("products", COUNT, "Products seen, which may be none"),
        ),
        instant="observed_at",
    ),
    Table(
        "raw_products_snapshot",
        ("dbt_valid_from", "product_id"),
        (
            *PRODUCT,
            must("dbt_valid_from", INSTANT, "Instant from which dbt holds the row valid, UTC"),
            may("dbt_valid_to", INSTANT, "Instant that ended it, not included, UTC; NULL or far ahead: open"),
            may("dbt_is_deleted", FLAG, "The product was gone; NULL where dbt does not say"),
        ),
    ),
    Table(
        "raw_orders",
        ("order_id",),
        (
            must("order_id", TEXT, "Order"),
            may("user_id", TEXT, "User"),
            may("created_at", INSTANT, "Instant of the order, UTC"),
            may("order_total", PRICE, "Total, in the store's currency"),
            may("status", TEXT, "State of the order, as the store writes it"),
        ),
    ),
    Table(
        "raw_order_items",
        ("order_id", "product_id"),
        (
            must("order_id", TEXT, "Order"),
            PRODUCT_ID,
            may("quantity", COUNT, "Units ordered"),
        ),
    ),
    Table(
        "rejected_rows",
        (),
        (
            must("source_table", TEXT, "Source table that the row came from"),
            may("file", TEXT, "File that the row came from, relative to the source"),
            may("line", COUNT, "Line on which the row begins; NULL for parquet"),
            may("column_name", TEXT, "Column that was refused; NULL for the whole row"),
            must("reason", TEXT, "Why the row was refused"),
            may("raw_text", TEXT, "The row as it was read; as JSON for parquet"),
            must("rejected_at", INSTANT, "Instant at which it was first refused, UTC"),
            may("week_start_date", DATE, "Week of the event; NULL where it has none"),
            may("observed_at", INSTANT, "Observation of the product row, UTC"),
            may("row_key", TEXT, "The row's key, where it could be read"),
        ),
    ),
)
