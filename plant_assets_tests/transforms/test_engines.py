"""The same transforms on other engines: DataFusion and Spark answer as DuckDB does.

`funnel_steps` and `funnel_steps_by_week` are not here: they are pandas on a few rows, whatever engine those came from.
"""

import datetime as dt
import functools

import ibis
import pytest

from plant_assets.calendar import Calendar
from plant_assets.contracts import STAGES, TABLES
from plant_assets.transforms import demand, rates, sales, stages, stock_state, stock_status, units_change, weekly
from plant_assets.transforms import inventory as stock
from plant_assets.transforms.entry import funnel_by_entry_date
from plant_assets.transforms.events import events_with_products, session_days, sessions
from plant_assets.transforms.funnel import (
    funnel_by_date,
    funnel_by_product,
    funnel_by_product_week,
    funnel_by_week,
    funnel_to_date,
    funnel_weeks,
    product_funnel_repeats,
    product_funnel_weeks,
    spanning_sessions,
    whole_funnel,
)
from plant_assets.transforms.orders import order_events, orders, sold_lines
from plant_assets.transforms.snapshots import as_dbt_names_them, product_snapshots, products
from plant_assets_tests.support import odd_rows as store
from plant_assets_tests.support.engines import DATAFUSION, DUCKDB, SPARK, Engine, Row, table

CALENDAR = Calendar(store.ZONE)
OFFSETS = CALENDAR.offsets(dt.datetime(2021, 3, 1), dt.datetime(2021, 4, 1))
# Some observations of the tiny store are nearer to the next one, some are not.
MAX_GAP = dt.timedelta(hours=84)
SECOND_WEEK = CALENDAR.starts_at(dt.date(2021, 3, 8))

EVENTS, ITEMS, WEEKS = table("raw_events"), table("raw_order_items"), table("weeks")
VERSIONS, OBSERVATIONS, DAYS = table("product_snapshots"), table("raw_observations"), table("int_session_days")

STOCK = stock_state.Stock(table("int_stock_intervals"), VERSIONS, OBSERVATIONS, WEEKS, MAX_GAP)

# In the order in which each can be derived from those before it.
TRANSFORMS: dict[str, ibis.Table] = {
    "product_snapshots": product_snapshots(table("raw_products"), OBSERVATIONS),
    "product_snapshot_dbt": as_dbt_names_them(VERSIONS),
    "int_events": events_with_products(EVENTS, ITEMS, VERSIONS, OFFSETS),
    "int_sessions": sessions(EVENTS, OFFSETS),
    "int_session_days": session_days(EVENTS, OFFSETS),
    "products": products(VERSIONS, OBSERVATIONS),
    "int_order_events": order_events(EVENTS),
    "int_orders": orders(table("raw_orders"), ITEMS, table("int_order_events"), ["preparing"], OFFSETS),
    "sales_by_week": sales.sales_by_week(table("int_orders"), ITEMS),
    "sales_by_product_week": sales.sales_by_product_week(table("int_orders"), ITEMS, VERSIONS, OFFSETS),
    "customers": sales.customers(table("int_orders")),
    "inventory": stock.inventory(VERSIONS, OBSERVATIONS, WEEKS, OFFSETS, MAX_GAP),
    "int_stock_intervals": stock_state.stock_intervals(VERSIONS, OBSERVATIONS, MAX_GAP),
    "int_event_stock_state": stock_state.events_with_stock_state(table("int_events"), STOCK),
    "int_product_demand": demand.product_demand(
        [demand.demand_by_session(EVENTS, STOCK, OFFSETS)], EVENTS, table("int_orders"), ITEMS, STOCK, OFFSETS
    ),
    "product_demand": demand.named_demand(table("int_product_demand"), VERSIONS, OFFSETS),
    "stock_status": stock_status.stock_status(table("int_orders"), ITEMS, STOCK),
    "units_change": units_change.units_change(
        table("int_product_demand"),
        stock_status.dispersion(sold_lines(table("int_orders"), ITEMS)),
        WEEKS,
        VERSIONS,
        OFFSETS,
    ),
    "inventory_changes": stock.inventory_changes(table("inventory"), VERSIONS, OBSERVATIONS, WEEKS, OFFSETS),
    "inventory_fluctuations": stock.inventory_fluctuations(VERSIONS, OBSERVATIONS),
    "stockouts": stock.stockouts(VERSIONS, OBSERVATIONS, MAX_GAP),
    "inventory_until_week": weekly.inventory_until_week(table("inventory"), WEEKS),
    "stockouts_by_week": weekly.stockouts_by_week(table("stockouts"), WEEKS, OFFSETS),
    "int_funnel_weeks": funnel_weeks(DAYS),
    "int_product_funnel_weeks": product_funnel_weeks(table("int_events"), VERSIONS),
    "int_product_funnel_repeats": product_funnel_repeats(
        table("int_events").semi_join(spanning_sessions(DAYS), "session_id"), VERSIONS
    ),
    "funnel": whole_funnel(table("int_funnel_weeks")),
    "funnel_until_week": weekly.funnel_until_week(table("int_funnel_weeks"), WEEKS),
    "funnel_by_date": funnel_by_date(DAYS),
    "funnel_by_entry_date": funnel_by_entry_date(
        EVENTS, table("int_order_events"), DAYS, STAGES, 7, dt.date(2021, 3, 16), OFFSETS
    ),
    "funnel_by_product": funnel_by_product(table("int_product_funnel_weeks"), VERSIONS),
    "funnel_to_date": funnel_to_date(DAYS),
    "funnel_by_week": funnel_by_week(table("funnel_to_date")),
    "funnel_by_product_week": funnel_by_product_week(
        table("int_product_funnel_weeks"), table("int_product_funnel_repeats"), VERSIONS
    ),
    "purchase_rate_by_product_week": rates.purchase_rate_by_product_week(table("funnel_by_product_week")),
    "inventory_by_week": weekly.inventory_by_week(table("inventory_changes")),
    "funnel_stages_by_week": stages.funnel_stages_by_week(
        table("funnel_to_date"), table("funnel_until_week"), table("inventory"), WEEKS, STAGES, dt.date(2021, 3, 20)
    ),
}
FLUCTUATIONS_SINCE = stock.inventory_fluctuations(VERSIONS, OBSERVATIONS, SECOND_WEEK)


