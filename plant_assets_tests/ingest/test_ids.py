"""Ids that differ in form only: as they are, unless the mapping says in which form they are one."""

from collections.abc import Callable
from pathlib import Path

import pytest

from plant_assets.cli.runs import Outcome
from plant_assets.doctor.diagnose import diagnose
from plant_assets_tests.support.small_stores import AS_OF, SINGLE, Store, event, product
from plant_assets_tests.support.tables import mart_rows

ORDER = {"user_id": "u1", "created_at": "2021-03-01", "order_total": "1", "status": "paid"}
BY_PRODUCT = "select product_id, page_view, checkout from funnel_by_product order by 1"


@pytest.fixture
def store(new_either: Callable[..., Store], tmp_path: Path) -> Store:
    """Events that write the ids of products and orders as floats, or with zeros before."""
    (tmp_path / "mapping.yaml").write_text("")
    store = new_either(products=SINGLE, mapping=tmp_path / "mapping.yaml")
    store.put(SINGLE, [product("100"), product("Fern-A")])
    views = [
        event(text, "2021-03-01 10:00:00", session_id=f"s {text}", product_id=text)
        for text in ("100", "100.0", "0100", "fern-a")
    ]
    bought = event("bought", "2021-03-01 11:00:00", event_type="checkout", order_id="7.0", product_id=None)
    store.put("events.csv", [*views, bought])
    store.put("order_items.csv", [{"order_id": "7", "product_id": "100", "quantity": "1"}])
    return store


def test_ids_are_one_in_the_form_that_the_mapping_says(
    store: Store, tmp_path: Path, refresh: Callable[..., Outcome]
) -> None:
    refresh(store.settings, as_of=AS_OF)
    assert mart_rows(store.settings, BY_PRODUCT) == [("(unknown)", 3, 1), ("100", 1, 0)]
    (tmp_path / "mapping.yaml").write_text("ids: {product_id: integer, order_id: integer}")
    refresh(store.settings, as_of=AS_OF)
    assert mart_rows(store.settings, BY_PRODUCT) == [("(unknown)", 1, 0), ("100", 3, 1)]


@pytest.mark.parametrize(
    ("given", "held", "said"),
    [
        ("100.0", "100", "events have 100.0, products have 100: `ids: {product_id: integer}` in PLANT_MAPPING makes"),
        ("0100", "100", "events have 0100, products have 100: `ids: {product_id: integer}` in PLANT_MAPPING makes"),
        ("FERN", "fern", "events have FERN, products have fern: `ids: {product_id: lower}` in PLANT_MAPPING makes"),
        ("fern", "p-1", "events have fern, products have p-1, and no `ids` of PLANT_MAPPING makes"),
    ],
)
def test_ids_that_hardly_join_are_shown(
    store: Store, tmp_path: Path, refresh: Callable[..., Outcome], given: str, held: str, said: str
) -> None:
    store.put("events.csv", [event(f"e{number}", "2021-03-01", product_id=given) for number in range(3)])
    store.put(SINGLE, [product(held), product("p-2")])
    sentence = f"1 of 1 products of events are not in products: {said} them one"
    assert sentence in diagnose(store.settings, AS_OF, []).odd
    warned = {each.check.name: each.reason for each in refresh(store.settings, as_of=AS_OF).warnings if each.check}
    assert warned["raw_events_products_join_products"] == f"1 time: {sentence}"
    form = said.partition("{product_id: ")[2].partition("}")[0]
    (tmp_path / "mapping.yaml").write_text(f"ids: {{product_id: {form or 'text'}}}")
    assert (sentence in diagnose(store.settings, AS_OF, []).odd) == (not form)


@pytest.mark.parametrize("new_either", ["files"], indirect=True)
@pytest.mark.parametrize(("unknown", "is_said"), [(19, False), (20, True)])
def test_one_in_twenty_that_joins_is_enough(store: Store, unknown: int, is_said: bool) -> None:
    views = [event(f"e{number}", "2021-03-01", product_id=f"{number}.0") for number in range(unknown)]
    store.put("events.csv", [*views, event("e", "2021-03-01", product_id="100")])
    assert any("are not in products" in odd for odd in diagnose(store.settings, AS_OF, []).odd) == is_said


def test_an_id_is_shown_that_is_not_there(store: Store) -> None:
    store.put("events.csv", [event(f"e{number}", "2021-03-01", product_id=f"{number}") for number in range(100, 130)])
    said = "29 of 30 products of events are not in products: events have 101, products have "
    assert any(odd.startswith(said) for odd in diagnose(store.settings, AS_OF, []).odd)


def test_orders_of_events_are_compared_with_orders(store: Store) -> None:
    store.put("orders.csv", [{**ORDER, "order_id": "7"}])
    said = "events have 7.0, orders have 7: `ids: {order_id: integer}` in PLANT_MAPPING makes them one"
    assert f"1 of 1 orders of events are not in orders: {said}" in diagnose(store.settings, AS_OF, []).odd


def test_capitals_are_one_in_lower_case(store: Store, tmp_path: Path, refresh: Callable[..., Outcome]) -> None:
    (tmp_path / "mapping.yaml").write_text("ids: {product_id: lower}")
    refresh(store.settings, as_of=AS_OF)
    assert mart_rows(store.settings, BY_PRODUCT) == [("(unknown)", 2, 1), ("100", 1, 0), ("fern-a", 1, 0)]


@pytest.mark.parametrize("new_either", ["files"], indirect=True)
@pytest.mark.parametrize(
    ("given", "stored"), [("100.0", "100"), ("000", "0"), ("0.50", "0.50"), ("a01", "a01"), ("007.", "7"), ("-5", "-5")]
)
def test_only_whole_numbers_have_the_form_of_integers(store: Store, tmp_path: Path, given: str, stored: str) -> None:
    (tmp_path / "mapping.yaml").write_text("ids: {product_id: integer}")
    store.put("events.csv", [event("e", "2021-03-01", product_id=given)])
    store.load()
    assert store.rows("select product_id from raw_events") == [(stored,)]
