"""What a declaration is made of: types, columns, tables. No table is declared here."""

import datetime as dt
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import ibis

from plant_assets.calendar import WEEK, Weeks

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
class Partition:
    """The column whose value tells the week of a row; `is_written` where weeks are written one by one."""

    column: str
    is_written: bool = True


@dataclass(frozen=True)
class Table:
    """A table of the warehouse: its columns in order, its key, and what storage and checks have to know of it.

    `upstream` are the weekly tables whose same week a week is made from; a week `reads_versions` if the versions of
    products bear on it too. Where only some rows can break the key, `key_rows` names a column and those rows' values.
    A table that has always as many rows says so by `exact_rows`. `instant` is the column by which a run finds the rows
    of a raw table that are ahead of its clock.
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

    @cached_property
    def schema(self) -> ibis.Schema:
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
    def is_view(self) -> bool:
        """Whether the table is a view, of which no row is stored."""
        return self.kind == "view"

    @property
    def layer(self) -> str:
        """Raw, intermediate or mart: dbt's layers, by its prefixes."""
        return {"raw": "raw", "int": "intermediate"}.get(self.name.partition("_")[0], "mart")

    @property
    def is_observed(self) -> bool:
        """Whether the table has the rows of observations of a source table that is read again and again."""
        return self.partition is not None and self.partition.column == "observed_at"

    @property
    def week_column(self) -> str | None:
        """The column by which weeks are written; None where the table is written whole."""
        return self.partition.column if self.partition and self.partition.is_written else None

    @property
    def follows(self) -> str | None:
        """The one table from whose week alone a week is made; None where there is no such table."""
        return self.upstream[0] if len(self.upstream) == 1 and not self.reads_versions else None

    def unbound(self) -> ibis.Table:
        """The table as an expression that knows no engine."""
        return ibis.table(self.schema, name=self.name)

    def bounds(self, weeks: Weeks) -> list[dt.datetime] | list[dt.date]:
        """Return the first value of the partition's column in these weeks, and the first after them."""
        assert self.partition, f"{self.name} has no weeks"
        if self.schema[self.partition.column].is_timestamp():
            return [weeks.starts_at, weeks.ends_at]
        return [weeks.first, weeks.last + WEEK]

    def rows_of(self, weeks: Weeks) -> ibis.Table:
        """Return the rows of these weeks."""
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
