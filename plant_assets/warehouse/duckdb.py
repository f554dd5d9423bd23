"""The warehouse: one DuckDB file, one writer at a time, every write one transaction.

Sources read into its `_staged_` tables, which are gone when it is closed; transforms hand in expressions that know
neither. How it is opened is in `open.py`, what the engines have in common in `store.py`.
"""

import contextlib
import datetime as dt
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import duckdb
import ibis
import pandas as pd

from plant_assets.atomic import write_atomically
from plant_assets.calendar import Weeks
from plant_assets.contracts import LOADED, TABLES, WEEKLY, Table
from plant_assets.settings import Settings, UsageError, size_in_bytes
from plant_assets.sql import identifier, literal
from plant_assets.warehouse.expressions import to_sql
from plant_assets.warehouse.ledger.ledger import open_ledger
from plant_assets.warehouse.store import STAGED, Since, WrongShape, create_table, require_shape

# The sessions and products of more rows than these are grouped in portions.
ROWS_AT_ONCE = 35_000_000
# The engine fills what memory it has with what it has read: more than this, in bytes, makes a run slower.
LEAST_MEMORY, MEMORY_OF_A_ROW = 1_000_000_000, 20


class StoreMismatch(UsageError):
    """The warehouse belongs to another source or time zone."""


def store_mismatch(settings: Settings, name: str, known: str, given: str) -> StoreMismatch:
    """What is said where a warehouse remembers another source or zone than the one given."""
    return StoreMismatch(
        f"{settings.warehouse_path} holds the store with {name} {known}, not {given}:"
        f" give that {name}, another --warehouse, or --accept-source"
    )


