"""The tables of the ledger: how they are made, and what expressions see of them."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import duckdb

if TYPE_CHECKING:
    import ibis

DDL = """
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
alter table _loads add column if not exists rows_merged bigint;
create table if not exists _due (week date, since timestamp, reason varchar);
alter table _writes add column if not exists made_with bigint;
alter table _writes add column if not exists definition varchar;
create table if not exists _open_checks (
    asset varchar, name varchar, week date, since timestamp, write_number bigint, definition varchar,
    is_blocking boolean);
create table if not exists _looked_whole (name varchar, looked_at timestamp, passed boolean);
"""
# Published with the marts: what readers say of the run and the store. What each table is, and each of its columns.
PUBLISHED: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "_meta": (
        "Facts of the run and the store; one row per fact.",
        {"name": "What the fact is of", "value": "The fact"},
    ),
    "_writes": (
        "When each table was last written; one row per table, or week of it.",
        {
            "table_name": "The table",
            "week": "Monday of the week that was written; NULL: the whole table",
            "write_number": "Later writes have higher numbers",
            "run_id": "The run that wrote it",
            "written_at": "When, UTC",
            "made_with": "Number of the write of product_snapshots that it was made with",
            "definition": "Fingerprint of the definition that made it",
        },
    ),
}


def rows_of(connection: duckdb.DuckDBPyConnection, statement: str, parameters: object = None) -> list[tuple[Any, ...]]:
    """Return the rows of a query."""
    return connection.execute(statement, parameters).fetchall()


def next_write_number(connection: duckdb.DuckDBPyConnection) -> int:
    """Return a number above those of all writes and loads so far."""
    numbers = "select write_number from _writes union all select write_number from _loads"
    return int(rows_of(connection, f"select coalesce(max(write_number), 0) + 1 from ({numbers})")[0][0])


def loads() -> "ibis.Table":
    """Return the accounts of loads for expressions: one row per source table, bucket and file."""
    import ibis

    text = ("source_table", "bucket", "file", "content_hash")
    counts = ("rows_read", "rows_loaded", "rows_merged", "rows_dropped", "rows_rejected", "write_number")
    return ibis.table(dict.fromkeys(text, "string") | dict.fromkeys(counts, "int64"), name="_loads")


def files() -> "ibis.Table":
    """Return what files hold for expressions: one row per source table, file and week."""
    import ibis

    columns = {"source_table": "string", "file": "string", "content_hash": "string", "week": "date"}
    return ibis.table(columns | {"rows_read": "int64"}, name="_files")
