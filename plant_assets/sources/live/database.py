"""What a database has to say to be a source. How its rows are read from then on is in `source.py`."""

import abc
from collections.abc import Collection
from typing import Any

import duckdb

from plant_assets.sources.live.parts import LiveTable
from plant_assets.sources.mapping import StoreMapping

# So many rows tell what a table holds.
SAMPLED_ROWS = 10_000


class Database(abc.ABC):
    """A read-only transaction: every statement sees the database as it was at the first one."""

    @abc.abstractmethod
    def close(self) -> None:
        """End the transaction."""

    @abc.abstractmethod
    def rows(self, statement: str, what: str = "cannot be read") -> list[tuple[Any, ...]]:
        """Return the rows of a small result.

        Raises:
            SourceError: the statement fails. `what` is what the message says about it.
        """

    @abc.abstractmethod
    def read(self, connection: duckdb.DuckDBPyConnection, table: str, statement: str, take: str, given: object) -> None:
        """Stream the result of a statement into the engine.

        Args:
            connection: the engine.
            table: the table's name, for the message.
            statement: what the database runs.
            take: what the engine runs. It reads the rows from `live_rows`.
            given: the parameters of `take`.

        Raises:
            SourceError: the rows cannot be read to their end.
        """

    @abc.abstractmethod
    def tables(self, mapping: StoreMapping) -> dict[str, LiveTable]:
        """Return the source tables that the database has, by our names."""

    @abc.abstractmethod
    def tables_found(self) -> list[tuple[str, list[str]]]:
        """Return all tables and views, by name, each with its columns."""

    @abc.abstractmethod
    def sample(self, name: str) -> list[dict[str, str]]:
        """Return the first rows of a table, as text by the names of their columns."""

    @abc.abstractmethod
    def has_index(self, table: LiveTable, column: str) -> bool:
        """Return whether rows are found by a column without reading all."""

    @abc.abstractmethod
    def others(self, read: Collection[str]) -> str:
        """Return the SQL of a row's other columns than those that are read, as JSON."""

    @abc.abstractmethod
    def place(self) -> tuple[str, str]:
        """Return where tables are looked for, and how to name another place."""
