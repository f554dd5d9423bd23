"""The published marts, read-only. `publish.py` writes them.

This module imports neither Dagster nor ibis nor pandas, which take most of a second: commands that only read start
without them.
"""

import contextlib
import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import duckdb

from plant_assets.settings import Settings, UsageError
from plant_assets.warehouse.catalog import Catalog
from plant_assets.warehouse.database_files import connect
from plant_assets.warehouse.ledger.facts import Facts

if TYPE_CHECKING:
    import pandas as pd


class Marts:
    """The marts of one whole run, or the tables of an open warehouse. No method writes."""

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
        """Tell whether there is a table or view of this name."""
        return Catalog(self.connection).has(name)

    def fact(self, name: str) -> str | None:
        """Return a fact of the store; None where it is not known."""
        return Facts(self.connection).get(name)

    def stages(self) -> tuple[str, ...]:
        """Return the funnel's stages that the store has, in order."""
        return Facts(self.connection).stages()

    def publisher(self) -> str | None:
        """Return who published these marts."""
        comment = Catalog(self.connection).comment("weeks")
        return comment and comment.rpartition("\n")[2]

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
    """Open the published marts, read-only. This never waits for a run and never holds one up.

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
