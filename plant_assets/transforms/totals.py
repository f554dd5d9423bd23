"""What a table, or a week of it, comes to: one row of named numbers, which the UI plots over time."""

from collections.abc import Callable

import ibis
from ibis import _


def _of_session_days(days: ibis.Table) -> ibis.Table:
    return days.aggregate(sessions=_.session_id.nunique(), events=_.events.sum().coalesce(0))


def _of_inventory(inventory: ibis.Table) -> ibis.Table:
    return inventory.aggregate(
        products=_.count(),
        out_of_stock_at_end=_.count(where=inventory.closing_inventory <= 0),
        hours_out_of_stock=_.hours_out_of_stock.sum().coalesce(0.0),
        units_in=_.inflow.sum().coalesce(0),
        units_out=_.outflow.sum().coalesce(0),
    )


def _of_inventory_changes(changes: ibis.Table) -> ibis.Table:
    return changes.aggregate(
        products_changed=_.count(where=changes.change != 0),
        sold_out=_.count(where=changes.state == "sold_out"),
        restocked=_.count(where=changes.state == "restocked"),
    )


def _of_fluctuations(fluctuations: ibis.Table) -> ibis.Table:
    return fluctuations.aggregate(
        changes=_.changes.sum().coalesce(0), most_changes=_.changes.max().coalesce(0), volume=_.volume.sum().coalesce(0)
    )


def _of_stockouts(stockouts: ibis.Table) -> ibis.Table:
    return stockouts.aggregate(
        episodes=_.count(),
        products_out_of_stock=_.count(where=stockouts.is_ongoing),
        hours_out=_.hours_out.sum().coalesce(0.0),
    )


def _of_products_seen(products: ibis.Table) -> ibis.Table:
    return products.aggregate(
        products=_.count(),
        current=_.count(where=products.is_current).coalesce(0),
        units=_.inventory.sum().coalesce(0),
    )


def _of_products(products: ibis.Table) -> ibis.Table:
    return products.aggregate(products=_.count(), never_bought=_.count(where=products.checkout == 0))


def _of_sales(sales: ibis.Table) -> ibis.Table:
    return sales.aggregate(orders=_.orders.sum().coalesce(0), units=_.units.sum().coalesce(0))


def _of_product_sales(sales: ibis.Table) -> ibis.Table:
    return sales.aggregate(products=_.product_id.nunique(), units=_.units.sum().coalesce(0))


def _of_steps(steps: ibis.Table) -> ibis.Table:
    return steps.aggregate(most_lost=_.lost.max(), lowest_step_rate=_.step_rate.min())


def _of_demand(demand: ibis.Table) -> ibis.Table:
    return demand.aggregate(views_in_stock=_.views_in_stock.sum().coalesce(0), views_out=_.views_out.sum().coalesce(0))


def _of_status(status: ibis.Table) -> ibis.Table:
    return status.aggregate(
        products=_.count(),
        out_of_stock=_.count(where=status.inventory <= 0),
        under_a_week=_.count(where=status.days_of_cover < 7),
    )


def _of_changes(changes: ibis.Table) -> ibis.Table:
    return changes.aggregate(weeks=_.week_start_date.nunique())


# By the table that each is of. Each has one row, also of no rows.
TOTALS: dict[str, Callable[[ibis.Table], ibis.Table]] = {
    "int_session_days": _of_session_days,
    "inventory": _of_inventory,
    "inventory_changes": _of_inventory_changes,
    "inventory_fluctuations": _of_fluctuations,
    "stockouts": _of_stockouts,
    "products": _of_products_seen,
    "funnel_by_product": _of_products,
    "funnel_steps": _of_steps,
    "product_demand": _of_demand,
    "stock_status": _of_status,
    "units_change": _of_changes,
    "sales_by_week": _of_sales,
    "sales_by_product_week": _of_product_sales,
}
