"""Facts of demand: every view and every sold unit is counted once."""

import ibis
from ibis import _

from plant_assets.checks.base import Check, Scope, keys
from plant_assets.transforms.demand import OF_PRODUCT
from plant_assets.transforms.events import local_date, monday
from plant_assets.transforms.stock_state import STATES

LEAST_REST = 1e-6


def _differing(counted: ibis.Table, stored: ibis.Table) -> ibis.Table:
    """Return keys of weeks and products whose `rows` differ. Both tables have one row per week and product."""
    nothing = ibis.literal(0, "int64")
    both = ibis.union(
        counted.select(*OF_PRODUCT, counted=_.rows.cast("int64"), stored=nothing),
        stored.select(*OF_PRODUCT, counted=nothing, stored=_.rows.cast("int64")),
    )
    sums = both.group_by(*OF_PRODUCT).aggregate(counted=_.counted.sum(), stored=_.stored.sum())
    return keys(sums.filter(_.counted != _.stored), *OF_PRODUCT, "counted", ibis.literal("counted, not"), "stored")


def _views_off(scope: Scope) -> ibis.Table:
    events = scope.table("raw_events").filter((_.event_type == "page_view") & _.product_id.notnull())
    dates = events.group_by("product_id", date=local_date(events.created_at, scope.offsets())).aggregate(
        views=_.count()
    )
    viewed = dates.group_by(week_start_date=monday(dates.date), product_id=dates.product_id).aggregate(
        rows=_.views.sum()
    )
    demand = scope.table("product_demand")
    views = [demand[f"views_{state}"] for state in STATES]
    return _differing(demand.select(*OF_PRODUCT, rows=views[0] + views[1] + views[2] + views[3]), viewed)


def _units_off(scope: Scope) -> ibis.Table:
    demand = scope.whole("product_demand")
    sold = scope.whole("sales_by_product_week").filter(_.week_start_date.notnull())
    counted = demand.select(*OF_PRODUCT, rows=demand.units_in_stock_view + demand.units_other)
    return _differing(counted, sold.select(*OF_PRODUCT, rows="units"))


def _parts_off(scope: Scope) -> ibis.Table:
    explained = scope.whole("units_change").filter(_.of_views.notnull())
    rest = explained.change - (explained.of_views + explained.of_stock + explained.of_conversion + explained.of_other)
    # Fractions are sums over products, which no engine adds up in the same order.
    wrong = explained.filter(rest.abs() > LEAST_REST)
    return keys(wrong, "week_start_date", "product_id", "change")


CHECKS: tuple[Check, ...] = (
    Check(
        "product_demand",
        "counts_every_view",
        "Views over the four states are the page_view events of the product and week.",
        _views_off,
        reads=("raw_events",),
    ),
    Check(
        "product_demand",
        "counts_every_unit",
        "Units from an in-stock view and other units are the units of sales_by_product_week, in each week.",
        _units_off,
        reads=("sales_by_product_week",),
    ),
    Check(
        "units_change",
        "has_parts_that_add_up",
        "Where a change has parts, they add up to it.",
        _parts_off,
    ),
)
