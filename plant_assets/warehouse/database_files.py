"""Copy and move database files: nothing else does. No table of a warehouse is known here.

DuckDB closes a database without an error even if its last checkpoint fails, as on a full disk. The rows are then in the
log beside the file, and the file alone lacks them. `detach` raises instead: each file is detached before it is moved,
and read back without a log.
"""

import contextlib
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb

from plant_assets.settings import Settings, UsageError
from plant_assets.sql import identifier, literal

LOGS = (".wal", ".wal.checkpoint", ".wal.recovery")
DEFINITIONS = """
select 'table', schema_name, table_name, sql, comment from duckdb_tables() where database_name = 'warehouse'
union all
select 'view', schema_name, view_name, sql, comment from duckdb_views()
where database_name = 'warehouse' and not internal
union all
select 'index', schema_name, index_name, sql, comment from duckdb_indexes() where database_name = 'warehouse'
union all
select 'column', schema_name, table_name || '.' || column_name, data_type, comment from duckdb_columns()
where database_name = 'warehouse' and comment is not null
order by all
"""


class NotWhole(OSError):
    """A database file cannot be read without its log, or does not hold what was written to it."""


def connect(
    path: Path, settings: Settings, log: logging.Logger, read_only: bool = False, wait: bool = True
) -> duckdb.DuckDBPyConnection:
    """Open a file as the catalog `warehouse`, waiting for a foreign process that holds it.

    Raises:
        UsageError: the file is no readable warehouse, or is held and `wait` is false.
    """
    connection = duckdb.connect(config={"temp_directory": str(path.with_name(path.name + ".tmp"))})
    # The engine's own bar, which some of Python's ways to start switch on, would end up in the output.
    connection.execute("set TimeZone = 'UTC'; set enable_progress_bar = false; set preserve_insertion_order = false")
    connection.execute(f"set memory_limit = {literal(settings.memory_limit)}")
    is_told = False
    while True:
        try:
            mode = " (read_only)" if read_only else ""
            connection.execute(f"attach {literal(str(path))} as warehouse{mode}")
            return connection
        except duckdb.IOException as error:
            if "lock" not in str(error):
                connection.close()
                raise UsageError(f"{path} is no readable warehouse: {error}") from error
            if not wait:
                connection.close()
                raise UsageError(f"the warehouse is in use by another process: {error}") from error
            if not is_told:
                log.warning("waiting for the process that holds %s: %s", path, error)
                is_told = True
            time.sleep(0.5)
        except duckdb.Error as error:
            connection.close()
            raise UsageError(f"{path} is no readable warehouse: {error}") from error


def settle(settings: Settings, log: logging.Logger) -> None:
    """Write the log that a killed process left to the warehouse's file, and remove it.

    Raises:
        duckdb.Error: the checkpoint failed; file and log are as they were.
        UsageError: there is no warehouse, or it is not readable.
    """
    if not settings.warehouse_path.exists():
        raise UsageError(f"there is no warehouse {settings.warehouse_path}: start with `plant-assets run`")
    with connect(settings.warehouse_path, settings, log) as connection:
        connection.execute("detach warehouse")


@contextlib.contextmanager
def open_file(path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a database file and its log, read-only, as the catalog `warehouse`.

    Raises:
        NotWhole: the file is no readable warehouse.
    """
    with duckdb.connect() as connection:
        try:
            connection.execute(f"attach {literal(str(path))} as warehouse (read_only); use warehouse.analytics")
        except duckdb.Error as error:
            raise NotWhole(f"{path} is no readable warehouse: {error}") from error
        yield connection


@contextlib.contextmanager
def open_alone(path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a database file that has no log, read-only, as the catalog `warehouse`.

    Raises:
        NotWhole: the file has a log, or is no readable warehouse.
    """
    _require_no_log(path)
    with open_file(path) as connection:
        yield connection


def count_tables(connection: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """Return the number of rows of each table, as the file's statistics have it."""
    return {name: _ask(connection, f"select count(*) from {table}")[0] for name, table in _tables(connection)}


def contents(connection: duckdb.DuckDBPyConnection) -> list[tuple[Any, ...]]:
    """Return every table, view, index and comment, with the number of rows and a hash of all values of each table."""
    definitions = connection.execute(DEFINITIONS).fetchall()
    read = "select count(*), bit_xor(hash(whole)) from {} as whole"
    return [*definitions, *((table, *_ask(connection, read.format(table))) for _name, table in _tables(connection))]


def _tables(connection: duckdb.DuckDBPyConnection) -> list[tuple[str, str]]:
    """Return the name of each table, plain and qualified."""
    found = connection.execute(
        "select schema_name, table_name from duckdb_tables() where database_name = 'warehouse' order by all"
    ).fetchall()
    return [(name, f"warehouse.{identifier(schema)}.{identifier(name)}") for schema, name in found]


def _ask(connection: duckdb.DuckDBPyConnection, statement: str) -> tuple[Any, ...]:
    [row] = connection.execute(statement).fetchall()
    return tuple(row)


@contextlib.contextmanager
def unfinished(target: Path) -> Iterator[Path]:
    """Yield the name of an unfinished file beside `target`; it is removed before and after the body."""
    fresh = target.with_name(target.name + ".new")
    remove_database(fresh)
    try:
        yield fresh
    finally:
        # On a full disk half a file would be in the way of all that follows.
        remove_database(fresh)


def copy_database(source: Path, target: Path) -> None:
    """Copy a database file that has no log.

    Raises:
        NotWhole: the file has a log.
    """
    _require_no_log(source)
    shutil.copyfile(source, target)


def put_in_place(
    path: Path, target: Path, is_right: Callable[[duckdb.DuckDBPyConnection], bool] = lambda _connection: True
) -> None:
    """Move a detached database file to `target`, readable by its owner only, if it passes `is_right` when read alone.

    Raises:
        NotWhole: it has a log, is not readable or not right; nothing was moved.
    """
    with open_alone(path) as connection:
        if not is_right(connection):
            raise NotWhole(f"{path} does not hold what was written to it")
    path.chmod(0o600)
    sync(path)
    # The log of the file that is replaced would be taken for that of the new one.
    _remove_logs(target)
    os.replace(path, target)
    sync(target.parent)


def remove_database(path: Path) -> None:
    """Remove a database file and its log: DuckDB would apply that to the next file of this name."""
    path.unlink(missing_ok=True)
    _remove_logs(path)


def sync(path: Path) -> None:
    """Flush a file, or the names in a directory, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _logs(path: Path) -> list[Path]:
    return [path.with_name(path.name + ending) for ending in LOGS]


def _remove_logs(path: Path) -> None:
    for log in _logs(path):
        log.unlink(missing_ok=True)


def _require_no_log(path: Path) -> None:
    for log in _logs(path):
        if log.exists():
            raise NotWhole(f"{path} has a log, {log.name}: open and close the file with DuckDB, which applies it")
