"""Figures as the text that is read, beside the value that is sorted and downloaded.

Which figures are shown is for `tables.py` and `headline.py`.
"""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from plant_assets.calendar import Calendar

STAGE_WORDS = {
    "page_view": "Viewed a page",
    "add_to_cart": "Added to cart",
    "checkout": "Checked out",
    "package_shipped": "Package shipped",
}
MOST_NAMES = 20
# A fraction times 100 can miss a half by a hair, which would be rounded to the wrong side.
PERCENT_DIGITS = 9
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


def percent(rate: float) -> float:
    """Return a fraction in percent."""
    return round(100 * rate, PERCENT_DIGITS)


def rate(value: Any) -> Cell:
    """A rate in percent, with one decimal."""
    if pd.isna(value):
        return Cell(None, NONE)
    return Cell(round(percent(value), 4), f"{percent(value):.1f} %")


def interval(low: Any, high: Any) -> Cell:
    """The interval of a rate, in percent."""
    return Cell(None, NONE) if pd.isna(low) else text(f"{100 * low:.1f} to {100 * high:.1f} %")


def signless(value: int) -> str:
    """Return a number without its sign, as it is read."""
    return f"{value:,}".replace("-", MINUS)


def signed(value: int) -> str:
    """A count with its sign, as text."""
    return f"+{value:,}" if value > 0 else signless(value)


def count_change(change: int, change_rate: float | None) -> str:
    """A change of a count, in the count and in percent; without a rate, of none."""
    if change_rate is None:
        return "new" if change else "none, as before"
    return f"{signed(change)} ({signed(round(percent(change_rate)))} %)" if change else "as before"


def rate_change(change: float | None, low: float | None, high: float | None) -> str:
    """A change of a rate, in percentage points; a change only where the interval leaves out 0."""
    if change is None:
        return "no rate to compare"
    points = 100 * change
    said = f"{'+' if points > 0 else MINUS if points < 0 else ''}{abs(points):.1f} points"
    if low is None or high is None:
        return said
    bounds = f"{100 * low:+.1f} to {100 * high:+.1f}".replace("-", MINUS)
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
