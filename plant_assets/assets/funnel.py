"""The open funnel of sessions: page_view, add_to_cart, checkout, package_shipped."""

import datetime as dt

import dagster as dg
import ibis
import pandas as pd

from plant_assets.contracts import STAGES, UNKNOWN_PRODUCT
from plant_assets.orchestration.partitions import as_of, is_only_changed, offsets_of
from plant_assets.transforms import entry, rates, stages, steps, weekly
from plant_assets.transforms import funnel as transforms
from plant_assets.transforms.events import products_of_events
from plant_assets.warehouse.store import Since
from plant_assets.warehouse.warehouse import Warehouse

DAY = dt.timedelta(days=1)


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
    have an unknown product. Items of an order change the weeks of its events.
    """
    name = "int_product_funnel_weeks"
    since = _products_changed_since(context, warehouse, name)
    if since is None:
        portions = warehouse.engine.portions("raw_events")
        parts = [transforms.of_portion(raw_events, number, portions) for number in range(portions)]
        counts = [
            transforms.product_funnel_weeks(
                _with_products(context, warehouse, part, raw_order_items), product_snapshots
            )
            for part in parts
        ]
        return Since(transforms.summed_weeks(counts), "week_start_date", None)
    first, starts_at = _first_instant(warehouse, int_session_days, since), warehouse.calendar.starts_at(since)
    recent, earlier = (
        _with_products(context, warehouse, events, raw_order_items)
        for events in transforms.recent_and_earlier(raw_events, first, starts_at)
    )
    return Since(transforms.product_funnel_weeks(recent, product_snapshots, earlier), "week_start_date", since)


def int_product_funnel_repeats(
    context: dg.AssetExecutionContext,
    warehouse: dg.ResourceParam[Warehouse],
    raw_events: ibis.Table,
    raw_order_items: ibis.Table,
    int_session_days: ibis.Table,
    product_snapshots: ibis.Table,
) -> Since:
    """Sessions and products in the weeks after their first one with a stage; one row per week and product.

    Only sessions that span weeks have such weeks, so only their events are read. Weeks before the first one that
    changed stay as they are, as in int_product_funnel_weeks.
    """
    since = _products_changed_since(context, warehouse, "int_product_funnel_repeats")
    spanning = transforms.spanning_sessions(int_session_days, since)
    events = raw_events.semi_join(spanning, "session_id")
    if since:
        first = ibis.literal(_first_instant(warehouse, int_session_days, since), "timestamp(6)")
        events = events.filter(events.created_at >= first)
    with_products = _with_products(context, warehouse, events, raw_order_items)
    repeats = transforms.product_funnel_repeats(with_products, product_snapshots, since)
    return Since(repeats, "week_start_date", since)


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


def funnel_by_entry_date(
    context: dg.AssetExecutionContext,
    warehouse: dg.ResourceParam[Warehouse],
    raw_events: ibis.Table,
    int_order_events: ibis.Table,
    int_session_days: ibis.Table,
) -> Since:
    """Sessions that reached each stage after the one before it, by the date of their first view; one row per date.

    A closed funnel: no rate exceeds 100 %. An order is shipped in time up to PLANT_SHIP_LIMIT_DAYS after its checkout,
    and a date is mature once that has passed since its end. Sessions without a view have a row without a date.
    """
    of_store = warehouse.ledger.facts.stages()
    limit = warehouse.settings.ship_limit_days if STAGES[-1] in of_store else 0
    last: dt.datetime | None = warehouse.engine.scalar(raw_events.aggregate(last=raw_events.created_at.max()))
    known_until = min(last, as_of(context)) - dt.timedelta(days=limit) if last else None
    mature_before = warehouse.calendar.last_date_before(known_until) + DAY if known_until else None
    since = _entered_since(context, warehouse, int_order_events, int_session_days, limit)
    if since and mature_before:
        since = min(since, mature_before)
        start = ibis.literal(warehouse.calendar.starts_at(since), "timestamp(6)")
        raw_events, int_order_events = (
            rows.filter(rows.created_at >= start) for rows in (raw_events, int_order_events)
        )
    offsets = offsets_of(context, warehouse.settings)
    funnels = entry.funnel_by_entry_date(
        raw_events, int_order_events, int_session_days, of_store, limit, mature_before, offsets, since
    )
    return Since(funnels, "entry_date", since)


def funnel_by_product(int_product_funnel_weeks: ibis.Table, product_snapshots: ibis.Table) -> ibis.Table:
    """Distinct sessions that reached each stage with a product; one row per product.

    The row `(unknown)` counts the events whose product is NULL or was never observed.
    """
    return transforms.funnel_by_product(int_product_funnel_weeks, product_snapshots)


def funnel_to_date(
    context: dg.AssetExecutionContext, warehouse: dg.ResourceParam[Warehouse], int_session_days: ibis.Table
) -> Since:
    """Sessions that reached each stage from Monday to a date; one row per event date.

    It compares weeks up to the same weekday, which sums of dates cannot: a session may span dates.
    """
    since = _changed_since(context, warehouse, "funnel_to_date")
    return Since(transforms.funnel_to_date(int_session_days, since), "event_date", since)


def funnel_by_week(funnel_to_date: ibis.Table) -> ibis.Table:
    """Sessions that reached each stage in a week; one row per week with an event.

    Weeks do not add up to the whole: a session counts in each week in which it reaches the stage.
    """
    return transforms.funnel_by_week(funnel_to_date)


def funnel_by_product_week(
    int_product_funnel_weeks: ibis.Table, int_product_funnel_repeats: ibis.Table, product_snapshots: ibis.Table
) -> ibis.Table:
    """Distinct sessions that reached each stage with a product in a week; one row per week and product.

    The row `(unknown)` takes the events whose product is NULL or was never observed.
    """
    return transforms.funnel_by_product_week(int_product_funnel_weeks, int_product_funnel_repeats, product_snapshots)


def funnel_steps(funnel: pd.DataFrame) -> pd.DataFrame:
    """Sessions lost from each stage to the next; one row per step."""
    return steps.funnel_steps(funnel)


def funnel_until_week(int_funnel_weeks: ibis.Table, weeks: ibis.Table) -> ibis.Table:
    """Sessions that reached each stage in all weeks up to a week's end; one row per week."""
    return weekly.funnel_until_week(int_funnel_weeks, weeks)


