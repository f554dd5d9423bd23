"""Contracts of demand: what was wanted while it was in stock, and while it was not."""

from plant_assets.contracts.shared import PRODUCT_ID, PRODUCT_NAME, WEEK
from plant_assets.contracts.types import COUNT, FRACTION, INSTANT, PRICE, TEXT, Partition, Table, may, must

_STATES = {
    "in_stock": "in stock",
    "out": "out of stock",
    "uncertain": "in stock or not, since observations disagree or are far apart",
    "unknown": "not observed",
}

_MEASURES = (
    *(must(f"views_{state}", COUNT, f"page_view events of it while {words}") for state, words in _STATES.items()),
    *(
        must(f"view_sessions_{state}", COUNT, f"Sessions that viewed it while {words}")
        for state, words in _STATES.items()
    ),
    must("carts_in_stock", COUNT, "add_to_cart events of it while in stock"),
    must("buying_sessions_in_stock", COUNT, "Sessions that viewed it in stock and checked it out in this week"),
    must("units_in_stock_view", COUNT, "Units in sold orders of this week that such a session checked out in it"),
    must("units_other", COUNT, "Units in other sold orders of this week"),
    may(
        "share_met_empty_shelf", FRACTION, "Of sessions that viewed it in or out of stock, the share that viewed it out"
    ),
)

TABLES = (
    Table(
        "int_product_demand",
        ("week_start_date", "product_id"),
        (WEEK, PRODUCT_ID, *_MEASURES),
        partition=Partition("week_start_date", is_written=False),
    ),
    Table(
        "product_demand",
        ("week_start_date", "product_id"),
        (
            WEEK,
            PRODUCT_ID,
            may("product_name", TEXT, "Name last held by the week's end, else the first one known after it"),
            *_MEASURES,
        ),
        partition=Partition("week_start_date", is_written=False),
        kind="view",
    ),
    Table(
        "stock_status",
        ("product_id",),
        (
            PRODUCT_ID,
            PRODUCT_NAME,
            may("inventory", COUNT, "Units in stock at the last observation; NULL: unknown"),
            may("price", PRICE, "Price at the last observation, in the store's currency"),
            must("units_28_days", COUNT, "Units ordered in the last 28 days"),
            may(
                "in_stock_share_28_days", FRACTION, "Share of observed hours in stock, of 28 days; NULL: none observed"
            ),
            may("velocity", FRACTION, "Units per day in stock, of 56 days; NULL: never seen in stock"),
            may("days_of_cover", FRACTION, "Days that stock lasts, at most 365; 0: none left; NULL: nothing sold"),
            may("sell_through", FRACTION, "Units of 28 days over these and those in stock"),
            must("revenue_class", TEXT, "A, B or C by list value of 84 days: 80 %, 95 %, the rest; -: none"),
            may("last_sold_at", INSTANT, "Latest order of it, UTC"),
            may("note", TEXT, "sells when out, or too little history to tell a rate"),
        ),
    ),
    Table(
        "units_change",
        ("week_start_date", "product_id"),
        (
            WEEK,
            may("product_id", TEXT, "Product; NULL: the whole store"),
            may("product_name", TEXT, "Name last held by the week's end, else the first one known after it"),
            must("units_before", COUNT, "Units ordered in the week before"),
            must("units", COUNT, "Units ordered in the week"),
            must("change", COUNT, "units less units_before"),
            may("of_views", FRACTION, "Part of the change that more or fewer views make"),
            may("of_stock", FRACTION, "Part that another share of views in stock makes"),
            may("of_conversion", FRACTION, "Part that more or fewer units per view in stock make"),
            may("of_other", FRACTION, "Part of units that no view in stock of the week led to"),
            may("note", TEXT, "within the usual: a change that chance explains, which has no parts; else NULL"),
        ),
    ),
)
