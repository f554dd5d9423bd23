"""Figures as the text that is read, beside the value that is sorted and downloaded.

Which figures are shown is for `tables.py` and `headline.py`.
"""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from plant_assets.calendar import Calendar
from plant_assets.readers.page.intervals import Interval, newcombe

STAGE_WORDS = {
    "page_view": "Viewed a page",
    "add_to_cart": "Added to cart",
    "checkout": "Checked out",
    "package_shipped": "Package shipped",
}
MOST_NAMES = 20
NONE = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


@dataclass(frozen=True)
class Cell:
    """What a cell holds, and how it is written."""

    value: Any
    text: str


@dataclass(frozen=True)
class Column:
    """A column: the name that the download has, the heading, and whether it holds text."""

    name: str
    label: str
    is_text: bool = False


@dataclass(frozen=True)
class PageTable:
    """A table of the page; `name` is that of its download."""

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: list[list[Cell]]


@dataclass(frozen=True)
class Big:
    """A big number with its change."""

    label: str
    value: str
    change: str
    note: str = ""


def count(value: Any) -> Cell:
    """A count, with separators."""
    return Cell(None, NONE) if pd.isna(value) else Cell(int(value), signless(int(value)))


def change_of(value: Any) -> Cell:
    """A count with its sign."""
    return Cell(None, NONE) if pd.isna(value) else Cell(int(value), signed(int(value)))


def text(value: Any) -> Cell:
    """Text as it is."""
    return Cell(None, NONE) if pd.isna(value) else Cell(str(value), str(value))


def hours(value: Any) -> Cell:
    """Hours with one decimal."""
    return Cell(None, NONE) if pd.isna(value) else Cell(round(float(value), 2), f"{float(value):,.1f}")


def share(part: int, whole: int) -> Cell:
    """A rate in percent, with one decimal."""
    return Cell(round(100 * part / whole, 4), f"{100 * part / whole:.1f} %") if whole else Cell(None, NONE)


def interval_cell(interval: Interval | None) -> Cell:
    """The interval of a rate."""
    return Cell(between(interval) if interval else None, between(interval))


def between(interval: Interval | None) -> str:
    """An interval of a rate in percent."""
    return f"{100 * interval[0]:.1f} to {100 * interval[1]:.1f} %" if interval else NONE


def signless(value: int) -> str:
    """Return a number without its sign, as it is read."""
    return f"{value:,}".replace("-", MINUS)


def signed(value: int) -> str:
    """A count with its sign, as text."""
    return f"+{value:,}" if value > 0 else signless(value)


def count_change(now: int, before: int) -> str:
    """A count against the one before, in the count and in percent."""
    if before == 0:
        return "new" if now else "none, as before"
    if now == before:
        return "as before"
    return f"{signed(now - before)} ({signed(round(100 * (now - before) / before))} %)"


def rate_change(now: tuple[int, int], before: tuple[int, int]) -> str:
    """A rate against the one before, in percentage points; a change only where the interval leaves out 0."""
    if not now[1] or not before[1]:
        return "no rate to compare"
    points = 100 * (now[0] / now[1] - before[0] / before[1])
    said = f"{'+' if points > 0 else MINUS if points < 0 else ''}{abs(points):.1f} points"
    interval = newcombe(*now, *before)
    if interval is None:
        return said
    low, high = (100 * bound for bound in interval)
    bounds = f"{low:+.1f} to {high:+.1f}".replace("-", MINUS)
    return f"{said} ({bounds})" if low > 0 or high < 0 else f"no clear change ({bounds} points)"


def instant(at: dt.datetime | None, calendar: Calendar) -> Cell:
    """An instant on the store's clock."""
    if at is None or pd.isna(at):
        return Cell(None, NONE)
    local = pd.Timestamp(at).to_pydatetime()
    local += calendar.offset_at(local)
    return Cell(local.isoformat(sep=" ", timespec="minutes"), f"{local:%Y-%m-%d %H:%M}")


def names(found: Iterable[str]) -> str:
    """Names in a row, as one says them."""
    listed = list(found)
    if len(listed) > MOST_NAMES:
        listed = [*listed[:MOST_NAMES], f"{len(listed) - MOST_NAMES:,} more"]
    return ", ".join(listed[:-1]) + " and " + listed[-1] if len(listed) > 1 else "".join(listed)


def in_words(name: str) -> str:
    """Return the name of a stage or state as words."""
    return name.replace("_", " ")
