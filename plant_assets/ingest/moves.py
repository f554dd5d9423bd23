"""Events that a load has staged in one week, and that are stored, or were rejected, in another.

A load that replaces only one of the two weeks would lose the event, or keep it where it no longer is. The functions
look at what a load has staged and validated: `_staged_events`, `load_weeks`, and `stored_twins` of `validation.py`.
"""

import datetime as dt

from plant_assets.ingest.audit import has_rejected
from plant_assets.sources.base import Source
from plant_assets.warehouse.warehouse import Warehouse

# Events that are stored in the weeks that are replaced, and that the source no longer has there.
_GONE = (
    "select event_id from raw_events join load_weeks on created_at >= starts_at and created_at < ends_at"
    " where not is_kept and event_id not in (select event_id from _staged_events"
    " where reason is null and week in (select week from load_weeks))"
)
# Events that are rejected for a stored row of a week that is not replaced.
_REJECTED = (
    "select event_id, raw_events.created_at as stored_at from _staged_events join raw_events using (event_id)"
    " where reason = 'conflict' and week in (select week from load_weeks) and not exists (select 1 from load_weeks"
    " where raw_events.created_at >= starts_at and raw_events.created_at < ends_at and not is_kept)"
)
_RETURNING = """
    with conflicts as (
        select week_start_date, try_cast(row_key as {id_type}) as id from rejected_rows
        where source_table = 'events' and reason = 'conflict' and week_start_date is not null
    ), due as (select week from load_weeks)
    select distinct week_start_date from conflicts
    where id in (select event_id from _staged_events where week in (from due))
    union
    select distinct week_start_date from conflicts
    where id not in (select event_id from _staged_events where reason is null and week in (from due))
        and not exists (
            select 1 from raw_events where event_id = id and not exists (
                select 1 from load_weeks where created_at >= starts_at and created_at < ends_at and not is_kept
            )
        )
"""


def has_lost_events(warehouse: Warehouse) -> bool:
    """Return whether events are stored in the weeks that are replaced that the source no longer has there."""
    return bool(warehouse.value(f"select exists ({_GONE})"))


def yielding_weeks(warehouse: Warehouse) -> set[dt.date]:
    """Return the stored weeks that hold an event of this load at the same instant as the load has it, or later."""
    rows = warehouse.rows("select distinct stored_at from stored_twins where stored_at >= staged_at")
    return {warehouse.calendar.week_of(stored_at) for (stored_at,) in rows}


def returning_weeks(warehouse: Warehouse) -> set[dt.date]:
    """Return the weeks of rows that were rejected for an event that is no longer there, or that is in this load."""
    if not has_rejected(warehouse, "events", "conflict"):
        return set()
    id_type = warehouse.catalog.column_types("raw_events")["event_id"]
    return {week for (week,) in warehouse.rows(_RETURNING.format(id_type=id_type))}


def weeks_of_moves(warehouse: Warehouse, source: Source) -> set[dt.date]:
    """Return the weeks to which the lost events have moved, and those that rejected events have left."""
    rejected = {
        (event_id, warehouse.calendar.week_of(at))
        for event_id, at in warehouse.rows(f"select event_id::varchar, stored_at from ({_REJECTED})")
    }
    if source.is_asked_for_weeks:
        lost = {event_id for (event_id,) in warehouse.rows(f"select event_id::varchar from ({_GONE})")}
        found = source.weeks_of_events(lost.union(event_id for event_id, _week in rejected))
        moved_to = {week for event_id, week in found if event_id in lost}
    else:
        staged = "from _staged_events where reason is null and event_id in"
        found = set(warehouse.rows(f"select event_id::varchar, week {staged} (select event_id from ({_REJECTED}))"))
        moved_to = {week for (week,) in warehouse.rows(f"select distinct week {staged} ({_GONE})")}
    return moved_to | {week for _event_id, week in rejected - found}
