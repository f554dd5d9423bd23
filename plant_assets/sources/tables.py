"""The source tables: their columns and keys, and the DDL of the tables that their rows are staged in.

How values are typed is in `conform.py`, and how a store names its tables and columns in `mapping.py`.
"""

import enum
import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace

import duckdb

from plant_assets.contracts import ID, PRICE, SQL_TYPES, TABLES, TEXT
from plant_assets.sources.errors import SourceError
from plant_assets.sources.mapping import PLACE, PRICE_OF_EVENT, StoreMapping
from plant_assets.sql import literal


@dataclass(frozen=True)
class SourceTable:
    """One source table: which columns are read, and how its rows are identified and counted.

    Attributes:
        name: its name in the source.
        target: the raw table that it is loaded into.
        is_needed: whether a source without it cannot be loaded.
        required: columns that must not be NULL.
        key: the columns that identify a row.
        bucket: the SQL of the partition under which a staged row is counted.
        optional: columns that the source may lack.
        compares_others: whether rows of one key are equal only if all their columns are, those too that are not read.
        dates_rows: whether each row has the instant at which it was seen.
        left_out: columns of the target that are not read.
        loader: the number of the rules by which its rows are made. Raise it with a change that makes other rows of the
            same file: every file is read again. A test tells when.
    """

    name: str
    target: str
    is_needed: bool
    required: tuple[str, ...]
    key: tuple[str, ...]
    bucket: str
    optional: tuple[str, ...] = ()
    compares_others: bool = False
    dates_rows: bool = False
    left_out: tuple[str, ...] = ()
    loader: int = 1

    @property
    def staged(self) -> str:
        """The table that its rows are staged in, which is one for products and stock."""
        return f"_staged_{self.target.removeprefix('raw_')}"

    def holding(self, holds: "Holds") -> "SourceTable":
        """Return the table as it is read from a part that holds this."""
        if holds == Holds.NAMES:
            return replace(self, left_out=("inventory",))
        dates_rows = self.dates_rows or holds == Holds.STOCK
        return replace(self, dates_rows=True, required=(OBSERVED_AT, "product_id")) if dates_rows else self

    @property
    def compared(self) -> tuple[str, ...]:
        """The columns in which rows of one key may differ."""
        return (*self.columns, OTHERS) if self.compares_others else tuple(self.columns)

    def read_by(self, mapping: StoreMapping) -> str:
        """Return a digest of the rules that make its rows: those of a mapping and of the loader; empty if the first."""
        return mapping.digest if self.loader == 1 else f"{mapping.digest}v{self.loader}"

    @property
    def columns(self) -> dict[str, str]:
        """The columns that are read, each with its contract type; ids are read as text."""
        types = {column.name: TEXT if column.type == ID else column.type for column in TABLES[self.target].columns}
        left_out = self.left_out if self.dates_rows else (*self.left_out, OBSERVED_AT)
        return {name: kind for name, kind in types.items() if name not in left_out}


class Holds(enum.StrEnum):
    """What a part of the products holds: one observation, rows with an instant each, or only names and prices."""

    OBSERVATION, STOCK, NAMES = "observation", "stock", "names"


NO_WEEK, OBSERVED_AT = "no week", "observed_at"
# Signs and codes of currencies, with the spaces around them.
_CURRENCY = "^([\\s\\x{a0}]*([\\p{Sc}]|[A-Z]{3}))[\\s\\x{a0}]*|[\\s\\x{a0}]*([\\p{Sc}]|[A-Z]{3})[\\s\\x{a0}]*$"
# A row's columns that are not read, as text.
OTHERS = "others"
# dbt's snapshot of the products. `dbt_snapshot.py` makes observations of it.
HISTORY = "products_snapshot"
SOURCE_TABLES = {
    table.name: table
    for table in (
        SourceTable(
            "events",
            "raw_events",
            is_needed=True,
            required=("event_id", "session_id", "created_at", "event_type"),
            key=("event_id",),
            bucket=f"coalesce(week::varchar, '{NO_WEEK}')",
        ),
        SourceTable(
            "products",
            "raw_products",
            is_needed=True,
            required=("product_id",),
            key=("observed_at", "product_id"),
            bucket=f"coalesce(observed_at::varchar, '{NO_WEEK}')",
            compares_others=True,
        ),
        SourceTable(
            "orders",
            "raw_orders",
            is_needed=False,
            required=("order_id",),
            key=("order_id",),
            bucket="'all'",
        ),
        SourceTable(
            "order_items",
            "raw_order_items",
            is_needed=False,
            required=("order_id", "product_id"),
            key=("order_id", "product_id"),
            bucket="'all'",
        ),
        SourceTable(
            HISTORY,
            "raw_products_snapshot",
            is_needed=False,
            required=("product_id", "dbt_valid_from"),
            key=("dbt_valid_from", "product_id"),
            bucket="'all'",
            optional=("dbt_is_deleted",),
        ),
    )
}


# The stock at many instants, which is loaded as observations of the products.
STOCK = replace(
    SOURCE_TABLES["products"], name="stock", is_needed=False, optional=("name", "price"), dates_rows=True
).holding(Holds.STOCK)
# All tables that a source may have. Those of SOURCE_TABLES are loaded one by one.
LISTED_TABLES = {**SOURCE_TABLES, STOCK.name: STOCK}


def source_table(name: str, mapping: StoreMapping) -> SourceTable:
    """Return a source table; rows that the mapping sums over places are told apart by their place."""
    table = SOURCE_TABLES[name]
    return replace(table, key=(PLACE, *table.key)) if _has_places(table, mapping) else table


