"""The closed funnel by the date on which a session first views a page: each stage is sought after the one before.

`funnel.py` has the open funnels.
"""

import datetime as dt
from collections.abc import Sequence
from itertools import pairwise

import ibis
from ibis import _

from plant_assets.contracts import STAGES, TABLES
from plant_assets.transforms.events import Offsets, local_date
from plant_assets.transforms.funnel import with_rates
from plant_assets.transforms.quantiles import hours_by_date

VIEW, CART, CHECKOUT, SHIPMENT = STAGES
LATER = STAGES[1:]
NO_INSTANT = ibis.null("timestamp(6)")


def funnel_by_entry_date(
    events: ibis.Table,
    order_events: ibis.Table,
    session_days: ibis.Table,
    stages: Sequence[str],
    limit_days: int,
    mature_before: dt.date | None,
    offsets: Offsets,
    since: dt.date | None = None,
) -> ibis.Table:
    """Return the closed funnel of each entry date. One row per date of a first page_view, and one without a date.

    The row without a date has the sessions that view no page; it is there if there are any.

    Args:
        events: rows of raw_events; with `since`, those before that date are not needed.
        order_events: rows of int_order_events, as `events`.
        session_days: all rows of int_session_days.
        stages: the stages that the store has.
        limit_days: days after the checkout within which a shipment counts; 0 if the store has no shipments.
        mature_before: the first date of which sessions may still reach a stage; None: all dates.
        offsets: the zone's offsets.
        since: return only the dates from this one on, and the row without a date.
    """
    sessions = _sessions(session_days, since)
    has_more = ibis.or_(*(sessions[f"any_{stage}"] for stage in LATER))
    chained = _chained(events, order_events, sessions.filter(sessions.entry_date.notnull() & has_more), stages)
    reached = _shipped(chained, order_events, stages, limit_days, offsets)
    both = sessions.left_join(reached, "session_id")
    counts = _counts(both)
    # Without any mature date it is false, and NULL in the row without a date.
    is_mature = (counts.entry_date < mature_before) if mature_before else (counts.entry_date != counts.entry_date)
    rows = with_rates(counts).mutate(is_mature=is_mature, ship_limit_days=ibis.literal(limit_days, "int64"))
    timed = rows.left_join(_hours(both, stages, mature_before), "entry_date", rname="{name}_of_hours")
    return timed.select(TABLES["funnel_by_entry_date"].names)


def _sessions(session_days: ibis.Table, since: dt.date | None) -> ibis.Table:
    """Return the sessions that enter from `since` on, or never. One row per session.

    Columns: session_id, entry_date, any_add_to_cart and so on, last_event_date.
    """
    days = session_days
    if since:
        candidates = days.filter(~_.page_view | (_.event_date >= since))
        earlier = days.filter(_.page_view & (_.event_date < since))
        entered = earlier.semi_join(candidates, "session_id").select("session_id").distinct()
        days = candidates.anti_join(entered, "session_id")
    return days.group_by("session_id").aggregate(
        entry_date=days.event_date.min(where=days.page_view),
        last_event_date=days.event_date.max(),
        **{f"any_{stage}": days[stage].any() for stage in LATER},
    )


def _chained(
    events: ibis.Table, order_events: ibis.Table, sessions: ibis.Table, stages: Sequence[str]
) -> tuple[ibis.Table, ibis.Table]:
    """Return the instants of a session's stages before the checkout, and where shipments are sought from.

    The first has one row per session: session_id, page_view_at, add_to_cart_at; where the store has carts, of sessions
    with one in turn. The second has one row per session and order with a checkout in turn: session_id, order_id (NULL:
    checkouts without one), sought_from.
    """
    views = events.filter(_.event_type == VIEW).semi_join(sessions, "session_id").group_by("session_id")
    viewed, before = views.aggregate(page_view_at=_.created_at.min()), "page_view_at"
    if CART in stages:
        # An aggregate is made once, where a join would be made again by each of its readers.
        carts = _in_turn(events, viewed, CART, before).group_by("session_id")
        reached = carts.aggregate(page_view_at=_.page_view_at.min(), add_to_cart_at=_.created_at.min())
        before = "add_to_cart_at"
    else:
        reached = viewed.mutate(add_to_cart_at=NO_INSTANT)
    if CHECKOUT not in stages:
        return reached, reached.select("session_id", order_id=ibis.null("string"), sought_from=before)
    checkouts = _in_turn(order_events, reached, CHECKOUT, before).group_by("session_id", "order_id")
    return reached, checkouts.aggregate(sought_from=_.created_at.min())


def _in_turn(events: ibis.Table, instants: ibis.Table, stage: str, before: str) -> ibis.Table:
    """Return the events of a stage at or after the session's stage before it. One row per event."""
    both = events.filter(_.event_type == stage).join(instants, "session_id")
    return both.filter(both.created_at >= both[before])


