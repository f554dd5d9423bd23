"""Dates and weeks of the store's time zone, computed from UTC instants.

Nothing here uses Dagster, a clock or an engine. Instants are naive UTC datetimes, as they are stored.
"""

import datetime as dt
from dataclasses import dataclass
from functools import cached_property
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

WEEK = dt.timedelta(days=7)
# How far an instant of the source may be ahead of a run's clock.
FAR_FUTURE = dt.timedelta(days=1)
# The weeks that a store can have: date arithmetic around them is safe in Python, zones and engines.
FIRST_MONDAY, LAST_MONDAY = dt.date(1970, 1, 5), dt.date(2099, 12, 28)
KNOWN_WEEKS = f"a Monday from {FIRST_MONDAY} to {LAST_MONDAY}"


def monday_of(day: dt.date) -> dt.date:
    """Return the Monday of a date's ISO week."""
    return day - dt.timedelta(days=day.weekday())


@dataclass(frozen=True)
class Calendar:
    """The dates and ISO weeks of one time zone, named as in the IANA database."""

    zone_name: str

    @cached_property
    def zone(self) -> ZoneInfo:
        """The time zone."""
        return ZoneInfo(self.zone_name)

    def offset_at(self, instant: dt.datetime) -> dt.timedelta:
        """Return the zone's offset at a UTC instant: local time less UTC."""
        local = instant.replace(tzinfo=dt.UTC).astimezone(self.zone)
        return local.replace(tzinfo=None) - instant

    def date_of(self, instant: dt.datetime) -> dt.date:
        """Return the local date of a UTC instant."""
        return (instant + self.offset_at(instant)).date()

    def week_of(self, instant: dt.datetime) -> dt.date:
        """Return the Monday of the local week of a UTC instant."""
        return monday_of(self.date_of(instant))

    def starts_at(self, day: dt.date) -> dt.datetime:
        """Return the first instant of a local date, in UTC."""
        local = dt.datetime.combine(day, dt.time(), tzinfo=self.zone)
        return local.astimezone(dt.UTC).replace(tzinfo=None)

    def last_date_before(self, instant: dt.datetime) -> dt.date:
        """Return the last local date that is over at a UTC instant."""
        day = self.date_of(instant)
        # A clock that goes back over midnight has a date begin before it shows it for good.
        return day - dt.timedelta(days=1 if self.starts_at(day) <= instant else 2)

    def offsets(self, first: dt.datetime, last: dt.datetime) -> list[tuple[dt.datetime | None, dt.timedelta]]:
        """Return the zone's offsets from `first` to `last`, each with the UTC instant until which it holds.

        The instant of the last offset is None. Transitions are found by bisection: `zoneinfo` does not list them.
        """
        day, second = dt.timedelta(days=1), dt.timedelta(seconds=1)
        found: list[tuple[dt.datetime | None, dt.timedelta]] = []
        at, offset = first, self.offset_at(first)
        while at < last:
            after = at + day
            if self.offset_at(after) != offset:
                before, changed = at, after
                while changed - before > second:
                    middle = before + dt.timedelta(seconds=(changed - before) // second // 2)
                    before, changed = (middle, changed) if self.offset_at(middle) == offset else (before, middle)
                changed = changed.replace(microsecond=0)
                found.append((changed, offset))
                offset = self.offset_at(changed)
                after = changed
            at = after
        return [*found, (None, offset)]


def weeks_between(first: dt.date, last: dt.date) -> list[dt.date]:
    """Return the Mondays from `first` to `last`, both included; none if `last` is earlier."""
    return [first + WEEK * n for n in range((last - first).days // 7 + 1)]


class Weeks:
    """Whole weeks from `first` to `last`, both Mondays and both included."""

    def __init__(self, calendar: Calendar, first: dt.date, last: dt.date) -> None:
        self.calendar, self.first, self.last = calendar, first, last

    @property
    def starts_at(self) -> dt.datetime:
        """The first instant of the first week, in UTC."""
        return self.calendar.starts_at(self.first)

    @property
    def ends_at(self) -> dt.datetime:
        """The first instant after the last week, in UTC."""
        return self.calendar.starts_at(self.last + WEEK)

    def weeks(self) -> list[dt.date]:
        """Return the Mondays of the weeks, in order."""
        return weeks_between(self.first, self.last)

    def __str__(self) -> str:
        return f"{self.first}..{self.last}"


def is_known(day: dt.date) -> bool:
    """Return whether a day lies in a week that a store can have."""
    return FIRST_MONDAY <= day < LAST_MONDAY + WEEK


def known_zone(name: str) -> str:
    """Return the name of a time zone.

    Raises:
        ValueError: the time zone database does not have it. The message says what is allowed.
    """
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("a name of the IANA time zone database, like Europe/Berlin") from None
    return name
