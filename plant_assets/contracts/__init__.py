"""One declaration per table: columns, types, key and slice.

It feeds the warehouse's DDL, the blocking contract checks, the column schema in the UI and the docs. What a
table is for and its grain stand in its asset's docstring, not here.
"""

from dataclasses import dataclass
from functools import cached_property

import ibis

STAGES = ("page_view", "add_to_cart", "checkout", "package_shipped")
ORDER_STAGES = ("checkout", "package_shipped")
RATES = ("page_view_rate", "add_to_cart_rate", "purchase_rate", "shipping_rate")
UNKNOWN_PRODUCT = "(unknown)"
# The text of a rejected row once `prune` has removed it.
PRUNED = "(pruned)"

TEXT, INSTANT, DATE, COUNT, FLAG = "string", "timestamp(6)", "date", "int64", "boolean"
PRICE, PERCENT, FRACTION = "decimal(18,4)", "int32", "float64"
# Text that a big table stores as UUID where every one is written as one is.
ID = "uuid"

SQL_TYPES = {
    TEXT: "VARCHAR",
    INSTANT: "TIMESTAMP",
    DATE: "DATE",
    COUNT: "BIGINT",
    FLAG: "BOOLEAN",
    PRICE: "DECIMAL(18,4)",
    PERCENT: "INTEGER",
    FRACTION: "DOUBLE",
    ID: "VARCHAR",
}


@dataclass(frozen=True)
class Column:
    """A column: its ibis type, what it holds with its unit, and whether it may be NULL."""

    name: str
    type: str
    description: str
    required: bool = False

    @property
    def sql_type(self) -> str:
        return SQL_TYPES[self.type]

    @property
    def stored_types(self) -> tuple[str, ...]:
        """The types under which it may be stored."""
        return (self.sql_type, "UUID") if self.type == ID else (self.sql_type,)


@dataclass(frozen=True)
class Table:
    """A table of the warehouse: the columns in order, the key, and the column that weeks are cut by.

    `made_from` is the weekly table of whose week alone a week is made; a view of it is cut by the same column.
    `checked_by` cuts a table that is not written by weeks, for the contract check of a run. `instant` is the column by
    which a run finds the rows of a raw table that are ahead of its clock.
    """

    name: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    week_column: str | None = None
    made_from: str | None = None
    checked_by: str | None = None
    instant: str | None = None
    is_view: bool = False

    @cached_property
    def schema(self) -> ibis.Schema:
        return ibis.schema({column.name: column.type for column in self.columns})

    @property
    def names(self) -> list[str]:
        return [column.name for column in self.columns]

    @property
    def ids(self) -> list[str]:
        """The columns that may be stored as UUID."""
        return [column.name for column in self.columns if column.type == ID]

    @property
    def required(self) -> list[str]:
        return [column.name for column in self.columns if column.required]

    @property
    def cut_by(self) -> str | None:
        """The column by which a week's rows are told, also where they are not materialized by weeks."""
        if self.is_view and self.made_from:
            return TABLES[self.made_from].week_column
        return self.week_column or self.checked_by

    def unbound(self) -> ibis.Table:
        """The table as an expression that knows no engine."""
        return ibis.table(self.schema, name=self.name)


def _must(name: str, type_: str, description: str) -> Column:
    return Column(name, type_, description, required=True)


def _may(name: str, type_: str, description: str) -> Column:
    return Column(name, type_, description)


_WEEK = _must("week_start_date", DATE, "Monday of the ISO week, in the store's time zone")
_PRODUCT_ID = _must("product_id", TEXT, "Product")
_PRODUCT = (
    _PRODUCT_ID,
    _may("name", TEXT, "Name"),
    _may("price", PRICE, "Price, in the store's currency"),
    _may("inventory", COUNT, "Units in stock; NULL is unknown"),
)
_PRODUCT_NAME = _may("product_name", TEXT, "Last known name of the product")