class Warehouse:
    """An open warehouse, held by this process alone until it is closed."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, settings: Settings) -> None:
        self.connection = connection
        self.settings = settings
        self.calendar = settings.calendar
        self.ledger = open_ledger(connection, settings.calendar)
        # What a plan staged in this process, for the run that follows it.
        self.staged: object | None = None

    def execute(self, statement: str, parameters: Any = None) -> duckdb.DuckDBPyConnection:
        return self.connection.execute(statement, parameters)

    def rows(self, statement: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        return self.execute(statement, parameters).fetchall()

    def value(self, statement: str, parameters: Any = None) -> Any:
        found = self.execute(statement, parameters).fetchone()
        return found[0] if found else None

    def frame(self, expression: ibis.Table) -> pd.DataFrame:
        """The rows of a small expression over marts."""
        return self.execute(to_sql(expression)).df()

    def answer(self, expression: ibis.Table) -> Any:
        """The value of an expression of one row and column."""
        return self.value(to_sql(expression))

    def count_rows(self, name: str) -> int:
        """How many rows a table or view has."""
        return int(self.value(f"select count(*) from {name}"))

    def count_each(self, expressions: Sequence[ibis.Table]) -> list[int]:
        """How many rows each expression has, asked for in one query."""
        bodies = ", ".join(f"(select count(*) from ({to_sql(each)}))" for each in expressions)
        return list(self.rows(f"select {bodies}")[0])

    def first_texts(self, expression: ibis.Table, most: int) -> list[str]:
        """The first rows, in order, of an expression of one text column."""
        return [row[0] for row in self.rows(f"from ({to_sql(expression)}) order by all limit {most}")]

    def limit_memory(self, is_staged: bool = False) -> None:
        """Let the engine have, of the memory that it may use, what the rows that are stored or staged need."""
        self.execute(f"set memory_limit = {literal(self.settings.memory_limit)}")
        allowed = size_in_bytes(self.value("select current_setting('memory_limit')"))
        # Ids that are text take twice as much where they are grouped.
        rows = self.value(
            "select coalesce(sum(estimated_size * if(table_oid in (select table_oid from duckdb_columns() where"
            " column_name = 'event_id' and data_type = 'VARCHAR'), 2, 1)), 0)"
            " from duckdb_tables() where database_name = 'warehouse' and starts_with(table_name, ?)",
            [STAGED if is_staged else ""],
        )
        needed = max(LEAST_MEMORY, MEMORY_OF_A_ROW * int(rows))
        if needed < allowed:
            self.execute(f"set memory_limit = '{needed}B'")

    def portions(self, name: str) -> int:
        """In how many portions to group what a table has of sessions and products, to need less memory."""
        return 1 + self.count_rows(name) // ROWS_AT_ONCE

    def has(self, name: str) -> bool:
        return bool(
            self.value(
                "select count(*) from duckdb_tables() where schema_name = 'analytics'"
                " and database_name = 'warehouse' and table_name = ?",
                [name],
            )
            or self.value(
                "select count(*) from duckdb_views() where schema_name = 'analytics'"
                " and database_name = 'warehouse' and view_name = ?",
                [name],
            )
        )

    def column_types(self, name: str) -> dict[str, str]:
        """The stored columns of a table or view, with their types, in order."""
        return {
            row[0]: row[1]
            for row in self.rows(
                "select column_name, data_type from duckdb_columns() where database_name = 'warehouse'"
                " and schema_name = 'analytics' and table_name = ? order by column_index",
                [name],
            )
        }

    def meta(self, name: str) -> str | None:
        return self.ledger.facts.get(name)

    def stages(self) -> tuple[str, ...]:
        return self.ledger.facts.stages()

    def require_store(self) -> None:
        """Refuse to mix two stores in one warehouse.

        Raises:
            StoreMismatch: it remembers another source or zone.
        """
        for name, value in self.settings.store().items():
            known = self.ledger.facts.get(name)
            if known is not None and known != value:
                raise store_mismatch(self.settings, name, known, value)

    def remember_store(self, first_week: dt.date, stages: Sequence[str]) -> None:
        """Keep source, zone, first week and stages, with a copy that definitions can read while a run writes."""
        facts = self.settings.store() | {"first_week": first_week.isoformat(), "stages": ",".join(stages)}
        with self.transaction():
            self.ledger.facts.remember(**facts)
        write_atomically(self.settings.store_path, json.dumps(facts))

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All of the body's writes, or none."""
        self.execute("begin")
        try:
            yield
        except BaseException:
            # A full disk ends the transaction itself; what is raised is why.
            with contextlib.suppress(duckdb.Error):
                self.execute("rollback")
            raise
        self.execute("commit")

    def write(
        self,
        name: str,
        data: ibis.Table,
        run_id: str,
        weeks: Weeks | None = None,
        since: "Since | None" = None,
    ) -> int:
        """Replace a table, or its rows of `weeks`, by `data` in one transaction; the rows written.

        Raises:
            WrongShape: columns or types differ from the contract, or a row lies outside `weeks`.
        """
        table = TABLES[name]
        require_shape(table, data.schema())
        with self.transaction():
            if table.is_view:
                self._replace_view(table, data)
                written = 0
            elif since and since.start:
                written = self._replace_since(table, data, since)
            else:
                written = self._replace_rows(table, data, weeks)
            self.ledger.writes.record(name, run_id, weeks.weeks() if weeks else None)
        return written

    def insert_rows(self, table: Table, query: str, parameters: Any = None) -> None:
        """Add the rows of a statement, by name."""
        self.execute(f"insert into {table.name} by name {query}", parameters)

    def delete_rows(self, table: Table) -> None:
        """Delete all rows of a table."""
        self.execute(f"delete from {table.name}")

    def delete_observations(self, table: Table, instants: Sequence[dt.datetime]) -> None:
        """Delete the rows of these observations."""
        self.execute(f"delete from {table.name} where list_contains(?::timestamp[], observed_at)", [list(instants)])

    def move_staged(self, source_name: str, table: Table, weeks: Weeks | None = None, may_become: bool = True) -> int:
        """Add what was staged, of these weeks, without the refused rows; the rows added.

        Where the table is empty, the staged one becomes it, if it may, and nothing is copied.
        """
        staged, bounds = STAGED + source_name, table.bounds(weeks) if weeks else []
        inside = f"{table.week_column} >= ? and {table.week_column} < ?" if weeks else "true"
        is_empty = may_become and not self.value(f"select exists (from {table.name})")
        if not is_empty or self.value(f"select exists (from {staged} where reason is null and not ({inside}))", bounds):
            names = ", ".join(table.names)
            return int(
                self.value(
                    f"insert into {table.name} by name select {names} from {staged} where reason is null and {inside}",
                    bounds,
                )
            )
        columns = self.column_types(staged)
        self.execute(f"delete from {staged} where reason is not null")
        for column in columns:
            if column not in table.names:
                self.execute(f"alter table {staged} drop column {column}")
        self.execute(f"drop table {table.name}; alter table {staged} rename to {table.name}")
        definition = ", ".join(f"{identifier(column)} {kind}" for column, kind in columns.items())
        self.execute(f"create table {staged} ({definition})")
        return int(self.value(f"select count(*) from {table.name}"))

    def delete_weeks(self, table: Table, weeks: Iterable[dt.date]) -> None:
        for week in weeks:
            bounds = table.bounds(Weeks(self.calendar, week, week))
            self.execute(f"delete from {table.name} where {table.week_column} >= ? and {table.week_column} < ?", bounds)

    def _drop_other_kind(self, name: str, kind: str) -> None:
        other = "table" if kind == "view" else "view"
        is_other = self.value(
            f"select count(*) from duckdb_{other}s() where database_name = 'warehouse'"
            f" and schema_name = 'analytics' and {other}_name = ?",
            [name],
        )
        if is_other:
            self.execute(f"drop {other} {name}")

    def _replace_view(self, table: Table, data: ibis.Table) -> None:
        self._drop_other_kind(table.name, "view")
        self.execute(f"create or replace view {table.name} as {to_sql(data)}")

    def _replace_since(self, table: Table, data: ibis.Table, since: Since) -> int:
        self._drop_other_kind(table.name, "table")
        # The new rows may be made from the old ones.
        self.execute(f"create or replace temp table replacing as {to_sql(data)}")
        is_replaced = f"{since.column} >= ? or {since.column} is null"
        self.execute(f"delete from {table.name} where {is_replaced}", [since.start])
        written = int(self.value(f"insert into {table.name} by name from replacing"))
        inside = int(self.value(f"select count(*) from {table.name} where {is_replaced}", [since.start]))
        self.execute("drop table replacing")
        if inside != written:
            raise WrongShape(f"{table.name}: {written - inside} rows have a {since.column} before {since.start}")
        return written

    def _replace_rows(self, table: Table, data: ibis.Table, weeks: Weeks | None) -> int:
        self._drop_other_kind(table.name, "table")
        body = to_sql(data)
        if weeks is None:
            self.execute(create_table(table).replace("create table if not exists", "create or replace table"))
            return int(self.value(f"insert into {table.name} by name {body}"))
        self.execute(create_table(table, self._id_types()))
        in_weeks = f"from {table.name} where {table.week_column} >= ? and {table.week_column} < ?"
        bounds = table.bounds(weeks)
        self.execute(f"delete {in_weeks}", bounds)
        written = int(self.value(f"insert into {table.name} by name {body}"))
        inside = int(self.value(f"select count(*) {in_weeks}", bounds))
        if inside != written:
            raise WrongShape(f"{table.name}: {written - inside} rows lie outside the weeks {weeks}")
        return written

    def prepare(self) -> None:
        """Make what loads and runs expect to find, and what an older version lacks."""
        for name in LOADED:
            self.execute(create_table(TABLES[name], dict.fromkeys(TABLES[name].ids, "UUID")))
        self.add_columns()

    def require_engine(self) -> None:
        """Refuse, before a run begins, an engine that does not answer; DuckDB is there."""

    def close(self) -> None:
        """Let go of what was held for this warehouse alone."""
        self.connection.close()

    def add_columns(self) -> None:
        """Add the columns that weekly tables of an older version lack, and have their weeks written again."""
        for name in WEEKLY:
            stored = self.column_types(name)
            missing = [column for column in TABLES[name].columns if stored and column.name not in stored]
            for column in missing:
                self.execute(f"alter table {name} add column {identifier(column.name)} {column.sql_type}")
            if missing:
                self.ledger.writes.forget(name)

    def _id_types(self) -> dict[str, str]:
        """The types under which ids are stored: those of all tables are those of their events."""
        stored = self.column_types("raw_events")
        return {name: stored[name] for name in TABLES["raw_events"].ids}

    def keep_as_text(self, source_name: str, column: str) -> None:
        """Store an id as text from now on, where it is staged too: what was a UUID is as exact as text."""
        tables = [table for table in TABLES.values() if column in table.ids and self.has(table.name)]
        bodies = {table.name: self.view_body(table.name) for table in tables if table.is_view}
        with self.transaction():
            for name in (STAGED + source_name, *(table.name for table in tables if not table.is_view)):
                self.execute(f"alter table {name} alter {column} type varchar")
            for name, body in bodies.items():
                self.execute(f"create or replace view {name} as {body}")

    def view_body(self, name: str) -> str:
        """The query of a view, which names the tables beside it as they are named in any database."""
        made_by: str = self.value(
            "select sql from duckdb_views() where database_name = 'warehouse' and view_name = ?", [name]
        )
        return made_by.partition(" AS ")[2].removesuffix(";")

    def publisher(self) -> str | None:
        """Who published these marts."""
        found: str | None = self.value(
            "select comment from duckdb_tables() where database_name = 'warehouse' and table_name = 'weeks'"
        )
        return found
