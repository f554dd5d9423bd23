"""Facts about events: every one is in each table that is made of events.

`raw.py` looks at loads, `funnel.py` at funnels.
"""

import ibis
from ibis import _

from plant_assets.checks.base import Check, Scope, keys
from plant_assets.contracts import ORDER_STAGES
from plant_assets.transforms.events import local_date


def _begun_events(scope: Scope) -> ibis.Table:
    """Return the events of the weeks in scope that have begun."""
    return scope.table("raw_events") if scope.weeks else scope.counted("raw_events")


def _lost_events(scope: Scope) -> ibis.Table:
    raw, events = _begun_events(scope), scope.table("int_events")
    dates = raw.mutate(event_date=local_date(raw.created_at, scope.offsets()))
    kind = ["event_date", "event_type"]
    stored = dates.group_by(kind).aggregate(stored=_.count(), kept=ibis.literal(0, "int64"))
    # Only events of orders may have more than one row.
    is_of_order, nothing = events.event_type.isin(ORDER_STAGES), ibis.literal(0, "int64")
    of_orders = events.filter(is_of_order).group_by(kind).aggregate(stored=nothing, kept=_.event_id.nunique())
    others = events.filter(~is_of_order).group_by(kind).aggregate(stored=nothing, kept=_.count())
    both = ibis.union(stored, of_orders, others).group_by(kind).aggregate(stored=_.stored.sum(), kept=_.kept.sum())
    return keys(both.filter(_.stored != _.kept), *kind, "stored", ibis.literal("events, kept"), "kept")


def _uncounted_events(scope: Scope) -> ibis.Table:
    raw, days = _begun_events(scope), scope.table("int_session_days")
    dates = raw.group_by(event_date=local_date(raw.created_at, scope.offsets()))
    stored = dates.aggregate(stored=_.count(), counted=ibis.literal(0, "int64"))
    counted = days.group_by("event_date").aggregate(stored=ibis.literal(0, "int64"), counted=_.events.sum())
    both = ibis.union(stored, counted).group_by("event_date").aggregate(stored=_.stored.sum(), counted=_.counted.sum())
    without = days.filter(days.events < 1)
    return ibis.union(
        keys(both.filter(_.stored != _.counted), "event_date", "stored", ibis.literal("events, counted"), "counted"),
        keys(without, "event_date", "session_id", "events"),
    )


CHECKS: tuple[Check, ...] = (
    Check(
        "int_events",
        "keep_every_event",
        "Every raw event is in int_events.",
        _lost_events,
        reads=("raw_events",),
    ),
    Check(
        "int_session_days",
        "count_every_event",
        "On each date, the events of its sessions are as many as the raw events; no session is without any.",
        _uncounted_events,
        reads=("raw_events",),
    ),
)