_FUNNEL = (
    _must("page_view", COUNT, "Distinct sessions with a page_view event"),
    _must("add_to_cart", COUNT, "Distinct sessions with an add_to_cart event"),
    _must("checkout", COUNT, "Distinct sessions with a checkout event"),
    _must("package_shipped", COUNT, "Distinct sessions with a package_shipped event"),
    _may("page_view_rate", PERCENT, "page_view over page_view, whole percent; NULL without page views"),
    _may("add_to_cart_rate", PERCENT, "add_to_cart over page_view, whole percent, halves away from zero"),
    _may("purchase_rate", PERCENT, "checkout over page_view, whole percent, halves away from zero"),
    _may("shipping_rate", PERCENT, "package_shipped over page_view, whole percent, halves away from zero"),
)

_FIRST_REACHED = tuple(_must(stage, COUNT, f"Sessions whose first week with {stage} this is") for stage in STAGES)

_STOCK_FLOW = (
    _must("inflow", COUNT, "Sum of rises of inventory, units"),
    _must("outflow", COUNT, "Sum of falls of inventory, units, positive"),
)

TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        Table(
            "raw_events",
            ("event_id",),
            (
                _must("event_id", ID, "Event; a UUID where all are"),
                _must("session_id", ID, "Session: the unit of every funnel; a UUID where all are"),
                _may("user_id", TEXT, "User"),
                _may("page_url", TEXT, "Address of the page"),
                _must("created_at", INSTANT, "Instant of the event, UTC"),
                _must("event_type", TEXT, "Stage of the funnel, or a type that is no stage"),
                _may("order_id", TEXT, "Order, on checkout and package_shipped"),
                _may("product_id", TEXT, "Product, on page_view and add_to_cart"),
            ),
            week_column="created_at",
            instant="created_at",
        ),
        Table(
            "raw_products",
            ("observed_at", "product_id"),
            (
                _must("observed_at", INSTANT, "Instant at which the products were seen, UTC"),
                *_PRODUCT,
            ),
            checked_by="observed_at",
            instant="observed_at",
        ),
        Table(
            "raw_observations",
            ("observed_at",),
            (
                _must("observed_at", INSTANT, "Instant at which the products were seen, UTC"),
                _must("file", TEXT, "File or table that was read"),
                _must("products", COUNT, "Products seen, which may be none"),
            ),
            instant="observed_at",
        ),
        Table(
            "raw_products_snapshot",
            ("dbt_valid_from", "product_id"),
            (
                *_PRODUCT,
                _must("dbt_valid_from", INSTANT, "Instant from which dbt holds the row valid, UTC"),
                _may("dbt_valid_to", INSTANT, "Instant that ended it, not included, UTC; NULL or far ahead: open"),
                _may("dbt_is_deleted", FLAG, "The product was gone; NULL where dbt does not say"),
            ),
        ),
        Table(
            "raw_orders",
            ("order_id",),
            (
                _must("order_id", TEXT, "Order"),
                _may("user_id", TEXT, "User"),
                _may("created_at", INSTANT, "Instant of the order, UTC"),
                _may("order_total", PRICE, "Total, in the store's currency"),
                _may("status", TEXT, "State of the order, as the store writes it"),
            ),
        ),
        Table(
            "raw_order_items",
            ("order_id", "product_id"),
            (
                _must("order_id", TEXT, "Order"),
                _PRODUCT_ID,
                _may("quantity", COUNT, "Units ordered"),
            ),
        ),
        Table(
            "rejected_rows",
            (),
            (
                _must("source_table", TEXT, "Source table that the row came from"),
                _may("file", TEXT, "File that the row came from, relative to the source"),
                _may("line", COUNT, "Line on which the row begins; NULL for parquet"),
                _may("column_name", TEXT, "Column that was refused; NULL for the whole row"),
                _must("reason", TEXT, "Why the row was refused"),
                _may("raw_text", TEXT, "The row as it was read; as JSON for parquet"),
                _must("rejected_at", INSTANT, "Instant at which it was first refused, UTC"),
                _may("week_start_date", DATE, "Week of the event; NULL where it has none"),
                _may("observed_at", INSTANT, "Observation of the product row, UTC"),
                _may("row_key", TEXT, "The row's key, where it could be read"),
            ),
        ),
        Table(
            "weeks",
            ("week_start_date",),
            (
                _WEEK,
                _must("starts_at", INSTANT, "Monday 00:00 in the store's time zone, UTC"),
                _must("ends_at", INSTANT, "The next Monday 00:00, UTC"),
            ),
        ),
        Table(
            "int_events",
            ("event_id", "product_id"),
            (
                _must("event_id", ID, "Event; a UUID where all are"),
                _must("session_id", ID, "Session; a UUID where all are"),
                _may("user_id", TEXT, "User"),
                _must("created_at", INSTANT, "Instant of the event, UTC"),
                _must("event_date", DATE, "Date of the event in the store's time zone"),
                _must("event_type", TEXT, "Stage of the funnel, or a type that is no stage"),
                _may("session_step", COUNT, "1 to 4 for the four stages; NULL for other types"),
                _may("order_id", TEXT, "Order"),
                _may("product_id", TEXT, "Product of the event, or of its order"),
                _PRODUCT_NAME,
            ),
            made_from="raw_events",
            is_view=True,
        ),
        Table(
            "int_session_days",
            ("event_date", "session_id"),
            (
                _must("event_date", DATE, "Date in the store's time zone"),
                _must("session_id", ID, "Session; a UUID where all are"),
                *(_must(stage, FLAG, f"Has a {stage} event on that date") for stage in STAGES),
                _must("events", COUNT, "Events of the session on that date, of any type"),
            ),
            week_column="event_date",
            made_from="raw_events",
        ),
        Table(
            "int_funnel_weeks",
            ("week_start_date",),
            (_WEEK, *_FIRST_REACHED),
        ),
        Table(
            "int_product_funnel_weeks",
            ("week_start_date", "product_id"),
            (
                _WEEK,
                _must("product_id", TEXT, f"Product, or {UNKNOWN_PRODUCT}"),
                *_FIRST_REACHED,
            ),
        ),
        Table(
            "int_product_funnel_repeats",
            ("week_start_date", "product_id"),
            (
                _WEEK,
                _must("product_id", TEXT, f"Product, or {UNKNOWN_PRODUCT}"),
                *(_must(stage, COUNT, f"Sessions with {stage} in this week and in an earlier one") for stage in STAGES),
            ),
        ),
        Table(
            "product_snapshots",
            ("product_id", "valid_from"),
            (
                *_PRODUCT,
                _must("valid_from", INSTANT, "First observation that saw this version, UTC"),
                _may("valid_to", INSTANT, "Observation that ended it, UTC, not included; NULL: current"),
                _must("is_current", FLAG, "The product still has this version"),
                _may("changed_after", INSTANT, "Last observation that held the product before, UTC"),
            ),
        ),
        Table(
            "product_snapshot_dbt",
            ("product_id", "dbt_valid_from"),
            (
                *_PRODUCT,
                _must("dbt_scd_id", TEXT, "The version: product_id|dbt_valid_from, of which dbt's own id is the MD5"),
                _must("dbt_updated_at", INSTANT, "As dbt_valid_from"),
                _must("dbt_valid_from", INSTANT, "First observation that saw this version, UTC"),
                _may("dbt_valid_to", INSTANT, "Observation that ended it, UTC, not included; NULL: current"),
            ),
            is_view=True,
        ),
        Table(
            "inventory",
            ("week_start_date", "product_id"),
            (
                _WEEK,
                _PRODUCT_ID,
                _may("product_name", TEXT, "Name last held by the week's end"),
                _may("opening_inventory", COUNT, "Units just before the week begins; NULL: unknown"),
                _may("closing_inventory", COUNT, "Units just before it ends, or the latest; NULL: gone"),
                _may("min_inventory", COUNT, "Fewest units held in the week"),
                _may("max_inventory", COUNT, "Most units held in the week"),
                *_STOCK_FLOW,
                _must("changes", COUNT, "Number of changes of inventory"),
                _must("hours_out_of_stock", FRACTION, "Hours with no units, up to the last observation"),
                _must("is_complete", FLAG, "An observation at or after the week's end exists"),
            ),
            week_column="week_start_date",
        ),
        Table(
            "inventory_changes",
            ("week_start_date", "product_id"),
            (
                _WEEK,
                _PRODUCT_ID,
                _may("product_name", TEXT, "Name last held by the week's end"),
                _may("previous_inventory", COUNT, "Closing inventory of the week before"),
                _may("inventory", COUNT, "Closing inventory of the week; NULL: unknown or gone"),
                _may("change", COUNT, "inventory less previous_inventory, units"),
                _must("state", TEXT, "new, gone, unknown, back, sold_out, restocked, up, down or same"),
            ),
            week_column="week_start_date",
        ),
        Table(
            "inventory_fluctuations",
            ("product_id",),
            (
                _must("rank", COUNT, "Dense rank by changes, most first"),
                _PRODUCT_ID,
                _PRODUCT_NAME,
                _must("changes", COUNT, "Number of changes of inventory; a first version is none"),
                _must("volume", COUNT, "inflow plus outflow, units"),
                *_STOCK_FLOW,
                _may("range", COUNT, "Most less fewest units held"),
                _must("reversals", COUNT, "Changes of direction"),
                _must("volume_rank", COUNT, "Dense rank by volume, most first"),
            ),
        ),
        Table(
            "stockouts",
            ("product_id", "out_of_stock_at"),
            (
                _PRODUCT_ID,
                _PRODUCT_NAME,
                _must("out_of_stock_at", INSTANT, "First observation without units, UTC"),
                _may("restocked_at", INSTANT, "First observation with units again, UTC"),
                _must("hours_out", FRACTION, "Hours from out_of_stock_at to its end or the last observation"),
                _must("is_ongoing", FLAG, "Still out of stock at the last observation"),
                _must("min_inventory", COUNT, "Fewest units held; below zero when oversold"),
                _may("restock_quantity", COUNT, "Units held when restocked"),
            ),
        ),
        Table("funnel", (), _FUNNEL),
        Table(
            "funnel_by_date",
            ("event_date",),
            (_must("event_date", DATE, "Date in the store's time zone"), *_FUNNEL),
        ),
        Table(
            "funnel_by_product",
            ("product_id",),
            (
                _must("product_id", TEXT, f"Product, or {UNKNOWN_PRODUCT}"),
                _must("product_name", TEXT, f"Last known name of the product, or {UNKNOWN_PRODUCT}"),
                *_FUNNEL,
            ),
        ),
        Table(
            "funnel_to_date",
            ("event_date",),
            (_must("event_date", DATE, "Date in the store's time zone: the last of those counted"), _WEEK, *_FUNNEL),
        ),
        Table("funnel_by_week", ("week_start_date",), (_WEEK, *_FUNNEL)),
        Table(
            "funnel_by_product_week",
            ("week_start_date", "product_id"),
            (
                _WEEK,
                _must("product_id", TEXT, f"Product, or {UNKNOWN_PRODUCT}"),
                _must("product_name", TEXT, f"Last known name of the product, in every week, or {UNKNOWN_PRODUCT}"),
                *_FUNNEL,
            ),
        ),
        Table(
            "funnel_steps",
            ("from_stage",),
            (
                _must("from_stage", TEXT, "Stage that the step begins at"),
                _must("to_stage", TEXT, "Stage that it leads to"),
                _must("sessions_from", COUNT, "Sessions in from_stage"),
                _must("sessions_to", COUNT, "Sessions in to_stage"),
                _must("lost", COUNT, "sessions_from less sessions_to"),
                _may("step_rate", FRACTION, "sessions_to over sessions_from; NULL on zero"),
                _may("overall_rate", FRACTION, "sessions_to over page_view; NULL on zero"),
                _may("points_lost", COUNT, "Difference of the stages' whole-percent rates"),
                _must("is_largest_by_count", FLAG, "Loses the most sessions; a tie marks the earlier step"),
                _must("is_largest_by_rate", FLAG, "Has the smallest step_rate; a tie marks the earlier step"),
            ),
        ),
    )
}

WEEKLY = tuple(name for name, table in TABLES.items() if table.week_column)
MARTS = tuple(name for name in TABLES if not name.startswith(("raw_", "int_")))
# The funnel of everything up to some week is a sum over int_funnel_weeks.
PUBLISHED = (*MARTS, "int_funnel_weeks")
