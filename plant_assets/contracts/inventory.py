"""Versions of the products, and what they say of stock."""

from plant_assets.contracts.shared import PRODUCT, PRODUCT_ID, PRODUCT_NAME, WEEK
from plant_assets.contracts.types import COUNT, FLAG, FRACTION, INSTANT, TEXT, Table, may, must

_STOCK_FLOW = (
    must("inflow", COUNT, "Sum of rises of inventory, units"),
    must("outflow", COUNT, "Sum of falls of inventory, units, positive"),
)

TABLES = (
    Table(
        "product_snapshots",
        ("product_id", "valid_from"),
        (
            *PRODUCT,
            must("valid_from", INSTANT, "First observation that saw this version, UTC"),
            may("valid_to", INSTANT, "Observation that ended it, UTC, not included; NULL: current"),
            must("is_current", FLAG, "The product still has this version"),
            may("changed_after", INSTANT, "Last observation that held the product before, UTC"),
        ),
    ),
    Table(
        "product_snapshot_dbt",
        ("product_id", "dbt_valid_from"),
        (
            *PRODUCT,
            must("dbt_scd_id", TEXT, "The version: product_id|dbt_valid_from, of which dbt's own id is the MD5"),
            must("dbt_updated_at", INSTANT, "As dbt_valid_from"),
            must("dbt_valid_from", INSTANT, "First observation that saw this version, UTC"),
            may("dbt_valid_to", INSTANT, "Observation that ended it, UTC, not included; NULL: current"),
        ),
        is_view=True,
    ),
    Table(
        "inventory",
        ("week_start_date", "product_id"),
        (
            WEEK,
            PRODUCT_ID,
            may("product_name", TEXT, "Name last held by the week's end"),
            may("opening_inventory", COUNT, "Units just before the week begins; NULL: unknown"),
            may("closing_inventory", COUNT, "Units just before it ends, or the latest; NULL: gone"),
            may("min_inventory", COUNT, "Fewest units held in the week"),
            may("max_inventory", COUNT, "Most units held in the week"),
            *_STOCK_FLOW,
            must("changes", COUNT, "Number of changes of inventory"),
            must("hours_out_of_stock", FRACTION, "Hours with no units, up to the last observation"),
            must("is_complete", FLAG, "An observation at or after the week's end exists"),
        ),
        week_column="week_start_date",
    ),
    Table(
        "inventory_changes",
        ("week_start_date", "product_id"),
        (
            WEEK,
            PRODUCT_ID,
            may("product_name", TEXT, "Name last held by the week's end"),
            may("previous_inventory", COUNT, "Closing inventory of the week before"),
            may("inventory", COUNT, "Closing inventory of the week; NULL: unknown or gone"),
            may("change", COUNT, "inventory less previous_inventory, units"),
            must("state", TEXT, "new, gone, unknown, back, sold_out, restocked, up, down or same"),
        ),
        week_column="week_start_date",
    ),
    Table(
        "inventory_fluctuations",
        ("product_id",),
        (
            must("rank", COUNT, "Dense rank by changes, most first"),
            PRODUCT_ID,
            PRODUCT_NAME,
            must("changes", COUNT, "Number of changes of inventory; a first version is none"),
            must("volume", COUNT, "inflow plus outflow, units"),
            *_STOCK_FLOW,
            may("range", COUNT, "Most less fewest units held"),
            must("reversals", COUNT, "Changes of direction"),
            must("volume_rank", COUNT, "Dense rank by volume, most first"),
        ),
    ),
    Table(
        "stockouts",
        ("product_id", "out_of_stock_at"),
        (
            PRODUCT_ID,
            PRODUCT_NAME,
            must("out_of_stock_at", INSTANT, "First observation without units, UTC"),
            may("restocked_at", INSTANT, "First observation with units again, UTC"),
            must("hours_out", FRACTION, "Hours from out_of_stock_at to its end or the last observation"),
            must("is_ongoing", FLAG, "Still out of stock at the last observation"),
            must("min_inventory", COUNT, "Fewest units held; below zero when oversold"),
            may("restock_quantity", COUNT, "Units held when restocked"),
        ),
    ),
    Table(
        "inventory_until_week",
        ("week_start_date", "product_id"),
        (
            WEEK,
            must("rank", COUNT, "Dense rank by changes among the products of the week, most first"),
            PRODUCT_ID,
            may("product_name", TEXT, "Name last held by the week's end"),
            must("changes", COUNT, "Number of changes of inventory in the weeks counted"),
            must("volume", COUNT, "inflow plus outflow, units"),
            *_STOCK_FLOW,
            may("range", COUNT, "Most less fewest units held in the weeks counted"),
            must("hours_out_lately", FRACTION, "Hours with no units in the last three weeks with an inventory"),
            must("was_out_lately", FLAG, "Had no units at some time in these three weeks"),
            must("is_out", FLAG, "Has no units just before the week ends, or at the latest"),
            must("is_newly_out", FLAG, "Had no units in the last of these three weeks, and in none before"),
        ),
        checked_by="week_start_date",
        is_view=True,
    ),
    Table(
        "stockouts_by_week",
        ("week_start_date", "product_id", "out_of_stock_at"),
        (
            WEEK,
            PRODUCT_ID,
            PRODUCT_NAME,
            must("out_of_stock_at", INSTANT, "First observation without units, UTC"),
            must("until_at", INSTANT, "End of the episode, of the week or of what is known, UTC, whichever is first"),
            must("hours_out", FRACTION, "Hours from out_of_stock_at to until_at"),
            must("is_out", FLAG, "Out of stock at the week's end, or at the last observation"),
            may("restocked_at", INSTANT, "First observation with units again, UTC; NULL: not before the week's end"),
            may("restock_quantity", COUNT, "Units held when restocked; NULL: not before the week's end"),
        ),
        checked_by="week_start_date",
        is_view=True,
    ),
)
