"""Every check passes on a sound warehouse and fails on a broken one, through the real job."""

import re
import shutil
from collections.abc import Callable

import dagster as dg
import duckdb
import pytest

from plant_assets.checks.build import checks_of
from plant_assets.cli.console import check_lines
from plant_assets.cli.runs import Outcome, run_checks
from plant_assets.contracts import TABLES
from plant_assets.readers.page.render import page_path
from plant_assets.settings import Settings, read_settings
from plant_assets.warehouse.open import open_warehouse
from plant_assets_tests.conftest import END, Silence

ALL_CHECKS = [check for name in TABLES for check in checks_of(name)]

# What breaks each check, as a statement on the warehouse, and what its evidence then names.
BREAKS: dict[str, tuple[str, str]] = {
    "raw_events_keeps_its_contract": (
        "insert into raw_events from raw_events where event_type = 'checkout' order by event_id limit 1",
        "-",
    ),
    "raw_events_rows_are_accounted_for": (
        "update _loads set rows_loaded = rows_loaded - 1 where bucket = '2026-10-05'",
        "2026-10-05",
    ),
    "raw_events_has_no_rejected_rows": (
        "insert into rejected_rows (source_table, file, line, reason, rejected_at)"
        " values ('events', 'events/x.csv', 7, 'not UTF-8', now())",
        "events/x.csv 7 NULL not UTF-8",
    ),
    "raw_events_have_known_types": (
        "insert into raw_events values (uuid(), uuid(), null, null, timestamp '2026-10-06', 'wave', null, null)",
        "wave 1",
    ),
    "raw_events_have_known_products": (
        "insert into raw_events values (uuid(), uuid(), null, null, timestamp '2026-10-06', 'page_view', null, 'weed')",
        " weed",
    ),
    "raw_events_have_known_orders": (
        "insert into raw_events values (uuid(), uuid(), null, null, timestamp '2026-10-06', 'checkout', 'o-?', null)",
        " o-?",
    ),
    "raw_products_keeps_its_contract": ("insert into raw_products from raw_products limit 1", "2026"),
    "raw_products_rows_are_accounted_for": (
        "delete from _loads where source_table = 'products' and bucket = '2026-10-14 00:00:00'",
        "2026-10-14 00:00:00",
    ),
    "raw_products_has_no_rejected_rows": (
        "insert into rejected_rows (source_table, file, reason, rejected_at, observed_at, raw_text)"
        " values ('products', 'p.csv', 'too_few_products', now(), timestamp '2026-10-13', 'x')",
        "p.csv",
    ),
    "raw_products_observations_are_whole": ("select 1", "PLANT_MIN_PRODUCTS"),
    "raw_observations_are_not_ahead": (
        "insert into raw_observations values (timestamp '2031-05-01 06:00:00', 'products.csv', 0)",
        "2031-05-01 06:00:00 products.csv",
    ),
    "raw_observations_keeps_its_contract": ("insert into raw_observations from raw_observations limit 1", "2026"),
    "raw_products_snapshot_keeps_its_contract": (
        "insert into raw_products_snapshot (product_id, dbt_valid_from)"
        " select 'fern', timestamp '2026-10-06' from range(2)",
        "2026-10-06 00:00:00 fern",
    ),
    "raw_products_snapshot_rows_are_accounted_for": (
        "insert into _loads (source_table, bucket, file, rows_read, rows_loaded, rows_dropped, rows_rejected)"
        " values ('products_snapshot', 'all', 's.csv', 2, 1, 0, 0)",
        "all",
    ),
    "raw_products_snapshot_has_no_rejected_rows": (
        "insert into rejected_rows (source_table, file, reason, rejected_at)"
        " values ('products_snapshot', 's.csv', 'conflict', now())",
        "s.csv",
    ),
    "raw_orders_keeps_its_contract": ("insert into raw_orders from raw_orders limit 1", "-"),
    "raw_orders_rows_are_accounted_for": (
        "update _loads set rows_read = rows_read + 1 where source_table = 'orders'",
        "all",
    ),
    "raw_orders_has_no_rejected_rows": (
        "insert into rejected_rows (source_table, file, reason, rejected_at)"
        " values ('orders', 'o.csv', 'missing', now())",
        "o.csv",
    ),
    "raw_order_items_keeps_its_contract": ("insert into raw_order_items from raw_order_items where rowid = 0", "-"),
    "raw_order_items_rows_are_accounted_for": ("delete from raw_order_items where rowid = 3", "all"),
    "raw_order_items_has_no_rejected_rows": (
        "insert into rejected_rows (source_table, file, reason, rejected_at)"
        " values ('order_items', 'i.csv', 'missing', now())",
        "i.csv",
    ),
    "raw_order_items_have_known_products": ("insert into raw_order_items values ('o-x', 'weed', 1)", "o-x weed"),
    "rejected_rows_keeps_its_contract": (
        "insert into rejected_rows (source_table, reason) values ('events', 'missing')",
        "rejected_at is NULL in row",
    ),
    "weeks_keeps_its_contract": ("insert into weeks from weeks limit 1", "2026"),
    "int_events_keeps_its_contract": ("select 1", "-"),
    "int_events_keep_every_event": (
        "insert into raw_events values (uuid(), uuid(), 'late', null, timestamp '2026-10-06', 'page_view', null, null);"
        " create or replace view int_events as select * from"
        " (select event_id, session_id, user_id, created_at, created_at::date as event_date, event_type, 1::bigint as"
        "  session_step, order_id, product_id, null::varchar as product_name from raw_events)"
        " where user_id is distinct from 'late'",
        "2026-10-06 page_view",
    ),
    "int_session_days_keeps_its_contract": ("insert into int_session_days from int_session_days limit 1", "2026"),
    "int_funnel_weeks_keeps_its_contract": ("insert into int_funnel_weeks from int_funnel_weeks limit 1", "2026"),
    "int_product_funnel_weeks_keeps_its_contract": (
        "insert into int_product_funnel_weeks from int_product_funnel_weeks limit 1",
        "2026",
    ),
    "int_session_days_count_every_event": (
        "insert into int_session_days values ('2026-10-06', uuid(), true, false, false, false, 1)",
        "2026-10-06",
    ),
    "int_sessions_keeps_its_contract": ("create or replace view int_sessions as select 1 as session_id", "missing"),
    "products_keeps_its_contract": ("insert into products from products limit 1", "-"),
    "product_snapshots_keeps_its_contract": ("insert into product_snapshots from product_snapshots limit 1", "-"),
    "product_snapshots_do_not_overlap": (
        "update product_snapshots set valid_to = valid_from where valid_to is not null and name = 'Anthurium'",
        "2026",
    ),
    "product_snapshots_have_one_current_row": (
        "insert into product_snapshots values ('gone', 'x', 1, 1, timestamp '2026-10-06', null, true, null)",
        "gone",
    ),
    "product_snapshots_equal_their_rebuild": ("select 1", "2026-"),
    # The view has what was put into product_snapshots.
    "product_snapshot_dbt_keeps_its_contract": ("select 1", "-"),
    "inventory_keeps_its_contract": (
        "insert into inventory from inventory where week_start_date = '2026-09-28' limit 1",
        "2026",
    ),
    "inventory_flows_balance": (
        "update inventory set inflow = inflow + 1 where week_start_date = '2026-10-12'",
        "2026-10-12",
    ),
    "inventory_weeks_adjoin": (
        "update inventory set opening_inventory = opening_inventory + 1000 where week_start_date = '2026-10-12'",
        "2026-10-05",
    ),
    "inventory_has_every_product": (
        "delete from inventory where week_start_date = '2026-10-05' and product_name = 'Baby Rubber Plant'",
        "2026-10-05",
    ),
    "inventory_changes_keeps_its_contract": (
        "insert into inventory_changes from inventory_changes where week_start_date = '2026-09-28' limit 1",
        "2026",
    ),
    "inventory_changes_cover_inventory": (
        "delete from inventory_changes where week_start_date = '2026-10-12'",
        "2026-10-12",
    ),
    "inventory_fluctuations_keeps_its_contract": (
        "insert into inventory_fluctuations from inventory_fluctuations limit 1",
        "-",
    ),
    "stockouts_keeps_its_contract": ("insert into stockouts from stockouts limit 1", "2026"),
    "int_stock_intervals_keeps_its_contract": (
        "insert into int_stock_intervals from int_stock_intervals limit 1",
        "2026",
    ),
    "int_event_stock_state_keeps_its_contract": (
        "create or replace view int_event_stock_state as"
        " select *, null::varchar as stock_state from int_events limit 1",
        "stock_state is NULL",
    ),
    "int_product_demand_keeps_its_contract": ("insert into int_product_demand from int_product_demand limit 1", "2026"),
    "product_demand_keeps_its_contract": ("select 1", "2026"),
    "product_demand_counts_every_view": ("update int_product_demand set views_out = views_out + 1", "counted, not"),
    "product_demand_counts_every_unit": ("update int_product_demand set units_other = units_other + 1", "counted, not"),
    "stock_status_keeps_its_contract": ("insert into stock_status from stock_status limit 1", "-"),
    "units_change_keeps_its_contract": ("insert into units_change from units_change limit 1", "2026"),
    "units_change_has_parts_that_add_up": ("update units_change set of_views = of_views + 1", "2026"),
    # These views have the week that stands twice in weeks twice.
    "inventory_until_week_keeps_its_contract": ("select 1", "2026"),
    "stockouts_by_week_keeps_its_contract": ("select 1", "2026"),
    "funnel_keeps_its_contract": ("insert into funnel from funnel", "2"),
    "funnel_stages_do_not_grow": ("update funnel set checkout = add_to_cart + 1", "checkout"),
    "funnel_by_date_keeps_its_contract": ("insert into funnel_by_date from funnel_by_date limit 1", "2026"),
    "funnel_by_date_is_at_most_the_whole": (
        "update funnel_by_date set page_view = 1000000 where event_date = '2026-10-07'",
        "2026-10-07",
    ),
    "funnel_by_entry_date_keeps_its_contract": (
        "insert into funnel_by_entry_date from funnel_by_entry_date limit 1",
        "2026",
    ),
    "funnel_by_entry_date_any_is_reached_or_skipped": (
        "update funnel_by_entry_date set skipped_checkout = any_checkout + 1 where entry_date = '2026-10-01'",
        "2026-10-01 checkout",
    ),
    "funnel_by_entry_date_has_no_rate_above_100": (
        "update funnel_by_entry_date set package_shipped = page_view + 1 where entry_date = '2026-10-01'",
        "2026-10-01 package_shipped",
    ),
    "funnel_by_entry_date_adds_up_to_the_whole": (
        "update funnel_by_entry_date set any_add_to_cart = 0 where entry_date = '2026-10-12'",
        "add_to_cart",
    ),
    "funnel_by_entry_date_skips_few_sessions": (
        "update funnel_by_entry_date set skipped_package_shipped = 9999 where entry_date = '2026-10-01'",
        "package_shipped",
    ),
    "funnel_by_product_keeps_its_contract": ("insert into funnel_by_product from funnel_by_product limit 1", "-"),
    "int_product_funnel_repeats_keeps_its_contract": (
        "insert into int_product_funnel_repeats select '2026-09-28', 'p', 1, 1, 1, 1 from range(2)",
        "2026-09-28 p",
    ),
    "funnel_to_date_keeps_its_contract": ("insert into funnel_to_date from funnel_to_date limit 1", "2026"),
    "funnel_by_week_keeps_its_contract": ("insert into funnel_by_week from funnel_by_week limit 1", "2026"),
    "funnel_by_week_covers_the_whole": ("update funnel_by_week set page_view = 0", "page_view"),
    "funnel_by_product_week_keeps_its_contract": (
        "insert into funnel_by_product_week from funnel_by_product_week limit 1",
        "2026",
    ),
    "funnel_by_product_week_covers_the_whole": (
        "update funnel_by_product_week set add_to_cart = 0",
        "add_to_cart",
    ),
    "funnel_until_week_keeps_its_contract": (
        "create or replace view funnel_until_week as from funnel_by_week union all from funnel_by_week",
        "2026",
    ),
    "funnel_steps_by_week_keeps_its_contract": (
        "insert into funnel_steps_by_week from funnel_steps_by_week limit 1",
        "2026",
    ),
    "int_order_events_keeps_its_contract": (
        "insert into int_order_events from int_order_events where created_at >= '2026-10-12' limit 1",
        "-",
    ),
    "int_orders_keeps_its_contract": ("insert into int_orders from int_orders limit 1", "-"),
    "sales_by_week_keeps_its_contract": ("insert into sales_by_week from sales_by_week limit 1", "2026"),
    "sales_by_week_add_up_to_the_orders": ("update sales_by_week set units = 1", "units"),
    "sales_by_product_week_keeps_its_contract": (
        "insert into sales_by_product_week from sales_by_product_week limit 1",
        "2026",
    ),
    "sales_by_product_week_add_up_to_the_orders": ("update sales_by_product_week set units = 1", "units"),
    "customers_keeps_its_contract": ("insert into customers from customers", "2"),
    "customers_add_up_to_the_buyers": ("update customers set with_one_order = 0", "parts"),
    "stockouts_have_the_hours_of_inventory": (
        "update stockouts set hours_out = hours_out + 1",
        "seconds, in episodes",
    ),
    "int_funnel_weeks_count_each_session_once": (
        "update int_funnel_weeks set checkout = checkout + 1 where week_start_date = '2026-10-05'",
        "checkout",
    ),
    "funnel_steps_keeps_its_contract": ("insert into funnel_steps from funnel_steps limit 1", "page_view"),
}
# Ids of other forms, in a warehouse of their own: they are in many rows, which all the others would name.
OTHER_FORMS: dict[str, tuple[str, str]] = {
    "raw_events_products_join_products": (
        "update raw_products set product_id = upper(product_id)",
        "`ids: {product_id: lower}` in PLANT_MAPPING makes them one",
    ),
    "raw_events_orders_join_order_items": (
        "update raw_order_items set order_id = order_id || '-'",
        "orders of events are not in order_items: events have ",
    ),
    "raw_events_orders_join_orders": (
        "select 1",
        "orders of events are not in orders: events have ",
    ),
    "raw_order_items_products_join_products": (
        "select 1",
        "products of order_items are not in products: order_items have ",
    ),
    "raw_order_items_orders_join_orders": (
        "update raw_orders set order_id = order_id || '+'",
        "and no `ids` of PLANT_MAPPING makes them one",
    ),
}
# Nothing in the warehouse breaks these, but time: they fail when asked three weeks later.
STALE = {"raw_events_are_fresh", "raw_observations_are_fresh"}


