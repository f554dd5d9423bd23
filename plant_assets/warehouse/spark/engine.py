"""A warehouse whose tables are Parquet files and are made by Apache Spark.

The DuckDB file is its catalog: what was loaded and written, the refused rows, and of each table the slices that are its
rows now, behind a view for all that reads little. Files are never changed. A write makes new ones, one transaction of
the catalog puts them in the place of others, and only then those are removed: what is killed leaves the rows of before.
"""

import contextlib
import datetime as dt
import shutil
import uuid
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import ibis

from plant_assets.calendar import Weeks
from plant_assets.contracts import TABLES, WEEKLY, Table
from plant_assets.settings import Settings, UsageError, size_in_bytes
from plant_assets.sql import identifier, literal
from plant_assets.warehouse.database_files import sync
from plant_assets.warehouse.duckdb import Warehouse
from plant_assets.warehouse.spark.session import _require_master, failures, start_session
from plant_assets.warehouse.spark.slices import (
    CATALOG_DDL,
    FILE_SIZE,
    IN_CATALOG,
    MOST_SMALL,
    NO_FOLDER,
    SMALL,
    SPARK_TYPES,
    WEEK_FOLDER,
    Bounds,
    Slice,
    bounds_of,
    compiled,
    sources_of,
    within,
)
from plant_assets.warehouse.store import STAGED, Since, WrongShape, create_table

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession


