"""Which tables and indexes a database has. How their rows are read is in `source.py`."""

import json

from plant_assets.sources.live.database import SAMPLED_ROWS
from plant_assets.sources.live.parts import LiveTable
from plant_assets.sources.mapping import StoreMapping
from plant_assets.sources.postgres.snapshot import Snapshot
from plant_assets.sources.tables import LISTED_TABLES
from plant_assets.sql import identifier, literal

_TABLES = "relkind in ('r', 'p', 'v', 'm', 'f')"
_FOUND_TABLES = (
    "from pg_class join pg_namespace on pg_namespace.oid = relnamespace"
    f" where {_TABLES} and nspname <> 'information_schema' and nspname not like 'pg\\_%'"
)
_SHOWN_NAME = "case when pg_table_is_visible(pg_class.oid) then relname else nspname || '.' || relname end::text"


def find_tables(snapshot: Snapshot, mapping: StoreMapping) -> dict[str, LiveTable]:
    """Return the source tables that the database has, by our names, resolved by the server's search_path."""
    wanted = {name: theirs for name in LISTED_TABLES if (theirs := mapping.table(name))}
    # A name may begin with a schema.
    relations = {name: ".".join(map(identifier, theirs.split(".", 1))) for name, theirs in wanted.items()}
    found = snapshot.rows(
        "select wanted, attname::text, coalesce(nullif(typbasetype, 0), atttypid)::regtype::text"
        f" from unnest(array[{', '.join(map(literal, relations.values()))}]) as wanted"
        f" join pg_class on pg_class.oid = to_regclass(wanted) and {_TABLES}"
        " left join pg_attribute on attrelid = pg_class.oid and attnum > 0 and not attisdropped"
        " left join pg_type on pg_type.oid = atttypid order by wanted, attnum"
    )
    tables = {name: LiveTable(relation) for name, relation in relations.items()}
    there = {relation for relation, _column, _kind in found}
    for relation, column, kind in found:
        for table in tables.values():
            if table.relation == relation and column is not None:
                table.columns[column] = kind
    return {name: table for name, table in tables.items() if table.relation in there}


def columns_of_tables(snapshot: Snapshot) -> list[tuple[str, list[str]]]:
    """Return the tables of all schemas, by name, each with its columns."""
    found = snapshot.rows(
        f"select {_SHOWN_NAME}, array(select attname::text from pg_attribute where attrelid = pg_class.oid"
        f" and attnum > 0 and not attisdropped order by attnum) {_FOUND_TABLES} order by 1"
    )
    return [(name, columns) for name, columns in found]


def sample_rows(snapshot: Snapshot, name: str) -> list[dict[str, str]]:
    """Return the first rows of a table, as text by the names of their columns."""
    relation = ".".join(map(identifier, name.split(".", 1)))
    rows = snapshot.rows(f"select to_jsonb(shop_row)::text from {relation} as shop_row limit {SAMPLED_ROWS}")
    return [{key: str(value) for key, value in json.loads(text).items() if value is not None} for (text,) in rows]


def has_index(snapshot: Snapshot, table: LiveTable, column: str) -> bool:
    """Return whether an index begins with a column; True also for a table that can have none, such as a view."""
    return not snapshot.rows(
        f"select 1 from pg_class where oid = to_regclass({literal(table.relation)}) and relkind in ('r', 'p', 'm')"
        " and not exists (select from pg_index join pg_attribute on attrelid = indrelid and attnum = indkey[0]"
        f" where indrelid = pg_class.oid and indisvalid and attname = {literal(column)})"
    )
