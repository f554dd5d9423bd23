"""Publish the marts: copy them whole into a file of their own, which readers open during runs.

`readers/` reads it.
"""

import contextlib
from collections.abc import Mapping
from pathlib import Path

import duckdb

from plant_assets.contracts import PUBLISHED, TABLES
from plant_assets.sql import literal
from plant_assets.warehouse.catalog import Catalog
from plant_assets.warehouse.database_files import count_tables, put_in_place, unfinished
from plant_assets.warehouse.ledger import tables as ledger

# Readers of the marts have DuckDB of their own, often an older one.
READERS_VERSION = "v1.2.0"


def publish_marts(
    connection: duckdb.DuckDBPyConnection, target: Path, publisher: str, instead: Mapping[str, str] | None = None
) -> Path:
    """Copy the marts of an open database to the file `target`, which readers open; each table names its publisher.

    `instead` has the query of a table that is not copied as it is.
    """
    catalog, rows = Catalog(connection), dict[str, int]()
    with unfinished(target) as fresh:
        try:
            connection.execute(f"attach {literal(str(fresh))} as marts (storage_version '{READERS_VERSION}')")
            connection.execute("create schema marts.analytics")
            for name in (*PUBLISHED, *ledger.PUBLISHED):
                if not catalog.has(name):
                    continue
                if name in TABLES and TABLES[name].is_view:
                    # The tables that make it are published too.
                    _publish(connection, "view", name, catalog.view_body(name), publisher)
                else:
                    body = (instead or {}).get(name, f"from warehouse.analytics.{name}")
                    rows[name] = _publish(connection, "table", name, body, publisher)
            connection.execute("detach marts")
        except BaseException:
            with contextlib.suppress(duckdb.Error):
                connection.execute("detach marts")
            raise
        put_in_place(fresh, target, lambda marts: count_tables(marts) == rows)
    return target


def _publish(connection: duckdb.DuckDBPyConnection, kind: str, name: str, body: str, publisher: str) -> int:
    """Make a table or view of the marts, and return the rows of a table."""
    made = connection.execute(f"create {kind} marts.analytics.{name} as {body}").fetchone()
    connection.execute(f"comment on {kind} marts.analytics.{name} is {literal(publisher)}")
    return int(made[0]) if made and kind == "table" else 0