def _has_places(table: SourceTable, mapping: StoreMapping) -> bool:
    """Return whether rows of a staged table may have a place."""
    return bool(mapping.sum_over) and table.target == STOCK.target


@dataclass(frozen=True)
class ReadTable:
    """A source table as one store has it: the store's names of its columns, and constants for those that it lacks.

    `uuids` are the id columns that are staged as UUID, `commas` the columns whose numbers have a decimal comma.
    """

    table: SourceTable
    mapping: StoreMapping
    uuids: frozenset[str] = frozenset()
    commas: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """The name of the source table."""
        return self.table.name

    @functools.cached_property
    def columns(self) -> dict[str, str]:
        """Our columns, each with its contract type."""
        columns = self.table.columns
        if self.name == "events" and self.mapping.makes_products:
            columns[PRICE_OF_EVENT] = PRICE
        if self.mapping.place(self.name) and "inventory" in columns:
            columns[PLACE] = TEXT
        if self.table.compares_others:
            columns[OTHERS] = TEXT
        return columns

    @functools.cached_property
    def theirs(self) -> dict[str, str]:
        """Our columns that the store has, or their parts, each with the store's name."""
        return self.mapping.columns_read(self.name, [name for name in self.columns if name != OTHERS])

    @functools.cached_property
    def parts(self) -> dict[str, tuple[str, ...]]:
        """Our columns that several of the store make, each with the names of its parts."""
        return self.mapping.parts(self.name)

    @functools.cached_property
    def names(self) -> list[str]:
        """The columns that a statement which reads the rows gives: ours, or their parts."""
        return [part for name in self.columns for part in self.parts.get(name, (name,))]

    def no_value(self, name: str) -> tuple[str, ...]:
        """Return the words that stand for no value in a column: none in names and other text."""
        holds_words = self.columns[name] == TEXT and not name.endswith("_id")
        return () if holds_words else self.mapping.null_words

    def number(self, name: str, text: str) -> str:
        """Return the SQL of a number's text with a decimal point, from the text that the store has."""
        form = self.mapping.csv_form(self.name)
        if form.decimal or form.thousands:
            text = f"regexp_replace({text}, '{_CURRENCY}', '', 'g')"
        if form.thousands:
            mark = "[ \\x{a0}\\x{202f}]" if form.thousands == " " else f"[{form.thousands}]".replace("'", "''")
            grouped = f"regexp_full_match({text}, '[+-]?\\d{{1,3}}({mark}\\d{{3}})+([{form.decimal or '.'}]\\d*)?')"
            text = f"if({grouped}, regexp_replace({text}, '{mark}', '', 'g'), {text})"
        if form.decimal == "," or name in self.commas:
            # A point is no part of such a number: the question mark keeps it from being read as one.
            text = f"if(contains({text}, '.'), {text} || '?', replace({text}, ',', '.'))"
        return text

    def values(self, places: dict[str, str]) -> str:
        """Return our columns as a SQL select list.

        Args:
            places: the SQL expression of each column that is read. The others get their constant, or NULL.
        """

        def constant(name: str) -> str:
            value = self.mapping.constant(self.name, name)
            return "null::varchar" if value is None else f"{literal(value)}::varchar"

        return ", ".join(f"{places.get(name) or constant(name)} as {name}" for name in self.names)


def staged_uuids(connection: duckdb.DuckDBPyConnection, table: SourceTable) -> frozenset[str]:
    """Return the id columns of a table that are staged as UUID."""
    found = connection.execute(
        "select column_name from duckdb_columns() where table_name = ? and data_type = 'UUID'",
        [table.staged],
    ).fetchall()
    return frozenset(row[0] for row in found)


def require_columns(table: ReadTable, place: object, found: list[str]) -> None:
    """Check that a table has each column that is read, once.

    Raises:
        SourceError: it lacks a column, or has one twice. The message names `place`, where the table was found.
    """
    theirs = dict.fromkeys(table.theirs.values())
    optional = [table.theirs.get(name) for name in table.table.optional]
    missing = [name for name in theirs if name not in found and name not in optional]
    twice = sorted(name for name in theirs if found.count(name) > 1)
    if missing or twice:
        what = f"lacks {', '.join(missing)}" if missing else f"has twice {', '.join(twice)}"
        raise SourceError(f"{place}: the table {table.name} {what}; columns found: {', '.join(found) or 'none'}")


def staged_columns(
    table: SourceTable, mapping: StoreMapping | None = None, stored: Mapping[str, str] | None = None
) -> str:
    """Return the DDL of a staged table's columns: those of its target in order, then those of the validation.

    Ids have the type under which the raw table has `stored` them.
    """
    read = ReadTable(table, mapping or StoreMapping())
    target = {column.name: column.sql_type for column in TABLES[table.target].columns}
    target |= {name: stored[name] for name in TABLES[table.target].ids if stored}
    found = {"observed_at": "timestamp", "week": "date", "file": "varchar", "line": "bigint"}
    found |= dict.fromkeys(
        ("raw_text", "row_key", "column_name", "reason", "found_text", "epoch_unit", "words"), "varchar"
    )
    others = {name: SQL_TYPES[kind] for name, kind in read.columns.items() if name not in table.columns}
    others |= {PLACE: SQL_TYPES[TEXT]} if _has_places(table, read.mapping) else {}
    return ", ".join(f"{name} {kind}" for name, kind in (target | (found | target) | others).items())
