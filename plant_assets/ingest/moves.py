"""Events that the source has moved from one week to another since they were loaded.

A load that replaces only one of the two weeks would lose the event, or keep it where it no longer is. Both functions
look at what a load has staged and judged: `_staged_events` and `load_weeks`.
"""

import datetime as dt

from plant_assets.sources.base import Source
from plant_assets.warehouse.warehouse import Warehouse

# Events that are stored in the weeks that are replaced, and that the source no longer has there.
_GONE = (
    "select event_id from raw_events join load_weeks on created_at >= starts_at and created_at < ends_at"
    " where not is_kept and event_id not in (select event_id from _staged_events"
    " where reason is null and week in (select week from load_weeks))"
)
# Events that are refused for a stored row of a week that is not replaced.
_REFUSED = (
    "select event_id, raw_events.created_at as stored_at from _staged_events join raw_events using (event_id)"
    " where reason = 'conflict' and week in (select week from load_weeks) and not exists (select 1 from load_weeks"
    " where raw_events.created_at >= starts_at and raw_events.created_at < ends_at and not is_kept)"
)


def has_lost_events(warehouse: Warehouse) -> bool:
    """Return whether events are stored in the weeks that are replaced that the source no longer has there."""
    return bool(warehouse.value(f"select exists ({_GONE})"))


def weeks_of_moves(warehouse: Warehouse, source: Source) -> set[dt.date]:
    """Return the weeks to which the lost events have moved, and those that refused events have left."""
    refused = {
        (event_id, warehouse.calendar.week_of(at))
        for event_id, at in warehouse.rows(f"select event_id::varchar, stored_at from ({_REFUSED})")
    }
    if source.is_asked_for_weeks:
        lost = {event_id for (event_id,) in warehouse.rows(f"select event_id::varchar from ({_GONE})")}
        found = source.weeks_of_events(lost.union(event_id for event_id, _week in refused))
        moved_to = {week for event_id, week in found if event_id in lost}
    else:
        staged = "from _staged_events where reason is null and event_id in"
        found = set(warehouse.rows(f"select event_id::varchar, week {staged} (select event_id from ({_REFUSED}))"))
        moved_to = {week for (week,) in warehouse.rows(f"select distinct week {staged} ({_GONE})")}
    return moved_to | {week for _event_id, week in refused - found}
