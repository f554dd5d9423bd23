"""What `doctor` has found, and how it says so. What it looks at is in `source.py` and `warehouse.py`."""

import collections
import datetime as dt
from dataclasses import dataclass, field
from typing import Any

from plant_assets.settings import UsageError
from plant_assets.sources.errors import SourceError

MOST_SHOWN = 10
Lines = list[tuple[str, str]]


@dataclass
class Diagnosis:
    """What was found, in sections of labels and values. With an `error`, a run would end with it."""

    sections: dict[str, Lines] = field(default_factory=dict)
    odd: list[str] = field(default_factory=list)
    next_command: str = ""
    error: SourceError | UsageError | None = None


@dataclass
class Found:
    """What the files of a table hold; `first_refusal` is file, line, column and reason, `instants` are dbt's."""

    files: int
    rows: int = 0
    refused: int = 0
    first_refusal: tuple[Any, ...] = ()
    rows_by_file: dict[str, int] = field(default_factory=dict)
    instants: list[dt.datetime] = field(default_factory=list)


@dataclass
class Events:
    """What the events of a source are."""

    first: dt.datetime | None = None
    last: dt.datetime | None = None
    sessions: int = 0
    to_come: int = 0
    types: collections.Counter[str] = field(default_factory=collections.Counter)


def place_of(table: Found) -> str:
    """Return where the first refused row is, and why it was refused."""
    file, line, column, reason = table.first_refusal
    return f"{', '.join(str(part) for part in (file, line and f'line {line}', column) if part)}: {reason}"


def some_of(shown: list[str], count: int) -> str:
    """Return the first of `count` things, and how many more there are."""
    return ", ".join(shown) + (f" and {count - len(shown)} more" if count > len(shown) else "")


def counted(number: int, noun: str) -> str:
    """Return a number with its noun."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
