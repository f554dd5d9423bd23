"""What materializations show: the numbers of the tables, a chart that is an image, rows, and columns' sources."""

import base64
import datetime as dt
from collections.abc import Callable, Iterator
from xml.etree import ElementTree as ET

import dagster as dg
import pytest

from plant_assets.calendar import Calendar
from plant_assets.cli.runs import Outcome
from plant_assets.contracts import STAGES, TABLES, WEEKLY
from plant_assets.orchestration.lineage import column_lineage
from plant_assets.readers.pictures import FIRST_ROWS, PICTURES, pictured
from plant_assets.settings import Settings
from plant_assets.transforms.events import events_with_products
from plant_assets.transforms.funnel import funnel_by_product
from plant_assets.warehouse.marts import Marts
from plant_assets.warehouse.open import open_warehouse
from plant_assets.warehouse.warehouse import Warehouse
from plant_assets_tests.support.tables import rows

WEEK, RUNNING_WEEK = dt.date(2026, 10, 5), dt.date(2026, 10, 12)
CHARTED = [
    "inventory",
    "inventory_fluctuations",
    "stockouts",
    "funnel",
    "funnel_by_date",
    "sales_by_week",
    "sales_by_product_week",
]


@pytest.fixture(scope="module")
def warehouse(built_once: Settings) -> Iterator[Warehouse]:
    with open_warehouse(built_once) as opened:
        yield opened


def stored(warehouse: Warehouse) -> Marts:
    return Marts(warehouse.connection, warehouse.settings)


@pytest.mark.parametrize("name", CHARTED)
def test_a_mart_shows_rows_and_an_image(name: str, warehouse: Warehouse) -> None:
    found = pictured(stored(warehouse), name, WEEK)
    assert 0 < len(found["first_rows"].records) <= FIRST_ROWS
    start, image = found["chart"].md_str.removesuffix(")").split(",", 1)
    assert start == f"![{name}](data:image/svg+xml;base64"
    # It is kept with every materialization.
    assert len(image) < 50_000
    shown = texts(image)
    if name.startswith("funnel"):
        assert shown >= set(STAGES)
    else:
        label = "week" if name == "sales_by_week" else "product"
        assert shown >= {record.data[label] for record in found["first_rows"].records}


def texts(image: str) -> set[str]:
    """The texts in an SVG image."""
    texts = ET.fromstring(base64.b64decode(image)).iterfind(".//{*}text")
    return {"".join(text.itertext()) for text in texts}


def test_products_of_one_name_have_a_bar_each_and_a_long_name_is_cut(built: Settings) -> None:
    with open_warehouse(built) as warehouse:
        warehouse.execute("update inventory set product_name = 'Fern & <b>moss</b>'")
        warehouse.execute(
            "update inventory set product_name = 'Very long ' || repeat('plant ', 40) where product_id ="
            " (select min(product_id) from inventory)"
        )
        found = pictured(stored(warehouse), "inventory", WEEK)
    image = found["chart"].md_str.removesuffix(")").split(",", 1)[1]
    assert {"Fern & <b>moss</b>", "Very long plant plant pla…"} <= texts(image)
    bars = ET.fromstring(base64.b64decode(image)).findall(".//{*}path[@aria-roledescription='bar']")
    assert len(bars) == len(found["first_rows"].records) > 2


def test_a_name_of_any_characters_is_drawn(built: Settings) -> None:
    shown = {
        "Aloe\x0bVera": "Aloe Vera",
        "Monstera deliciosa bigg \N{HERB}\N{HERB} plant": "Monstera deliciosa bigg \N{HERB}…",
        "Fern\x00\ufffe\N{HERB}": "Fern  \N{HERB}",
    }
    with open_warehouse(built) as warehouse:
        names = "update inventory set product_name = ?[1 + (hash(product_id) % 3)::bigint]"
        warehouse.execute(names, [list(shown)])
        found = pictured(stored(warehouse), "inventory", WEEK)
    image = found["chart"].md_str.removesuffix(")").split(",", 1)[1]
    products = {record.data["product"] for record in found["first_rows"].records}
    assert len(products) > 1
    assert texts(image) >= {shown[product] for product in products}


