"""The published marts, for readers: they are asked here and changed nowhere. How they get there is in `publish.py`.

Commands that only read start without Dagster, `ibis` and `pandas`, whose import takes most of a second: this module
imports none of them.
"""

import contextlib
import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import duckdb

from plant_assets.contracts import STAGES
from plant_assets.settings import Settings, UsageError
from plant_assets.warehouse.database_files import connect

if TYPE_CHECKING:
    import pandas as pd


class Marts:
    """The marts of one whole run, or the tables of a warehouse that is open; no method writes."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, settings: Settings) -> None:
        self.connection = connection
        self.settings = settings
        self.calendar = settings.calendar

    def rows(self, statement: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        """Return the rows of a statement."""
        return self._answer(statement, parameters).fetchall()

    def value(self, statement: str, parameters: Any = None) -> Any:
        """Return the first column of a statement's first row; None without a row."""
        found = self._answer(statement, parameters).fetchone()
        return found[0] if found else None

    def frame(self, statement: str, parameters: Any = None) -> "pd.DataFrame":
        """Return the rows of a statement with its columns."""
        return self._answer(statement, parameters).df()

    def count_rows(self, name: str) -> int:
        """Return how many rows a table or view has."""
        return int(self.value(f"select count(*) from {name}"))

    def has(self, name: str) -> bool:
        """Return whether there is a table or view of that name."""
        return bool(
            self.value(
                "select exists (from information_schema.tables where table_catalog = 'warehouse'"
                " and table_schema = 'analytics' and table_name = ?)",
                [name],
            )
        )

    def meta(self, name: str) -> str | None:
        """Return a fact of the store by its name; None where it is not known."""
        found: str | None = self.value("select value from _meta where name = ?", [name])
        return found

    def stages(self) -> tuple[str, ...]:
        """Return the funnel's stages that the store has, in order; all where nothing says otherwise."""
        known = self.meta("stages")
        return STAGES if known is None else tuple(known.split(","))

    def publisher(self) -> str | None:
        """Return who published these marts."""
        found: str | None = self.value(
            "select comment from duckdb_tables() where database_name = 'warehouse' and table_name = 'weeks'"
        )
        return found

    def _answer(self, statement: str, parameters: Any) -> duckdb.DuckDBPyConnection:
        try:
            return self.connection.execute(statement, parameters)
        except duckdb.CatalogException as error:
            missing = str(error).splitlines()[0]
            raise UsageError(
                f"{self.settings.marts_path} was published by another version ({missing}):"
                " publish it anew with `plant-assets run`"
            ) from error


@contextlib.contextmanager
def open_marts(settings: Settings) -> Iterator[Marts]:
    """Open the published marts, read-only: never waits for a run and never holds one up.

    Raises:
        UsageError: no run of the whole job has published any yet.
    """
    path = settings.marts_path
    if not path.exists():
        raise UsageError(f"no answers yet in {settings.warehouse_path}: start with `plant-assets run`")
    connection = connect(path, settings, logging.getLogger(__name__), read_only=True)
    try:
        connection.execute("use warehouse.analytics")
        yield Marts(connection, settings)
    finally:
        connection.close()
