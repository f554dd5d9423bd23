"""What tables of several layers share: stages, rates, columns. A column of one layer stands beside its tables."""

from plant_assets.contracts.types import COUNT, DATE, PRICE, TEXT, may, must

STAGES = ("page_view", "add_to_cart", "checkout", "package_shipped")
ORDER_STAGES = ("checkout", "package_shipped")
RATES = ("page_view_rate", "add_to_cart_rate", "purchase_rate", "shipping_rate")
UNKNOWN_PRODUCT = "(unknown)"
# Of which sessions the steps of a week's funnel are.
THE_WEEK, UNTIL_WEEK = "week", "until_week"
# The text of a rejected row once `prune` has removed it.
PRUNED = "(pruned)"
# How the file of an observation begins that dbt's history tells of; its instant follows.
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
