"""Dates and weeks of the store's time zone, as plain arithmetic on UTC instants.

Nothing here knows Dagster, a clock or an engine. Instants are naive UTC datetimes, as they are stored.
"""

import datetime as dt
from dataclasses import dataclass
from functools import cached_property
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

WEEK = dt.timedelta(days=7)
# How far after a run's clock an instant of the source may be.
FAR_FUTURE = dt.timedelta(days=1)
# Weeks that a store can have: arithmetic on dates stays within what dates, zones and engines know.
FIRST_MONDAY, LAST_MONDAY = dt.date(1970, 1, 5), dt.date(2099, 12, 28)
KNOWN_WEEKS = f"a Monday from {FIRST_MONDAY} to {LAST_MONDAY}"


def monday_of(day: dt.date) -> dt.date:
    """The Monday that begins the ISO week of `day`."""
    return day - dt.timedelta(days=day.weekday())


@dataclass(frozen=True)
class Calendar:
    """The dates and ISO weeks of one time zone, named as in the IANA database."""

    zone_name: str

    @cached_property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.zone_name)

    def offset_at(self, instant: dt.datetime) -> dt.timedelta:
        """What to add to a UTC instant to read the local clock."""
        local = instant.replace(tzinfo=dt.UTC).astimezone(self.zone)
        return local.replace(tzinfo=None) - instant

    def date_of(self, instant: dt.datetime) -> dt.date:
        return (instant + self.offset_at(instant)).date()

    def week_of(self, instant: dt.datetime) -> dt.date:
        """The Monday of the week that holds `instant`."""
        return monday_of(self.date_of(instant))

    def starts_at(self, day: dt.date) -> dt.datetime:
        """The first instant of a local date, in UTC."""
        local = dt.datetime.combine(day, dt.time(), tzinfo=self.zone)
        return local.astimezone(dt.UTC).replace(tzinfo=None)

    def offsets(self, first: dt.datetime, last: dt.datetime) -> list[tuple[dt.datetime | None, dt.timedelta]]:
        """The zone's offsets from `first` to `last`, each with the instant until which it holds.

        The last one holds on (None). Transitions are found by bisection, since `zoneinfo` does not list them.
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
    """The Mondays from `first` to `last`, both included; none where `last` is earlier."""
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
        """Return the Mondays."""
        return weeks_between(self.first, self.last)

    def __str__(self) -> str:
        return f"{self.first}..{self.last}"


def is_known(day: dt.date) -> bool:
    """Return whether a day lies in a week that a store can have."""
    return FIRST_MONDAY <= day < LAST_MONDAY + WEEK


def known_zone(name: str) -> str:
    """The name, if it is one of a time zone.

    Raises:
        ValueError: it is none.
    """
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("a name of the IANA time zone database, like Europe/Berlin") from None
    return name
