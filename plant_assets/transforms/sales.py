"""What was sold: by week, by product and week, and to how many customers. `orders.py` has orders and their lines."""

import ibis
from ibis import _

from plant_assets.contracts import MONEY, TABLES
from plant_assets.transforms.events import Offsets
from plant_assets.transforms.held import named_by_week, price_spells
from plant_assets.transforms.orders import sold_lines


def sales_by_week(orders: ibis.Table, order_items: ibis.Table) -> ibis.Table:
    """Return what was sold in each week. One row per week with a sold order, and one for orders without an instant."""
    sold = orders.filter(_.is_sold)
    placed = sold.group_by("week_start_date").aggregate(
        orders=_.count(), totals=_.order_total.count(), revenue=_.order_total.sum().cast(MONEY)
    )
    lines = sold_lines(orders, order_items)
    units = lines.group_by("week_start_date").aggregate(**_units(lines))
    parts = (placed, units, _buyers_by_week(sold))
    counts = [name for part in parts for name in part.columns if name not in ("week_start_date", "revenue")]
    # Joins would not find the row without a week.
    every = ibis.union(*(_with_columns(part, counts) for part in parts))
    weeks = every.group_by("week_start_date").aggregate(
        revenue=_.revenue.sum().cast(MONEY), **{name: _[name].sum().cast("int64") for name in counts}
    )
    return weeks.mutate(
        average_order=_.revenue.cast("float64") / _.totals.nullif(0), returning_buyers=_.buyers - _.new_buyers
    ).select(TABLES["sales_by_week"].names)


def _units(lines: ibis.Table) -> dict[str, ibis.Value]:
    return {
        "units": lines.quantity.sum().coalesce(0).cast("int64"),
        "lines_without_quantity": lines.quantity.isnull().sum().cast("int64"),
    }


def _with_columns(part: ibis.Table, counts: list[str]) -> ibis.Table:
    """Return a part of a week's row with every count and `revenue`: 0 and NULL where the part has none."""
    nothing = {name: ibis.literal(0, "int64") for name in counts} | {"revenue": ibis.null(MONEY)}
    every = part.mutate(**{name: value for name, value in nothing.items() if name not in part.columns})
    return every.select("week_start_date", *counts, "revenue")


def _buyers_by_week(sold: ibis.Table) -> ibis.Table:
    """Return the users who ordered in a week, and those who never had before. One row per week with a user.

    A user without a dated order is new in the row without a week.
    """
    by_user = sold.filter(_.user_id.notnull()).group_by("user_id", "week_start_date").aggregate(placed=_.count())
    first = by_user.group_by("user_id").aggregate(first_week=_.week_start_date.min())
    both = by_user.join(first, "user_id")
    is_new = both.week_start_date.identical_to(both.first_week)
    return both.group_by("week_start_date").aggregate(buyers=both.count(), new_buyers=is_new.sum().cast("int64"))


def sales_by_product_week(
    orders: ibis.Table, order_items: ibis.Table, product_snapshots: ibis.Table, offsets: Offsets
) -> ibis.Table:
    """Return what was sold of each product in each week. One row per week and product with a line of a sold order.

    Lines of orders without an instant have a row without a week.

    Args:
        orders: rows of int_orders.
        order_items: rows of raw_order_items.
        product_snapshots: the product versions.
        offsets: the zone's offsets.
    """
    lines = with_price(sold_lines(orders, order_items), product_snapshots)
    value = lines.quantity * lines.price
    rows = lines.group_by("week_start_date", "product_id").aggregate(
        orders=lines.count(),
        list_value=value.sum().cast(MONEY),
        lines_without_price=lines.price.isnull().sum().cast("int64"),
        **_units(lines),
    )
    return named_by_week(rows, product_snapshots, offsets).select(TABLES["sales_by_product_week"].names)


def with_price(lines: ibis.Table, product_snapshots: ibis.Table) -> ibis.Table:
    """Add the product's price at the order's instant, NULL where it is not known."""
    prices = price_spells(product_snapshots).rename(priced_id="product_id")
    is_valid = (
        (lines.product_id == prices.priced_id)
        & (lines.ordered_at >= prices.priced_from)
        & (prices.priced_until.isnull() | (lines.ordered_at < prices.priced_until))
    )
    return lines.left_join(prices, is_valid)


def customers(orders: ibis.Table) -> ibis.Table:
    """Return how many users have ordered how often. One row; zeros and a NULL rate if nobody has."""
    sold = orders.filter(_.is_sold & _.user_id.notnull())
    placed = sold.group_by("user_id").aggregate(orders=_.count())
    number = placed.orders
    counts = placed.aggregate(
        buyers=placed.count(),
        # Spark counts no rows as NULL where there is a condition.
        with_one_order=placed.count(where=number == 1).coalesce(0),
        with_two_orders=placed.count(where=number == 2).coalesce(0),
        with_three_or_more=placed.count(where=number > 2).coalesce(0),
    )
    again = (_.with_two_orders + _.with_three_or_more).cast("float64")
    return counts.mutate(repeat_rate=again / _.buyers.nullif(0)).select(TABLES["customers"].names)
