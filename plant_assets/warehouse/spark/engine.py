"""A warehouse whose tables are Parquet files and are made by Apache Spark.

The DuckDB file is its catalog: what was loaded and written, the refused rows, and of each table the slices that are its
rows now, behind a view for all that reads little. Files are never changed. A write makes new ones, one transaction of
the catalog puts them in the place of others, and only then those are removed: what is killed leaves the rows of before.
"""

import contextlib
import datetime as dt
import importlib.util
import os
import re
import shutil
import socket
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import ibis
from ibis.expr import operations as ops

from plant_assets.calendar import Weeks
from plant_assets.contracts import TABLES, WEEKLY, Table
from plant_assets.settings import SPARK, Settings, UsageError, size_in_bytes
from plant_assets.sql import identifier, literal
from plant_assets.warehouse.database_files import sync
from plant_assets.warehouse.duckdb import Warehouse
from plant_assets.warehouse.store import STAGED, EngineFailed, Since, WrongShape, create_table

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession

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
    "int32": "int",
    "float64": "double",
    "uuid": "string",
}
CONNECT_SECONDS, EXECUTOR_SECONDS = 5, 60
Bounds = tuple[dt.date | dt.datetime | None, dt.date | dt.datetime | None]


@dataclass(frozen=True)
class Slice:
    """Rows of a table, all of one week where it is cut by weeks, in files that were written at once."""

    week: dt.date | None
    path: str
    columns: list[str]
    files: list[str]
    rows: int
    bytes: int


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
                self.execute("delete from _writes where table_name = ?", [name])
            if stored or name.startswith("raw_"):
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
        if self.meta("tables") is None:
            self.remember(tables=uuid.uuid4().hex)
        return self.settings.tables_path / str(self.meta("tables"))

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
        weeks = sorted({self.calendar.week_of(at) for at in instants}) if table.cut_by else [None]
        is_of_these = f"observed_at in ({', '.join(literal(str(at)) for at in instants)})"
        for week in weeks if instants else []:
            stored = self._slices(table, [week] if week else None)
            if stored and self.value(f"select exists (from {self._read(stored)} where {is_of_these})"):
                self._forget(table, stored)
                self._keep(table, self._copy(table, f"from {self._read(stored)} where not {is_of_these}", week))
        self._show(table)

    def _add_from(self, relation: str, table: Table, where: str = "true", weeks: Weeks | None = None) -> int:
        """Add the rows of a relation to their weeks; the rows."""
        added, column = 0, table.cut_by
        if column is None:
            added = self._add(table, f"from {relation} where {where}")
        else:
            inside = _within(table, weeks) if weeks else "true"
            dates = self.rows(f"select distinct {column}::date from {relation} where {where} and {inside}")
            for week in sorted({week for (date,) in dates for week in self._weeks_about(date)}):
                of_week = _within(table, Weeks(self.calendar, week, week))
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
        sources = sorted({each.name for each in _sources(data)})
        self.execute("insert into _views values (?, ?, ?)", [table.name, _compiled(data), sources])

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
        with _failures():
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
            f"(select count(*) from ({_compiled(each)})) as c{number}" for number, each in enumerate(expressions)
        )
        with _failures():
            [row] = self._arrow(self.session.sql(f"select {bodies}")).to_pylist()
        return [int(value) for value in row.values()]

    def first_texts(self, expression: ibis.Table, most: int) -> list[str]:
        frame = self._frame(expression)
        with _failures():
            return [
                str(text) for text in self._arrow(frame.orderBy(frame.columns[0]).limit(most)).column(0).to_pylist()
            ]

    def _arrow(self, frame: "DataFrame") -> "pa.Table":
        with _failures():
            return frame.toArrow()

    def _frame(self, expression: ibis.Table) -> "DataFrame":
        self._bind(expression)
        with _failures():
            return self.session.sql(_compiled(expression))

    def _bind(self, expression: ibis.Table) -> None:
        """Let Spark know the tables that an expression names, as they are now."""
        for source in _sources(expression):
            self._bind_table(source.name, source.schema, _bounds(expression, source))

    def _bind_table(self, name: str, schema: ibis.Schema, bounds: Bounds = (None, None)) -> None:
        table = TABLES.get(name)
        if table is None or name == IN_CATALOG:
            # Bookkeeping of loads, and frames: small, and changed at any time.
            names = ", ".join(identifier(column) for column in schema.names)
            rows: pa.Table = self.connection.sql(f"select {names} from {name}").to_arrow_table()
            with _failures():
                self.session.createDataFrame(rows.cast(schema.to_pyarrow())).createOrReplaceTempView(name)
        elif table.is_view:
            [(statement, sources)] = self.rows("select statement, sources from _views where table_name = ?", [name])
            for source in sources:
                self._bind_table(source, TABLES[source].schema)
            with _failures():
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
        with _failures():
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


def require_spark(settings: Settings) -> None:
    """Refuse a warehouse on Spark where it cannot be started.

    Raises:
        UsageError: pyspark or Java is not installed.
    """
    given = f"PLANT_WAREHOUSE={settings.warehouse}"
    if importlib.util.find_spec("pyspark") is None:
        raise UsageError(f"{given} needs pyspark: install it by `pip install 'plant-assets[spark]'`")
    home = os.environ.get("JAVA_HOME")
    if shutil.which("java", path=f"{home}/bin" if home else None) is None:
        where = f"JAVA_HOME={home} has no bin/java" if home else "there is no `java` on the PATH"
        raise UsageError(f"{given} needs Java 17 or later, and {where}")


