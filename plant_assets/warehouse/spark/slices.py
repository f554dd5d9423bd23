"""Slices: rows of a table in files that were written at once, and which of them an expression looks at.

The catalog has a row for each; what is done with them is in `engine.py`.
"""

import datetime as dt
from dataclasses import dataclass
from typing import Any

import ibis
from ibis.expr import operations as ops

from plant_assets.calendar import Weeks
from plant_assets.contracts import TABLES, Table
from plant_assets.sql import literal

CATALOG_DDL = """
create table if not exists _slices (
    table_name varchar, week date, path varchar, columns varchar[], files varchar[], rows bigint, bytes bigint);
create table if not exists _views (table_name varchar, statement varchar, sources varchar[]);
"""
# Rows that loads note and change one by one stay in the catalog.
IN_CATALOG = "rejected_rows"
WEEK_FOLDER = "week_start"
NO_FOLDER = f"{WEEK_FOLDER}=__HIVE_DEFAULT_PARTITION__"
# What is added to a week is a file of its own; so many small ones are written anew as one.
MOST_SMALL, SMALL = 8, 32 * 2**20
FILE_SIZE = 256 * 2**20
SPARK_TYPES = {
    "string": "string",
    "timestamp(6)": "timestamp_ntz",
    "date": "date",
    "int64": "bigint",
    "boolean": "boolean",
    "decimal(18,4)": "decimal(18,4)",
    "int32": "int",
    "float64": "double",
    "uuid": "string",
}
Bounds = tuple[dt.date | dt.datetime | None, dt.date | dt.datetime | None]


@dataclass(frozen=True)
class Slice:
    """Rows of a table, all of one week where it is cut by weeks, in files that were written at once."""

    week: dt.date | None
    path: str
    columns: list[str]
    files: list[str]
    rows: int
    bytes: int


def compiled(expression: ibis.Table) -> str:
    """An expression as a statement of Spark."""
    # Asking the backend, not `ibis.to_sql`, brings in its options, which some expressions need.
    return str(ibis.pyspark.compile(expression))


def sources_of(expression: ibis.Table) -> set[ops.UnboundTable]:
    """Return the tables that an expression names."""
    return set(expression.op().find(ops.UnboundTable))


def bounds_of(expression: ibis.Table, source: ops.UnboundTable) -> Bounds:
    """From which value of its week column on, and before which, an expression looks at the rows of a table.

    Told where all that names the table are filters of that column alone, as `Weeks.rows_of` makes them.
    """
    table = TABLES.get(source.name)
    if table is None or table.partition is None:
        return None, None
    lows: list[Any] = []
    highs: list[Any] = []
    for node in expression.op().find(ops.Node):
        if isinstance(node, ops.Field) or source not in node.__children__:
            continue
        found: dict[type[ops.Value], Any] = {}
        for each in node.predicates if isinstance(node, ops.Filter) else ():
            is_bound = isinstance(each, ops.GreaterEqual | ops.Less) and isinstance(each.right, ops.Literal)
            if is_bound and isinstance(each.left, ops.Field) and each.left.name == table.partition.column:
                found[type(each)] = each.right.value
        lows.append(found.get(ops.GreaterEqual))
        highs.append(found.get(ops.Less))
    return (None if None in lows else min(lows, default=None)), (None if None in highs else max(highs, default=None))


def within(table: Table, weeks: Weeks) -> str:
    """Return the condition on rows of these weeks, as SQL."""
    assert table.partition, f"{table.name} has no weeks"
    column, (low, high) = table.partition.column, (literal(str(bound)) for bound in table.bounds(weeks))
    return f"{column} >= {low} and {column} < {high}"
