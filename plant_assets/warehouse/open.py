"""Open a warehouse for writing. Nothing else chooses the engine. `marts.py` opens the published marts.

What an engine does is in `duckdb.py` and `spark/`, what a file is in `database_files.py`.
"""

import contextlib
import logging
from collections.abc import Iterator

import duckdb

from plant_assets.contracts import TABLES
from plant_assets.settings import Settings
from plant_assets.sql import identifier
from plant_assets.warehouse.aside import set_aside_other_store
from plant_assets.warehouse.database_files import connect
from plant_assets.warehouse.duckdb import DuckDBEngine, DuckDBStore
from plant_assets.warehouse.fingerprints import known_fingerprints
from plant_assets.warehouse.ledger.ledger import open_ledger
from plant_assets.warehouse.ledger.tables import DDL
from plant_assets.warehouse.lock import hold_lock
from plant_assets.warehouse.store import STAGED, create_table
from plant_assets.warehouse.warehouse import Warehouse

USE_WAREHOUSE = f"use warehouse; create schema if not exists analytics; use warehouse.analytics; {DDL}"


def drop_staged(connection: duckdb.DuckDBPyConnection) -> None:
    """Drop staged rows: a killed process leaves them."""
    names = connection.execute(
        "select table_name from duckdb_tables() where database_name = 'warehouse' and starts_with(table_name, ?)",
        [STAGED],
    ).fetchall()
    for (name,) in names:
        connection.execute(f"drop table {identifier(name)}")


def compose(connection: duckdb.DuckDBPyConnection, settings: Settings) -> Warehouse:
    """Return the warehouse of these settings over its open DuckDB file."""
    ledger = open_ledger(connection, settings.calendar, known_fingerprints(settings))
    if settings.spark_master is None:
        store = DuckDBStore(connection, settings, ledger)
        return Warehouse(connection, settings, ledger, store, DuckDBEngine(connection, settings))
    from plant_assets.warehouse.spark.engine import SparkEngine
    from plant_assets.warehouse.spark.slices import Slices
    from plant_assets.warehouse.spark.tables import SparkStore

    slices = Slices(connection, settings, ledger)
    engine = SparkEngine(connection, settings, slices)
    return Warehouse(connection, settings, ledger, SparkStore(connection, settings, ledger, slices, engine), engine)


@contextlib.contextmanager
def open_empty(settings: Settings) -> Iterator[Warehouse]:
    """Open a warehouse of DuckDB in memory that has every table of the contracts, all of them empty."""
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.execute(f"set TimeZone = 'UTC'; attach ':memory:' as warehouse; {USE_WAREHOUSE}")
        connection.execute("; ".join(create_table(table) for table in TABLES.values()))
        yield compose(connection, settings)


def require_engine(settings: Settings) -> None:
    """Check that the engine of the warehouse is installed.

    Raises:
        UsageError: pyspark or Java is not.
    """
    if settings.spark_master is not None:
        from plant_assets.warehouse.spark.session import require_spark

        require_spark(settings)


@contextlib.contextmanager
def open_warehouse(
    settings: Settings,
    log: logging.Logger | None = None,
    holder: str = "a command",
    wait: bool = True,
    accept_source: bool = False,
) -> Iterator[Warehouse]:
    """Open the warehouse for writing, with its lock. It is made on first use, readable by its owner only.

    `holder` is what others are told that they wait for. With `accept_source`, the warehouse of another store is set
    aside first.

    Raises:
        UsageError: it is in use and `wait` is false, or is no warehouse.
    """
    log = log or logging.getLogger(__name__)
    require_engine(settings)
    settings.warehouse_path.parent.mkdir(parents=True, exist_ok=True)
    with hold_lock(settings, log, holder, wait):
        if accept_source:
            set_aside_other_store(settings, log)
        is_new = not settings.warehouse_path.exists()
        connection = connect(settings.warehouse_path, settings, log, wait=wait)
        opened = compose(connection, settings)
        try:
            if is_new:
                settings.warehouse_path.chmod(0o600)
            connection.execute(USE_WAREHOUSE)
            drop_staged(connection)
            opened.store.prepare()
            opened.engine.limit_memory()
            yield opened
            drop_staged(connection)
        finally:
            try:
                opened.engine.close()
            finally:
                connection.close()
