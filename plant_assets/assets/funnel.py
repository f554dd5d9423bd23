"""The open funnel of sessions: page_view, add_to_cart, checkout, package_shipped."""

import datetime as dt

import dagster as dg
import ibis
import pandas as pd

from plant_assets.contracts import UNKNOWN_PRODUCT
from plant_assets.partitions import is_only_changed, offsets_of
from plant_assets.sources.mapping import mapping_of
from plant_assets.storage import Since, Warehouse, to_sql
from plant_assets.transforms import funnel as transforms
from plant_assets.transforms.events import products_of_events


def int_funnel_weeks(
    context: dg.AssetExecutionContext, warehouse: dg.ResourceParam[Warehouse], int_session_days: ibis.Table
) -> Since:
    """Sessions by the week in which they first reached each stage; one row per week.

    Weeks before the first one that changed stay as they are.
    """
    since = _changed_since(context, warehouse, "int_funnel_weeks")
    return Since(transforms.funnel_weeks(int_session_days, since), "week_start_date", since)


def int_product_funnel_weeks(
    context: dg.AssetExecutionContext,
    warehouse: dg.ResourceParam[Warehouse],
    raw_events: ibis.Table,
    raw_order_items: ibis.Table,
    int_session_days: ibis.Table,
    product_snapshots: ibis.Table,
) -> Since:
    """Sessions and products by the week in which they first reached each stage; one row per week and product.

    Weeks before the first one that changed stay as they are. A product that becomes known changes the weeks that
    have an unknown one, items of an order those of its events.
    """
    name = "int_product_funnel_weeks"
    # Not from int_events, which would look up names for every event.
    offsets, has_items = offsets_of(context, warehouse.settings), mapping_of(warehouse.settings).has_order_items
    events = products_of_events(raw_events, raw_order_items, offsets, has_items)
    since = _changed_since(context, warehouse, name, "raw_order_items")
    if since is None:
        return Since(transforms.product_funnel_weeks(events, product_snapshots), "week_start_date", None)
    unknown_since = warehouse.value(
        f"select min(week_start_date) from {name} where product_id = ? and exists (from product_snapshots join _loads"
        " on source_table = 'products' and bucket = valid_from::varchar where changed_after is null"
        " and write_number > (select coalesce(max(made_with), 0) from _writes where table_name = ?))",
        [UNKNOWN_PRODUCT, name],
    )
    since = min(since, unknown_since or since)
    earlier: dt.date | None = warehouse.value(to_sql(transforms.earlier_date(int_session_days, since)))
    spans = warehouse.calendar.starts_at(earlier or since), warehouse.calendar.starts_at(since)
    return Since(transforms.product_funnel_weeks(events, product_snapshots, spans), "week_start_date", since)


def funnel(int_funnel_weeks: ibis.Table) -> ibis.Table:
    """Sessions that reached each stage, over everything; one row per store."""
    return transforms.whole_funnel(int_funnel_weeks)


def funnel_by_date(
    context: dg.AssetExecutionContext, warehouse: dg.ResourceParam[Warehouse], int_session_days: ibis.Table
) -> Since:
    """Sessions that reached each stage on a date; one row per event date.

    An open funnel by date can exceed 100 %: a session may view on one date and check out on the next. Dates do
    not add up to the whole for the same reason.
    """
    since = _changed_since(context, warehouse, "funnel_by_date")
    return Since(transforms.funnel_by_date(int_session_days, since), "event_date", since)


def funnel_by_product(int_product_funnel_weeks: ibis.Table, product_snapshots: ibis.Table) -> ibis.Table:
    """Distinct sessions that reached each stage with a product; one row per product.

    The row `(unknown)` takes the events whose product is NULL or was never observed.
    """
    return transforms.funnel_by_product(int_product_funnel_weeks, product_snapshots)


def funnel_steps(funnel: pd.DataFrame) -> pd.DataFrame:
    """What is lost from each stage to the next; one row per step."""
    return transforms.funnel_steps(funnel)


def _changed_since(context: dg.AssetExecutionContext, warehouse: Warehouse, name: str, *sources: str) -> dt.date | None:
    """The first week that a table has to count anew; None for all."""
    if not is_only_changed(context.run):
        return None
    return warehouse.changed_since(name, "int_session_days", *sources)


# funnel_by_date is held against the whole by its check, so it comes after it.
AFTER = {"funnel_by_date": ["funnel"]}
ASSETS = (int_funnel_weeks, int_product_funnel_weeks, funnel, funnel_by_date, funnel_by_product, funnel_steps)
