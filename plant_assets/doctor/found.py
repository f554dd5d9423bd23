"""Findings of `doctor`, and how they are worded. `source.py` and `warehouse.py` collect them."""

import collections
import datetime as dt
from dataclasses import dataclass, field

from plant_assets.ingest.wording import RejectedRow
from plant_assets.settings import UsageError
from plant_assets.sources.errors import SourceError

MOST_SHOWN = 10
Lines = list[tuple[str, str]]


@dataclass
class Diagnosis:
    """Findings in sections of labels and values. If there is an `error`, a run would end with it.

    `rejected` are the first rows of each reason, by their tables; there may be some where a run goes on.
    """

    sections: dict[str, Lines] = field(default_factory=dict)
    odd: list[str] = field(default_factory=list)
    rejected: Lines = field(default_factory=list)
    next_command: str = ""
    error: SourceError | UsageError | None = None


@dataclass
class Found:
    """Contents of a table's files; `instants` are dbt's, `statuses` those of orders."""

    files: int
    rows: int = 0
    refused: int = 0
    first_refusal: RejectedRow | None = None
    rows_by_file: dict[str, int] = field(default_factory=dict)
    instants: list[dt.datetime] = field(default_factory=list)
    statuses: collections.Counter[str] = field(default_factory=collections.Counter)


@dataclass
class Events:
    """Counts and bounds of a source's events.

    `weeks` has those of each week: number, first and last instant. `without_order` counts checkouts without an order.
    """

    first: dt.datetime | None = None
    last: dt.datetime | None = None
    sessions: int = 0
    to_come: int = 0
    without_order: int = 0
    types: collections.Counter[str] = field(default_factory=collections.Counter)
    weeks: dict[dt.date, tuple[int, dt.datetime, dt.datetime]] = field(default_factory=dict)

    def add_week(self, week: dt.date, number: int, first: dt.datetime, last: dt.datetime) -> None:
        """Count events of a week, of which other files may hold more."""
        known, earliest, latest = self.weeks.get(week, (0, first, last))
        self.weeks[week] = known + number, min(first, earliest), max(last, latest)


def some_of(shown: list[str], count: int) -> str:
    """Return the first of `count` things, and how many more there are."""
    return ", ".join(shown) + (f" and {count - len(shown)} more" if count > len(shown) else "")


def counted(number: int, noun: str) -> str:
    """Return a number with its noun."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