def _require_master(settings: Settings) -> None:
    """Refuse a master that does not answer: Spark itself would try for a minute, and end in a stack trace."""
    master = str(settings.spark_master)
    if not master.startswith(SPARK):
        return
    for address in master.removeprefix(SPARK).split(","):
        host, port = address.rsplit(":", 1)
        with contextlib.suppress(OSError), socket.create_connection((host, int(port)), CONNECT_SECONDS):
            return
    raise UsageError(f"no Spark master answers at PLANT_WAREHOUSE={master}: start it, or name another")


def start_session(settings: Settings, **more: str) -> "SparkSession":
    """A session on the settings' master; `spark-defaults.conf` and the environment say the rest, as ever.

    What Spark says goes to `<warehouse>.spark.log`.

    Raises:
        UsageError: the master does not answer, or has no worker to spare.
    """
    from pyspark import SparkConf, SparkContext
    from pyspark.java_gateway import launch_gateway
    from pyspark.sql import SparkSession

    _require_master(settings)
    master, path = str(settings.spark_master), settings.warehouse_path
    scratch = path.with_name(path.name + ".spark.tmp")
    given = {
        "spark.master": master,
        "spark.app.name": f"plant-assets {path.stem}",
        "spark.ui.enabled": "false",
        "spark.log.level": "WARN",
        "spark.driver.memory": f"{max(size_in_bytes(settings.memory_limit) // 2 // 2**20, 512)}m",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.timestampType": "TIMESTAMP_NTZ",
        # Files are named one by one: to list them is no work for a cluster.
        "spark.sql.sources.parallelPartitionDiscovery.threshold": "100000",
        "spark.hadoop.mapreduce.fileoutputcommitter.marksuccessfuljobs": "false",
        # What is kept for the UI, which is off, of every query and task.
        **dict.fromkeys(("spark.sql.ui.retainedExecutions", "spark.ui.retainedJobs", "spark.ui.retainedStages"), "1"),
        **more,
    }
    if not master.startswith(SPARK):
        shutil.rmtree(scratch, ignore_errors=True)
        given["spark.local.dir"] = str(scratch)
    if not master.startswith(SPARK) or re.match(rf"{SPARK}(127\.|localhost:)", master):
        given |= {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
    conf = SparkConf()
    for name, value in given.items():
        conf.set(name, value)
    active = SparkSession.getActiveSession()
    if active:
        # A process has one; another warehouse's was left open by an error.
        active.stop()
    log = path.with_name(path.name + ".spark.log")
    with _failures():
        if SparkContext._gateway is None:
            # Java lives as long as this process.
            log.touch(mode=0o600)
            with log.open("w") as said:
                gateway = launch_gateway(conf, popen_kwargs={"stdout": said, "stderr": said})
        else:
            gateway = SparkContext._gateway
        context = SparkContext(gateway=gateway, conf=conf)
    session = SparkSession(context)
    if master.startswith(SPARK):
        until = time.monotonic() + EXECUTOR_SECONDS
        # The driver is counted too.
        while context._jsc.sc().getExecutorMemoryStatus().size() < 2:
            if time.monotonic() > until:
                session.stop()
                raise UsageError(
                    f"the Spark master at PLANT_WAREHOUSE={master} gave no worker in {EXECUTOR_SECONDS} seconds:"
                    " start one, or wait for one that is free"
                )
            time.sleep(0.1)
    return session


def _compiled(expression: ibis.Table) -> str:
    """An expression as a statement of Spark."""
    # Asking the backend, not `ibis.to_sql`, brings in its options, which some expressions need.
    return str(ibis.pyspark.compile(expression))


def _sources(expression: ibis.Table) -> set[ops.UnboundTable]:
    return set(expression.op().find(ops.UnboundTable))


def _bounds(expression: ibis.Table, source: ops.UnboundTable) -> Bounds:
    """From which value of its week column on, and before which, an expression looks at the rows of a table.

    Told where all that names the table are filters of that column alone, as `Weeks.rows_of` makes them.
    """
    table = TABLES.get(source.name)
    if table is None or table.cut_by is None:
        return None, None
    lows: list[Any] = []
    highs: list[Any] = []
    for node in expression.op().find(ops.Node):
        if isinstance(node, ops.Field) or source not in node.__children__:
            continue
        found: dict[type[ops.Value], Any] = {}
        for each in node.predicates if isinstance(node, ops.Filter) else ():
            is_bound = isinstance(each, ops.GreaterEqual | ops.Less) and isinstance(each.right, ops.Literal)
            if is_bound and isinstance(each.left, ops.Field) and each.left.name == table.cut_by:
                found[type(each)] = each.right.value
        lows.append(found.get(ops.GreaterEqual))
        highs.append(found.get(ops.Less))
    return (None if None in lows else min(lows, default=None)), (None if None in highs else max(highs, default=None))


def _within(table: Table, weeks: Weeks) -> str:
    low, high = (literal(str(bound)) for bound in table.bounds(weeks))
    return f"{table.cut_by} >= {low} and {table.cut_by} < {high}"


@contextlib.contextmanager
def _tables_at(settings: Settings) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UsageError(f"PLANT_TABLES={settings.tables_path} cannot be written to: {error.strerror}") from error


@contextlib.contextmanager
def _failures() -> Iterator[None]:
    """Spark's errors in one line each, with their cause.

    Raises:
        EngineFailed: Spark raised something.
    """
    from py4j.protocol import Py4JError, Py4JJavaError
    from pyspark.errors import PySparkException

    try:
        yield
    except Py4JJavaError as error:
        cause = error.java_exception
        while cause.getCause() is not None:
            cause = cause.getCause()
        raise EngineFailed(_first_line(cause.toString())) from error
    except (PySparkException, Py4JError) as error:
        raise EngineFailed(_first_line(str(error))) from error


def _first_line(text: str) -> str:
    return "Spark: " + next((line.strip() for line in text.splitlines() if line.strip()), "it gave no reason")
