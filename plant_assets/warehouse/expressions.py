"""Compile expressions of ibis to statements of DuckDB. `transforms/` and `checks/` say what an expression means."""

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import ibis

from plant_assets.contracts import TABLES
from plant_assets.warehouse.compiled import Statements

if TYPE_CHECKING:
    import sqlglot.expressions as sge


def to_sql(expression: ibis.Expr) -> str:
    """Return an expression as a statement of DuckDB."""
    return Statements.of_user().of(expression, _compiled_by(), _compiled)


@lru_cache(maxsize=1)
def _compiled_by() -> str:
    """Return what `_compiled` depends on beside the expression: this module, and which tables are views."""
    views = sorted(name for name, table in TABLES.items() if table.is_view)
    return f"{hashlib.sha256(Path(__file__).read_bytes()).hexdigest()} {views}"


def _compiled(expression: ibis.Expr) -> str:
    import sqlglot.expressions as sge
    from ibis.backends.sql import compilers

    query = compilers.duckdb.compiler.to_sqlglot(expression)
    for star in query.find_all(sge.Star):
        # ibis takes the excluded columns from a set, so in another order in each process.
        star.set("except_", sorted(star.args.get("except_") or (), key=str))
    for cte in query.find_all(sge.CTE):
        if _only_narrows(cte.this):
            # What is used twice is kept, all of it; to read these rows twice costs less.
            cte.set("materialized", False)
    return str(query.sql(dialect="duckdb"))


def _only_narrows(query: "sge.Expression") -> bool:
    """Tell whether a query only takes rows and columns of one table."""
    import sqlglot.expressions as sge

    clauses = {name for each in query.find_all(sge.Select) for name, value in each.args.items() if value}
    is_made = any(table.name in TABLES and TABLES[table.name].is_view for table in query.find_all(sge.Table))
    has_work = is_made or query.find(sge.AggFunc, sge.Window, sge.Union)
    return clauses <= {"expressions", "from_", "where"} and not has_work
