"""Slices: rows of a table in files that were written at once, and which of them an expression looks at.

The DuckDB file has a row for each. `tables.py` writes them, `engine.py` reads them.
"""

import datetime as dt
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb
import ibis
from ibis.expr import operations as ops

from plant_assets.calendar import Weeks
from plant_assets.contracts import TABLES, Table
from plant_assets.settings import Settings
from plant_assets.sql import literal
from plant_assets.warehouse.ledger.ledger import Ledger

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
    "decimal(38,4)": "decimal(38,4)",
    "int32": "int",
    "float64": "double",
    "uuid": "string",
}
Bounds = tuple[dt.date | dt.datetime | None, dt.date | dt.datetime | None]


@dataclass(frozen=True)
class Slice:
    """Rows of a table, all of one week where the table has a partition, in files that were written at once."""

    week: dt.date | None
    path: str
    columns: list[str]
    files: list[str]
    rows: int
    bytes: int


class Slices:
    """The slices that are the rows of each table now, and the directory that their files are in."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, settings: Settings, ledger: Ledger) -> None:
        self._connection = connection
        self._settings = settings
        self._ledger = ledger

    @cached_property
    def folder(self) -> Path:
        """The directory of the tables of this warehouse, and of no other."""
        facts = self._ledger.facts
        if facts.get("tables") is None:
            facts.remember(tables=uuid.uuid4().hex)
        return self._settings.tables_path / str(facts.get("tables"))

    def of(self, table: Table, weeks: Iterable[dt.date] | None = None) -> list[Slice]:
        """Return the slices of a table, or of weeks of it."""
        rows = self._connection.execute(
            "select week, path, columns, files, rows, bytes from _slices where table_name = $name"
            " and ($weeks is null or list_contains($weeks::date[], week)) order by week, path",
            {"name": table.name, "weeks": None if weeks is None else list(weeks)},
        ).fetchall()
        return [Slice(*row) for row in rows]

    def within(self, table: Table, bounds: Bounds) -> list[Slice]:
        """Return the slices that may have rows from the first bound on and before the second."""
        low, high = bounds
        kept = []
        for each in self.of(table):
            if each.week:
                begins, ends = table.bounds(Weeks(self._settings.calendar, each.week, each.week))
                if (low is not None and ends <= low) or (high is not None and begins >= high):
                    continue
            kept.append(each)
        return kept

    def paths(self) -> set[str]:
        """Return the directories of all slices, below the folder."""
        return {path for (path,) in self._connection.execute("select path from _slices").fetchall()}

    def forget(self, table: Table, slices: Sequence[Slice]) -> None:
        """Take slices out of a table."""
        self._connection.execute(
            "delete from _slices where table_name = ? and list_contains(?::varchar[], path)",
            [table.name, [each.path for each in slices]],
        )

    def keep(self, table: Table, slices: Sequence[Slice]) -> None:
        """Give a table slices."""
        for each in slices:
            self._connection.execute(
                "insert into _slices values (?, ?, ?, ?, ?, ?, ?)",
                [table.name, each.week, each.path, each.columns, each.files, each.rows, each.bytes],
            )

    def files(self, slices: Iterable[Slice]) -> list[str]:
        """Return the paths of the files of slices."""
        return [str(self.folder / file) for each in slices for file in each.files]

    def read(self, slices: Sequence[Slice]) -> str:
        """Return the rows of slices as SQL of DuckDB's."""
        differ = str(len({tuple(sorted(each.columns)) for each in slices}) > 1).lower()
        files = ", ".join(literal(file) for file in self.files(slices))
        return f"read_parquet([{files}], hive_partitioning = false, union_by_name = {differ})"


def compiled(expression: ibis.Table) -> str:
    """Return an expression as a statement of Spark."""
    # Asking the backend, not `ibis.to_sql`, brings in its options, which some expressions need.
    return str(ibis.pyspark.compile(expression))


def sources_of(expression: ibis.Table) -> set[ops.UnboundTable]:
    """Return the tables that an expression names."""
    return set(expression.op().find(ops.UnboundTable))


def bounds_of(expression: ibis.Table, source: ops.UnboundTable) -> Bounds:
    """Return the bounds of the partition's column within which an expression reads a table; None where it has none.

    They are known if every use of the table is a filter of that column, as `Table.rows_of` makes it.
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
