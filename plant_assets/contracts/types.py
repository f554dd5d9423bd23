"""What a declaration is made of: types, columns, tables. No table is declared here.

`ibis` is imported where an expression is asked for: commands that only read need names and stages, and no expression.
"""

import datetime as dt
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from plant_assets.calendar import WEEK, Weeks

if TYPE_CHECKING:
    import ibis

TEXT, INSTANT, DATE, COUNT, FLAG = "string", "timestamp(6)", "date", "int64", "boolean"
PRICE, PERCENT, FRACTION = "decimal(18,4)", "int32", "float64"
# Text that a big table stores as UUID where every one is written as one is.
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
    """A column: its ibis type, what it holds with its unit, and whether it may be NULL."""

    name: str
    type: str
    description: str
    required: bool = False

    @property
    def sql_type(self) -> str:
        return SQL_TYPES[self.type]

    @property
    def stored_types(self) -> tuple[str, ...]:
        """The types under which it may be stored."""
        return (self.sql_type, "UUID") if self.type == ID else (self.sql_type,)


@dataclass(frozen=True)
class Table:
    """A table of the warehouse: the columns in order, the key, and the column that weeks are cut by.

    `made_from` is the weekly table of whose week alone a week is made. `checked_by` cuts a table that is not written by
    weeks, for the contract check of a run. `instant` is the column by which a run finds the rows of a raw table that
    are ahead of its clock.
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
    def schema(self) -> "ibis.Schema":
        """The columns with their types."""
        import ibis

        return ibis.schema({column.name: column.type for column in self.columns})

    @property
    def names(self) -> list[str]:
        return [column.name for column in self.columns]

    @property
    def ids(self) -> list[str]:
        """The columns that may be stored as UUID."""
        return [column.name for column in self.columns if column.type == ID]

    @property
    def required(self) -> list[str]:
        return [column.name for column in self.columns if column.required]

    @property
    def cut_by(self) -> str | None:
        """The column by which a week's rows are told, also where they are not materialized by weeks."""
        return self.week_column or self.checked_by

    def unbound(self) -> "ibis.Table":
        """The table as an expression that knows no engine."""
        import ibis

        return ibis.table(self.schema, name=self.name)

    def bounds(self, weeks: Weeks) -> list[dt.datetime] | list[dt.date]:
        """Return the first value of the column that cuts weeks in these weeks, and the first after them."""
        assert self.cut_by, f"{self.name} has no weeks"
        if self.schema[self.cut_by].is_timestamp():
            return [weeks.starts_at, weeks.ends_at]
        return [weeks.first, weeks.last + WEEK]

    def rows_of(self, weeks: Weeks) -> "ibis.Table":
        """Return the rows of these weeks."""
        import ibis

        unbound, column = self.unbound(), self.cut_by
        low, high = (ibis.literal(bound, self.schema[column]) for bound in self.bounds(weeks))
        return unbound.filter((unbound[column] >= low) & (unbound[column] < high))


def must(name: str, type_: str, description: str) -> Column:
    """Return a column that is never NULL."""
    return Column(name, type_, description, required=True)


def may(name: str, type_: str, description: str) -> Column:
    """Return a column that may be NULL."""
    return Column(name, type_, description)
