"""A store of clicks with other names than ours: no ids of events, no orders, no products table, nothing shipped."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from plant_assets_tests.support.small_stores import DATED, Content, Row, Store, new_store

MAPPING = """\
tables:
  events: clicks
  products: none
  order_items: none
  orders: none
columns:
  events:
    event_id: none
    session_id: user_session
    page_url: none
    created_at: event_time
    order_id: none
event_types:
  view: page_view
  cart: add_to_cart
  purchase: checkout
time:
  format: "%Y-%m-%d %H:%M:%S UTC"
"""


def click(at: str, event_type: str, product_id: str | None, price: str | None, session: str | None) -> Row:
    """A row of the click log; the columns of categories are not read."""
    return {
        "event_time": f"{at} UTC",
        "event_type": event_type,
        "product_id": product_id,
        "category_id": "2103807459595387724",
        "category_code": None,
        "price": price,
        "user_id": "u1",
        "user_session": session,
    }


CLICKS = [
    click("2021-02-23 10:00:00", "view", "fern", "9.50", "s1"),
    # The same once more: without an id it cannot be told from a copy.
    click("2021-02-23 10:00:00", "view", "fern", "9.50", "s1"),
    click("2021-02-23 10:01:00", "cart", "fern", "9.50", "s1"),
    click("2021-02-23 10:02:00", "purchase", "fern", "9.50", "s1"),
    click("2021-02-24 10:00:00", "view", "moss", "3", "s2"),
    # A type that is not mapped, and one that is called as a stage that the store does not have.
    click("2021-02-24 10:01:00", "remove_from_cart", "moss", "3", "s2"),
    click("2021-02-24 10:02:00", "package_shipped", "moss", "3", "s2"),
    # Cheaper, then named without a price.
    click("2021-03-01 10:00:00", "view", "moss", "2.50", "s3"),
    click("2021-03-01 11:00:00", "view", "moss", None, "s3"),
]


def new_shop(
    tmp_path: Path,
    mapping: str = MAPPING,
    content: Content = CLICKS,
    new: Callable[..., Store] | None = None,
    **settings: Any,
) -> Store:
    """The store of clicks with its mapping, not loaded; in files, unless `new` makes it elsewhere."""
    path = tmp_path / "mapping.yaml"
    path.write_text(mapping)
    store = (new or functools.partial(new_store, tmp_path))(products=DATED, mapping=path, **settings)
    store.remove(DATED)
    store.put("clicks/1.csv", content)
    return store
