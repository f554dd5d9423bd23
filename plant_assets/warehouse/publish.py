"""Publish the marts: copy them whole into a file of their own, which readers open during runs.

`readers/` reads it.
"""

import contextlib
from collections.abc import Mapping
from pathlib import Path

import duckdb

from plant_assets.contracts import PUBLISHED, TABLES
from plant_assets.sql import identifier, literal
from plant_assets.warehouse.catalog import Catalog
from plant_assets.warehouse.database_files import count_tables, put_in_place, unfinished
from plant_assets.warehouse.ledger import tables as ledger
from plant_assets.warehouse.ledger.writes import Writes

# Readers of the marts have DuckDB of their own, often an older one.
READERS_VERSION = "v1.2.0"
_COMMENTS = """
    select table_name, comment from duckdb_tables() where schema_name = 'analytics' and comment is not null
    union all
    select view_name, comment from duckdb_views() where schema_name = 'analytics' and comment is not null
"""


def publish_marts(
    connection: duckdb.DuckDBPyConnection,
    target: Path,
    publisher: str,
    instead: Mapping[str, str] | None = None,
    descriptions: Mapping[str, str] | None = None,
) -> Path:
    """Copy the marts of an open database to the file `target`, which readers open.

    Comments describe each table and column; the last line of a table's comment names the publisher.

    Args:
        connection: an open database, attached as `warehouse`.
        target: the file to write.
        publisher: who publishes.
        instead: the queries of tables that are not copied as they are.
        descriptions: what each table is; by default, what the file said before.
    """
    catalog, rows = Catalog(connection), dict[str, int]()
    if descriptions is None:
        descriptions = _described(target)
    with unfinished(target) as fresh:
        try:
            connection.execute(f"attach {literal(str(fresh))} as marts (storage_version '{READERS_VERSION}')")
            connection.execute("create schema marts.analytics")
            for name in (*PUBLISHED, *ledger.PUBLISHED):
                if not catalog.has(name):
                    continue
                if name in TABLES and TABLES[name].is_view:
                    # The tables that make it are published too.
                    _publish(connection, "view", name, catalog.view_body(name))
                else:
                    body = (instead or {}).get(name, f"from warehouse.analytics.{name}")
                    rows[name] = _publish(connection, "table", name, body)
                _comment(connection, name, descriptions.get(name, ""), publisher)
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


def _publish(connection: duckdb.DuckDBPyConnection, kind: str, name: str, body: str) -> int:
    """Make a table or view of the marts, and return the rows of a table."""
    made = connection.execute(f"create {kind} marts.analytics.{name} as {body}").fetchone()
    return int(made[0]) if made and kind == "table" else 0


def _comment(connection: duckdb.DuckDBPyConnection, name: str, description: str, publisher: str) -> None:
    """Comment on a table or view with what it is and who published it, and on each of its columns."""
    path, kind = f"marts.analytics.{name}", "table"
    columns: Mapping[str, str]
    if name in TABLES:
        kind, columns = TABLES[name].kind, {column.name: column.description for column in TABLES[name].columns}
    else:
        description, columns = ledger.PUBLISHED[name]
    text = f"{description}\n{publisher}" if description else publisher
    statements = [f"comment on {kind} {path} is {literal(text)}"]
    for column, said in columns.items():
        statements.append(f"comment on column {path}.{identifier(column)} is {literal(said)}")
    connection.execute("; ".join(statements))


def _described(target: Path) -> dict[str, str]:
    """Return what a file of marts says of each table: its comment but for the last line, which names the publisher.

    A file that is missing or damaged says nothing: it is about to be replaced.
    """
    try:
        with duckdb.connect(target, read_only=True) as marts:
            comments = marts.execute(_COMMENTS).fetchall()
    except duckdb.Error:
        return {}
    return {name: text.rpartition("\n")[0] for name, text in comments}
