"""Which products a checkout counts for, from the source to the funnels: event by event, in files and in a database."""

from collections.abc import Callable
from pathlib import Path

import pytest

from plant_assets.cli.runs import Outcome
from plant_assets_tests.support.small_stores import AS_OF, Store, event
from plant_assets_tests.support.tables import mart_rows, rows

BY_PRODUCT = "select product_id, page_view, checkout from funnel_by_product order by 1"
KNOWN_ORDERS = "raw_events_have_known_orders"


@pytest.fixture
def store(new_either: Callable[..., Store], tmp_path: Path) -> Store:
    """Three checkouts of one store: by the order's items, by the event's own product, by neither."""
    (tmp_path / "mapping.yaml").write_text("tables: {orders: none}")
    store = new_either(mapping=tmp_path / "mapping.yaml")
    store.put(
        "events.csv",
        [
            event("view 1", "2021-03-01 10:00:00", product_id="p1"),
            event("view 2", "2021-03-01 10:01:00", product_id="p2"),
            event("of items", "2021-03-01 10:02:00", event_type="checkout", order_id="o1", product_id="p2"),
            event("own", "2021-03-01 10:03:00", session_id="s2", event_type="checkout", product_id="p2"),
            event(
                "none", "2021-03-01 10:04:00", session_id="s3", event_type="checkout", order_id="o9", product_id=None
            ),
        ],
    )
    store.put("order_items.csv", [{"order_id": "o1", "product_id": "p1", "quantity": "1"}])
    return store


def test_each_checkout_finds_its_product(store: Store, refresh: Callable[..., Outcome]) -> None:
    outcome = refresh(store.settings, as_of=AS_OF)
    assert mart_rows(store.settings, BY_PRODUCT) == [("(unknown)", 0, 1), ("p1", 1, 1), ("p2", 1, 1)]
    of_checkouts = "select event_id, product_id from int_events where event_type = 'checkout' order by 1"
    assert rows(store.settings, of_checkouts) == [("none", None), ("of items", "p1"), ("own", "p2")]
    assert KNOWN_ORDERS not in outcome.passed


def test_items_that_arrive_later_take_the_place_of_the_events_product(
    store: Store, refresh: Callable[..., Outcome]
) -> None:
    refresh(store.settings, as_of=AS_OF)
    items = [{"order_id": order, "product_id": "p1", "quantity": "1"} for order in ("o1", "o9")]
    store.put("order_items.csv", items)
    refresh(store.settings, as_of=AS_OF)
    assert mart_rows(store.settings, BY_PRODUCT) == [("p1", 1, 2), ("p2", 1, 1)]


def test_no_order_is_missed_where_the_mapping_says_that_there_are_no_items(
    store: Store, tmp_path: Path, refresh: Callable[..., Outcome]
) -> None:
    (tmp_path / "mapping.yaml").write_text("tables: {orders: none, order_items: none}")
    outcome = refresh(store.settings, as_of=AS_OF)
    assert mart_rows(store.settings, BY_PRODUCT) == [("(unknown)", 0, 1), ("p1", 1, 0), ("p2", 1, 2)]
    assert KNOWN_ORDERS in outcome.passed
