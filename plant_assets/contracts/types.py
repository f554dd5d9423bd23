"""The types of which contracts are made: column types, columns, tables. No table is declared here.

Methods that return expressions import ibis: commands that only read need names and stages, and no expression.
"""

import datetime as dt
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from plant_assets.calendar import WEEK, Weeks

if TYPE_CHECKING:
    import ibis

TEXT, INSTANT, DATE, COUNT, FLAG = "string", "timestamp(6)", "date", "int64", "boolean"
PRICE, PERCENT, FRACTION = "decimal(18,4)", "int32", "float64"
# A sum of prices, which may be wider than any of them.
MONEY = "decimal(38,4)"
# An id: text, which a table stores as UUID if every value is written as one.
ID = "uuid"

SQL_TYPES = {
    TEXT: "VARCHAR",
    INSTANT: "TIMESTAMP",
    DATE: "DATE",
    COUNT: "BIGINT",
    FLAG: "BOOLEAN",
    PRICE: "DECIMAL(18,4)",
    MONEY: "DECIMAL(38,4)",
    PERCENT: "INTEGER",
    FRACTION: "DOUBLE",
    ID: "VARCHAR",
}


@dataclass(frozen=True)
class Column:
    """A column: its ibis type, a description with its unit, and whether NULL is forbidden."""

    name: str
    type: str
    description: str
    required: bool = False

    @property
    def sql_type(self) -> str:
        """The type in SQL."""
        return SQL_TYPES[self.type]

    @property
    def stored_types(self) -> tuple[str, ...]:
        """The SQL types under which it may be stored."""
        return (self.sql_type, "UUID") if self.type == ID else (self.sql_type,)


@dataclass(frozen=True)
class Partition:
    """How the rows of a table belong to weeks.

    Attributes:
        column: the column whose value shows the week of a row.
        is_written: whether each week is written by itself; else only checks of a run select rows by it.
    """

    column: str
    is_written: bool = True


@dataclass(frozen=True)
class Table:
    """A table of the warehouse.

    Attributes:
        name: its name.
        key: the columns that identify a row.
        columns: its columns, in order.
        kind: table or view.
        partition: how its rows belong to weeks; None if they do not.
        upstream: the weekly tables whose same week is an input of a week.
        reads_versions: whether versions of products are an input of a week too.
        key_rows: a column and its values in the rows that can break the key; None if all can.
        exact_rows: how many rows it always has; None if that varies.
        instant: the column that shows which rows of a raw table are ahead of a run's clock.
        is_grouped: whether it is a view whose query groups by its key, so that no row can break it. Runs neither count
            nor check its rows, because that would compute all of them.
    """

    name: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    kind: Literal["table", "view"] = "table"
    partition: Partition | None = None
    upstream: tuple[str, ...] = ()
    reads_versions: bool = False
    key_rows: tuple[str, tuple[str, ...]] | None = None
    exact_rows: int | None = None
    instant: str | None = None
    is_grouped: bool = False

    @cached_property
    def schema(self) -> "ibis.Schema":
        """The columns with their ibis types."""
        import ibis

        return ibis.schema({column.name: column.type for column in self.columns})

    @property
    def names(self) -> list[str]:
        """The names of the columns, in order."""
        return [column.name for column in self.columns]

    @property
    def ids(self) -> list[str]:
        """The names of the columns that may be stored as UUID."""
        return [column.name for column in self.columns if column.type == ID]

    @property
    def required(self) -> list[str]:
        """The names of the columns that are never NULL."""
        return [column.name for column in self.columns if column.required]

    @property
    def is_view(self) -> bool:
        """Whether it is a view, of which no row is stored."""
        return self.kind == "view"

    @property
    def layer(self) -> str:
        """Raw, intermediate or mart: dbt's layers, by their prefixes."""
        return {"raw": "raw", "int": "intermediate"}.get(self.name.partition("_")[0], "mart")

    @property
    def is_observed(self) -> bool:
        """Whether it has the rows of observations of a source table that is read again and again."""
        return self.partition is not None and self.partition.column == "observed_at"

    @property
    def week_column(self) -> str | None:
        """The column that partitions the table by week; None if it is written whole."""
        return self.partition.column if self.partition and self.partition.is_written else None

    @property
    def follows(self) -> str | None:
        """The weekly table whose same week is the only input of a week; None if there are others, or none."""
        return self.upstream[0] if len(self.upstream) == 1 and not self.reads_versions else None

    def unbound(self) -> "ibis.Table":
        """Return the table as an expression without an engine."""
        import ibis

        return ibis.table(self.schema, name=self.name)

    def bounds(self, weeks: Weeks) -> list[dt.datetime] | list[dt.date]:
        """Return the first value of the week's column in these weeks, and the first one after them."""
        assert self.partition, f"{self.name} has no weeks"
        if self.schema[self.partition.column].is_timestamp():
            return [weeks.starts_at, weeks.ends_at]
        return [weeks.first, weeks.last + WEEK]

    def rows_of(self, weeks: Weeks) -> "ibis.Table":
        """Return the rows of these weeks."""
        import ibis

        assert self.partition, f"{self.name} has no weeks"
        unbound, column = self.unbound(), self.partition.column
        low, high = (ibis.literal(bound, self.schema[column]) for bound in self.bounds(weeks))
        return unbound.filter((unbound[column] >= low) & (unbound[column] < high))


def must(name: str, type_: str, description: str) -> Column:
    """Return a column that is never NULL."""
    return Column(name, type_, description, required=True)


def may(name: str, type_: str, description: str) -> Column:
    """Return a column that may be NULL."""
    return Column(name, type_, description)
