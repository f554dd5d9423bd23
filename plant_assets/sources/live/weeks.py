"""The weeks of a live events table: which there are, and the SQL that selects and counts their rows."""

import datetime as dt
from collections.abc import Collection
from dataclasses import dataclass, replace
from zoneinfo import ZoneInfo

from plant_assets.calendar import WEEK, Calendar, weeks_between
from plant_assets.sources.live.database import Database
from plant_assets.sources.live.parts import LiveTable
from plant_assets.sources.live.types import TIMESTAMPS
from plant_assets.sources.mapping import StoreMapping
from plant_assets.sources.tables import SOURCE_TABLES, ReadTable
from plant_assets.sql import identifier, literal

# The name of the part with the rows outside all weeks.
OTHER_WEEKS = "other"
# The most ids that one statement names.
MOST_IDS = 10_000


def name_of_week(mapping: StoreMapping, week: dt.date | str) -> str:
    """Return the name of a week's part, as messages and the ledger show it."""
    return f"{mapping.table('events')}/{week}"


@dataclass(frozen=True)
class EventWeeks:
    """The weeks of an events table, in order; none if the server cannot compare its created_at with instants."""

    table: LiveTable
    mapping: StoreMapping
    calendar: Calendar
    weeks: tuple[dt.date, ...] = ()

    @property
    def _theirs(self) -> dict[str, str]:
        return ReadTable(SOURCE_TABLES["events"], self.mapping).theirs

    @property
    def kind(self) -> str:
        """The server's type of created_at; empty if the table has no such column."""
        return self.table.columns[self.created_at] if "created_at" in self._theirs else ""

    @property
    def created_at(self) -> str:
        """The store's name of created_at."""
        return self._theirs["created_at"]

    @property
    def has_ids(self) -> bool:
        """Whether the table has event ids."""
        return "event_id" in self._theirs

    @property
    def names(self) -> list[str]:
        """The names of the weeks' parts, in order."""
        return [name_of_week(self.mapping, week) for week in self.weeks]

    @property
    def number(self) -> str:
        """The SQL expression of a row's week: 1 for the first, 0 or one too many for a row outside all weeks."""
        return f"width_bucket({self._column}, array[{', '.join(self._bounds())}])"

    @property
    def _column(self) -> str:
        return identifier(self.created_at)

    def first_week(self, snapshot: Database, until: dt.datetime) -> dt.date | None:
        """Return the week of the first event from 1970 until an instant, or None if there is none."""
        low, high = self._bound(dt.datetime(1970, 1, 2)), self._bound(until)
        at = snapshot.rows(
            f"select min({self._column})::timestamp from {self.table.relation}"
            f" where {self._column} >= {low} and {self._column} < {high}",
            "the table events cannot be read",
        )[0][0]
        if at is None:
            return None
        instant = at if self.kind.endswith("with time zone") else _instant(at, self.mapping.time.zone)
        return self.calendar.week_of(instant)

    def count(self, snapshot: Database) -> list[int]:
        """Return the number of events in each week, in the order of the weeks."""
        bounds = self._bounds()
        rows = snapshot.rows(
            f"select {self.number}, count(*) from {self.table.relation}"
            f" where {self._column} >= {bounds[0]} and {self._column} < {bounds[-1]} group by 1",
            "the table events cannot be counted",
        )
        counts = dict(rows)
        return [counts.get(number, 0) for number, _week in enumerate(self.weeks, 1)]

    def of_events(self, snapshot: Database, event_ids: Collection[str]) -> set[tuple[str, dt.date]]:
        """Return the id and week of each of these events that the table has in one of the weeks."""
        column, found = identifier(self._theirs["event_id"]), set()
        ordered = sorted(event_ids)
        for start in range(0, len(ordered), MOST_IDS):
            ids = ", ".join(map(literal, ordered[start : start + MOST_IDS]))
            rows = snapshot.rows(
                f"select {column}::text, {self.number} from {self.table.relation} where {column} in ({ids})"
            )
            found |= {(event_id, self.weeks[week - 1]) for event_id, week in rows if 0 < week <= len(self.weeks)}
        return found

    def condition(self, names: Collection[str]) -> str:
        """Return the SQL condition that selects the rows of these parts: one range per run of adjacent weeks."""
        numbers = [number for number, name in enumerate(self.names) if name in names]
        bounds, conditions = self._bounds(), []
        if name_of_week(self.mapping, OTHER_WEEKS) in names:
            conditions.append(f"{self._column} is null")
            numbers = [-1, *numbers, len(self.weeks)]
        there = set(numbers)
        firsts = [number for number in numbers if number - 1 not in there]
        lasts = [number for number in numbers if number + 1 not in there]
        for first, last in zip(firsts, lasts, strict=True):
            ends = [f"{self._column} >= {bounds[first]}"] if first >= 0 else []
            ends += [f"{self._column} < {bounds[last + 1]}"] if last + 1 < len(bounds) else []
            conditions.append(" and ".join(ends) or "true")
        return " or ".join(f"({each})" for each in conditions)

    def _bounds(self) -> list[str]:
        """Return where the weeks begin, and where the last one ends, as SQL."""
        return [self._bound(self.calendar.starts_at(week)) for week in [*self.weeks, self.weeks[-1] + WEEK]]

    def _bound(self, instant: dt.datetime) -> str:
        """Return an instant as SQL of created_at's type."""
        if self.kind.endswith("with time zone"):
            return f"timestamptz '{instant}+00'"
        clock = instant.replace(tzinfo=dt.UTC).astimezone(ZoneInfo(self.mapping.time.zone))
        return f"timestamp '{clock.replace(tzinfo=None)}'"


def find_weeks(snapshot: Database, empty: EventWeeks, as_of: dt.datetime, first_week: dt.date | None) -> EventWeeks:
    """Find the weeks of an events table at an instant.

    Args:
        snapshot: the database.
        empty: the table, without weeks.
        as_of: an instant of the last week.
        first_week: the first week that was ever loaded, if any.

    Returns:
        The table with the weeks from that of its first event, or from `first_week` if that is earlier. It has no
        weeks if created_at is not a timestamp.
    """
    if empty.kind not in TIMESTAMPS:
        return empty
    last = empty.calendar.week_of(as_of)
    known = [last, first_week, empty.first_week(snapshot, empty.calendar.starts_at(last + WEEK))]
    return replace(empty, weeks=tuple(weeks_between(min(filter(None, known)), last)))


def _instant(clock: dt.datetime, zone: str) -> dt.datetime:
    return clock.replace(tzinfo=ZoneInfo(zone)).astimezone(dt.UTC).replace(tzinfo=None)
