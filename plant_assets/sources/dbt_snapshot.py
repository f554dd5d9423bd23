"""dbt's history of the products as observations: at each instant at which it changed, the rows that were valid.

Statements over `_staged_products_snapshot`, or over what is stored of it. Instants are cut to whole seconds, as all
observations are: of rows that change within one second the last counts. A row is valid from its dbt_valid_from until
before its dbt_valid_to, and for ever where that is NULL or over a day ahead of the run.
"""

import datetime as dt

import duckdb

from plant_assets.contracts import FROM_HISTORY


def name_of(observed_at: dt.datetime) -> str:
    """What stands for the file of an observation that dbt's history tells of."""
    return f"{FROM_HISTORY}{observed_at.isoformat()}Z"


def is_of_history(file: str | None) -> bool:
    """Whether that is the name of such an observation."""
    return file is not None and file.startswith(FROM_HISTORY)


def note_intervals(connection: duckdb.DuckDBPyConnection, rows: str, until: dt.datetime) -> None:
    """Keep in `history` what each row that has begun says, for which whole seconds; a deleted product has no row."""
    connection.execute(
        "create or replace temp table history as select product_id, name, price, inventory,"
        " date_trunc('second', dbt_valid_from) as begins_at,"
        " if(coalesce(dbt_valid_to > ?, true), 'infinity', date_trunc('second', dbt_valid_to))::timestamp as ends_at"
        f" from (from {rows}) where not coalesce(dbt_is_deleted, false) and dbt_valid_from <= ?",
        [until, until],
    )
    connection.execute("delete from history where begins_at >= ends_at")


def observations(connection: duckdb.DuckDBPyConnection) -> list[tuple[dt.datetime, str]]:
    """The instants of `history` in order, each with the sum of the hashes of its products.

    The sum goes on from instant to instant with what begins and ends: the products are not had side by side.
    """
    return connection.execute(
        "with hashed as (select begins_at, ends_at, md5_number_lower(to_json([product_id, name, price::varchar,"
        " inventory::varchar])::varchar)::hugeint as row_hash from history),"
        " moves as (select begins_at as observed_at, row_hash from hashed"
        " union all select ends_at, -row_hash from hashed where isfinite(ends_at)),"
        " steps as (select observed_at, sum(row_hash) as step from moves group by observed_at)"
        " select observed_at, (sum(step) over (order by observed_at))::varchar from steps order by observed_at"
    ).fetchall()


def stage(connection: duckdb.DuckDBPyConnection, instants: list[dt.datetime]) -> None:
    """Stage, of each of these instants, the products that `history` holds valid."""
    connection.execute(
        "create or replace temp table history_instants as select unnest(?::timestamp[]) as observed_at,"
        " unnest(?::varchar[]) as file",
        [instants, [name_of(each) for each in instants]],
    )
    connection.execute(
        "insert into _staged_products by name select observed_at, product_id, name, price, inventory, file from"
        " history_instants join history on begins_at <= observed_at and ends_at > observed_at order by observed_at"
    )
