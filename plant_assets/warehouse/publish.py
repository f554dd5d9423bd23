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
from plant_assets.warehouse.ledger.writes import Writes

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


def differing_tables(connection: duckdb.DuckDBPyConnection, published: Path, writes: Writes) -> list[str]:
    """Return the published tables whose rows differ from those of an open database that did not write them since."""
    connection.execute(f"attach {literal(str(published))} as published (read_only)")
    try:
        same = writes.published_as_they_are("published")
        tables = [name for name in PUBLISHED if name in same and not TABLES[name].is_view]
        return [name for name in tables if _sums(connection, "warehouse", name) != _sums(connection, "published", name)]
    finally:
        connection.execute("detach published")


def _sums(connection: duckdb.DuckDBPyConnection, catalog: str, name: str) -> tuple[int, int | None]:
    """Return how many rows a table has, and the sum of their hashes, which is exact in any order."""
    columns = ", ".join(TABLES[name].names)
    sums = f"select count(*), sum(hash({columns})::hugeint) from {catalog}.analytics.{name}"
    [found] = connection.execute(sums).fetchall()
    return found


def _publish(connection: duckdb.DuckDBPyConnection, kind: str, name: str, body: str, publisher: str) -> int:
    """Make a table or view of the marts, and return the rows of a table."""
    made = connection.execute(f"create {kind} marts.analytics.{name} as {body}").fetchone()
    connection.execute(f"comment on {kind} marts.analytics.{name} is {literal(publisher)}")
    return int(made[0]) if made and kind == "table" else 0
