"""The types of which contracts are made: column types, columns, tables. No table is declared here."""

import datetime as dt
from dataclasses import dataclass
from functools import cached_property

import ibis

from plant_assets.calendar import WEEK, Weeks

TEXT, INSTANT, DATE, COUNT, FLAG = "string", "timestamp(6)", "date", "int64", "boolean"
PRICE, PERCENT, FRACTION = "decimal(18,4)", "int32", "float64"
# An id: text, which a table stores as UUID if every value is written as one.
ID = "uuid"

SQL_TYPES = {
    TEXT: "VARCHAR",
    INSTANT: "TIMESTAMP",
    DATE: "DATE",
    COUNT: "BIGINT",
    FLAG: "BOOLEAN",
    PRICE: "DECIMAL(18,4)",
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
class Table:
    """A table of the warehouse.

    Attributes:
        name: its name.
        key: the columns that identify a row.
        columns: its columns, in order.
        week_column: the column that partitions the table by week; None if it is not partitioned.
        made_from: the weekly table whose same week is the only input of a week.
        checked_by: the column by which checks of a run select rows of an unpartitioned table.
        instant: the column that shows which rows of a raw table are ahead of a run's clock.
        is_view: whether it is a view.
    """

    name: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    week_column: str | None = None
    made_from: str | None = None
    checked_by: str | None = None
    instant: str | None = None
    is_view: bool = False

    @cached_property
    def schema(self) -> ibis.Schema:
        """The columns with their ibis types."""
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
    def cut_by(self) -> str | None:
        """The column that says in which week a row is, also in a table that is not partitioned by week."""
        return self.week_column or self.checked_by

    def unbound(self) -> ibis.Table:
        """Return the table as an expression without an engine."""
        return ibis.table(self.schema, name=self.name)

    def bounds(self, weeks: Weeks) -> list[dt.datetime] | list[dt.date]:
        """Return the first value of the week's column in these weeks, and the first one after them."""
        assert self.cut_by, f"{self.name} has no weeks"
        if self.schema[self.cut_by].is_timestamp():
            return [weeks.starts_at, weeks.ends_at]
        return [weeks.first, weeks.last + WEEK]

    def rows_of(self, weeks: Weeks) -> ibis.Table:
        """Return the rows of these weeks."""
        unbound, column = self.unbound(), self.cut_by
        low, high = (ibis.literal(bound, self.schema[column]) for bound in self.bounds(weeks))
        return unbound.filter((unbound[column] >= low) & (unbound[column] < high))


def must(name: str, type_: str, description: str) -> Column:
    """Return a column that is never NULL."""
    return Column(name, type_, description, required=True)


def may(name: str, type_: str, description: str) -> Column:
    """Return a column that may be NULL."""
    return Column(name, type_, description)
