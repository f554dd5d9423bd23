"""Watches the statements that a process sends to its warehouse."""

from collections.abc import Callable
from typing import Any

import duckdb

from plant_assets.warehouse import open as opening

Observer = Callable[[str], None]


class _Watched:
    """A connection that shows each statement to observers, before and after it is executed."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, before: Observer, after: Observer) -> None:
        self._connection, self._before, self._after = connection, before, after

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def execute(self, statement: str, parameters: Any = None) -> Any:
        self._before(statement)
        result = self._connection.execute(statement, parameters)
        self._after(statement)
        return result


def watch(before: Observer, after: Observer = lambda _statement: None) -> None:
    """Watch the warehouses that this process opens from now on."""
    connect = opening.connect

    def connect_watched(*given: Any, **named: Any) -> Any:
        connection = connect(*given, **named)
        # Frames are found by their names in the function that executes a statement, which is one call further now.
        connection.execute("set python_scan_all_frames = true")
        return _Watched(connection, before, after)

    opening.connect = connect_watched
