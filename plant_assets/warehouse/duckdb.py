"""Tables as DuckDB's own, in one file: every write is one transaction, every expression one statement of DuckDB's."""

import contextlib
import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import duckdb
import ibis

from plant_assets.calendar import Weeks
from plant_assets.contracts import LOADED, TABLES, WEEKLY, Table
from plant_assets.settings import Settings, size_in_bytes
from plant_assets.sql import identifier, literal
from plant_assets.warehouse.catalog import Catalog
from plant_assets.warehouse.expressions import to_sql
from plant_assets.warehouse.ledger.ledger import Ledger
from plant_assets.warehouse.store import STAGED, Since, WrongShape, create_table

# The sessions and products of more rows than these are grouped in portions.
ROWS_AT_ONCE = 35_000_000
# The engine fills what memory it has with what it has read: more than this, in bytes, makes a run slower.
LEAST_MEMORY, MEMORY_OF_A_ROW = 1_000_000_000, 20
# Ids that are text take twice as much memory where they are grouped.
_ROWS_OF_MEMORY = """
    select coalesce(sum(estimated_size * if(table_oid in (
        select table_oid from duckdb_columns() where column_name = 'event_id' and data_type = 'VARCHAR'), 2, 1)), 0)
    from duckdb_tables() where database_name = 'warehouse' and starts_with(table_name, $prefix)
"""


