"""Runs an ibis expression over given rows on a real engine: DuckDB and Spark, the warehouses' own, or DataFusion.

Expressions stand on the contract's tables by name. Ibis compiles them, the engine gets the SQL and Arrow tables of the
contract's types: a NULL count stays NULL, no type is guessed, and what comes out is cast to the contract's types.
Instants and dates are ISO text on the way in and out, so that rows in tests are read at a glance.
"""

import datetime as dt
import functools
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import datafusion
import duckdb
import ibis
import ibis.expr.operations as ops
import pyarrow as pa
import pytest
import sqlglot
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ibis.backends.datafusion.udfs import extract_epoch_seconds_timestamp
from ibis.backends.sql.dialects import DataFusion

from plant_assets.contracts import DATE, INSTANT, PRICE, TABLES
from plant_assets.settings import read_settings
from plant_assets_tests.support.machine import need

Row = dict[str, Any]

PARSERS: Mapping[str, Callable[[str], Any]] = {
    INSTANT: dt.datetime.fromisoformat,
    DATE: dt.date.fromisoformat,
    PRICE: Decimal,
}


def table(name: str) -> ibis.Table:
    """The contract's table, unbound."""
    return TABLES[name].unbound()


def frame(name: str, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """The rows as the contract's table. A column that a row leaves out is NULL; one that there is not is an error."""
    unknown = {column for row in rows for column in row} - set(TABLES[name].names)
    if unknown:
        raise KeyError(f"{name} has no {sorted(unknown)}")

    def parsed(value: Any, type_: str) -> Any:
        return PARSERS[type_](value) if isinstance(value, str) and type_ in PARSERS else value

    schema = TABLES[name].schema.to_pyarrow()
    columns = [
        pa.array([parsed(row.get(column.name), column.type) for row in rows], type=schema.field(column.name).type)
        for column in TABLES[name].columns
    ]
    return pa.table(columns, schema=schema)


@dataclass(frozen=True)
class Engine:
    """An engine: the dialect that ibis writes for it, and how it runs SQL over Arrow tables by name."""

    dialect: str
    execute: Callable[[str, Mapping[str, pa.Table]], pa.Table]

    def run(self, expr: ibis.Table, tables: Mapping[str, pa.Table]) -> pa.Table:
        """What the engine answers, in its own types and order."""
        return self.execute(_compiled(expr.op(), self.dialect), tables)

    def rows(
        self, into: str, expr: ibis.Table, *, in_order: bool = False, **given: Sequence[Mapping[str, Any]]
    ) -> list[Row]:
        """The rows of `expr` in the types of the contract's table `into`: by its key, or in the engine's order."""
        answer = self.run(expr, {name: frame(name, rows) for name, rows in given.items()})
        typed = answer.select(expr.columns).cast(TABLES[into].schema.to_pyarrow()).to_pylist()
        rows = [{name: _shown(value) for name, value in row.items()} for row in typed]
        if in_order:
            return rows
        return sorted(rows, key=lambda row: [(row[name] is not None, row[name] or "") for name in TABLES[into].key])


def picked(rows: Sequence[Row], *columns: str) -> list[Any]:
    """The columns that matter: a tuple per row, or the bare value where there is one column."""
    return [tuple(row[name] for name in columns) if len(columns) > 1 else row[columns[0]] for row in rows]


def _shown(value: Any) -> Any:
    if isinstance(value, dt.datetime):
        return value.isoformat(sep=" ")
    return value.isoformat() if isinstance(value, dt.date) else value


@functools.cache
def _compiled(op: Any, dialect: str) -> str:
    # Spark's backend has options that some expressions need, and `ibis.to_sql` alone does not bring in.
    if dialect == "pyspark":
        return str(ibis.pyspark.compile(op.to_expr()))
    return str(ibis.to_sql((op.replace(_as_difference) if dialect == "datafusion" else op).to_expr(), dialect))


def _as_difference(node: Any, changed: dict[str, Any] | None) -> Any:
    """Ibis 12 compiles no `delta` for DataFusion, which gives a difference of instants in microseconds."""
    known = node.__recreate__(changed) if changed else node
    if not isinstance(known, ops.TimestampDelta):
        return known
    return ops.Cast(ops.TimestampDiff(known.left, known.right), "int64")


@functools.cache
def _duckdb() -> duckdb.DuckDBPyConnection:
    return duckdb.connect(config={"threads": 1})


def _on_duckdb(sql: str, tables: Mapping[str, pa.Table]) -> pa.Table:
    with _duckdb().cursor() as cursor:
        for name, rows in tables.items():
            cursor.register(name, rows)
        return cursor.sql(sql).to_arrow_table()


# Ibis 12 registers this function itself when it connects, by argument names that datafusion 52 changed.
_EPOCH_SECONDS = datafusion.udf(
    extract_epoch_seconds_timestamp,
    [pa.timestamp("us")],
    pa.int32(),
    "immutable",
    name="extract_epoch_seconds_timestamp",
)


def _on_datafusion(sql: str, tables: Mapping[str, pa.Table]) -> pa.Table:
    context = datafusion.SessionContext(
        datafusion.SessionConfig({"datafusion.sql_parser.dialect": "PostgreSQL"}).with_target_partitions(2)
    )
    context.register_udf(_EPOCH_SECONDS)
    for name, rows in tables.items():
        context.from_arrow(rows, name)
    return context.sql(_in_parentheses(sql)).to_arrow_table()


@functools.cache
def _in_parentheses(sql: str) -> str:
    """DataFusion reads `a IS NOT DISTINCT FROM b AND c` as `a IS NOT DISTINCT FROM (b AND c)`, unlike the standard."""

    def parenthesized(node: sqlglot.exp.Expression) -> sqlglot.exp.Expression:
        return sqlglot.exp.paren(node) if isinstance(node, sqlglot.exp.NullSafeEQ) else node

    return sqlglot.parse_one(sql, read=DataFusion).transform(parenthesized).sql(DataFusion)


# A query over a few rows takes as long as it takes to plan: no code is generated for it, nothing is spread.
QUICK = {
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.shuffle.partitions": "1",
}
_sessions: list[Any] = []


def _spark() -> Any:
    """A session of this process; started again if a warehouse has stopped it."""
    need("java", shutil.which("java") is not None)
    from plant_assets.warehouse.spark.session import start_session

    if not _sessions or _sessions[-1].sparkContext._jsc is None:
        home = Path(tempfile.mkdtemp(prefix="spark"))
        _sessions.append(start_session(read_settings(warehouse="spark://local[2]", home=home, memory_limit="2GB")))
        for name, value in QUICK.items():
            _sessions[-1].conf.set(name, value)
    return _sessions[-1]


def _on_spark(sql: str, tables: Mapping[str, pa.Table]) -> pa.Table:
    session = _spark()
    for name, rows in tables.items():
        session.createDataFrame(rows).createOrReplaceTempView(name)
    return session.sql(sql).toArrow()


DUCKDB = Engine("duckdb", _on_duckdb)
DATAFUSION = Engine("datafusion", _on_datafusion)
SPARK = Engine("pyspark", _on_spark)


class EachEngine:
    """DuckDB, or Spark where a module's tests run for the second time."""

    def __init__(self) -> None:
        self.now = DUCKDB

    def run(self, expr: ibis.Table, tables: Mapping[str, pa.Table]) -> pa.Table:
        return self.now.run(expr, tables)

    def rows(
        self, into: str, expr: ibis.Table, *, in_order: bool = False, **given: Sequence[Mapping[str, Any]]
    ) -> list[Row]:
        return self.now.rows(into, expr, in_order=in_order, **given)


ENGINE = EachEngine()


@pytest.fixture(scope="module", params=[DUCKDB, SPARK], ids=lambda engine: engine.dialect)
def each_engine(request: pytest.FixtureRequest) -> Iterator[None]:
    """The tests of a module on both warehouses' engines."""
    ENGINE.now = request.param
    yield
    ENGINE.now = DUCKDB


def over(**drawn: st.SearchStrategy[Any]) -> Callable[[Callable[..., None]], Callable[[], None]]:
    """A property of whatever is drawn: of 40 examples on DuckDB, of 4 on Spark, which takes far longer for each."""

    def as_test(body: Callable[..., None]) -> Callable[[], None]:
        def examples(most: int) -> Callable[[], None]:
            of = settings(
                max_examples=most,
                derandomize=True,
                deadline=None,
                suppress_health_check=[HealthCheck.too_slow],
                print_blob=False,
            )
            return of(given(**drawn)(body))

        few, more = examples(4), examples(40)

        def test() -> None:
            (few if ENGINE.now is SPARK else more)()

        return test

    return as_test
