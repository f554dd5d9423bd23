"""The mapping's file: what it may say, how it is refused, and the answers of a store that is read by it."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

from plant_assets.cli.runs import Outcome
from plant_assets.contracts import STAGES
from plant_assets.definitions import build_defs
from plant_assets.orchestration.partitions import AS_OF as AS_OF_TAG
from plant_assets.readers.answers import read_answers
from plant_assets.readers.answers_text import in_json, in_lines
from plant_assets.settings import read_settings
from plant_assets.sources.mapping import StoreMapping
from plant_assets.sources.mapping_file import MappingError, mapping_of, read_mapping
from plant_assets.warehouse.marts import open_marts
from plant_assets_tests.support.clicks import CLICKS, MAPPING, click, new_shop
from plant_assets_tests.support.small_stores import AS_OF
from plant_assets_tests.support.tables import contents, mart_rows, rows

COLUMNS = "event_id, session_id, user_id, page_url, created_at, event_type, order_id, product_id"


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        (
            "table:\n  events: clicks",
            1,
            "table: not known; allowed: tables, columns, constants, event_types, time, nulls, ids, sum_over, not_sold,"
            " csv",
        ),
        ("tables:\n  event: clicks", 2, "tables.event: event is not allowed; allowed: events, products, stock"),
        ("tables:\n  events: none", 2, "tables.events: a store without events has nothing to read"),
        ("tables:\n  events: ../clicks", 2, "tables.events: '../clicks' is not allowed: a name without quotes"),
        ("tables: clicks", 1, "tables: 'clicks' is not allowed: expected names with values, as in {a: b}"),
        (
            "columns:\n\n  events:\n    created: event_time",
            4,
            f"columns.events.created: not known; allowed: {COLUMNS}",
        ),
        ("columns:\n  events:\n    price: price", 3, f"columns.events.price: not known; allowed: {COLUMNS}"),
        (
            "columns:\n  events:\n    event_type: 7",
            3,
            "columns.events.event_type: 7 is not allowed: expected text, in quotes",
        ),
        (
            "columns:\n  events:\n    user_id: 'a\"b'",
            3,
            "columns.events.user_id: 'a\"b' is not allowed: a name without",
        ),
        ("columns:\n  events:\n    session_id: none", 3, "columns.events.session_id: must be there: a row without"),
        ("tables: {orders: none}\ncolumns:\n  orders: {}", 3, "columns.orders: the table orders is none"),
        ("constants:\n  events:\n    event_id: 1", 3, "constants.events.event_id: identifies rows: it cannot"),
        ("constants:\n  events: {url: x}", 2, f"constants.events.url: not known; allowed: {COLUMNS}"),
        ("constants:\n  events: {user_id: [1]}", 2, "constants.events.user_id: [1] is not allowed: expected one name"),
        (
            "columns: {events: {user_id: user}}\nconstants: {events: {user_id: x}}",
            2,
            "constants.events.user_id: is a column already",
        ),
        ("event_types:\n  view: pageview", 2, "event_types.view: pageview is not allowed; allowed: page_view, add_to"),
        ("ids:\n  product: integer", 2, "ids.product: product is not allowed; allowed: session_id, user_id, order_id"),
        ("ids:\n  product_id: number", 2, "ids.product_id: number is not allowed; allowed: integer, text or lower"),
        ("nulls: '-'", 1, "nulls: '-' is not allowed: expected a list, as in [a, b]"),
        ("nulls: [NULL]", 1, "nulls: None is not allowed: expected text, in quotes"),
        ("sum_over: {products: [a, b]}", 1, "sum_over.products: ['a', 'b'] is not allowed: expected one name"),
        ("sum_over: {products: none}", 1, "sum_over.products: the place is none"),
        ("tables: {products: none}\nsum_over: {products: a}", 2, "sum_over.products: the table products is none"),
        ("columns: {events: {session_id: [a, none]}}", 1, "columns.events.session_id: none is not a column"),
        ("time: epoch_s", 1, "time: 'epoch_s' is not allowed: expected names with values, as in {a: b}"),
        ("event_types: {}", 1, "event_types: dictionary should have at least 1 item"),
        ("event_types:\n  1: page_view", 2, "event_types.1: 1 is not allowed: expected text, in quotes"),
        ("time:\n  zone: Berlin", 2, "time.zone: 'Berlin' is not allowed: a name of the IANA time zone database"),
        ("time:\n  format: '%H:%M'", 2, "time.format: '%H:%M' is not allowed: a format of strptime that names year"),
        (
            "time:\n  format: '%Y%m%d%Y'",
            2,
            "time.format: '%Y%m%d%Y' is not allowed: a format of strptime",
        ),
        ("time:\n  form: x", 2, "time.form: not known; allowed: format, zone"),
        ("tables:\n  events: a\n  events: b", 3, "events: given twice, first in line 2"),
        ("tables:\n\tevents: clicks", 2, "not valid YAML: found character '\\t' that cannot start any token"),
        ("tables: {events: clicks", 1, "not valid YAML: expected ',' or '}'"),
        ("columns: &all\n  events: *all", 2, "columns.events.events: "),
        ("- tables", 1, "expected the sections tables, columns, constants, event_types, time"),
    ],
)
def test_what_is_wrong_is_named_by_line_and_field(tmp_path: Path, text: str, line: int, problem: str) -> None:
    path = tmp_path / "mapping.yaml"
    path.write_text(text)
    with pytest.raises(MappingError) as error:
        read_mapping(path)
    assert str(error.value).startswith(f"{path}, line {line}: {problem}")


@pytest.mark.parametrize(
    ("content", "problem"), [(None, "No such file or directory"), (b"tables: {events: \xff}", "it is not UTF-8")]
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None, problem: str) -> None:
    path = tmp_path / "mapping.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(MappingError, match=rf"PLANT_MAPPING=.*mapping\.yaml cannot be read: {problem}"):
        read_mapping(path)


LAUGHS = "\n".join(f"k{n}: &k{n} [{', '.join([f'*k{n - 1}'] * 9)}]" for n in range(1, 10))
MERGES = "\n".join(f"k{n}: &k{n} {{<<: [{', '.join([f'*k{n - 1}'] * 9)}]}}" for n in range(1, 10))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("tables: " + 3_000 * "[" + 3_000 * "]", "nested too deeply"),
        ("tables: " + 3_000 * "{a: " + 3_000 * "}", "nested too deeply"),
        ("#" + 1_000_000 * " ", "cannot be read: it is larger than 1,000,000 bytes"),
        (f"k0: &k0 [lol]\n{LAUGHS}\nevent_types: {{view: *k9}}", "has more than 100,000 values"),
        (f"k0: &k0 {{a: b}}\n{MERGES}", "has more than 100,000 values"),
        ("tables: {events: 2001-13-45}", "not valid YAML: month must be in 1..12"),
        ("tables: {events: " + 5_000 * "9" + "}", "not valid YAML: Exceeds the limit"),
    ],
    ids=["list", "sections", "large", "laughs", "merges", "date", "number"],
)
def test_a_mapping_that_no_person_writes_is_one_sentence(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "mapping.yaml"
    path.write_text(text)
    with pytest.raises(MappingError, match=problem) as error:
        read_mapping(path)
    assert str(path) in str(error.value)
    assert len(str(error.value)) < 400


def test_a_name_is_shown_in_part_where_it_is_long(tmp_path: Path) -> None:
    path = tmp_path / "mapping.yaml"
    path.write_text(f"event_types: {{view: [{'/' * 9_000}]}}")
    with pytest.raises(MappingError, match=r"event_types\.view: .* is not allowed; allowed: page_view") as error:
        read_mapping(path)
    assert len(str(error.value)) < 400


def test_a_mapping_that_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "mapping.yaml")
    for path in (tmp_path / "mapping.yaml", tmp_path, Path("/dev/zero")):
        with pytest.raises(MappingError, match="cannot be read: it is not a regular file"):
            read_mapping(path)


def test_a_file_that_says_nothing_is_none(tmp_path: Path) -> None:
    path = tmp_path / "mapping.yaml"
    path.write_text("# Our names.\n")
    assert read_mapping(path) == StoreMapping()
    assert (StoreMapping().digest, StoreMapping().stages) == ("", STAGES)


def test_the_sample_store_has_our_names(tmp_path: Path) -> None:
    assert mapping_of(read_settings(mapping=tmp_path / "nowhere.yaml")) == StoreMapping()


def test_a_store_of_clicks_has_the_four_answers(tmp_path: Path, refresh: Callable[..., Outcome]) -> None:
    shop = new_shop(tmp_path)
    outcome = refresh(shop.settings, as_of=AS_OF)
    assert (outcome.failures, outcome.failed_errors) == ([], [])
    with open_marts(shop.settings) as marts:
        answers = read_answers(marts)
        assert marts.stages() == ("page_view", "add_to_cart", "checkout")
    assert in_lines(answers).splitlines() == [
        "Week 2021-03-01 to 2021-03-07 against the week of 2021-02-22; it is not complete",
        "Inventory changed      not observed",
        "Most fluctuating       not observed",
        "Out of stock, 3 weeks  not observed",
        "Met an empty shelf     not observed",
        "Funnel of the week     page_view 1 (100 %, +1), add_to_cart 0 (0 %, +0), checkout 0 (0 %, +0)",
        "Funnel, whole store    page_view 3 (100 %), add_to_cart 1 (33 %), checkout 1 (33 %)",
        "Largest drop-offs      page_view to add_to_cart: 2 lost (67 points)",
        "Sales of the week      none",
        "Buyers of the week     none",
    ]
    printed = json.loads(in_json(answers))
    assert printed["funnel"]["package_shipped"] == 0
    assert len(printed["largest_drop_offs"]) == 1
    assert (printed["most_fluctuating"], printed["out_of_stock"]) == (None, {"weeks": 3, "products": None})
    by_product = "select product_id, product_name, page_view, add_to_cart, checkout from funnel_by_product order by 1"
    assert mart_rows(shop.settings, by_product) == [("fern", "fern", 1, 1, 1), ("moss", "moss", 2, 0, 0)]


def test_a_store_that_grew_has_the_funnels_of_a_rebuild(tmp_path: Path, refresh: Callable[..., Outcome]) -> None:
    shop = new_shop(tmp_path)
    assert not refresh(shop.settings, as_of=AS_OF).failures
    before = contents(shop.settings)
    assert not refresh(shop.settings, as_of=AS_OF).failures
    assert contents(shop.settings) == before
    shop.put("clicks/2.csv", [click("2021-03-02 10:00:00", "purchase", "palm", "20", "s3")])
    shop.put("clicks/1.csv", [*CLICKS, click("2021-02-25 10:00:00", "cart", "rose", "7", "s2")])
    assert not refresh(shop.settings, as_of=AS_OF).failures
    rebuilt = shop.under(warehouse=tmp_path / "rebuilt" / "w.duckdb").settings
    assert not refresh(rebuilt, as_of=AS_OF).failures
    # Products are seen by each run with new events, at a rebuild once.
    of_versions = ("product_snapshots", "product_snapshot_dbt", "products", "int_stock_intervals", "inventory")
    seen = ("raw_products", "raw_observations", *of_versions, "inventory_changes", "marts")
    assert contents(shop.settings, without=seen) == contents(rebuilt, without=seen)
    current = "select product_id, price from product_snapshots where is_current order by 1"
    assert rows(shop.settings, current) == rows(rebuilt, current)
    assert len(rows(shop.settings, current)) == 4


def test_another_mapping_makes_every_table_anew(tmp_path: Path, refresh: Callable[..., Outcome]) -> None:
    shop = new_shop(tmp_path)
    assert not refresh(shop.settings, as_of=AS_OF).failures
    (tmp_path / "mapping.yaml").write_text(MAPPING.replace("cart: add_to_cart", "remove_from_cart: add_to_cart"))
    assert not refresh(shop.settings, as_of=AS_OF).failures
    rebuilt = shop.under(warehouse=tmp_path / "rebuilt" / "w.duckdb").settings
    assert not refresh(rebuilt, as_of=AS_OF).failures
    assert contents(shop.settings) == contents(rebuilt)
    assert mart_rows(shop.settings, "select product_id, add_to_cart from funnel_by_product order by 1") == [
        ("fern", 0),
        ("moss", 1),
    ]


def test_products_of_events_are_materialized_alone(
    tmp_path: Path, refresh: Callable[..., Outcome], instance: dg.DagsterInstance
) -> None:
    shop = new_shop(tmp_path)
    assert not refresh(shop.settings, as_of=AS_OF).failures
    before = contents(shop.settings)
    for selected in (["raw_products", "raw_observations"], ["raw_events"]):
        done = (
            build_defs(shop.settings)
            .resolve_job_def("refresh")
            .execute_in_process(
                instance=instance,
                tags={"dagster/partition": "2021-02-22", AS_OF_TAG: AS_OF.isoformat()},
                asset_selection=[dg.AssetKey(name) for name in selected],
            )
        )
        assert done.success
    assert contents(shop.settings) == before