@contextlib.contextmanager
def transaction(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Keep all of the body's writes to the database, or none."""
    connection.execute("begin")
    try:
        yield
    except BaseException:
        # A full disk ends the transaction itself; what is raised is why.
        with contextlib.suppress(duckdb.Error):
            connection.execute("rollback")
        raise
    connection.execute("commit")


class DuckDBEngine:
    """Expressions as statements of the database that holds the tables."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, settings: Settings) -> None:
        self._connection = connection
        self._settings = settings

    def _value(self, statement: str, parameters: Any = None) -> Any:
        found = self._connection.execute(statement, parameters).fetchone()
        return found[0] if found else None

    def require(self) -> None:
        """Do nothing: DuckDB is here."""

    def close(self) -> None:
        """Do nothing: the warehouse closes the connection."""

    def limit_memory(self, is_staged: bool = False) -> None:
        """Limit the engine's memory to what the stored, or staged, rows need, up to the allowed maximum."""
        self._connection.execute(f"set memory_limit = {literal(self._settings.memory_limit)}")
        allowed = size_in_bytes(self._value("select current_setting('memory_limit')"))
        rows = self._value(_ROWS_OF_MEMORY, {"prefix": STAGED if is_staged else ""})
        needed = max(LEAST_MEMORY, MEMORY_OF_A_ROW * int(rows))
        if needed < allowed:
            self._connection.execute(f"set memory_limit = '{needed}B'")

    def portions(self, name: str) -> int:
        """Return in how many portions to group a table's sessions and products."""
        return 1 + self.count_rows(name) // ROWS_AT_ONCE

    def scalar(self, expression: ibis.Table) -> Any:
        """Return the value of an expression of one row and column."""
        return self._value(to_sql(expression))

    def count_rows(self, name: str) -> int:
        """Return how many rows a table or view has."""
        return int(self._value(f"select count(*) from {name}"))

    def counts(self, expressions: Sequence[ibis.Table]) -> list[int]:
        """Return how many rows each expression has, asked for in one query."""
        bodies = ", ".join(f"(select count(*) from ({to_sql(each)}))" for each in expressions)
        return list(self._connection.execute(f"select {bodies}").fetchall()[0])

    def sample_keys(self, expression: ibis.Table, most: int) -> list[str]:
        """Return the first rows, in order, of an expression of one text column."""
        rows = self._connection.execute(f"from ({to_sql(expression)}) order by all limit {most}").fetchall()
        return [text for (text,) in rows]


class DuckDBStore:
    """Rows in the database's own tables."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, settings: Settings, ledger: Ledger) -> None:
        self._connection = connection
        self._calendar = settings.calendar
        self._catalog = Catalog(connection)
        self._ledger = ledger

    def _value(self, statement: str, parameters: Any = None) -> Any:
        found = self._connection.execute(statement, parameters).fetchone()
        return found[0] if found else None

    def prepare(self) -> None:
        """Make the tables that loads write, and add the columns that weekly ones of an older version lack.

        The weeks of those are written again.
        """
        for name in LOADED:
            self._connection.execute(create_table(TABLES[name], dict.fromkeys(TABLES[name].ids, "UUID")))
        for name in WEEKLY:
            stored = self._catalog.column_types(name)
            missing = [column for column in TABLES[name].columns if stored and column.name not in stored]
            for column in missing:
                self._connection.execute(f"alter table {name} add column {identifier(column.name)} {column.sql_type}")
            if missing:
                self._ledger.writes.forget(name)

    def transaction(self) -> contextlib.AbstractContextManager[None]:
        """Keep all of the body's writes, or none."""
        return transaction(self._connection)

    def create_view(self, table: Table, data: ibis.Table) -> None:
        """Make or replace a view."""
        self._catalog.drop_other_kind(table.name, "view")
        self._connection.execute(f"create or replace view {table.name} as {to_sql(data)}")

    def replace(self, table: Table, data: ibis.Table, weeks: Weeks | None) -> int:
        """Replace all rows, or those of `weeks`, and return how many there are now.

        Raises:
            WrongShape: a row lies outside `weeks`.
        """
        self._catalog.drop_other_kind(table.name, "table")
        body = to_sql(data)
        if weeks is None:
            self._connection.execute(
                create_table(table, self._id_types()).replace("create table if not exists", "create or replace table")
            )
            return int(self._value(f"insert into {table.name} by name {body}"))
        self._connection.execute(create_table(table, self._id_types()))
        in_weeks = f"from {table.name} where {table.week_column} >= ? and {table.week_column} < ?"
        bounds = table.bounds(weeks)
        self._connection.execute(f"delete {in_weeks}", bounds)
        written = int(self._value(f"insert into {table.name} by name {body}"))
        inside = int(self._value(f"select count(*) {in_weeks}", bounds))
        if inside != written:
            raise WrongShape(f"{table.name}: {written - inside} rows lie outside the weeks {weeks}")
        return written

    def replace_since(self, table: Table, data: ibis.Table, since: Since) -> int:
        """Replace the rows that are not before `since.start`, and return how many were written.

        Raises:
            WrongShape: a row of `data` is before it.
        """
        self._catalog.drop_other_kind(table.name, "table")
        # The new rows may be made from the old ones.
        self._connection.execute(f"create or replace temp table replacing as {to_sql(data)}")
        is_replaced = f"{since.column} >= ? or {since.column} is null"
        self._connection.execute(f"delete from {table.name} where {is_replaced}", [since.start])
        written = int(self._value(f"insert into {table.name} by name from replacing"))
        inside = int(self._value(f"select count(*) from {table.name} where {is_replaced}", [since.start]))
        self._connection.execute("drop table replacing")
        if inside != written:
            raise WrongShape(f"{table.name}: {written - inside} rows have a {since.column} before {since.start}")
        return written

    def append(self, table: Table, query: str, parameters: Any = None) -> None:
        """Add the rows of a query, by name."""
        self._connection.execute(f"insert into {table.name} by name {query}", parameters)

    def append_staged(self, source_name: str, table: Table, weeks: Weeks | None = None, may_become: bool = True) -> int:
        """Add the accepted rows that were staged, of these weeks, and return how many there were.

        Where the table is empty, the staged one becomes it, if it may: nothing is copied.
        """
        staged, bounds = STAGED + source_name, table.bounds(weeks) if weeks else []
        inside = f"{table.week_column} >= ? and {table.week_column} < ?" if weeks else "true"
        is_empty = may_become and not self._value(f"select exists (from {table.name})")
        if not is_empty or self._value(
            f"select exists (from {staged} where reason is null and not ({inside}))", bounds
        ):
            rows = f"select {', '.join(table.names)} from {staged} where reason is null and {inside}"
            return int(self._value(f"insert into {table.name} by name {rows}", bounds))
        self._become(staged, table)
        return int(self._value(f"select count(*) from {table.name}"))

    def _become(self, staged: str, table: Table) -> None:
        """Make a staged table the table itself, and an empty one in its place."""
        columns = self._catalog.column_types(staged)
        self._connection.execute(f"delete from {staged} where reason is not null")
        for column in columns:
            if column not in table.names:
                self._connection.execute(f"alter table {staged} drop column {column}")
        self._connection.execute(f"drop table {table.name}; alter table {staged} rename to {table.name}")
        definition = ", ".join(f"{identifier(column)} {kind}" for column, kind in columns.items())
        self._connection.execute(f"create table {staged} ({definition})")

    def delete(self, table: Table) -> None:
        """Delete all rows."""
        self._connection.execute(f"delete from {table.name}")

    def delete_weeks(self, table: Table, weeks: Iterable[dt.date]) -> None:
        """Delete the rows of these weeks."""
        for week in weeks:
            bounds = table.bounds(Weeks(self._calendar, week, week))
            self._connection.execute(
                f"delete from {table.name} where {table.week_column} >= ? and {table.week_column} < ?", bounds
            )

    def delete_observations(self, table: Table, instants: Sequence[dt.datetime]) -> None:
        """Delete the rows of these observations."""
        self._connection.execute(
            f"delete from {table.name} where list_contains(?::timestamp[], observed_at)", [list(instants)]
        )

    def keep_as_text(self, source_name: str, column: str) -> None:
        """Store an id as text from now on, where it is staged too: what was a UUID is as exact as text."""
        tables = [table for table in TABLES.values() if column in table.ids and self._catalog.has(table.name)]
        bodies = {table.name: self._catalog.view_body(table.name) for table in tables if table.is_view}
        with self.transaction():
            for name in (STAGED + source_name, *(table.name for table in tables if not table.is_view)):
                self._connection.execute(f"alter table {name} alter {column} type varchar")
            for name, body in bodies.items():
                self._connection.execute(f"create or replace view {name} as {body}")

    def _id_types(self) -> dict[str, str]:
        """Return the types under which ids are stored: those of all tables are those of their events."""
        stored = self._catalog.column_types("raw_events")
        return {name: stored[name] for name in TABLES["raw_events"].ids}
