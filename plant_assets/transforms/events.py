"""Events with the products of their orders, and what each session reached on each date."""

import datetime as dt
from collections.abc import Sequence

import ibis
from ibis import _

from plant_assets.contracts import ORDER_STAGES, STAGES, TABLES

Offsets = Sequence[tuple[dt.datetime | None, dt.timedelta]]


def local_instant(instant: ibis.Value, offsets: Offsets) -> ibis.Value:
    """Return a UTC instant in local time.

    `offsets` are the zone's, each with the instant until which it holds (`Calendar.offsets`). Engines disagree on time
    zones, but agree on adding seconds.
    """

    def on_clock(offset: dt.timedelta) -> ibis.Value:
        seconds = int(offset.total_seconds())
        return instant + ibis.interval(seconds=seconds) if seconds else instant

    starts = [until for until, _offset in offsets[:-1]]
    branches = [
        (instant >= ibis.literal(start, "timestamp(6)"), on_clock(offset))
        for start, (_until, offset) in zip(starts, offsets[1:], strict=True)
    ]
    first = on_clock(offsets[0][1])
    return ibis.cases(*reversed(branches), else_=first) if branches else first


def local_date(instant: ibis.Value, offsets: Offsets) -> ibis.Value:
    """Return the local date of a UTC instant."""
    return local_instant(instant, offsets).date()


def monday(date: ibis.Value) -> ibis.Value:
    """Return the Monday of a date's ISO week."""
    # Cast first: some engines return an instant when they truncate a date.
    return date.cast("timestamp(6)").truncate("W").date()


def last_known_names(product_snapshots: ibis.Table) -> ibis.Table:
    """Return the last name of each product, also after it left.

    One row per product that ever had a name: product_id, product_name.
    """
    named = product_snapshots.filter(_.name.notnull())
    latest = named.group_by("product_id").aggregate(valid_from=_.valid_from.max())
    return named.join(latest, ["product_id", "valid_from"]).select("product_id", product_name="name")


def events_with_products(
    events: ibis.Table,
    order_items: ibis.Table,
    product_snapshots: ibis.Table,
    offsets: Offsets,
) -> ibis.Table:
    """Return every event with its date, step and products. One row per event and product: columns of int_events.

    An event of an order has the order's items; where there are none, the product that it names itself.

    Args:
        events: rows of raw_events.
        order_items: rows of raw_order_items.
        product_snapshots: the product versions.
        offsets: the zone's offsets.
    """
    names = last_known_names(product_snapshots).rename(named_product_id="product_id")
    with_product = products_of_events(events, order_items, offsets)
    named = with_product.left_join(names, with_product.product_id == names.named_product_id)
    return named.select(TABLES["int_events"].names)


def products_of_events(events: ibis.Table, order_items: ibis.Table, offsets: Offsets) -> ibis.Table:
    """Return `events_with_products` without product_name."""
    steps = [(events.event_type == stage, step) for step, stage in enumerate(STAGES, start=1)]
    dated = events.mutate(
        event_date=local_date(events.created_at, offsets), session_step=ibis.cases(*steps).cast("int64")
    )
    columns = [name for name in TABLES["int_events"].names if name != "product_name"]
    # Only events of orders are joined: joining all events costs several times as much.
    is_of_order = dated.event_type.isin(ORDER_STAGES)
    items = order_items.select("order_id", item_id="product_id")
    with_items = dated.filter(is_of_order).left_join(items, "order_id", rname="{name}_of_items")
    with_items = with_items.mutate(product_id=_.item_id.coalesce(_.product_id))
    return ibis.union(dated.filter(~is_of_order).select(columns), with_items.select(columns))


def sessions(events: ibis.Table, offsets: Offsets) -> ibis.Table:
    """Return who each session is of, when it was, and what it reached. One row per session."""
    is_of = {stage: events.event_type == stage for stage in STAGES}
    found = events.group_by("session_id").aggregate(
        user_id=events.user_id.min(),
        first_event_at=events.created_at.min(),
        last_event_at=events.created_at.max(),
        first_view_at=events.created_at.min(where=is_of[STAGES[0]]),
        orders=events.order_id.nunique(where=is_of[ORDER_STAGES[0]]),
        events=events.count(),
        **{stage: flag.any() for stage, flag in is_of.items()},
    )
    return found.mutate(entry_date=local_date(found.first_view_at, offsets)).select(TABLES["int_sessions"].names)


def session_days(events: ibis.Table, offsets: Offsets) -> ibis.Table:
    """Return the stages that each session reached on each local date. One row per session and date."""
    dated = events.mutate(event_date=local_date(events.created_at, offsets))
    reached = {stage: (dated.event_type == stage).any() for stage in STAGES}
    days = dated.group_by("event_date", "session_id").aggregate(**reached, events=_.count())
    return days.select(TABLES["int_session_days"].names)
