"""Which weeks the store has, and which of them a run has to do."""

import datetime as dt
import logging
from bisect import bisect_right
from collections.abc import Collection
from itertools import accumulate
from operator import itemgetter

from plant_assets.calendar import WEEK, weeks_between
from plant_assets.ingest.audit import weeks_rejected
from plant_assets.ingest.gaps import Times, say_gap, times_of_events
from plant_assets.ingest.limits import RejectedLoad
from plant_assets.ingest.reading import Reading
from plant_assets.ingest.strategies.events import EventsLoad
from plant_assets.ingest.strategies.observations import ObservationsLoad
from plant_assets.warehouse.observations import Ahead
from plant_assets.warehouse.warehouse import Warehouse


class StoreWeeks:
    """The weeks of a store, by what is loaded and what is staged."""

    def __init__(self, reading: Reading, events: EventsLoad, observations: ObservationsLoad) -> None:
        self._reading, self._warehouse = reading, reading.warehouse
        self._events, self._observations = events, observations

    def first(self) -> dt.date:
        """Return the week that is set, else the first one that holds, or held, an event or an observation.

        Raises:
            RejectedLoad: the week that is set has not begun, or events before it are loaded.
        """
        calendar, start, running = self._warehouse.calendar, self._warehouse.settings.start, self._reading.running_week
        loaded = {week for week, _file, _content in self._warehouse.ledger.loads.loaded_weeks()}
        latest = min([*loaded, running])
        if start and start > latest:
            why = "the first week of the warehouse" if loaded else "the running week"
            later = "; a new --warehouse may begin later" if loaded else ""
            raise RejectedLoad(f"PLANT_START={start} is not allowed: at most {latest}, {why}{later}")
        weeks = loaded | {week for week, _file, _content in self._events.held_weeks()}
        weeks |= {calendar.week_of(at) for at, _number in self._observations.observed()}
        return start or min([*weeks, running])

    def gaps(self) -> list[str]:
        """Return a sentence on the few events, and one on the few observations, over a year before all others."""
        staged, running = self._events.staged, self._reading.running_week
        unchanged = {each.name for each in staged.listed} - {each.name for each in staged.fresh}
        events = times_of_events(self._warehouse, unchanged, running)
        observed = [Times(1, at, at) for at, _number in self._observations.observed()]
        return say_gap(events, observed, self._warehouse)

    def known(self, first_week: dt.date) -> list[dt.date]:
        """Return all weeks from the first to the last one that holds, or held, an event or an observation."""
        calendar, running = self._warehouse.calendar, self._reading.running_week
        held = self._events.held_weeks() | self._warehouse.ledger.loads.loaded_weeks()
        weeks = [week for week, _file, _content in held if week <= running]
        weeks += [calendar.week_of(at) for at, _number in self._observations.observed()]
        return weeks_between(first_week, min(max([*weeks, first_week]), running))

    def due(self, first_week: dt.date) -> set[dt.date]:
        """Return the weeks that bring the warehouse up to date with the source; the last one at least."""
        due = self._events.changed_weeks()
        due |= {self._reading.running_week - WEEK * ago for ago in range(self._warehouse.settings.late_weeks + 1)}
        due |= weeks_rejected(self._warehouse, ["future"]) | self._warehouse.ledger.due.weeks()
        known = self.known(first_week)
        due |= self._behind(known, self._observations.observed())
        return due & set(known) | self.older(first_week) or {known[-1]}

    def older(self, first_week: dt.date) -> set[dt.date]:
        """Return the weeks of which another definition wrote a table, also where the source no longer has them."""
        return older_weeks(self._warehouse, first_week, self._reading.running_week)

    def cut_off(self) -> set[dt.date]:
        """Return the weeks that a run left half made when it was stopped."""
        return self._warehouse.ledger.writes.weeks_cut_off()

    def tied(self, first_week: dt.date) -> set[dt.date]:
        """Return the weeks that have to be run together: they were made before an observation that bears on them came.

        It is earlier than a stored one. The latest observation leaves what is known of the weeks before it.
        """
        stored = [at for at, _number in self._warehouse.ledger.loads.observations()]
        late = [each for each in self._observations.observed() if stored and each[0] < max(stored)]
        known = self.known(first_week) if late else []
        return self._behind(known, late) - self._behind(known, [])

    def _behind(self, weeks: list[dt.date], observed: list[tuple[dt.datetime, int]]) -> set[dt.date]:
        return weeks_behind(self._warehouse, weeks, observed, self._events.ahead)


def older_weeks(warehouse: Warehouse, first: dt.date, last: dt.date) -> set[dt.date]:
    """Return the weeks from the first to the last of which another definition than the one in force wrote a table."""
    return set().union(*warehouse.ledger.definitions.weeks_between(first, last).values())


def tell_older(warehouse: Warehouse, weeks: Collection[dt.date], log: logging.Logger) -> None:
    """Say what a run over these weeks makes again because another definition wrote it."""
    definitions = warehouse.ledger.definitions
    by_week, whole = definitions.weeks_between(min(weeks), max(weeks)), definitions.older_tables()
    if (by_week or whole) and not definitions.are_kept():
        log.info("the warehouse keeps no definitions yet: all that is made of loaded tables is made again, once")
        return
    for name, older in by_week.items():
        weeks_are = ("week", "is") if len(older) == 1 else ("weeks", "are")
        log.info("%s: %s %s by an older definition %s made again", name, len(older), *weeks_are)
    if whole:
        log.info("%s: by an older definition, made again", ", ".join(whole))


def weeks_behind(
    warehouse: Warehouse, weeks: list[dt.date], observed: list[tuple[dt.datetime, int]], ahead: Ahead
) -> set[dt.date]:
    """Return the weeks in which a weekly table was never written, or before what it is made from.

    Args:
        warehouse: the warehouse.
        weeks: the weeks to look at.
        observed: the observations that a run counts, in order, each with the number of its write.
        ahead: what the run leaves out.
    """
    calendar, ledger = warehouse.calendar, warehouse.ledger
    # An observation bears on the week of the one before it and on all later ones.
    bearing, before = [], None
    for at, number in observed:
        bearing.append((calendar.week_of(before or at), number))
        before = at
    if ahead.bears_from:
        # An observation that no longer counts, or counts again, bears like a new one.
        bearing.append((ahead.bears_from, ledger.loads.next_write_number()))
    bearing.sort()
    latest = [0, *accumulate((by for _since, by in bearing), max)]
    bears = {week: latest[bisect_right(bearing, week, key=itemgetter(0))] for week in weeks}
    return ledger.writes.stale_weeks(weeks, bears)
