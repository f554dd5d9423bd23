"""What every source is: its files, or what stands for them, and how their rows are staged. No kind of it is here."""

import abc
import datetime as dt
import hashlib
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from plant_assets.calendar import Calendar
from plant_assets.sources.conform import insert_typed
from plant_assets.sources.errors import SourceError
from plant_assets.sources.mapping import NONE, StoreMapping
from plant_assets.sources.tables import HISTORY, SOURCE_TABLES, ReadTable, SourceTable


@dataclass
class SourceFile:
    """A file of a table, named relative to the source. `observed_at` is set for dated products.

    One without an extension is an instant of dbt's history. `mapping` is the digest of the mapping that it is read by.
    `is_part` says that it is a week of a table, and can be read again without the others.
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
    _hash: str | None = field(default=None, repr=False)

    @property
    def content_hash(self) -> str:
        """SHA-256 of the content, and the mapping: by another one the rows are others.

        A footer of parquet does not tell two rows' exchanged values apart.
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
        """Whether what has that hash was read by the same mapping."""
        return content_hash.partition(":")[2] == self.mapping

    def has_content_of(self, content_hash: str) -> bool:
        """Whether the content has that hash, by whatever mapping."""
        return content_hash.partition(":")[0] == self.content_hash.partition(":")[0]

    @property
    def has_lines(self) -> bool:
        """Whether its rows are lines, so that one can be named by its line and text."""
        return self.extension.startswith(("csv", "jsonl"))

    def is_known(self, size: int, modified_ns: int, content_hash: str) -> bool:
        """Whether it is as it was: by size and time, which are cheap to see; by content where only the time differs."""
        return (
            self.is_read_as(content_hash)
            and self.size == size
            and (self.modified_ns == modified_ns or self.content_hash == content_hash)
        )

    def begins_with(self, size: int, content_hash: str) -> bool:
        """Whether whole lines were only added to a file that was that long, with that hash."""
        if self.extension not in ("csv", "jsonl") or self.size <= size or not size:
            return False
        with self.path.open("rb") as stream:
            before = stream.read(size)
        return before.endswith(b"\n") and self._mapped(hashlib.sha256(before).hexdigest()) == content_hash


class Source(abc.ABC):
    """A store's tables, by the names that the mapping gives them; `name` is the source's for readers."""

    def __init__(self, name: str, calendar: Calendar, mapping: StoreMapping, prefix: str = "") -> None:
        self.name, self.calendar, self.mapping = name, calendar, mapping
        # What stands before the names of files in the engine.
        self._prefix = prefix

    @abc.abstractmethod
    def list_files(self) -> dict[str, list[SourceFile]]:
        """The files of each table, or what stands for them; an absent optional table has none."""

    @abc.abstractmethod
    def stage(self, connection: duckdb.DuckDBPyConnection, table: SourceTable, files: list[SourceFile]) -> None:
        """Add files to `_staged_<table>`: typed columns, file, line, raw_text, row_key, column_name and reason.

        Every row read is there; `reason` and `row_key` are NULL for those that can be loaded.

        Raises:
            SourceError: a file cannot be read to its end, or lacks a needed column.
        """

    @abc.abstractmethod
    def columns_found(self, connection: duckdb.DuckDBPyConnection) -> list[tuple[str, list[str]]]:
        """What could be tables of the source, whatever their names, each with its columns."""

    def _lacks(self, name: str, found: Collection[str]) -> bool:
        """Whether a table that must be there is not among those found; dbt's history tells of the products too.

        Raises:
            SourceError: there is a history, and PLANT_MAPPING makes the products of the events.
        """
        is_told = name == "products" and HISTORY in found
        if is_told and self.mapping.makes_products:
            raise SourceError(
                f"{self.name}: the table {HISTORY} tells of the products that PLANT_MAPPING makes from the events:"
                f" remove `products: {NONE}` from its tables, or add `{HISTORY}: {NONE}`"
            )
        return SOURCE_TABLES[name].is_needed and bool(self.mapping.table(name)) and name not in found and not is_told

    def _or_history(self, name: str) -> str:
        """What may be there in the place of a missing table: of products dbt's history."""
        history = self.mapping.table(HISTORY)
        return f"; or dbt's history, {history}" if name == "products" and history else ""

    @property
    def is_asked_for_weeks(self) -> bool:
        """Whether a load takes weeks for known that may have changed: then `weeks_of_events` says what they hold."""
        return False

    def weeks_of_events(self, event_ids: Collection[str]) -> set[tuple[str, dt.date]]:
        """Return each of the events that the source has now, with its week.

        Only sources with `is_asked_for_weeks` answer: a load of any other has staged every row that may have moved.
        """
        raise NotImplementedError(f"{type(self).__name__} is not asked for the weeks of events")

    def oddities(self) -> list[str]:
        """What makes reading it slow, if anything."""
        return []

    @abc.abstractmethod
    def close(self) -> None:
        """Let go of what reading holds."""

    def _insert(self, table: ReadTable, types: dict[str, str], select: str, raw_text: str = "raw_text") -> str:
        """The statement that types what `select` reads and gives each row that cannot be loaded its reason."""
        return insert_typed(table, types, select, raw_text, self.calendar, self._prefix)