@pytest.fixture(scope="module", params=["built_once", "live_once"], ids=["files", "database"])
def sound(request: pytest.FixtureRequest) -> dict[str, str]:
    return _verdicts(request.getfixturevalue(request.param))


@pytest.fixture(scope="module")
def broken(built_once: Settings, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    verdicts = [_broken_by(breaks, built_once, tmp_path_factory) for breaks in (BREAKS, OTHER_FORMS)]
    return verdicts[0] | {name: verdicts[1][name] for name in OTHER_FORMS}


def _broken_by(breaks: dict[str, tuple[str, str]], built: Settings, factory: pytest.TempPathFactory) -> dict[str, str]:
    settings = _copy(built, factory)
    with open_warehouse(settings) as warehouse:
        for statement, _evidence in breaks.values():
            warehouse.execute(statement)
    return _verdicts(settings)


def _copy(settings: Settings, factory: pytest.TempPathFactory) -> Settings:
    home = factory.mktemp("broken") / "home"
    shutil.copytree(settings.warehouse_path.parent, home)
    return read_settings(source=settings.source, warehouse=home / "w.duckdb")


def _verdicts(settings: Settings) -> dict[str, str]:
    """Each check's line of `plant-assets check`, by its name."""
    with dg.DagsterInstance.ephemeral() as instance:
        outcome: Outcome = run_checks(settings, instance, Silence(), as_of=END)
    assert not outcome.failures
    lines = check_lines(outcome.passed, outcome.problems)
    return {line.split("  ", 1)[1].split(",")[0]: line for line in lines}


def test_every_check_is_broken_once() -> None:
    assert {check.name for check in ALL_CHECKS} == {*BREAKS, *OTHER_FORMS, *STALE}


@pytest.mark.parametrize("name", [check.name for check in ALL_CHECKS])
def test_passes_on_a_sound_warehouse(name: str, sound: dict[str, str]) -> None:
    assert sound[name] == f"passed  {name}"


@pytest.mark.parametrize("name", sorted(BREAKS | OTHER_FORMS))
def test_fails_on_a_broken_warehouse(name: str, broken: dict[str, str]) -> None:
    severity = next("FAILED" if check.is_error else "warned" for check in ALL_CHECKS if check.name == name)
    assert broken[name].startswith(f"{severity}  {name}, ")
    assert (BREAKS | OTHER_FORMS)[name][1] in broken[name]


@pytest.mark.parametrize("name", sorted(STALE))
def test_warns_of_stale_data(name: str, built: Settings, check: Callable[..., Outcome]) -> None:
    later = check(built, as_of=END.replace(month=11))
    [warned] = [line for line in check_lines(later.passed, later.problems) if f"  {name}" in line]
    assert warned.startswith(f"warned  {name}, 1 time: 2026-10-1")
    assert not later.failed_errors


def test_a_column_of_another_type_fails_all_checks_of_its_table(built: Settings, check: Callable[..., Outcome]) -> None:
    with open_warehouse(built) as warehouse:
        warehouse.execute("alter table stockouts alter hours_out type varchar")
    failed = {each.check.name: str(each) for each in check(built).failed_errors if each.check}
    assert failed == {
        **{
            name: f"asset stockouts, check {name}: 1 time: hours_out: VARCHAR, not DOUBLE"
            for name in ("stockouts_keeps_its_contract", "stockouts_have_the_hours_of_inventory")
        },
        # What is published has the contract's columns.
        "marts_equal_the_warehouse": "asset marts, check marts_equal_the_warehouse: 1 time: stockouts",
    }


def test_marts_and_page_are_compared_with_what_they_are_made_of(built: Settings, check: Callable[..., Outcome]) -> None:
    published = {"marts_equal_the_warehouse", "report_shows_the_marts"}
    assert published <= set(check(built).passed)
    with duckdb.connect(str(built.marts_path)) as marts:
        marts.execute("update analytics.stockouts set is_ongoing = not is_ongoing")
    page = page_path(built)
    page.write_text(re.sub(r'(Checked out, sessions</span><span class="value">)', r"\g<1>9", page.read_text()))
    failed = {each.check.name: each.reason for each in check(built).failed_errors if each.check}
    assert failed.keys() == published
    assert failed["marts_equal_the_warehouse"] == "1 time: stockouts"
    assert "checkout: the page shows 9" in failed["report_shows_the_marts"]
