"""Few events or observations over a year before all others, such as those of an export that wrote no instant."""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from plant_assets.calendar import WEEK
from plant_assets.text import counted
from plant_assets.warehouse.warehouse import Warehouse

# They are few if they are this many, or a thousandth of all.
YEAR, MOST_BEFORE = dt.timedelta(days=366), 10
_BOUNDS = """
    select min(created_at), max(created_at) from (
        select created_at from _staged_events where week = $week and created_at is not null
        union all
        select created_at from raw_events where created_at >= $starts_at and created_at < $ends_at
    )
"""


@dataclass(frozen=True)
class Times:
    """A number of events or observations: the first and the last instant."""

    number: int
    first: dt.datetime
    last: dt.datetime


def few_before_gap(times: Iterable[Times]) -> tuple[Times, dt.datetime] | None:
    """Return the few of ordered times that lie over a year before all others, and when these begin; or None."""
    ordered = list(times)
    most, before, found = max(MOST_BEFORE, sum(each.number for each in ordered) // 1000), 0, None
    for each, following in pairwise(ordered):
        before += each.number
        if before <= most and following.first - each.last > YEAR:
            found = Times(before, ordered[0].first, each.last), following.first
    return found


def say(found: tuple[Times, dt.datetime] | None, noun: str, warehouse: Warehouse) -> list[str]:
    """Return what to say of the few before a gap: the PLANT_START that leaves them out; nothing if it is set."""
    if not found:
        return []
    few, start, known = found[0], warehouse.calendar.week_of(found[1]), warehouse.settings.start
    if known and known >= start:
        return []
    loaded = {week for week, _file, _content in warehouse.ledger.loads.loaded_weeks()}
    where = " of a new --warehouse" if loaded and min(loaded) < start else ""
    return [
        f"{counted(few.number, noun)} over a year before all others, the first of {few.first} UTC:"
        f" PLANT_START={start}{where} leaves {'it' if few.number == 1 else 'them'} out"
    ]


def times_of_events(warehouse: Warehouse, unchanged: Iterable[str], last_week: dt.date) -> list[Times]:
    """Return the events of each week until `last_week`, in order; their instants are exact beside a long gap only.

    `unchanged` are the files that are not read again.
    """
    found = warehouse.ledger.loads.rows_of_weeks(unchanged, last_week)
    exact = {week for week, _number in found[:1]}
    for (week, _number), (following, _other) in pairwise(found):
        if following - week >= YEAR - WEEK:
            exact |= {week, following}
    return [_times_of_week(warehouse, week, number, week in exact) for week, number in found]


def _times_of_week(warehouse: Warehouse, week: dt.date, number: int, is_exact: bool) -> Times:
    starts_at, ends_at = warehouse.calendar.starts_at(week), warehouse.calendar.starts_at(week + WEEK)
    first, last = None, None
    if is_exact:
        first, last = warehouse.rows(_BOUNDS, {"week": week, "starts_at": starts_at, "ends_at": ends_at})[0]
    return Times(number, first or starts_at, last or ends_at)
