"""The interface of every source: its parts (files, tables or weeks), and how their rows are staged.

Files are read in `files/`, databases in `postgres/`.
"""

import abc
import datetime as dt
import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from plant_assets.calendar import Calendar
from plant_assets.sources.conform import insert_typed
from plant_assets.sources.errors import SourceError
from plant_assets.sources.mapping import NONE, CsvForm, StoreMapping
from plant_assets.sources.tables import (
    HISTORY,
    LISTED_TABLES,
    SOURCE_TABLES,
    STOCK,
    Holds,
    ReadTable,
    SourceTable,
)

_KINDS = {"csv": "csv", "tsv": "csv", "jsonl": "jsonl", "ndjson": "jsonl", "json": "jsonl"}


@dataclass
class SourceFile:
    """A part of a source that is read whole: a file, a live table or a week of one, or an instant of dbt's history.

    Attributes:
        table: the source table whose rows it holds.
        name: its name, for a file the path relative to the source.
        path: the path of a file.
        extension: the extension of a file; empty for a part that is not a file.
        size: bytes of a file, rows of a live table or week.
        modified_ns: when the file changed, or the table was observed, in nanoseconds since 1970.
        observed_at: the instant of a dated observation of products, else None.
        mapping: the digest of the mapping by which it is read.
        is_part: whether it is a week of a table, which can be read again without the other weeks.
        form: how a csv file is written, by the mapping.
        holds: what a part of the products holds.
    """

    table: str
    name: str
    path: Path
    extension: str
    size: int
    modified_ns: int
    observed_at: dt.datetime | None = None
    mapping: str = ""
    is_part: bool = False
    form: CsvForm = field(default_factory=lambda: CsvForm(), repr=False)
    holds: Holds = Holds.OBSERVATION
    _hash: str | None = field(default=None, repr=False)

    @property
    def read_as(self) -> SourceTable:
        """The source table as it is read from this part."""
        return LISTED_TABLES[self.table].holding(self.holds)

    @property
    def content_hash(self) -> str:
        """The SHA-256 of the content, and the mapping's digest: another mapping makes other rows of the same file.

        The content is hashed in full: a parquet footer stays equal when two rows exchange values.
        """
        if self._hash is None:
            try:
                with self.path.open("rb") as stream:
                    self._hash = hashlib.file_digest(stream, "sha256").hexdigest()
            except OSError as error:
                raise SourceError(f"{self.path} of the table {self.table} cannot be read: {error.strerror}") from error
        return self._mapped(self._hash)

    def _mapped(self, content_hash: str) -> str:
        return f"{content_hash}:{self.mapping}" if self.mapping else content_hash

    def is_read_as(self, content_hash: str) -> bool:
        """Return whether the content with that hash was read by the same mapping."""
        return content_hash.partition(":")[2] == self.mapping

    def has_content_of(self, content_hash: str) -> bool:
        """Return whether the content has that hash, whatever the mapping."""
        return content_hash.partition(":")[0] == self.content_hash.partition(":")[0]

    @property
    def kind(self) -> str:
        """What the file holds: csv, jsonl, or parquet; jsonl too for the objects of a json file."""
        return _KINDS.get(self.extension.partition(".")[0], self.extension)

    @property
    def is_empty(self) -> bool:
        """Whether it is a file of text without a byte."""
        return self.has_lines and "." not in self.extension and not self.size

    @property
    def has_lines(self) -> bool:
        """Whether its rows are lines of text, so that a message can name a row by its line."""
        return self.kind in ("csv", "jsonl")

    def is_known(self, size: int, modified_ns: int, content_hash: str) -> bool:
        """Return whether the part is unchanged: by size and time, and by content only if the time alone differs."""
        return (
            self.is_read_as(content_hash)
            and self.size == size
            and (self.modified_ns == modified_ns or self.content_hash == content_hash)
        )

    def begins_with(self, size: int, content_hash: str) -> bool:
        """Return whether whole lines were appended to a file of that size and hash, and nothing else changed."""
        if self.extension not in ("csv", "tsv", "jsonl", "ndjson") or self.size <= size or not size:
            return False
        with self.path.open("rb") as stream:
            before = stream.read(size)
        return before.endswith(b"\n") and self._mapped(hashlib.sha256(before).hexdigest()) == content_hash


def empty_files(listed: Mapping[str, Iterable[SourceFile]]) -> list[str]:
    """Return a sentence on each text file without a byte, of the files of each table."""
    files = [each for files in listed.values() for each in files]
    return [f"{each.name} is empty: it is taken as a file without rows" for each in files if each.is_empty]


@dataclass(frozen=True)
class Sample:
    """The first rows of something that could be a table: its name, its columns, and each row's values as text.

    Of csv files also what separates fields, and the encoding if it is not Unicode.
    """

    table: str
    columns: tuple[str, ...]
    rows: list[dict[str, str]]
    separator: str = ","
    encoding: str | None = None


