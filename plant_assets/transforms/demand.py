"""What visitors wanted, by what was in stock: views, carts and sold units by the state of the product at the time."""

from collections.abc import Sequence

import ibis
from ibis import _

from plant_assets.contracts import TABLES
from plant_assets.transforms.events import Offsets, local_date, monday, products_of_events
from plant_assets.transforms.held import named_by_week
from plant_assets.transforms.orders import sold_lines
from plant_assets.transforms.stock_state import IN_STOCK, OUT, STATES, Stock, with_stock_state

OF_PRODUCT = ("week_start_date", "product_id")
PAIR = (*OF_PRODUCT, "session_id")
VIEW, CART, CHECKOUT = "page_view", "add_to_cart", "checkout"


def demand_by_session(events: ibis.Table, stock: Stock, offsets: Offsets) -> ibis.Table:
    """Count the views of each product by its state, and the sessions with them. One row per week and product.

    Sessions are counted apart, so counts of portions of the sessions add up (`product_demand`).
    """
    looks = _looks(events, (VIEW, CART), stock, offsets)
    is_view = looks.event_type == VIEW
    by_session = looks.group_by(*PAIR).aggregate(
        **{f"views_{state}": looks.count(where=is_view & (looks.stock_state == state)) for state in STATES},
        carts_in_stock=looks.count(where=~is_view & (looks.stock_state == IN_STOCK)),
    )
    has_seen = {state: by_session[f"views_{state}"] > 0 for state in STATES}
    counts = {name: by_session[name].sum().cast("int64") for name in by_session.columns if name not in PAIR}
    sessions = {f"view_sessions_{state}": seen.cast("int64").sum().cast("int64") for state, seen in has_seen.items()}
    knowing = (has_seen[IN_STOCK] | has_seen[OUT]).cast("int64").sum().cast("int64")
    counted = by_session.group_by(*OF_PRODUCT).aggregate(**counts, **sessions, sessions_in_stock_or_out=knowing)
    return counted.filter(ibis.or_(*(_[f"views_{state}"] > 0 for state in STATES), _.carts_in_stock > 0))


def _looks(events: ibis.Table, types: tuple[str, ...], stock: Stock, offsets: Offsets) -> ibis.Table:
    """Return the events of these types that name a product, with week and state. One row per event."""
    named = events.filter(events.event_type.isin(types) & events.product_id.notnull())
    dated = named.select(
        "session_id",
        "product_id",
        "event_type",
        "created_at",
        week_start_date=monday(local_date(named.created_at, offsets)),
    )
    return with_stock_state(dated, "created_at", stock).drop("created_at")


def product_demand(
    by_session: Sequence[ibis.Table],
    events: ibis.Table,
    orders: ibis.Table,
    order_items: ibis.Table,
    stock: Stock,
    offsets: Offsets,
) -> ibis.Table:
    """Return what was wanted of each product. One row per week and product: columns of int_product_demand.

    Args:
        by_session: `demand_by_session` of portions of the events.
        events: the events of the weeks to return.
        orders: rows of int_orders of these weeks.
        order_items: rows of raw_order_items.
        stock: what tells the state of stock.
        offsets: the zone's offsets.
    """
    bought = _bought_in_stock(events, order_items, stock, offsets)
    buyers = bought.group_by(*OF_PRODUCT).aggregate(buying_sessions_in_stock=_.session_id.nunique())
    dated = orders.filter(_.week_start_date.notnull())
    lines = sold_lines(dated, order_items).select("order_id", *OF_PRODUCT, quantity=_.quantity.coalesce(0))
    in_view = bought.filter(_.order_id.notnull()).select("order_id", *OF_PRODUCT).distinct().mutate(is_in_view=True)
    placed = lines.left_join(in_view, ["order_id", *OF_PRODUCT], rname="{name}_of_view")
    is_in_view = placed.is_in_view.fill_null(False)
    units = placed.group_by(*OF_PRODUCT).aggregate(
        units_in_stock_view=is_in_view.ifelse(placed.quantity, 0).sum().cast("int64"),
        units_other=is_in_view.ifelse(0, placed.quantity).sum().cast("int64"),
    )
    parts = (*by_session, buyers, units)
    measures = [name for part in (by_session[0], buyers, units) for name in part.columns if name not in OF_PRODUCT]
    every = ibis.union(*(_with_zeros(part, measures) for part in parts))
    summed = every.group_by(*OF_PRODUCT).aggregate(**{name: every[name].sum().cast("int64") for name in measures})
    share = summed.view_sessions_out.cast("float64") / summed.sessions_in_stock_or_out.nullif(0)
    return summed.mutate(share_met_empty_shelf=share).select(TABLES["int_product_demand"].names)


def named_demand(demand: ibis.Table, product_snapshots: ibis.Table, offsets: Offsets) -> ibis.Table:
    """Add the name of each week to rows of int_product_demand. One row per week and product."""
    return named_by_week(demand, product_snapshots, offsets).select(TABLES["product_demand"].names)


def first_week_of_other_units(demand: ibis.Table, sales_by_product_week: ibis.Table) -> ibis.Table:
    """Return the first week whose units in int_product_demand are not those that were sold. One row: week."""
    nothing = ibis.literal(0, "int64")
    counted = demand.select(*OF_PRODUCT, counted=_.units_in_stock_view + _.units_other, units=nothing)
    sold = sales_by_product_week.filter(_.week_start_date.notnull())
    both = ibis.union(counted, sold.select(*OF_PRODUCT, counted=nothing, units="units"))
    sums = both.group_by(*OF_PRODUCT).aggregate(counted=_.counted.sum(), units=_.units.sum())
    return sums.filter(_.counted != _.units).aggregate(week=_.week_start_date.min())


def _with_zeros(part: ibis.Table, measures: list[str]) -> ibis.Table:
    zeros = {name: ibis.literal(0, "int64") for name in measures if name not in part.columns}
    return part.mutate(**zeros).select(*OF_PRODUCT, *measures)


def _bought_in_stock(events: ibis.Table, order_items: ibis.Table, stock: Stock, offsets: Offsets) -> ibis.Table:
    """Return checkouts of a product that their session has viewed in stock, in the same week.

    One row per week, product, session and order. Columns: these.
    """
    checkouts = products_of_events(events.filter(events.event_type == CHECKOUT), order_items, offsets)
    bought = checkouts.filter(_.product_id.notnull()).select(
        "session_id", "product_id", "order_id", week_start_date=monday(checkouts.event_date)
    )
    # Few views are of what their session bought: only their states are looked up.
    views = _looks(events.semi_join(bought, ["session_id", "product_id"]), (VIEW,), stock, offsets)
    return bought.distinct().semi_join(views.filter(_.stock_state == IN_STOCK), [*PAIR])
