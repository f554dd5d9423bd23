"""Ids of the source that hardly join, by the rule of the checks. The ids are noted as the tables are read."""

import duckdb
import ibis

from plant_assets.checks.ids import JOINS, Join, distinct_ids, explain_few
from plant_assets.warehouse.expressions import to_sql
from plant_assets.warehouse.store import STAGED


def note_ids(connection: duckdb.DuckDBPyConnection, table: str) -> None:
    """Add the ids of the staged rows of a table that can be loaded to those noted before."""
    for column in {join.column for join in JOINS if table in (join.table, join.other)}:
        name = _noted(table, column)
        connection.execute(f"create table if not exists {name} (id varchar)")
        connection.execute(
            f"insert into {name} select distinct {column} from {STAGED}{table}"
            f" where reason is null and {column} is not null"
        )


def unlike_ids(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """Return a sentence for each column of which hardly an id is in the other table."""
    there = {name for (name,) in connection.execute("select table_name from duckdb_tables()").fetchall()}
    joins = [join for join in JOINS if {_noted(join.table, join.column), _noted(join.other, join.column)} <= there]
    return [sentence for join in joins for (sentence,) in connection.execute(_explanation(join)).fetchall()]


def _noted(table: str, column: str) -> str:
    return f"ids_{table}_{column}"


def _explanation(join: Join) -> str:
    sides = [ibis.table({"id": "string"}, name=_noted(table, join.column)) for table in (join.table, join.other)]
    return to_sql(explain_few(join, *(distinct_ids(side, "id") for side in sides)))
