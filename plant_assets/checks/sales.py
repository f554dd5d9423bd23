"""Facts of sales and customers: no order, unit or buyer is lost or counted twice."""

import ibis
from ibis import _

from plant_assets.checks.base import Check, Scope, keys
from plant_assets.transforms.orders import sold_lines


def _differing(what: str, found: ibis.Table, expected: ibis.Table) -> ibis.Table:
    """Return a key if the sums of two tables of one row and column differ; a sum of nothing is 0."""
    both = found.select(found=found[0].coalesce(0)).cross_join(expected.select(expected=expected[0].coalesce(0)))
    return keys(both.filter(_.found != _.expected), ibis.literal(what), "found", ibis.literal("for"), "expected")


def _sum(table: ibis.Table, column: str) -> ibis.Table:
    return table.aggregate(total=table[column].sum())


def _sold_orders(scope: Scope) -> ibis.Table:
    return scope.whole("int_orders").filter(_.is_sold)


def _sold_units(scope: Scope) -> ibis.Table:
    return _sum(sold_lines(scope.whole("int_orders"), scope.whole("raw_order_items")), "quantity")


def _buyers(scope: Scope) -> ibis.Table:
    return _sold_orders(scope).aggregate(buyers=_.user_id.nunique())


def _weeks_off(scope: Scope) -> ibis.Table:
    weeks = scope.whole("sales_by_week")
    return ibis.union(
        _differing("orders", _sum(weeks, "orders"), _sold_orders(scope).aggregate(orders=_.count())),
        _differing("units", _sum(weeks, "units"), _sold_units(scope)),
        _differing("new_buyers", _sum(weeks, "new_buyers"), _buyers(scope)),
    )


def _products_off(scope: Scope) -> ibis.Table:
    return _differing("units", _sum(scope.whole("sales_by_product_week"), "units"), _sold_units(scope))


def _customers_off(scope: Scope) -> ibis.Table:
    whole = scope.whole("customers")
    parts = whole.aggregate(parts=(_.with_one_order + _.with_two_orders + _.with_three_or_more).sum())
    return ibis.union(
        _differing("parts", parts, _sum(whole, "buyers")), _differing("buyers", _sum(whole, "buyers"), _buyers(scope))
    )


CHECKS: tuple[Check, ...] = (
    Check(
        "sales_by_week",
        "add_up_to_the_orders",
        "Over all weeks, orders are the sold orders, units their quantities, and new buyers the buyers.",
        _weeks_off,
        reads=("int_orders", "raw_order_items"),
    ),
    Check(
        "sales_by_product_week",
        "add_up_to_the_orders",
        "Over all weeks and products, units are the quantities of sold orders.",
        _products_off,
        reads=("int_orders", "raw_order_items"),
    ),
    Check(
        "customers",
        "add_up_to_the_buyers",
        "Buyers with one order, two, and three or more add up to all users with a sold order.",
        _customers_off,
        reads=("int_orders",),
    ),
)
