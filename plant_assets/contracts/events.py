"""Contracts of weeks, events, and the intermediate tables of the funnels."""

from plant_assets.contracts.shared import ORDER_STAGES, PRODUCT_NAME, STAGES, UNKNOWN_PRODUCT, WEEK
from plant_assets.contracts.types import COUNT, DATE, FLAG, ID, INSTANT, TEXT, Partition, Table, may, must

_FIRST_REACHED = tuple(must(stage, COUNT, f"Sessions whose first week with {stage} this is") for stage in STAGES)

_OF_EVENTS = (
    must("event_id", ID, "Event; a UUID where all are"),
    must("session_id", ID, "Session; a UUID where all are"),
    may("user_id", TEXT, "User"),
    must("created_at", INSTANT, "Instant of the event, UTC"),
    must("event_date", DATE, "Date of the event in the store's time zone"),
    must("event_type", TEXT, "Stage of the funnel, or a type that is no stage"),
    may("session_step", COUNT, "1 to 4 for the four stages; NULL for other types"),
    may("order_id", TEXT, "Order"),
    may("product_id", TEXT, "Product of the event, or of its order"),
    PRODUCT_NAME,
)

TABLES = (
    Table(
        "weeks",
        ("week_start_date",),
        (
            WEEK,
            must("starts_at", INSTANT, "Monday 00:00 in the store's time zone, UTC"),
            must("ends_at", INSTANT, "The next Monday 00:00, UTC"),
        ),
    ),
    Table(
        "int_events",
        ("event_id", "product_id"),
        _OF_EVENTS,
        kind="view",
        partition=Partition("created_at", is_written=False),
        upstream=("raw_events",),
        # Other events have one row each: int_events_keep_every_event and the key of raw_events hold it.
        key_rows=("event_type", ORDER_STAGES),
    ),
    Table(
        "int_event_stock_state",
        ("event_id", "product_id"),
        (
            *_OF_EVENTS,
            must("stock_state", TEXT, "State of the product at the event: in_stock, out, uncertain or unknown"),
        ),
        kind="view",
        partition=Partition("created_at", is_written=False),
        key_rows=("event_type", ORDER_STAGES),
    ),
    Table(
        "int_session_days",
        ("event_date", "session_id"),
        (
            must("event_date", DATE, "Date in the store's time zone"),
            must("session_id", ID, "Session; a UUID where all are"),
            *(must(stage, FLAG, f"Has a {stage} event on that date") for stage in STAGES),
            must("events", COUNT, "Events of the session on that date, of any type"),
        ),
        partition=Partition("event_date"),
        upstream=("raw_events",),
    ),
    Table(
        "int_sessions",
        ("session_id",),
        (
            must("session_id", ID, "Session; a UUID where all are"),
            may("user_id", TEXT, "User; of several the first by name"),
            must("first_event_at", INSTANT, "Its first event, UTC"),
            must("last_event_at", INSTANT, "Its last event, UTC"),
            may("entry_date", DATE, "Date of its first page_view, in the store's time zone"),
            *(must(stage, FLAG, f"Has a {stage} event") for stage in STAGES),
            must("orders", COUNT, "Distinct orders that its checkouts name"),
            must("events", COUNT, "Its events, of any type"),
        ),
        kind="view",
        is_grouped=True,
    ),
    Table(
        "int_funnel_weeks",
        ("week_start_date",),
        (WEEK, *_FIRST_REACHED),
    ),
    Table(
        "int_product_funnel_weeks",
        ("week_start_date", "product_id"),
        (
            WEEK,
            must("product_id", TEXT, f"Product, or {UNKNOWN_PRODUCT}"),
            *_FIRST_REACHED,
        ),
    ),
    Table(
        "int_product_funnel_repeats",
        ("week_start_date", "product_id"),
        (
            WEEK,
            must("product_id", TEXT, f"Product, or {UNKNOWN_PRODUCT}"),
            *(must(stage, COUNT, f"Sessions with {stage} in this week and in an earlier one") for stage in STAGES),
        ),
    ),
)
