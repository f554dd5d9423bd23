"""A dbt snapshot of the products as observations: one per instant at which it changed, of the rows then valid.

The statements run on `_staged_products_snapshot`, or on the stored rows. Instants are cut to whole seconds, as for all
observations: if a product changes twice within a second, the last row counts. A row is valid from its dbt_valid_from
until before its dbt_valid_to; without an end if that is NULL, or more than a day ahead of the run.
"""

import datetime as dt

import duckdb

from plant_assets.contracts import FROM_HISTORY


def name_of(observed_at: dt.datetime) -> str:
    """Return the part name of an observation that is made from dbt's history."""
    return f"{FROM_HISTORY}{observed_at.isoformat()}Z"


def is_of_history(file: str | None) -> bool:
    """Return whether a part name is that of an observation made from dbt's history."""
    return file is not None and file.startswith(FROM_HISTORY)


def note_intervals(connection: duckdb.DuckDBPyConnection, rows: str, until: dt.datetime) -> None:
    """Make the temp table `history`: a row per product and interval of whole seconds.

    Rows of deleted products, and rows that begin after `until`, are left out.
    """
    connection.execute(
        "create or replace temp table history as select product_id, name, price, inventory,"
        " date_trunc('second', dbt_valid_from) as begins_at,"
        " if(coalesce(dbt_valid_to > ?, true), 'infinity', date_trunc('second', dbt_valid_to))::timestamp as ends_at"
        f" from (from {rows}) where not coalesce(dbt_is_deleted, false) and dbt_valid_from <= ?",
        [until, until],
    )
    connection.execute("delete from history where begins_at >= ends_at")


def observations(connection: duckdb.DuckDBPyConnection) -> list[tuple[dt.datetime, str]]:
    """Return the instants of `history` in order, each with the sum of the hashes of the rows then valid.

    It is a running sum: rows that begin are added, rows that end subtracted. So no instant needs all its products.
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
    """Add the products that are valid at each of these instants to `_staged_products`."""
    connection.execute(
        "create or replace temp table history_instants as select unnest(?::timestamp[]) as observed_at,"
        " unnest(?::varchar[]) as file",
        [instants, [name_of(each) for each in instants]],
    )
    connection.execute(
        "insert into _staged_products by name select observed_at, product_id, name, price, inventory, file from"
        " history_instants join history on begins_at <= observed_at and ends_at > observed_at order by observed_at"
    )
