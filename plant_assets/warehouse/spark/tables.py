"""Tables as Parquet files that Apache Spark makes, and that DuckDB adds loaded rows to.

The DuckDB file says which slices are a table's rows now, and has the ledger, the rejected rows and a view of each
table for all that reads little. Files are never changed. A write makes new ones, one transaction puts them in the place
of others, and only then those are removed: a killed process leaves the rows of before.
"""

import contextlib
import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import duckdb
import ibis

from plant_assets.calendar import Weeks
from plant_assets.contracts import LOADED, TABLES, WEEKLY, Table
from plant_assets.settings import Settings, UsageError
from plant_assets.sql import identifier, literal
from plant_assets.warehouse.catalog import Catalog
from plant_assets.warehouse.duckdb import transaction
from plant_assets.warehouse.expressions import to_sql
from plant_assets.warehouse.ledger.ledger import Ledger
from plant_assets.warehouse.spark.engine import SparkEngine
from plant_assets.warehouse.spark.files import SparkFiles
from plant_assets.warehouse.spark.slices import (
    CATALOG_DDL,
    IN_CATALOG,
    MOST_SMALL,
    SMALL,
    Slice,
    Slices,
    compiled,
    sources_of,
    within,
)
from plant_assets.warehouse.store import STAGED, Since, WrongShape, create_table


