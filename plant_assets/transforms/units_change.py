"""Why units changed from a week to the next: by views, by what was in stock of them, and by what they led to."""

import ibis
from ibis import _

from plant_assets.contracts import TABLES
from plant_assets.transforms.demand import OF_PRODUCT
from plant_assets.transforms.events import Offsets
from plant_assets.transforms.held import named_by_week

PARTS = ("of_views", "of_stock", "of_conversion", "of_other")
MEASURES = ("views", "views_in_stock", "units_in_view", "units_other")
# How many products are shown with more units, and with fewer.
MOST_SHOWN = 5
# Changes of Poisson counts stay within this many standard deviations in 95 % of weeks.
USUAL = 1.96
DIGITS = 9
WITHIN = "within the usual"


def units_change(
    demand: ibis.Table, phi: ibis.Table, weeks: ibis.Table, product_snapshots: ibis.Table, offsets: Offsets
) -> ibis.Table:
    """Return the change of units against the week before, and its parts: columns of units_change.

    One row per week of the calendar from the second on, for the store, and one each for the products that changed
    most. Parts are Shapley values (Shapley 1953) of the product of views, share in stock and units per view in stock.

    Args:
        demand: rows of int_product_demand.
        phi: how much more units vary than orders, one row (`dispersion`).
        weeks: the calendar.
        product_snapshots: the product versions.
        offsets: the zone's offsets.
    """
    first = weeks.aggregate(first=_.week_start_date.min())
    shown = weeks.cross_join(first).filter(_.week_start_date > _.first).select("week_start_date")
    products = _with_parts(_with_week_before(demand).semi_join(shown, "week_start_date"))
    whole = _of_store(products, shown)
    named = named_by_week(_most_changed(products, phi), product_snapshots, offsets)
    columns = TABLES["units_change"].names
    return ibis.union(whole.select(columns), named.select(columns))


def _with_week_before(demand: ibis.Table) -> ibis.Table:
    """Return the measures of a week and those of the week before (`*_before`); zeros without a row.

    One row per week and product with a row in either, also for the week after the last.
    """
    measured = demand.select(
        *OF_PRODUCT,
        "views_in_stock",
        "units_other",
        views=_.views_in_stock + _.views_out,
        units_in_view=_.units_in_stock_view,
    )
    following = (measured.week_start_date.cast("timestamp(6)") + ibis.interval(days=7)).date()
    nothing = ibis.literal(0, "int64")
    now = measured.select(*OF_PRODUCT, *MEASURES, **{f"{name}_before": nothing for name in MEASURES})
    then = measured.select(
        "product_id",
        week_start_date=following,
        **dict.fromkeys(MEASURES, nothing),
        **{f"{name}_before": measured[name] for name in MEASURES},
    ).select(now.columns)
    both = ibis.union(now, then)
    sums = {name: both[name].sum().cast("int64") for name in both.columns if name not in OF_PRODUCT}
    return both.group_by(*OF_PRODUCT).aggregate(**sums)


def _with_parts(rows: ibis.Table) -> ibis.Table:
    """Add units, their change and its parts to weeks and products."""

    def ratio(part: str, whole: str) -> tuple[ibis.Value, ibis.Value]:
        """Return a ratio of the week before and of the week; where one is not known, the other; 0 where neither is."""
        now = rows[part].cast("float64") / rows[whole].nullif(0).cast("float64")
        before = rows[f"{part}_before"].cast("float64") / rows[f"{whole}_before"].nullif(0).cast("float64")
        return before.coalesce(now, 0.0), now.coalesce(before, 0.0)

    views0, views1 = rows.views_before.cast("float64"), rows.views.cast("float64")
    (share0, share1), (rate0, rate1) = ratio("views_in_stock", "views"), ratio("units_in_view", "views_in_stock")
    units_before = rows.units_in_view_before + rows.units_other_before
    units = rows.units_in_view + rows.units_other
    return rows.select(
        *OF_PRODUCT,
        units_before=units_before,
        units=units,
        change=units - units_before,
        of_views=_part(views0, views1, share0, share1, rate0, rate1),
        of_stock=_part(share0, share1, views0, views1, rate0, rate1),
        of_conversion=_part(rate0, rate1, views0, views1, share0, share1),
        of_other=(rows.units_other - rows.units_other_before).cast("float64"),
    )


def _part(x0: ibis.Value, x1: ibis.Value, y0: ibis.Value, y1: ibis.Value, z0: ibis.Value, z1: ibis.Value) -> ibis.Value:
    """Return the Shapley part of x in the change of x y z."""
    return (x1 - x0) * ((y0 * z0 + y1 * z1) / 3.0 + (y0 * z1 + y1 * z0) / 6.0)


def _of_store(products: ibis.Table, weeks: ibis.Table) -> ibis.Table:
    """Return the sums over all products. One row per week of `weeks`."""
    counts, nothing = ("units_before", "units", "change"), ibis.null("string")
    sums = products.group_by("week_start_date").aggregate(
        **{name: products[name].sum() for name in counts}, **{name: products[name].sum() for name in PARTS}
    )
    known = weeks.left_join(sums, "week_start_date", rname="{name}_of_sums")
    return known.mutate(
        **{name: known[name].coalesce(0).cast("int64") for name in counts},
        # Engines add fractions up in any order: rounded, two runs give the same.
        **{name: known[name].coalesce(0.0).round(DIGITS) for name in PARTS},
        product_id=nothing,
        product_name=nothing,
        note=nothing,
    )


def _most_changed(products: ibis.Table, phi: ibis.Table) -> ibis.Table:
    """Return the products that changed most, up and down; parts only where chance does not explain the change."""
    changed = products.filter(_.change != 0)
    by_size = ibis.window(
        group_by=["week_start_date", changed.change > 0], order_by=[ibis.desc(changed.change.abs()), "product_id"]
    )
    most = changed.mutate(place=ibis.row_number().over(by_size)).filter(_.place < MOST_SHOWN).cross_join(phi)
    variance = most.phi * (most.units_before + most.units).cast("float64")
    is_beyond = most.change.abs().cast("float64") > USUAL * ibis.greatest(variance, 0.0).sqrt()
    parts = {name: is_beyond.ifelse(most[name], ibis.null("float64")) for name in PARTS}
    return most.mutate(**parts, note=is_beyond.ifelse(ibis.null("string"), WITHIN))
