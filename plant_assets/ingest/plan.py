"""What a run has to do, decided once: which weeks, in which ranges."""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass

from plant_assets.calendar import WEEK, weeks_between
from plant_assets.ingest.due import tell_older
from plant_assets.ingest.load import Load

MOST_ADDED_WEEKS = 20


@dataclass(frozen=True)
class Plan:
    """The validated load that a run writes from, its weeks as ranges, the store's first week and its stages."""

    load: Load
    ranges: list[tuple[dt.date, dt.date]]
    first_week: dt.date
    stages: tuple[str, ...]

    @property
    def weeks(self) -> set[dt.date]:
        """Return all weeks of the ranges."""
        return _weeks_of(self.ranges)


def plan(load: Load, weeks: Iterable[dt.date] | None = None, every_week: bool = False) -> Plan:
    """Read the source, decide the weeks (those given, all, or those that are due) and validate their rows.

    With given weeks, those that a stopped run left half made are made too: checks of the whole store would fail else.

    Raises:
        SourceError: the source cannot be read, or too much of it is rejected.
    """
    given = None if weeks is None else set(weeks)
    load.read()
    store = load.store_weeks
    first_week = store.first()
    for sentence in store.gaps():
        load.reading.log.warning("%s", sentence)
    due = given | store.cut_off() if given else store.due(first_week)
    if every_week:
        due = set(store.known(first_week))
    while True:
        ranges = as_ranges(due)
        more = load.validate(_weeks_of(ranges), first_week)
        if not more:
            tell_older(load.reading.warehouse, _weeks_of(ranges), load.reading.log)
            return Plan(load, ranges, first_week, load.reading.source.mapping.stages)
        due = _weeks_of(ranges) | more


def as_ranges(weeks: Iterable[dt.date]) -> list[tuple[dt.date, dt.date]]:
    """Return weeks as ranges to run one after another: one range if that adds under 20 weeks."""
    ordered = sorted(weeks)
    span = weeks_between(ordered[0], ordered[-1])
    if len(span) - len(ordered) < MOST_ADDED_WEEKS:
        return [(ordered[0], ordered[-1])]
    ranges = [(ordered[0], ordered[0])]
    for week in ordered[1:]:
        if week - ranges[-1][1] == WEEK:
            ranges[-1] = (ranges[-1][0], week)
        else:
            ranges.append((week, week))
    return ranges


def _weeks_of(ranges: Iterable[tuple[dt.date, dt.date]]) -> set[dt.date]:
    return {week for first, last in ranges for week in weeks_between(first, last)}
