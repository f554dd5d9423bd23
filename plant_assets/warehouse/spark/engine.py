"""Expressions answered by Apache Spark, which reads the tables' files. The first one starts its session."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import duckdb
import ibis

from plant_assets.contracts import TABLES, Table
from plant_assets.settings import Settings, size_in_bytes
from plant_assets.sql import identifier
from plant_assets.warehouse.spark.session import failures, require_master, start_session
from plant_assets.warehouse.spark.slices import IN_CATALOG, SPARK_TYPES, Bounds, Slices, bounds_of, compiled, sources_of

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession


class SparkEngine:
    """Spark's session of one warehouse, which ends when the warehouse is closed."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, settings: Settings, slices: Slices) -> None:
        self._connection = connection
        self._settings = settings
        self._slices = slices
        self._session: SparkSession | None = None
        # What Spark knows each table as: its files.
        self._known: dict[str, list[str]] = {}

    def require(self) -> None:
        """Refuse a master that does not answer, which the catalog alone would not notice.

        Raises:
            UsageError: none of its addresses does.
        """
        require_master(self._settings)

    def close(self) -> None:
        """End the session."""
        if self._session:
            self._session.stop()
            self._session = None

    def limit_memory(self, is_staged: bool = False) -> None:
        """Take half of the memory that is allowed for DuckDB, and leave half of it to Spark."""
        self._connection.execute(f"set memory_limit = '{size_in_bytes(self._settings.memory_limit) // 2}B'")

    def portions(self, name: str) -> int:
        """Return one: Spark divides its work itself."""
        return 1

    def scalar(self, expression: ibis.Table) -> Any:
        """Return the value of an expression of one row and column."""
        return self._arrow(self.frame(expression)).column(0)[0].as_py()

    def count_rows(self, name: str) -> int:
        """Return how many rows a table or view has."""
        if TABLES[name].is_view:
            return self.counts([TABLES[name].unbound()])[0]
        # Files tell their rows in their footers.
        return int(self._connection.execute(f"select count(*) from {name}").fetchall()[0][0])

    def counts(self, expressions: Sequence[ibis.Table]) -> list[int]:
        """Return how many rows each expression has, asked for in one query."""
        for each in expressions:
            self._bind(each)
        bodies = ", ".join(
            f"(select count(*) from ({compiled(each)})) as c{number}" for number, each in enumerate(expressions)
        )
        with failures():
            [row] = self._arrow(self.session.sql(f"select {bodies}")).to_pylist()
        return [int(value) for value in row.values()]

    def sample_keys(self, expression: ibis.Table, most: int) -> list[str]:
        """Return the first rows, in order, of an expression of one text column."""
        frame = self.frame(expression)
        with failures():
            return [
                str(text) for text in self._arrow(frame.orderBy(frame.columns[0]).limit(most)).column(0).to_pylist()
            ]

    def frame(self, expression: ibis.Table) -> "DataFrame":
        """Return the rows of an expression as Spark's."""
        self._bind(expression)
        with failures():
            return self.session.sql(compiled(expression))

    def _arrow(self, frame: "DataFrame") -> "pa.Table":
        with failures():
            return frame.toArrow()

    def _bind(self, expression: ibis.Table) -> None:
        """Register the tables that an expression names, as they are now, with Spark."""
        for source in sources_of(expression):
            self._bind_table(source.name, source.schema, bounds_of(expression, source))

    def _bind_table(self, name: str, schema: ibis.Schema, bounds: Bounds = (None, None)) -> None:
        table = TABLES.get(name)
        if table is None or name == IN_CATALOG:
            # Bookkeeping of loads, and frames: small, and changed at any time.
            names = ", ".join(identifier(column) for column in schema.names)
            rows: pa.Table = self._connection.sql(f"select {names} from {name}").to_arrow_table()
            with failures():
                self.session.createDataFrame(rows.cast(schema.to_pyarrow())).createOrReplaceTempView(name)
        elif table.is_view:
            [(statement, sources)] = self._connection.execute(
                "select statement, sources from _views where table_name = ?", [name]
            ).fetchall()
            for source in sources:
                self._bind_table(source, TABLES[source].schema)
            with failures():
                self.session.sql(f"create or replace temp view {name} as {statement}")
        else:
            self._bind_files(table, self._slices.files(self._slices.within(table, bounds)))

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
        """The session, which is started now if it is not yet."""
        if self._session is None:
            self._session = start_session(self._settings)
            self._known = {}
        return self._session
