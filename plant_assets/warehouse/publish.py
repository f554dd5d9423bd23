"""Publishing: the marts are copied whole into a file of their own, which readers open during runs.

What is read of it is for `readers/`.
"""

import contextlib
from collections.abc import Mapping
from pathlib import Path

import duckdb

from plant_assets.contracts import PUBLISHED, TABLES
from plant_assets.sql import literal
from plant_assets.warehouse.database_files import count_tables, put_in_place, unfinished
from plant_assets.warehouse.duckdb import Warehouse
from plant_assets.warehouse.ledger import tables as ledger

# Readers of the marts have DuckDB of their own, often an older one.
READERS_VERSION = "v1.2.0"


def publish_marts(warehouse: Warehouse, publisher: str, instead: Mapping[str, str] | None = None) -> Path:
    """Copy the marts into a new file and move it to where readers open it; each table names its publisher.

    `instead` has the query of a table that is not copied as it is.
    """
    target, rows = warehouse.settings.marts_path, dict[str, int]()
    with unfinished(target) as fresh:
        try:
            warehouse.execute(f"attach {literal(str(fresh))} as marts (storage_version '{READERS_VERSION}')")
            warehouse.execute("create schema marts.analytics")
            for name in (*PUBLISHED, *ledger.PUBLISHED):
                if warehouse.has(name):
                    rows |= _publish(warehouse, name, publisher, (instead or {}).get(name))
            warehouse.execute("detach marts")
        except BaseException:
            with contextlib.suppress(duckdb.Error):
                warehouse.execute("detach marts")
            raise
        put_in_place(fresh, target, lambda marts: count_tables(marts) == rows)
    return target


def _publish(warehouse: Warehouse, name: str, publisher: str, instead: str | None) -> dict[str, int]:
    """Copy a table, or what makes a view, whose tables are published too; return the rows of a table."""
    is_view = name in TABLES and TABLES[name].is_view
    kind, body = (
        ("view", warehouse.view_body(name)) if is_view else ("table", instead or f"from warehouse.analytics.{name}")
    )
    rows = warehouse.value(f"create {kind} marts.analytics.{name} as {body}")
    warehouse.execute(f"comment on {kind} marts.analytics.{name} is {literal(publisher)}")
    return {} if is_view else {name: rows}
