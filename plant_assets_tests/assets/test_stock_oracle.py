"""The state of stock at each event of the sample store, against what its generator knows at every instant."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import duckdb
import ibis
import pytest

from plant_assets.calendar import WEEK, Calendar, weeks_between
from plant_assets.contracts import TABLES
from plant_assets.sample import store as sample
from plant_assets.transforms.snapshots import product_snapshots
from plant_assets.transforms.stock_state import Stock, events_with_stock_state, stock_intervals
from plant_assets.warehouse.expressions import to_sql

GAP = dt.timedelta(hours=12)
OBSERVED = "strptime(parse_filename(filename, true), '%Y-%m-%dT%H-%M-%SZ')"
# The generator's own order of moves at one instant.
TRUE_STATE = """
    with known as (
        select id_of('product', product) as product_id, moment,
            arg_max(units, (session is not null, session, unit)) as units from stock group by product, moment)
    select event_type, stock_state, count(*) as events, avg((units <= 0)::integer) as out
    from int_event_stock_state as stated
    asof left join known on stated.product_id = known.product_id and stated.created_at >= known.moment
    group by event_type, stock_state
"""


def _unbound(name: str) -> ibis.Table:
    return TABLES[name].unbound()


@pytest.fixture(scope="module")
def stated(sample_store: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """The generator's tables, and each view and cart with the state that observations tell."""
    manifest = sample.read_manifest(sample_store)
    assert manifest
    start, end = (dt.datetime.fromisoformat(each) for each in (manifest.start, manifest.end))
    with duckdb.connect() as connection:
        sample.simulate(connection, manifest, start, end)
        connection.execute(
            f"create table raw_products as select * exclude (filename), {OBSERVED} as observed_at"
            f" from read_csv('{sample_store}/products/*.csv', filename = true, types = {{'product_id': 'varchar'}})"
        )
        connection.execute(
            "create table raw_observations as select distinct observed_at, '' as file, 0 as products from raw_products"
        )
        connection.execute(
            "create table int_events as select id_of('event', concat(event_type, session, number)) as event_id,"
            " session::varchar as session_id, null::varchar as user_id, moment as created_at,"
            " moment::date as event_date, event_type, 1 as session_step, null::varchar as order_id,"
            " id_of('product', product) as product_id, null::varchar as product_name"
            " from events where product is not null"
        )
        calendar = Calendar("UTC")
        connection.execute("create table weeks (week_start_date date, starts_at timestamp, ends_at timestamp)")
        for monday in weeks_between(calendar.week_of(start), calendar.week_of(end)):
            bounds = [calendar.starts_at(monday), calendar.starts_at(monday + WEEK)]
            connection.execute("insert into weeks values (?, ?, ?)", [monday, *bounds])
        observations, versions = _unbound("raw_observations"), _unbound("product_snapshots")
        stock = Stock(_unbound("int_stock_intervals"), versions, observations, _unbound("weeks"), GAP)
        for name, expression in {
            "product_snapshots": product_snapshots(_unbound("raw_products"), observations),
            "int_stock_intervals": stock_intervals(versions, observations, GAP),
            "int_event_stock_state": events_with_stock_state(_unbound("int_events"), stock),
        }.items():
            connection.execute(f"create table {name} as {to_sql(expression)}")
        yield connection


def test_states_are_those_that_the_generator_knows(stated: duckdb.DuckDBPyConnection) -> None:
    found = stated.execute(TRUE_STATE).fetchall()
    rows = {(kind, state): (events, out) for kind, state, events, out in found}
    for kind in ("page_view", "add_to_cart"):
        assert rows[kind, "in_stock"][1] <= 0.005
        assert rows[kind, "out"][1] >= 0.99
        assert (kind, "unknown") not in rows
    views = {state: events for (kind, state), (events, _out) in rows.items() if kind == "page_view"}
    assert 0.03 <= views["uncertain"] / sum(views.values()) <= 0.05