def funnel_steps_by_week(
    warehouse: dg.ResourceParam[Warehouse], funnel_by_week: pd.DataFrame, funnel_until_week: pd.DataFrame
) -> pd.DataFrame:
    """What is lost from each stage to the next, in a week and up to its end; one row per week, period and step.

    The period `week` is the week's funnel, `until_week` that of all weeks up to its end.
    """
    return weekly.funnel_steps_by_week(funnel_by_week, funnel_until_week, warehouse.ledger.facts.stages())


def funnel_stages_by_week(
    context: dg.AssetExecutionContext,
    warehouse: dg.ResourceParam[Warehouse],
    funnel_to_date: ibis.Table,
    funnel_until_week: ibis.Table,
    inventory: ibis.Table,
    weeks: ibis.Table,
) -> ibis.Table:
    """Rates of each stage with intervals, and their change since the week before; one row per week, period and stage.

    The period `week` is the week as far as it has gone, `whole_days` its days that are over, and `until_week` all weeks
    up to its end. The first week has no `whole_days`, nor has a week whose first day is not over.
    """
    today, of_store = warehouse.calendar.date_of(as_of(context)), warehouse.ledger.facts.stages()
    return stages.funnel_stages_by_week(funnel_to_date, funnel_until_week, inventory, weeks, of_store, today)


def purchase_rate_by_product_week(funnel_by_product_week: ibis.Table) -> ibis.Table:
    """The purchase rate of each product with its interval, beside that of all products; one row per week and product.

    A product with under 30 views in the week is not compared.
    """
    return rates.purchase_rate_by_product_week(funnel_by_product_week)


def _with_products(
    context: dg.AssetExecutionContext, warehouse: Warehouse, events: ibis.Table, order_items: ibis.Table
) -> ibis.Table:
    """Return events with products, as int_events without names: the view would look up a name for every event."""
    return products_of_events(events, order_items, offsets_of(context, warehouse.settings))


def _changed_since(context: dg.AssetExecutionContext, warehouse: Warehouse, name: str, *sources: str) -> dt.date | None:
    """Return the first week that a table has to count again; None for all."""
    if not is_only_changed(context.run):
        return None
    return warehouse.ledger.writes.changed_since(name, "int_session_days", *sources)


def _entered_since(
    context: dg.AssetExecutionContext,
    warehouse: Warehouse,
    order_events: ibis.Table,
    session_days: ibis.Table,
    limit: int,
) -> dt.date | None:
    """Return the first entry date to count again: one that a changed week bears on, or bore on; None for all.

    Dates that were not mature are counted again too, and all dates if the limit changed.
    """
    name = "funnel_by_entry_date"
    changed = _changed_since(context, warehouse, name)
    if changed is None or warehouse.value(f"select exists (from {name} where ship_limit_days <> ?)", [limit]):
        return None
    stored: dt.date | None = warehouse.value(
        f"select min(entry_date) from {name} where last_event_date >= ? or not is_mature", [changed]
    )
    starts_at = warehouse.calendar.starts_at(changed)
    touched: dt.date | None = warehouse.engine.scalar(
        entry.first_touched(session_days, order_events, changed, starts_at)
    )
    return min(changed, stored or changed, touched or changed)


def _products_changed_since(context: dg.AssetExecutionContext, warehouse: Warehouse, name: str) -> dt.date | None:
    """As `_changed_since`, for a table that has unknown products: one that became known changes its weeks with them."""
    since = _changed_since(context, warehouse, name, "raw_order_items")
    if since is None:
        return None
    if not warehouse.ledger.writes.has_new_product(name):
        return since
    unknown_since: dt.date | None = warehouse.value(
        f"select min(week_start_date) from {name} where product_id = ?", [UNKNOWN_PRODUCT]
    )
    return min(since, unknown_since or since)


def _first_instant(warehouse: Warehouse, session_days: ibis.Table, since: dt.date) -> dt.datetime:
    """Where the events begin of the sessions that are there from `since` on."""
    earlier: dt.date | None = warehouse.engine.scalar(transforms.earlier_date(session_days, since))
    return warehouse.calendar.starts_at(earlier or since)


ASSETS = (
    int_funnel_weeks,
    int_product_funnel_weeks,
    int_product_funnel_repeats,
    funnel,
    funnel_by_date,
    funnel_by_entry_date,
    funnel_by_product,
    funnel_to_date,
    funnel_by_week,
    funnel_by_product_week,
    funnel_steps,
    funnel_until_week,
    funnel_steps_by_week,
    funnel_stages_by_week,
    purchase_rate_by_product_week,
)