def _shipped(
    chained: tuple[ibis.Table, ibis.Table],
    order_events: ibis.Table,
    stages: Sequence[str],
    limit_days: int,
    offsets: Offsets,
) -> ibis.Table:
    """Add when a session checked out, and when its orders were shipped. One row per session.

    Added columns: checkout_at, package_shipped_at (the first within the limit), is_late (one came after it),
    last_shipped_date.
    """
    reached, sought = chained
    shipments = order_events.filter((_.event_type == SHIPMENT) & ibis.literal(SHIPMENT in stages))
    shipments = shipments.select("session_id", "order_id", shipped_at="created_at")
    of_none = shipments.filter(_.order_id.isnull()).drop("order_id")
    of_any = shipments.filter(_.order_id.notnull()).drop("order_id")
    pairs = ibis.union(
        *(
            each.select("session_id", "sought_from", "shipped_at")
            for each in (
                sought.join(shipments.drop("session_id"), "order_id"),
                sought.join(of_none, "session_id"),
                sought.filter(_.order_id.isnull()).join(of_any, "session_id"),
            )
        )
    )
    until = pairs.sought_from + ibis.interval(hours=24 * limit_days)
    is_in_time = (pairs.shipped_at >= pairs.sought_from) & (pairs.shipped_at <= until)
    shipped = pairs.group_by("session_id").aggregate(
        package_shipped_at=pairs.shipped_at.min(where=is_in_time),
        is_late=(pairs.shipped_at > until).any(),
        last_shipped_date=local_date(pairs.shipped_at.max(), offsets),
    )
    both = reached.left_join(shipped, "session_id").drop("session_id_right")
    if CHECKOUT not in stages:
        return both.mutate(checkout_at=NO_INSTANT)
    checked_out = sought.group_by("session_id").aggregate(checkout_at=_.sought_from.min())
    return both.left_join(checked_out, "session_id").drop("session_id_right")


def _counts(sessions: ibis.Table) -> ibis.Table:
    """Count the sessions that reached, had or skipped each stage. One row per entry date."""
    has = {VIEW: sessions.entry_date.notnull(), **{stage: sessions[f"{stage}_at"].notnull() for stage in LATER}}
    is_late = ~has[SHIPMENT] & sessions.is_late.fill_null(False)
    skipped = {stage: sessions[f"any_{stage}"] & ~has[stage] for stage in LATER}
    skipped[SHIPMENT] &= ~is_late
    flags = {
        **has,
        **{f"any_{stage}": sessions[f"any_{stage}"] for stage in LATER},
        "late_package_shipped": is_late,
        **{f"skipped_{stage}": flag for stage, flag in skipped.items()},
    }
    last = ibis.greatest(sessions.last_event_date, sessions.last_shipped_date.coalesce(sessions.last_event_date))
    return sessions.group_by("entry_date").aggregate(
        last_event_date=last.max(), **{name: flag.cast("int64").sum().cast("int64") for name, flag in flags.items()}
    )


def _hours(sessions: ibis.Table, stages: Sequence[str], mature_before: dt.date | None) -> ibis.Table:
    """Return the hours from each stage to the next over the sessions of each mature date. One row per date."""
    mature = sessions.filter(sessions.entry_date < mature_before) if mature_before else sessions.limit(0)
    before = {end: start for start, end in pairwise(stage for stage in STAGES if stage in stages)}
    steps = [
        mature.select(
            "entry_date",
            step=ibis.literal(stage),
            microseconds=mature[f"{stage}_at"].delta(mature[f"{before.get(stage, stage)}_at"], unit="microsecond"),
        ).filter(_.microseconds.notnull())
        for stage in LATER
    ]
    return hours_by_date(ibis.union(*steps), LATER)


def first_touched(
    session_days: ibis.Table, order_events: ibis.Table, since: dt.date, starts_at: dt.datetime
) -> ibis.Table:
    """Return the first entry date before `since` that an event from then on bears on. One row, NULL if there is none.

    An event bears on its session's date, a shipment also on those of the sessions that checked its order out.
    `starts_at` is the first instant of `since`.
    """
    start = ibis.literal(starts_at, "timestamp(6)")
    recent = session_days.filter(_.event_date >= since).select("session_id")
    shipped = order_events.filter((_.event_type == SHIPMENT) & (_.created_at >= start) & _.order_id.notnull())
    ordered = order_events.filter((_.event_type == CHECKOUT) & (_.created_at < start))
    tied = ordered.semi_join(shipped, "order_id").select("session_id")
    earlier = session_days.filter(_.page_view & (_.event_date < since))
    return earlier.semi_join(ibis.union(recent, tied), "session_id").aggregate(event_date=_.event_date.min())