others = pytest.mark.parametrize("other", [DATAFUSION, SPARK], ids=lambda engine: engine.dialect)


@functools.cache
def tables() -> dict[str, list[Row]]:
    """The tiny store and all that DuckDB derives from it."""
    known = dict(store.TABLES)
    for name, expr in TRANSFORMS.items():
        known[name] = DUCKDB.rows(name, expr, **known)
    return known


@others
@pytest.mark.parametrize("name", TRANSFORMS)
def test_another_engine_answers_as_duckdb_does(name: str, other: Engine) -> None:
    assert tables()[name]
    assert other.rows(name, TRANSFORMS[name], **tables()) == tables()[name]


@others
def test_another_engine_answers_as_duckdb_does_about_a_window_of_weeks(other: Engine) -> None:
    rows, others = (
        engine.rows("inventory_fluctuations", FLUCTUATIONS_SINCE, in_order=True, **tables())
        for engine in (DUCKDB, other)
    )
    assert rows == others
    assert {row["product_id"]: row["changes"] for row in rows}["ivy"] == 2


@others
@pytest.mark.parametrize("name", TRANSFORMS)
def test_another_engine_answers_as_duckdb_does_about_an_empty_store(name: str, other: Engine) -> None:
    nothing: dict[str, list[Row]] = {name: [] for name in [*store.TABLES, *TRANSFORMS]}
    rows = DUCKDB.rows(name, TRANSFORMS[name], **nothing)
    assert other.rows(name, TRANSFORMS[name], **nothing) == rows
    assert len(rows) == (TABLES[name].exact_rows or 0)


@pytest.mark.parametrize("engine", [DUCKDB, DATAFUSION, SPARK], ids=lambda engine: engine.dialect)
def test_fluctuations_come_in_their_order(engine: Engine) -> None:
    rows = engine.rows("inventory_fluctuations", TRANSFORMS["inventory_fluctuations"], in_order=True, **tables())
    order = [(row["rank"], row["volume_rank"], row["product_name"]) for row in rows]
    assert order == sorted(order)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_every_transform_has_the_contracts_columns_and_types(name: str) -> None:
    schema = TRANSFORMS[name].schema()
    assert list(schema.names) == TABLES[name].names
    assert {column: str(type_.copy(nullable=True)) for column, type_ in schema.items()} == {
        column.name: str(ibis.dtype(column.type)) for column in TABLES[name].columns
    }
