"""A read-only transaction on a DuckDB file, in which its tables and views are what they were at the first statement."""

import contextlib
import json
import time
from collections.abc import Collection, Iterator
from typing import Any

import duckdb

from plant_assets.duckdb_url import DuckDBUrl
from plant_assets.sources.errors import SourceError
from plant_assets.sources.live.columns import ROW
from plant_assets.sources.live.database import SAMPLED_ROWS, Database
from plant_assets.sources.live.parts import LiveTable
from plant_assets.sources.mapping import StoreMapping
from plant_assets.sources.tables import LISTED_TABLES
from plant_assets.sql import identifier, literal

# How long to wait for a process that writes the file, and between two tries, in seconds.
MOST_WAIT, BETWEEN = 30.0, 0.25
_BATCH_ROWS = 100_000
# PostgreSQL's function, for bounds a week apart: the step by division, and one more or less where clocks change.
_WIDTH_BUCKET = """
    create temp macro width_bucket(seen, bounds) as (
        select step - (seen < bounds[step])::int + coalesce(seen >= bounds[step + 1], false)::int
        from (select 1 + greatest(0, least(
            len(bounds) - 1, (epoch_us(seen::timestamp) - epoch_us(bounds[1]::timestamp)) // 604800000000
        )) as step)
    )
"""
_COLUMNS = """
    select schema_name, table_name, list(column_name order by column_index), list(data_type order by column_index)
    from duckdb_columns() where database_name = current_database() and not internal group by all order by all
"""
# The engine's types that are sent as they are, by PostgreSQL's names. Columns of other types are sent as text.
_KINDS = {
    "TIMESTAMP WITH TIME ZONE": "timestamp with time zone",
    "TIMESTAMP": "timestamp without time zone",
    "TIMESTAMP_S": "timestamp without time zone",
    "TIMESTAMP_MS": "timestamp without time zone",
    "DATE": "date",
    **{name: name.lower() for name in ("UUID", "SMALLINT", "INTEGER", "BIGINT")},
}


class DuckDBDatabase(Database):
    """A transaction on a DuckDB file.

    Raises:
        SourceError: the file is not there, is no DuckDB file, or another process writes it for too long.
    """

    def __init__(self, url: DuckDBUrl) -> None:
        self._url = url
        if not url.path.is_file():
            raise SourceError(f"{url.shown}: there is no file {url.path}")
        self._connection = _connect(url)
        self.rows("set TimeZone = 'UTC'; set enable_progress_bar = false")
        self.rows(_WIDTH_BUCKET)
        self.rows("begin transaction")

    def close(self) -> None:
        """End the transaction, so that the file can be written."""
        self._connection.close()

    def rows(self, statement: str, what: str = "cannot be read") -> list[tuple[Any, ...]]:
        """Return the rows of a small result.

        Raises:
            SourceError: the statement fails. `what` is what the message says about it.
        """
        with self._one_sentence(what):
            return self._connection.execute(statement).fetchall()

    def read(self, connection: duckdb.DuckDBPyConnection, table: str, statement: str, take: str, given: object) -> None:
        """Stream the result of a statement into the engine.

        Raises:
            SourceError: the rows cannot be read to their end.
        """
        with self._one_sentence(f"the table {table} cannot be read to its end"):
            reader = self._connection.sql(statement).to_arrow_reader(_BATCH_ROWS)
        connection.register("live_rows", reader)
        try:
            connection.execute(take, given)
        finally:
            connection.unregister("live_rows")

    def tables(self, mapping: StoreMapping) -> dict[str, LiveTable]:
        """Return the source tables that the schema has, or that the mapping names with a schema, by our names."""
        there = {
            (schema, table): LiveTable(
                f"{identifier(schema)}.{identifier(table)}",
                {name: _KINDS.get(kind, "text") for name, kind in zip(columns, kinds, strict=True)},
            )
            for schema, table, columns, kinds in self.rows(_COLUMNS)
        }
        wanted = {name: theirs for name in LISTED_TABLES if (theirs := mapping.table(name))}
        places = {
            name: tuple(theirs.split(".", 1)) if "." in theirs else (self._url.schema, theirs)
            for name, theirs in wanted.items()
        }
        return {name: there[place] for name, place in places.items() if place in there}

    def tables_found(self) -> list[tuple[str, list[str]]]:
        """Return the tables and views of all schemas, by name, each with its columns."""
        return [
            (table if schema == self._url.schema else f"{schema}.{table}", columns)
            for schema, table, columns, _kinds in self.rows(_COLUMNS)
        ]

    def sample(self, name: str) -> list[dict[str, str]]:
        """Return the first rows of a table, as text by the names of their columns."""
        parts = name.split(".", 1) if "." in name else [self._url.schema, name]
        relation = ".".join(map(identifier, parts))
        texts = self.rows(f"select to_json({ROW})::varchar from {relation} as {ROW} limit {SAMPLED_ROWS}")
        return [{key: str(value) for key, value in json.loads(text).items() if value is not None} for (text,) in texts]

    def has_index(self, table: LiveTable, column: str) -> bool:
        """Return True: the engine skips most rows of other weeks by the bounds that it keeps."""
        return True

    def others(self, read: Collection[str]) -> str:
        """Return the SQL of a row's other columns than those that are read, as JSON."""
        return f"json_merge_patch(to_json({ROW}), {literal(json.dumps(dict.fromkeys(read)))})::varchar"

    def place(self) -> tuple[str, str]:
        """Return where tables are looked for, and how to name another place."""
        return f"the schema {self._url.schema}", "?schema=name in PLANT_SOURCE"

    @contextlib.contextmanager
    def _one_sentence(self, what: str) -> Iterator[None]:
        try:
            yield
        except duckdb.Error as error:
            raise SourceError(f"{self._url.shown}: {what}: {_reason(error)}") from error


def _connect(url: DuckDBUrl) -> duckdb.DuckDBPyConnection:
    """Open the file; wait for a process that writes it.

    Raises:
        SourceError: it cannot be opened, or that process writes it for too long.
    """
    until = time.monotonic() + MOST_WAIT
    while True:
        try:
            return duckdb.connect(url.path, read_only=True)
        except duckdb.Error as error:
            is_locked = "Could not set lock" in str(error)
            if not is_locked:
                raise SourceError(f"{url.shown}: cannot be opened: {_reason(error)}") from error
            if time.monotonic() > until:
                raise SourceError(
                    f"{url.shown}: another process has been writing the file for {MOST_WAIT:.0f} s:"
                    f" run again when it is done ({_reason(error)})"
                ) from error
        time.sleep(BETWEEN)


def _reason(error: duckdb.Error) -> str:
    return str(error).strip().splitlines()[0]
