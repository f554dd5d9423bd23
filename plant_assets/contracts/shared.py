"""Stages, rates and columns that tables of several domains share."""

from plant_assets.contracts.types import COUNT, DATE, PRICE, TEXT, may, must

STAGES = ("page_view", "add_to_cart", "checkout", "package_shipped")
ORDER_STAGES = ("checkout", "package_shipped")
RATES = ("page_view_rate", "add_to_cart_rate", "purchase_rate", "shipping_rate")
UNKNOWN_PRODUCT = "(unknown)"
# The table of product versions, which bear on weekly tables.
VERSIONS = "product_snapshots"
# Of which sessions the steps and stages of a week's funnel are.
THE_WEEK, WHOLE_DAYS, UNTIL_WEEK = "week", "whole_days", "until_week"
# A rate of fewer views is shown and not ranked.
FEWEST_VIEWS = 30
# The text of a rejected row once `prune` has removed it.
PRUNED = "(pruned)"
# The start of the file name of an observation that is made from dbt's history; its instant follows.
FROM_HISTORY = "products_snapshot@"

WEEK = must("week_start_date", DATE, "Monday of the ISO week, in the store's time zone")
PRODUCT_ID = must("product_id", TEXT, "Product")
PRODUCT = (
    PRODUCT_ID,
    may("name", TEXT, "Name"),
    may("price", PRICE, "Price, in the store's currency"),
    may("inventory", COUNT, "Units in stock; NULL is unknown"),
)
PRODUCT_NAME = may("product_name", TEXT, "Last known name of the product")