class SparkWarehouse(Warehouse):
    """An open warehouse on Spark. Its session is started by the first expression, and ends when it is closed."""

    _session: "SparkSession | None" = None

    def __init__(self, connection: duckdb.DuckDBPyConnection, settings: Settings) -> None:
        super().__init__(connection, settings)
        # What the transaction that is open has made and what it has replaced, as paths of slices.
        self._made: list[str] = []
        self._replaced: list[str] = []
        # What Spark knows each table as: its files, or its statement.
        self._known: dict[str, object] = {}

    def portions(self, name: str) -> int:
        """Spark divides its work itself."""
        return 1

    def limit_memory(self, is_staged: bool = False) -> None:
        """Half of what is allowed is the engine's here, half of it Spark's."""
        self.execute(f"set memory_limit = '{size_in_bytes(self.settings.memory_limit) // 2}B'")

    def require_engine(self) -> None:
        """Refuse a master that does not answer, which the catalog alone would not notice.

        Raises:
            UsageError: none of its addresses does.
        """
        _require_master(self.settings)

    # The catalog

    def prepare(self) -> None:
        self.execute(CATALOG_DDL)
        self.execute(create_table(TABLES[IN_CATALOG]))
        self.execute("set parquet_metadata_cache = true")
        with _tables_at(self.settings):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._sweep()
        for name, table in TABLES.items():
            if table.is_view or name == IN_CATALOG:
                continue
            stored = self.column_types(name)
            if name in WEEKLY and stored and not set(table.names) <= set(stored):
                self.ledger.writes.forget(name)
            if stored or table.layer == "raw":
                self._show(table)

    def close(self) -> None:
        try:
            if self._session:
                self._session.stop()
                self._session = None
        finally:
            super().close()

    @cached_property
    def _folder(self) -> Path:
        """The directory of the tables of this catalog, and of no other."""
        if self.ledger.facts.get("tables") is None:
            self.ledger.facts.remember(tables=uuid.uuid4().hex)
        return self.settings.tables_path / str(self.ledger.facts.get("tables"))

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        self._made, self._replaced = [], []
        try:
            with super().transaction():
                yield
        except BaseException:
            self._remove(self._made)
            raise
        self._remove(self._replaced)

    def _sweep(self) -> None:
        """Remove what killed processes made and no catalog names, or replaced and did not remove."""
        current = {row[0] for row in self.rows("select path from _slices")}
        for write in self._folder.glob("*/*"):
            found = list(write.glob(f"{WEEK_FOLDER}=*")) or [write]
            paths = (path.relative_to(self._folder).as_posix() for path in found)
            # The Java of a killed process lives on for a moment, and removes what it was about to write too.
            self._remove(path for path in paths if path not in current)

    def _remove(self, paths: Iterable[str]) -> None:
        for path in paths:
            # What is left is removed when the warehouse is opened again.
            shutil.rmtree(self._folder / path, ignore_errors=True)
            with contextlib.suppress(OSError):
                (self._folder / path).parent.rmdir()

    def _slices(self, table: Table, weeks: Iterable[dt.date] | None = None) -> list[Slice]:
        """The slices of a table, or of weeks of it."""
        in_weeks = "" if weeks is None else " and list_contains(?::date[], week)"
        rows = self.rows(
            "select week, path, columns, files, rows, bytes from _slices where table_name = ?"
            + in_weeks
            + " order by week, path",
            [table.name, *([] if weeks is None else [list(weeks)])],
        )
        return [Slice(*row) for row in rows]

    def _forget(self, table: Table, slices: Sequence[Slice]) -> None:
        paths = [each.path for each in slices]
        self.execute(
            "delete from _slices where table_name = ? and list_contains(?::varchar[], path)", [table.name, paths]
        )
        self._replaced += paths

    def _keep(self, table: Table, slices: Sequence[Slice]) -> None:
        for each in slices:
            self.execute(
                "insert into _slices values (?, ?, ?, ?, ?, ?, ?)",
                [table.name, each.week, each.path, each.columns, each.files, each.rows, each.bytes],
            )

    def _show(self, table: Table) -> None:
        """Make the view of a table's rows."""
        slices = self._slices(table)
        body, there = "", set().union(*(each.columns for each in slices))
        if there != set(table.names):
            # Columns that files of an older version lack are NULL there.
            nothing = ", ".join(f"null::{each.sql_type} as {identifier(each.name)}" for each in table.columns)
            body = f"select {nothing} where false" + (" union all by name " if there else "")
        if there:
            names = [name for name in table.names if name in there]
            body += f"select {', '.join(names)} from {self._read(slices)}"
        self._drop_other_kind(table.name, "view")
        try:
            self.execute(f"create or replace view {table.name} as {body}")
        except duckdb.IOException as error:
            raise UsageError(
                f"files of {table.name} are not in {self._folder}: PLANT_TABLES must name the directory that"
                f" {self.settings.warehouse_path} was made with"
            ) from error

    def _files(self, slices: Iterable[Slice]) -> list[str]:
        return [str(self._folder / file) for each in slices for file in each.files]

    def _read(self, slices: Sequence[Slice]) -> str:
        """The files of slices as SQL."""
        differ = str(len({tuple(sorted(each.columns)) for each in slices}) > 1).lower()
        files = ", ".join(literal(file) for file in self._files(slices))
        return f"read_parquet([{files}], hive_partitioning = false, union_by_name = {differ})"

    # What loads change, by DuckDB

    def move_staged(self, source_name: str, table: Table, weeks: Weeks | None = None, may_become: bool = True) -> int:
        return self._add_from(STAGED + source_name, table, "reason is null", weeks)

    def insert_rows(self, table: Table, query: str, parameters: Any = None) -> None:
        self.execute(f"create or replace temp table added as {query}", parameters)
        self._add_from("added", table)

    def delete_rows(self, table: Table) -> None:
        self._forget(table, self._slices(table))
        self._show(table)

    def delete_weeks(self, table: Table, weeks: Iterable[dt.date]) -> None:
        self._forget(table, self._slices(table, weeks))
        self._show(table)

    def delete_observations(self, table: Table, instants: Sequence[dt.datetime]) -> None:
        weeks = sorted({self.calendar.week_of(at) for at in instants}) if table.partition else [None]
        is_of_these = f"observed_at in ({', '.join(literal(str(at)) for at in instants)})"
        for week in weeks if instants else []:
            stored = self._slices(table, [week] if week else None)
            if stored and self.value(f"select exists (from {self._read(stored)} where {is_of_these})"):
                self._forget(table, stored)
                self._keep(table, self._copy(table, f"from {self._read(stored)} where not {is_of_these}", week))
        self._show(table)

    def _add_from(self, relation: str, table: Table, where: str = "true", weeks: Weeks | None = None) -> int:
        """Add the rows of a relation to their weeks; the rows."""
        added, column = 0, table.partition and table.partition.column
        if column is None:
            added = self._add(table, f"from {relation} where {where}")
        else:
            inside = within(table, weeks) if weeks else "true"
            dates = self.rows(f"select distinct {column}::date from {relation} where {where} and {inside}")
            for week in sorted({week for (date,) in dates for week in self._weeks_about(date)}):
                of_week = within(table, Weeks(self.calendar, week, week))
                added += self._add(table, f"from {relation} where {where} and {inside} and {of_week}", week)
        self._show(table)
        return added

    def _weeks_about(self, date: dt.date) -> set[dt.date]:
        """The weeks that the store's clocks may show while this is the date in UTC."""
        begins = dt.datetime.combine(date, dt.time())
        return {self.calendar.week_of(begins), self.calendar.week_of(begins + dt.timedelta(days=1, microseconds=-1))}

    def _add(self, table: Table, rows: str, week: dt.date | None = None) -> int:
        stored = self._slices(table, [week] if week else None)
        small = [each for each in stored if each.bytes < SMALL]
        merged = small if len(small) >= MOST_SMALL else []
        query = f"select {', '.join(table.names)} {rows}"
        if merged:
            query += f" union all by name select * from {self._read(merged)}"
        new = self._copy(table, f"from ({query})", week)
        if not new:
            return 0
        self._forget(table, merged)
        self._keep(table, new)
        return sum(each.rows for each in new) - sum(each.rows for each in merged)

    def _copy(self, table: Table, rows: str, week: dt.date | None = None) -> list[Slice]:
        """Write rows to new files; no slice where there are none."""
        path = self._new_path(table) + (f"/{WEEK_FOLDER}={week}" if week else "")
        (self._folder / path).mkdir(parents=True)
        self.execute(
            f"copy (select {', '.join(table.names)} {rows}) to {literal(str(self._folder / path))}"
            f" (format parquet, compression zstd, file_size_bytes {FILE_SIZE})"
        )
        return self._written(table, path, week)

    def _new_path(self, table: Table) -> str:
        path = f"{table.name}/{uuid.uuid4().hex}"
        self._made.append(path)
        return path

    def _written(self, table: Table, path: str, week: dt.date | None) -> list[Slice]:
        """The slice that was written to a directory, on the disk; none of no rows."""
        paths = sorted((self._folder / path).glob("*.parquet"))
        if not paths:
            return []
        rows = int(self.value("select sum(num_rows) from parquet_file_metadata(?)", [[str(each) for each in paths]]))
        if not rows:
            shutil.rmtree(self._folder / path)
            return []
        for each in (*paths, self._folder / path):
            sync(each)
        files = [each.relative_to(self._folder).as_posix() for each in paths]
        return [Slice(week, path, table.names, files, rows, sum(each.stat().st_size for each in paths))]

    # What assets write, by Spark

    def _replace_view(self, table: Table, data: ibis.Table) -> None:
        super()._replace_view(table, data)
        self.execute("delete from _views where table_name = ?", [table.name])
        sources = sorted({each.name for each in sources_of(data)})
        self.execute("insert into _views values (?, ?, ?)", [table.name, compiled(data), sources])

    def _replace_rows(self, table: Table, data: ibis.Table, weeks: Weeks | None) -> int:
        replaced = weeks.weeks() if weeks else None
        new = [] if replaced == [] else self._make(table, data, by_week=weeks is not None)
        outside = sum(each.rows for each in new if replaced is not None and each.week not in replaced)
        if outside:
            raise WrongShape(f"{table.name}: {outside} rows lie outside the weeks {weeks}")
        self._forget(table, self._slices(table, replaced))
        self._keep(table, new)
        self._show(table)
        return sum(each.rows for each in new)

    def _replace_since(self, table: Table, data: ibis.Table, since: Since) -> int:
        new, start = self._make(table, data), literal(str(since.start))
        if new:
            early = int(self.value(f"select count(*) from {self._read(new)} where {since.column} < {start}"))
            if early:
                raise WrongShape(f"{table.name}: {early} rows have a {since.column} before {since.start}")
        stored = self._slices(table)
        if stored:
            new += self._copy(table, f"from {self._read(stored)} where {since.column} < {start}")
        written = sum(each.rows for each in new) - (new[-1].rows if stored and new else 0)
        self._forget(table, stored)
        self._keep(table, new)
        self._show(table)
        return written

    def _make(self, table: Table, data: ibis.Table, by_week: bool = False) -> list[Slice]:
        """Have Spark write the rows of an expression to new files.

        Raises:
            UsageError: what its workers wrote is not where this process looks for it.
        """
        from pyspark.sql import Observation
        from pyspark.sql import functions as F

        path, counted = self._new_path(table), Observation()
        with failures():
            rows = self._frame(data).select(
                *(F.col(each.name).cast(SPARK_TYPES[each.type]).alias(each.name) for each in table.columns)
            )
            if by_week:
                column = table.week_column
                assert column, f"{table.name} has no weeks"
                rows = rows.withColumn(WEEK_FOLDER, F.date_trunc("week", F.col(column)).cast("date"))
            # Few files of a good size, and of each week its own. The last step counts: it is not counted again where
            # a worker is lost.
            placed = rows.hint("rebalance", *([F.col(WEEK_FOLDER)] if by_week else []))
            writer = placed.observe(counted, F.count(F.lit(1)).alias("rows")).write.option("compression", "zstd")
            (writer.partitionBy(WEEK_FOLDER) if by_week else writer).parquet(str(self._folder / path))
            expected = int(counted.get["rows"])
        made: list[Slice] = []
        if by_week:
            for folder in sorted((self._folder / path).glob(f"{WEEK_FOLDER}=*")):
                week = None if folder.name == NO_FOLDER else dt.date.fromisoformat(folder.name.split("=")[1])
                made += self._written(table, f"{path}/{folder.name}", week)
        else:
            made = self._written(table, path, None)
        found = sum(each.rows for each in made)
        if found != expected:
            raise UsageError(
                f"Spark wrote {expected} rows of {table.name}, and {found} are in {self._folder / path}:"
                " PLANT_TABLES must name a directory that this machine and all workers share"
            )
        return made

    # What is asked, by Spark

    def answer(self, expression: ibis.Table) -> Any:
        return self._arrow(self._frame(expression)).column(0)[0].as_py()

    def count_rows(self, name: str) -> int:
        # Rows in files are told by their footers.
        return self.count_each([TABLES[name].unbound()])[0] if TABLES[name].is_view else super().count_rows(name)

    def count_each(self, expressions: Sequence[ibis.Table]) -> list[int]:
        for each in expressions:
            self._bind(each)
        bodies = ", ".join(
            f"(select count(*) from ({compiled(each)})) as c{number}" for number, each in enumerate(expressions)
        )
        with failures():
            [row] = self._arrow(self.session.sql(f"select {bodies}")).to_pylist()
        return [int(value) for value in row.values()]

    def first_texts(self, expression: ibis.Table, most: int) -> list[str]:
        frame = self._frame(expression)
        with failures():
            return [
                str(text) for text in self._arrow(frame.orderBy(frame.columns[0]).limit(most)).column(0).to_pylist()
            ]

    def _arrow(self, frame: "DataFrame") -> "pa.Table":
        with failures():
            return frame.toArrow()

    def _frame(self, expression: ibis.Table) -> "DataFrame":
        self._bind(expression)
        with failures():
            return self.session.sql(compiled(expression))

    def _bind(self, expression: ibis.Table) -> None:
        """Let Spark know the tables that an expression names, as they are now."""
        for source in sources_of(expression):
            self._bind_table(source.name, source.schema, bounds_of(expression, source))

    def _bind_table(self, name: str, schema: ibis.Schema, bounds: Bounds = (None, None)) -> None:
        table = TABLES.get(name)
        if table is None or name == IN_CATALOG:
            # Bookkeeping of loads, and frames: small, and changed at any time.
            names = ", ".join(identifier(column) for column in schema.names)
            rows: pa.Table = self.connection.sql(f"select {names} from {name}").to_arrow_table()
            with failures():
                self.session.createDataFrame(rows.cast(schema.to_pyarrow())).createOrReplaceTempView(name)
        elif table.is_view:
            [(statement, sources)] = self.rows("select statement, sources from _views where table_name = ?", [name])
            for source in sources:
                self._bind_table(source, TABLES[source].schema)
            with failures():
                self.session.sql(f"create or replace temp view {name} as {statement}")
        else:
            self._bind_files(table, self._files(self._slices_within(table, bounds)))

    def _slices_within(self, table: Table, bounds: Bounds) -> list[Slice]:
        """The slices that may have rows from the first bound on and before the second: others are not opened."""
        low, high = bounds
        kept = []
        for each in self._slices(table):
            if each.week:
                begins, ends = table.bounds(Weeks(self.calendar, each.week, each.week))
                if (low is not None and ends <= low) or (high is not None and begins >= high):
                    continue
            kept.append(each)
        return kept

    def _bind_files(self, table: Table, files: list[str]) -> None:
        if self._known.get(table.name) == files:
            return
        columns = {each.name: SPARK_TYPES[each.type] for each in table.columns}
        with failures():
            if files:
                typed = ", ".join(f"`{name}` {kind}" for name, kind in columns.items())
                frame = self.session.read.schema(typed).parquet(*files)
            else:
                nothing = ", ".join(f"cast(null as {kind}) as `{name}`" for name, kind in columns.items())
                frame = self.session.sql(f"select {nothing} where false")
            frame.createOrReplaceTempView(table.name)
        self._known[table.name] = files

    @property
    def session(self) -> "SparkSession":
        """Spark, started now if it is not."""
        if self._session is None:
            self._session = start_session(self.settings)
            self._known = {}
        return self._session


@contextlib.contextmanager
def _tables_at(settings: Settings) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UsageError(f"PLANT_TABLES={settings.tables_path} cannot be written to: {error.strerror}") from error
