"""Few events or observations over a year before all others, such as those of an export that wrote no instant."""

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

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


def few_before_gap(events: Sequence[Times], observed: Sequence[Times]) -> tuple[list[Times], list[Times], Times] | None:
    """Return the few events and observations over a year before all others, and what follows; or None.

    Both are in order. No gap is one that has all events before it: a live products table is observed long after them.
    """
    found, ordered = None, sorted([*events, *observed], key=lambda each: each.first)
    ends_at = accumulate((each.last for each in ordered), max)
    for end, following in zip(ends_at, ordered[1:], strict=False):
        if following.first - end <= YEAR or (events and events[-1].last <= end):
            continue
        before = [[each for each in times if each.last <= end] for times in (events, observed)]
        if all(map(_are_few, before, (events, observed))):
            found = before[0], before[1], following
    return found


def _are_few(before: Iterable[Times], times: Iterable[Times]) -> bool:
    return _count(before) <= max(MOST_BEFORE, _count(times) // 1000)


def _count(times: Iterable[Times]) -> int:
    return sum(each.number for each in times)


def say_gap(events: Sequence[Times], observed: Sequence[Times], warehouse: Warehouse) -> list[str]:
    """Return a sentence on the few events before a gap, and one on observations: the PLANT_START that leaves them out.

    Nothing is said if it is set.
    """
    found = few_before_gap(events, observed)
    if not found:
        return []
    start, known = warehouse.calendar.week_of(found[2].first), warehouse.settings.start
    if known and known >= start:
        return []
    loaded = {week for week, _file, _content in warehouse.ledger.loads.loaded_weeks()}
    where = " of a new --warehouse" if loaded and min(loaded) < start else ""
    return [
        f"{counted(_count(few), noun)} over a year before all others, the first of {few[0].first} UTC:"
        f" PLANT_START={start}{where} {out}"
        for few, noun, out in (
            (found[0], "event", f"leaves {'it' if _count(found[0]) == 1 else 'them'} out"),
            (found[1], "observation", "leaves out the weeks before"),
        )
        if few
    ]


def times_of_events(warehouse: Warehouse, unchanged: Iterable[str], last_week: dt.date) -> list[Times]:
    """Return the events of each week until `last_week`, in order; their instants are exact beside a long gap only.

    `unchanged` are the files that are not read again.
    """
    found = warehouse.ledger.loads.rows_by_week(unchanged, last_week)
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
