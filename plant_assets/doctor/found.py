"""Findings of `doctor`, and how they are worded. `source.py` and `warehouse.py` collect them."""

import collections
import datetime as dt
from dataclasses import dataclass, field

from plant_assets.ingest.wording import RejectedRow
from plant_assets.settings import UsageError
from plant_assets.sources.errors import SourceError

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
    """Contents of a table's files; `instants` are dbt's, or those of rows of products, `statuses` those of orders.

    `words` count what is taken for no value: the column, a space and the word.
    """

    files: int
    rows: int = 0
    refused: int = 0
    first_refusal: RejectedRow | None = None
    rows_by_file: dict[str, int] = field(default_factory=dict)
    instants: list[dt.datetime] = field(default_factory=list)
    words: collections.Counter[str] = field(default_factory=collections.Counter)
    statuses: collections.Counter[str] = field(default_factory=collections.Counter)


@dataclass
class Events:
    """Counts and bounds of a source's events.

    `shared` are the sessions with events of more than one user, `without_order` the checkouts without an order.
    """

    first: dt.datetime | None = None
    last: dt.datetime | None = None
    sessions: int = 0
    shared: int = 0
    to_come: int = 0
    without_order: int = 0
    types: collections.Counter[str] = field(default_factory=collections.Counter)