class SparkStore:
    """Rows in Parquet files, behind views of the DuckDB file."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        settings: Settings,
        ledger: Ledger,
        slices: Slices,
        engine: SparkEngine,
    ) -> None:
        self._connection = connection
        self._settings = settings
        self._calendar = settings.calendar
        self._catalog = Catalog(connection)
        self._ledger = ledger
        self._slices = slices
        self._files = SparkFiles(connection, slices, engine)
        # What the open transaction has replaced, as paths of slices.
        self._replaced: list[str] = []

    def _value(self, statement: str) -> Any:
        found = self._connection.execute(statement).fetchone()
        return found[0] if found else None

    def prepare(self) -> None:
        """Make the catalog of slices, remove files of killed processes, and show each table's rows."""
        self._connection.execute(CATALOG_DDL)
        self._connection.execute(create_table(TABLES[IN_CATALOG]))
        self._connection.execute("set parquet_metadata_cache = true")
        try:
            self._slices.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._files.sweep()
        except OSError as error:
            tables = self._settings.tables_path
            raise UsageError(f"PLANT_TABLES={tables} cannot be written to: {error.strerror}") from error
        for name, table in TABLES.items():
            if table.is_view or name == IN_CATALOG:
                continue
            stored = self._catalog.column_types(name)
            if name in WEEKLY and stored and not set(table.names) <= set(stored):
                self._ledger.writes.forget(name)
            if stored or name in LOADED:
                self._show(table)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Keep all of the body's writes, or none, and remove the files that are no table's then."""
        self._files.made, self._replaced = [], []
        try:
            with transaction(self._connection):
                yield
        except BaseException:
            self._files.remove(self._files.made)
            raise
        self._files.remove(self._replaced)

    def _forget(self, table: Table, slices: Sequence[Slice]) -> None:
        self._slices.forget(table, slices)
        self._replaced += [each.path for each in slices]

    def _show(self, table: Table) -> None:
        """Make the view of a table's rows."""
        slices = self._slices.of(table)
        body, there = "", set().union(*(each.columns for each in slices))
        if there != set(table.names):
            # Columns that files of an older version lack are NULL there.
            nothing = ", ".join(f"null::{each.sql_type} as {identifier(each.name)}" for each in table.columns)
            body = f"select {nothing} where false" + (" union all by name " if there else "")
        if there:
            names = [name for name in table.names if name in there]
            body += f"select {', '.join(names)} from {self._slices.read(slices)}"
        self._catalog.drop_other_kind(table.name, "view")
        try:
            self._connection.execute(f"create or replace view {table.name} as {body}")
        except duckdb.IOException as error:
            raise UsageError(
                f"files of {table.name} are not in {self._slices.folder}: PLANT_TABLES must name the directory that"
                f" {self._settings.warehouse_path} was made with"
            ) from error

    # What loads change, by DuckDB

    def append_staged(self, source_name: str, table: Table, weeks: Weeks | None = None, may_become: bool = True) -> int:
        """Add the accepted rows that were staged, of these weeks, and return how many there were."""
        return self._add_from(STAGED + source_name, table, "reason is null", weeks)

    def append(self, table: Table, query: str, parameters: Any = None) -> None:
        """Add the rows of a query, by name."""
        self._connection.execute(f"create or replace temp table added as {query}", parameters)
        self._add_from("added", table)

    def delete(self, table: Table) -> None:
        """Delete all rows."""
        self._forget(table, self._slices.of(table))
        self._show(table)

    def delete_weeks(self, table: Table, weeks: Iterable[dt.date]) -> None:
        """Delete the rows of these weeks."""
        self._forget(table, self._slices.of(table, weeks))
        self._show(table)

    def delete_observations(self, table: Table, instants: Sequence[dt.datetime]) -> None:
        """Delete the rows of these observations."""
        weeks = sorted({self._calendar.week_of(at) for at in instants}) if table.partition else [None]
        is_of_these = f"observed_at in ({', '.join(literal(str(at)) for at in instants)})"
        for week in weeks if instants else []:
            stored = self._slices.of(table, [week] if week else None)
            if stored and self._value(f"select exists (from {self._slices.read(stored)} where {is_of_these})"):
                self._forget(table, stored)
                self._slices.keep(
                    table, self._files.copy(table, f"from {self._slices.read(stored)} where not {is_of_these}", week)
                )
        self._show(table)

    def keep_as_text(self, source_name: str, column: str) -> None:
        """Stage an id as text: it is stored so here."""
        self._connection.execute(f"alter table {STAGED}{source_name} alter {column} type varchar")

    def _add_from(self, relation: str, table: Table, where: str = "true", weeks: Weeks | None = None) -> int:
        """Add the rows of a relation to their weeks, and return how many there were."""
        added, column = 0, table.partition and table.partition.column
        if column is None:
            added = self._add(table, f"from {relation} where {where}")
        else:
            inside = within(table, weeks) if weeks else "true"
            dates = f"select distinct {column}::date from {relation} where {where} and {inside}"
            found = self._connection.execute(dates).fetchall()
            for week in sorted({week for (date,) in found for week in self._weeks_about(date)}):
                of_week = within(table, Weeks(self._calendar, week, week))
                added += self._add(table, f"from {relation} where {where} and {inside} and {of_week}", week)
        self._show(table)
        return added

    def _weeks_about(self, date: dt.date) -> set[dt.date]:
        """Return the weeks that the store's clocks may show on a date in UTC."""
        begins = dt.datetime.combine(date, dt.time())
        return {self._calendar.week_of(begins), self._calendar.week_of(begins + dt.timedelta(days=1, microseconds=-1))}

    def _add(self, table: Table, rows: str, week: dt.date | None = None) -> int:
        stored = self._slices.of(table, [week] if week else None)
        small = [each for each in stored if each.bytes < SMALL]
        merged = small if len(small) >= MOST_SMALL else []
        query = f"select {', '.join(table.names)} {rows}"
        if merged:
            query += f" union all by name select * from {self._slices.read(merged)}"
        new = self._files.copy(table, f"from ({query})", week)
        if not new:
            return 0
        self._forget(table, merged)
        self._slices.keep(table, new)
        return sum(each.rows for each in new) - sum(each.rows for each in merged)

    # What assets write, by Spark

    def create_view(self, table: Table, data: ibis.Table) -> None:
        """Make or replace a view, for DuckDB and for Spark."""
        self._catalog.drop_other_kind(table.name, "view")
        self._connection.execute(f"create or replace view {table.name} as {to_sql(data)}")
        self._connection.execute("delete from _views where table_name = ?", [table.name])
        sources = sorted({each.name for each in sources_of(data)})
        self._connection.execute("insert into _views values (?, ?, ?)", [table.name, compiled(data), sources])

    def replace(self, table: Table, data: ibis.Table, weeks: Weeks | None) -> int:
        """Replace all rows, or those of `weeks`, and return how many there are now.

        Raises:
            WrongShape: a row lies outside `weeks`.
        """
        replaced = weeks.weeks() if weeks else None
        new = [] if replaced == [] else self._files.make(table, data, by_week=weeks is not None)
        outside = sum(each.rows for each in new if replaced is not None and each.week not in replaced)
        if outside:
            raise WrongShape(f"{table.name}: {outside} rows lie outside the weeks {weeks}")
        self._forget(table, self._slices.of(table, replaced))
        self._slices.keep(table, new)
        self._show(table)
        return sum(each.rows for each in new)

    def replace_since(self, table: Table, data: ibis.Table, since: Since) -> int:
        """Replace the rows that are not before `since.start`, and return how many were written.

        Raises:
            WrongShape: a row of `data` is before it.
        """
        new, start = self._files.make(table, data), literal(str(since.start))
        if new:
            early = int(self._value(f"select count(*) from {self._slices.read(new)} where {since.column} < {start}"))
            if early:
                raise WrongShape(f"{table.name}: {early} rows have a {since.column} before {since.start}")
        stored = self._slices.of(table)
        if stored:
            new += self._files.copy(table, f"from {self._slices.read(stored)} where {since.column} < {start}")
        written = sum(each.rows for each in new) - (new[-1].rows if stored and new else 0)
        self._forget(table, stored)
        self._slices.keep(table, new)
        self._show(table)
        return written
