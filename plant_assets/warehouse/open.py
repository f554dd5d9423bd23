"""Open a warehouse for writing. Nothing else chooses the engine. The marts are opened in `marts.py`.

What an engine does is in `duckdb.py` and `spark/`, what a file is in `database_files.py`.
"""

import contextlib
import logging
from collections.abc import Iterator

import duckdb

from plant_assets.settings import Settings
from plant_assets.sql import identifier
from plant_assets.warehouse.aside import set_aside_other_store
from plant_assets.warehouse.database_files import connect
from plant_assets.warehouse.duckdb import Warehouse
from plant_assets.warehouse.lock import hold_lock
from plant_assets.warehouse.store import STAGED

INTERNAL_DDL = """
create schema if not exists analytics;
use warehouse.analytics;
create table if not exists _meta (name varchar, value varchar);
create table if not exists _files (
    source_table varchar, file varchar, size bigint, modified_ns bigint, content_hash varchar,
    week date, rows_read bigint);
create table if not exists _loads (
    source_table varchar, bucket varchar, file varchar, content_hash varchar,
    rows_read bigint, rows_loaded bigint, rows_dropped bigint, rows_rejected bigint,
    write_number bigint, run_id varchar);
create table if not exists _writes (
    table_name varchar, week date, write_number bigint, run_id varchar, written_at timestamp);
create table if not exists _event_prices (
    week date, product_id varchar, latest_at timestamp, priced_at timestamp, price decimal(18, 4));
alter table _writes add column if not exists made_with bigint;
"""


def drop_staged(connection: duckdb.DuckDBPyConnection) -> None:
    """Forget what was read from a source; a process that was killed leaves it."""
    names = connection.execute(
        "select table_name from duckdb_tables() where database_name = 'warehouse' and starts_with(table_name, ?)",
        [STAGED],
    ).fetchall()
    for (name,) in names:
        connection.execute(f"drop table {identifier(name)}")


def warehouse_class(settings: Settings) -> type[Warehouse]:
    """What opens the warehouse of these settings.

    Raises:
        UsageError: it is on an engine that is not installed.
    """
    if settings.spark_master is None:
        return Warehouse
    from plant_assets.warehouse.spark.engine import SparkWarehouse
    from plant_assets.warehouse.spark.session import require_spark

    require_spark(settings)
    return SparkWarehouse


@contextlib.contextmanager
def open_warehouse(
    settings: Settings,
    log: logging.Logger | None = None,
    holder: str = "a command",
    wait: bool = True,
    accept_source: bool = False,
) -> Iterator[Warehouse]:
    """Open the warehouse for writing, alone; made on first use, for its owner only.

    `holder` is what others are told that they wait for. With `accept_source`, the warehouse of another store is set
    aside first.

    Raises:
        UsageError: it is in use and `wait` is false, or is no warehouse.
    """
    log = log or logging.getLogger(__name__)
    kind = warehouse_class(settings)
    settings.warehouse_path.parent.mkdir(parents=True, exist_ok=True)
    with hold_lock(settings, log, holder, wait):
        if accept_source:
            set_aside_other_store(settings, log)
        is_new = not settings.warehouse_path.exists()
        connection = connect(settings.warehouse_path, settings, log, wait=wait)
        opened = kind(connection, settings)
        try:
            if is_new:
                settings.warehouse_path.chmod(0o600)
            connection.execute("use warehouse; " + INTERNAL_DDL)
            drop_staged(connection)
            opened.prepare()
            opened.limit_memory()
            yield opened
            drop_staged(connection)
        finally:
            opened.close()