def test_numbers_are_those_of_the_tables(warehouse: Warehouse) -> None:
    funnel = warehouse.rows("select page_view, checkout, purchase_rate from funnel")[0]
    found = pictured(stored(warehouse), "funnel", is_drawn=False)
    assert (found["page_view"], found["checkout"], found["purchase_rate"]) == funnel
    out = warehouse.value("select count(*) from stockouts where is_ongoing")
    assert pictured(stored(warehouse), "stockouts", is_drawn=False)["products_out_of_stock"] == out
    sessions = warehouse.value(
        "select count(distinct session_id) from int_session_days where event_date between ? and ?",
        [WEEK, WEEK + dt.timedelta(days=6)],
    )
    assert pictured(stored(warehouse), "int_session_days", WEEK)["sessions"] == sessions > 0


@pytest.mark.parametrize("name", PICTURES)
def test_a_week_without_anything_shows_no_chart(name: str, warehouse: Warehouse) -> None:
    if TABLES[name].week_column:
        found = pictured(stored(warehouse), name, dt.date(2020, 1, 6))
        assert set(found.values()) == {0}
    else:
        assert pictured(stored(warehouse), name, is_drawn=False).keys() <= pictured(stored(warehouse), name).keys()


def test_a_run_notes_each_week_and_draws_the_last(
    built: Settings, refresh: Callable[..., Outcome], instance: dg.DagsterInstance
) -> None:
    refresh(built, weeks=(WEEK, RUNNING_WEEK))
    noted = {
        record.partition_key: record.asset_materialization.metadata
        for record in instance.fetch_materializations(dg.AssetKey("inventory"), limit=2).records
    }
    assert noted.keys() == {str(WEEK), str(RUNNING_WEEK)}
    assert "chart" in noted[str(RUNNING_WEEK)]
    assert "chart" not in noted[str(WEEK)]
    assert all("out_of_stock_at_end" in each for each in noted.values())
    assert all("dagster/column_lineage" in each for each in noted.values())
    for name in WEEKLY:
        events = instance.fetch_materializations(dg.AssetKey(name), limit=2).records
        shown = {each.partition_key: each.asset_materialization.metadata for each in events}
        counts = {key: metadata["dagster/partition_row_count"].value for key, metadata in shown.items()}
        assert counts == _rows_by_week(built, name)
    raw = instance.get_latest_materialization_event(dg.AssetKey("raw_orders")).asset_materialization
    assert raw.metadata["rejected_rows"].value == 0


def _rows_by_week(settings: Settings, name: str) -> dict[str, int]:
    """The rows of the last two weeks, by a statement for each."""
    column = TABLES[name].week_column
    counted = "select count(*) from {0} where {1} >= date '{2}' and {1} < date '{2}' + 7"
    weeks = (WEEK, RUNNING_WEEK)
    found = {str(week): rows(settings, counted.format(name, column, week))[0][0] for week in weeks}
    assert all(found.values())
    return found


def sources(lineage: dg.TableColumnLineage, column: str) -> set[str]:
    return {f"{each.asset_key.to_user_string()}.{each.column_name}" for each in lineage.deps_by_column[column]}


def test_columns_name_the_columns_that_they_are_made_from() -> None:
    tables = [TABLES[name].unbound() for name in ("raw_events", "raw_order_items", "product_snapshots")]
    offsets = Calendar("America/New_York").offsets(dt.datetime(2026, 10, 1), dt.datetime(2026, 12, 1))
    found = column_lineage("int_events", events_with_products(*tables, offsets))
    assert sources(found, "event_date") == {"raw_events.created_at"}
    assert sources(found, "product_id") >= {"raw_events.product_id", "raw_order_items.product_id"}
    assert sources(found, "product_name") == {"product_snapshots.name"}


def test_a_rate_is_made_from_both_of_its_counts() -> None:
    counted = funnel_by_product(*(TABLES[name].unbound() for name in ("int_product_funnel_weeks", "product_snapshots")))
    found = column_lineage("funnel_by_product", counted)
    weeks = "int_product_funnel_weeks"
    assert sources(found, "purchase_rate") == {f"{weeks}.checkout", f"{weeks}.page_view"}


def test_what_a_table_held_before_is_no_source() -> None:
    before = TABLES["funnel"].unbound()
    found = column_lineage("funnel", before.union(before.mutate(page_view=before.checkout)))
    assert sources(found, "page_view") == set()
