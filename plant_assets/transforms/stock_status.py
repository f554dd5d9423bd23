"""What is in stock now, how fast each product sells while it is, and how long it lasts."""

import datetime as dt

import ibis
from ibis import _

from plant_assets.contracts import MONEY, TABLES
from plant_assets.transforms.events import last_known_names
from plant_assets.transforms.observed import intervals, near_seconds_at, observed_spans
from plant_assets.transforms.orders import sold_lines
from plant_assets.transforms.sales import with_price
from plant_assets.transforms.stock_state import OUT, Stock, with_stock_state, with_stretch

RECENT, WINDOW, CLASSED = (dt.timedelta(days=days) for days in (28, 56, 84))
DAY_SECONDS = 24 * 3600.0
# Fewer days in stock, or fewer units, tell no rate.
LEAST_DAYS, LEAST_UNITS = 14, 1
MOST_DAYS = 365.0
# A product sells when out if more than one unit in this many was ordered then, and at least these.
ONE_IN, LEAST_WHEN_OUT = 20, 5
WHEN_OUT, TOO_LITTLE = "sells when out", "too little history"


def dispersion(lines: ibis.Table) -> ibis.Table:
    """Return phi, by which units vary more than orders: the mean of a unit's line, at least 1. One row: phi."""
    bought = lines.filter(_.quantity > 0)
    sums = bought.aggregate(squares=(_.quantity * _.quantity).sum(), units=_.quantity.sum())
    phi = sums.squares.cast("float64") / sums.units.cast("float64")
    return sums.select(phi=ibis.greatest(phi.coalesce(1.0), 1.0))


def stock_status(orders: ibis.Table, order_items: ibis.Table, stock: Stock) -> ibis.Table:
    """Return what is in stock and how it sells. One row per product in the last observation: columns of stock_status.

    All windows end with the last observation.

    Args:
        orders: rows of int_orders.
        order_items: rows of raw_order_items.
        stock: what tells the state of stock.
    """
    lines = sold_lines(orders, order_items).filter(_.ordered_at.notnull())
    last = stock.observations.aggregate(last=_.observed_at.max())
    known = stock.versions.filter(_.is_current).select("product_id", "inventory", "price")
    parts = (last_known_names(stock.versions), _observed(stock, last), _sold(lines, last, stock), _last_sold(lines))
    for part in parts:
        known = known.left_join(part, "product_id", rname="{name}_of_part").drop("product_id_of_part")
    days = known.seconds_in_stock.coalesce(0) / DAY_SECONDS
    units, recent = known.units_in_stock.coalesce(0), known.units_28_days.coalesce(0)
    velocity = units.cast("float64") / days.nullif(0.0)
    on_shelf = ibis.greatest(known.inventory, 0)
    cover = ibis.cases(
        (known.inventory.isnull() | ((known.inventory > 0) & ((units <= 0) | velocity.isnull())), ibis.null("float64")),
        (known.inventory <= 0, 0.0),
        else_=ibis.least(on_shelf.cast("float64") / velocity, MOST_DAYS),
    )
    all_units = ibis.greatest(recent + on_shelf, 0).nullif(0).cast("float64")
    out, in_window = known.units_when_out.coalesce(0), known.units_56_days.coalesce(0)
    note = ibis.cases(
        ((out >= LEAST_WHEN_OUT) & (ONE_IN * out > in_window), WHEN_OUT),
        ((days < LEAST_DAYS) | (units < LEAST_UNITS), TOO_LITTLE),
        else_=ibis.null("string"),
    )
    seconds = known.seconds_in_stock_28_days.coalesce(0)
    rows = known.mutate(
        units_28_days=recent,
        in_stock_share_28_days=seconds.cast("float64") / known.seconds_28_days.nullif(0).cast("float64"),
        velocity=velocity,
        days_of_cover=cover,
        sell_through=known.inventory.notnull().ifelse(recent.cast("float64") / all_units, ibis.null("float64")),
        note=note,
    )
    classed = rows.mutate(revenue_class=_revenue_class(rows))
    by_cover = ibis.asc("days_of_cover", nulls_first=False)
    return classed.order_by(by_cover, "product_id").select(TABLES["stock_status"].names)


def _observed(stock: Stock, last: ibis.Table) -> ibis.Table:
    """Return how long each product was observed and in stock, in seconds. One row per product.

    Columns: seconds_in_stock over 56 days; seconds_28_days and seconds_in_stock_28_days over 28.
    """
    between = intervals(stock.observations, stock.max_gap)
    starts = last.select(window_at=last.last - WINDOW, recent_at=last.last - RECENT)
    at_window, at_recent = (
        near_seconds_at(starts, column, between).select(**{name: "near_seconds"})
        for column, name in (("window_at", "of_window"), ("recent_at", "of_recent"))
    )
    spans = observed_spans(stock.versions, stock.versions, between).cross_join(at_window).cross_join(at_recent)
    is_stocked = (spans.inventory > 0).fill_null(False)

    def seconds(since: ibis.Value) -> ibis.Value:
        return ibis.greatest(spans.observed_to - ibis.greatest(spans.observed_from, since), 0)

    return spans.group_by("product_id").aggregate(
        seconds_in_stock=is_stocked.ifelse(seconds(spans.of_window), 0).sum(),
        seconds_28_days=seconds(spans.of_recent).sum(),
        seconds_in_stock_28_days=is_stocked.ifelse(seconds(spans.of_recent), 0).sum(),
    )


def _sold(lines: ibis.Table, last: ibis.Table, stock: Stock) -> ibis.Table:
    """Return the units of each product in the windows, and their value. One row per product with a line in 84 days.

    Columns: units_28_days, units_56_days, units_in_stock and units_when_out (of 56 days), list_value (of 84 days).
    """
    near = lines.cross_join(last).filter((_.ordered_at > _.last - CLASSED) & (_.ordered_at <= _.last))
    dated = near.select(
        "product_id", "ordered_at", "quantity", is_recent=near.ordered_at > near.last - RECENT,
        is_in_window=near.ordered_at > near.last - WINDOW,
    )  # fmt: skip
    stated = with_stretch(with_stock_state(dated, "ordered_at", stock), "ordered_at", stock)
    priced = with_price(stated, stock.versions)

    def units(where: ibis.Value) -> ibis.Value:
        return where.ifelse(priced.quantity, 0).sum().cast("int64")

    return priced.group_by("product_id").aggregate(
        units_28_days=units(priced.is_recent),
        units_56_days=units(priced.is_in_window),
        units_in_stock=units(priced.is_in_window & priced.is_stocked),
        units_when_out=units(priced.is_in_window & (priced.stock_state == OUT)),
        list_value=(priced.quantity * priced.price).sum().cast(MONEY),
    )


def _last_sold(lines: ibis.Table) -> ibis.Table:
    return lines.filter(_.quantity > 0).group_by("product_id").aggregate(last_sold_at=_.ordered_at.max())


def _revenue_class(rows: ibis.Table) -> ibis.Value:
    """Return A, B or C by the share of value that better products have; `-` where a product has none."""
    value = ibis.greatest(rows.list_value.coalesce(ibis.literal(0, MONEY)), ibis.literal(0, MONEY))
    in_order = ibis.cumulative_window(order_by=[ibis.desc(value), rows.product_id])
    before = (value.sum().over(in_order) - value).cast("float64")
    share = before / value.sum().over(ibis.window()).cast("float64").nullif(0.0)
    return ibis.cases((value <= 0, "-"), (share < 0.80, "A"), (share < 0.95, "B"), else_="C")