def note_instants(
    mapping: StoreMapping,
    products: Sequence[SourceFile],
    stock: Sequence[SourceFile],
    dates_rows: bool,
    are_dated: bool = False,
) -> list[SourceFile]:
    """Note which parts of the products and of stock have rows with instants, and return the parts to read.

    A table of stock that the mapping does not name counts only where the products have no instants of their own.

    Args:
        mapping: the store's names.
        products: the parts of the products.
        stock: the parts of stock.
        dates_rows: whether rows of the products have instants.
        are_dated: whether the names of the products' parts are instants.
    """
    is_beside = stock and (STOCK.name in mapping.tables or not (dates_rows or are_dated))
    for each in products:
        each.holds = Holds.NAMES if is_beside else Holds.STOCK if dates_rows else Holds.OBSERVATION
    for each in stock:
        each.holds = Holds.STOCK
    return [*products, *(stock if is_beside else [])]


class Source(abc.ABC):
    """A store's tables, by the names that the mapping gives them. `name` is how messages call the source."""

    def __init__(self, name: str, calendar: Calendar, mapping: StoreMapping, prefix: str = "") -> None:
        self.name, self.calendar, self.mapping = name, calendar, mapping
        # The engine gives absolute paths: this part is cut off to get the names of files.
        self._prefix = prefix
        # Whether staged rows have the words in them that are taken for no value.
        self.notes_words = False

    @abc.abstractmethod
    def list_files(self) -> dict[str, list[SourceFile]]:
        """Return the parts of each source table; an absent optional table has none.

        Raises:
            SourceError: the source cannot be read, or lacks a needed table.
        """

    def read(self, connection: duckdb.DuckDBPyConnection, parts: Iterable[SourceFile]) -> None:
        """Add the rows of parts to the staged tables, as `stage` does.

        Raises:
            SourceError: a part cannot be read to its end, or lacks a needed column.
        """
        by_table: dict[SourceTable, list[SourceFile]] = {}
        for each in parts:
            by_table.setdefault(each.read_as, []).append(each)
        for table, alike in by_table.items():
            self.stage(connection, table, alike)

    @abc.abstractmethod
    def stage(self, connection: duckdb.DuckDBPyConnection, table: SourceTable, files: list[SourceFile]) -> None:
        """Read parts to their end, and add their rows to `_staged_<table>`, one per row read.

        The columns are the table's, typed, then file, line, raw_text, row_key, column_name and reason. The reason of a
        row that can be loaded is NULL, and so is its row_key. A source has four duties:

        - find the columns that the mapping names in each part, and check that the needed ones are there;
        - type the rows by `_insert`, which gives each invalid row its reason;
        - name where each row is from: the part, and for an invalid row the line, if the part has lines;
        - note the size and content hash of parts that only their rows tell, as a database's.

        Raises:
            SourceError: a part cannot be read to its end, or lacks a needed column.
            NotUuids: an id is no UUID, and its column is staged as one. The caller stages the parts again as text.
        """

    @abc.abstractmethod
    def columns_found(self, connection: duckdb.DuckDBPyConnection) -> list[tuple[str, list[str]]]:
        """Return everything that could be a table of the source, by name, each with its columns."""

    @abc.abstractmethod
    def samples(self, connection: duckdb.DuckDBPyConnection) -> list[Sample]:
        """Return the first rows of everything that could be a table of the source."""

    @property
    def names_stock(self) -> bool:
        """Whether the mapping names a table of stock. Without it, `stock` is one only if it has instants."""
        return STOCK.name in self.mapping.tables

    def _lacks(self, name: str, found: Collection[str]) -> bool:
        """Return whether a needed table is missing. dbt's history, or stock, can replace the products.

        Raises:
            SourceError: such a table is there, and PLANT_MAPPING makes the products from the events.
        """
        told_by = [each for each in (HISTORY, STOCK.name) if name == "products" and each in found]
        is_told = bool(told_by)
        if told_by and self.mapping.makes_products:
            raise SourceError(
                f"{self.name}: the table {told_by[0]} has the products that PLANT_MAPPING makes from events:"
                f" remove `products: {NONE}` from its tables, or add `{told_by[0]}: {NONE}`"
            )
        return SOURCE_TABLES[name].is_needed and bool(self.mapping.table(name)) and name not in found and not is_told

    def _or_history(self, name: str) -> str:
        """Return what a message adds about a missing table: dbt's history can replace the products."""
        history = self.mapping.table(HISTORY)
        return f"; or dbt's history, {history}" if name == "products" and history else ""

    @property
    def is_asked_for_weeks(self) -> bool:
        """Whether a load skips weeks that may have changed since. If so, it asks `weeks_of_events` what they hold."""
        return False

    def weeks_of_events(self, event_ids: Collection[str]) -> set[tuple[str, dt.date]]:
        """Return the id and week of each of these events that the source has now.

        A source with `is_asked_for_weeks` has its own. A load of any other stages every row that may have moved, so it
        has nothing to ask.

        Raises:
            NotImplementedError: the source is not one `is_asked_for_weeks`.
        """
        raise NotImplementedError(f"{type(self).__name__} skips no week: a load finds moved events in its staged rows")

    def oddities(self) -> list[str]:
        """Return what makes reading the source slow, a sentence each."""
        return []

    @abc.abstractmethod
    def close(self) -> None:
        """Release what reading holds open."""

    def _insert(self, table: ReadTable, types: dict[str, str], select: str, raw_text: str = "raw_text") -> str:
        """Return the statement that types the rows of `select`, and gives each invalid row its reason."""
        return insert_typed(table, types, select, raw_text, self.calendar, self._prefix, self.notes_words)
