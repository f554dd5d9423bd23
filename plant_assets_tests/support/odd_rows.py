"""A tiny store as constants, rows as text, each odd row with the reason that it is there.

Its clocks are New York's, where daylight saving begins on Sunday 2021-03-14 at 07:00 UTC: the week of 2021-03-08
has 167 hours. Weeks begin at 05:00 UTC before and at 04:00 UTC after. Nothing here knows an engine or Dagster.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Row = dict[str, Any]

ZONE = "America/New_York"


@dataclass(frozen=True)
class Seen:
    """A product as one observation saw it. Its name is its id where none is given."""

    inventory: int | None
    price: str | None = "10"
    name: str | None = ""


ABSENT = "absent"


def observed(instants: Sequence[str], **products: Sequence[Seen | int | str | None]) -> dict[str, list[Row]]:
    """Rows of raw_observations and raw_products: for each product what each observation saw, in turn.

    A number is an inventory, None an inventory that is not known, ABSENT a product that was not there.
    """
    seen: list[Row] = []
    for product_id, sightings in products.items():
        for instant, sighting in zip(instants, sightings, strict=True):
            if isinstance(sighting, str):
                assert sighting == ABSENT, sighting
                continue
            product = sighting if isinstance(sighting, Seen) else Seen(sighting)
            seen.append(
                {
                    "observed_at": instant,
                    "product_id": product_id,
                    "name": product_id if product.name == "" else product.name,
                    "price": product.price,
                    "inventory": product.inventory,
                }
            )
    observations: list[Row] = [
        {
            "observed_at": instant,
            "file": f"products/{instant[:10]}.csv",
            "products": sum(row["observed_at"] == instant for row in seen),
        }
        for instant in instants
    ]
    return {"raw_observations": observations, "raw_products": seen}


OBSERVED_AT = (
    "2021-03-01 05:00:00",  # Monday 00:00
    "2021-03-03 17:00:00",
    "2021-03-08 05:00:00",  # Monday 00:00
    "2021-03-11 17:00:00",
    "2021-03-15 04:00:00",  # Monday 00:00, on summer time
    "2021-03-17 16:00:00",  # the last: the week of 2021-03-15 is running, the next has no rows
)

_STORE = observed(
    OBSERVED_AT,
    # Sold out, with a price change inside the episode, then restocked.
    fern=(10, 8, 8, 0, Seen(0, price="12.5"), 5),
    # Not known for a while: neither zero nor a change.
    moss=(5, None, 5, 3, 3, 3),
    # Left exactly at a week's first instant, returned at another with equal attributes: a new version.
    palm=(4, 4, ABSENT, ABSENT, 4, 4),
    # Up and down: the most reversals.
    cactus=(7, 9, 7, 9, 7, 7),
    # Oversold, renamed, restocked, and out of stock again at the end.
    ivy=(
        -2,
        0,
        Seen(0, name="English ivy"),
        Seen(3, name="English ivy"),
        Seen(3, name="English ivy"),
        Seen(0, name="English ivy"),
    ),
    # Came late, then left: known by its name, not current.
    rose=(ABSENT, ABSENT, ABSENT, 6, 6, ABSENT),
    # Left exactly at a week's first instant and stayed away.
    aloe=(2, 2, 1, 1, ABSENT, ABSENT),
    # Never changes.
    orchid=(1, 1, 1, 1, 1, 1),
)
OBSERVATIONS: list[Row] = _STORE["raw_observations"]
PRODUCTS: list[Row] = _STORE["raw_products"]

WEEKS: list[Row] = [
    {"week_start_date": "2021-03-01", "starts_at": "2021-03-01 05:00:00", "ends_at": "2021-03-08 05:00:00"},
    {"week_start_date": "2021-03-08", "starts_at": "2021-03-08 05:00:00", "ends_at": "2021-03-15 04:00:00"},
    {"week_start_date": "2021-03-15", "starts_at": "2021-03-15 04:00:00", "ends_at": "2021-03-22 04:00:00"},
    {"week_start_date": "2021-03-22", "starts_at": "2021-03-22 04:00:00", "ends_at": "2021-03-29 04:00:00"},
]

ORDERS: list[Row] = [
    {"order_id": "o1", "user_id": "u1", "created_at": "2021-03-02 15:10:00", "order_total": "30", "status": "shipped"},
    # Has no items.
    {
        "order_id": "o2",
        "user_id": "u2",
        "created_at": "2021-03-14 06:59:59",
        "order_total": "10",
        "status": "preparing",
    },
    {
        "order_id": "o3",
        "user_id": "u3",
        "created_at": "2021-03-16 12:20:00",
        "order_total": "20",
        "status": "preparing",
    },
]

ORDER_ITEMS: list[Row] = [
    {"order_id": "o1", "product_id": "fern", "quantity": 2},
    {"order_id": "o1", "product_id": "moss", "quantity": 1},
    {"order_id": "o3", "product_id": "fern", "quantity": 1},
    # A product that no observation ever saw.
    {"order_id": "o3", "product_id": "ghost", "quantity": 1},
]


def _event(event_id: str, session: str, created_at: str, event_type: str, **more: Any) -> Row:
    user = {"user_id": f"u{session[1:]}", "page_url": f"https://plants.example/{event_id}"}
    return {
        "event_id": event_id,
        "session_id": session,
        **user,
        "created_at": created_at,
        "event_type": event_type,
        "order_id": more.get("order_id"),
        "product_id": more.get("product_id"),
    }


EVENTS: list[Row] = [
    _event("e01", "s1", "2021-03-02 15:00:00", "page_view", product_id="fern"),
    # The same session and product again: counts once.
    _event("e02", "s1", "2021-03-02 15:01:00", "page_view", product_id="fern"),
    _event("e03", "s1", "2021-03-02 15:05:00", "add_to_cart", product_id="fern"),
    _event("e04", "s1", "2021-03-02 15:10:00", "checkout", order_id="o1"),
    # Days later: a date with package_shipped and no page view, so that its rates are NULL.
    _event("e05", "s1", "2021-03-05 16:00:00", "package_shipped", order_id="o1"),
    # The last second of standard time, on 2021-03-14; the order has no items.
    _event("e06", "s2", "2021-03-14 06:59:59", "page_view", product_id="ivy"),
    _event("e07", "s2", "2021-03-14 06:59:59", "checkout", order_id="o2"),
    # The first second of summer time.
    _event("e08", "s2", "2021-03-14 07:00:00", "add_to_cart", product_id="ivy"),
    # 2021-03-13 by New York's clock, 2021-03-14 by UTC's.
    _event("e09", "s3", "2021-03-14 04:30:00", "page_view", product_id="rose"),
    # The last microsecond of the week, then the first instant of the next; standard time would say otherwise.
    _event("e10", "s3", "2021-03-15 03:59:59.999999", "page_view", product_id="palm"),
    _event("e11", "s3", "2021-03-15 04:00:00", "add_to_cart", product_id="palm"),
    # The same stage and product in a second week.
    _event("e20", "s3", "2021-03-15 04:00:01", "page_view", product_id="palm"),
    _event("e12", "s3", "2021-03-16 12:20:00", "checkout", order_id="o3"),
    # Products that are not known: never seen, and none at all.
    _event("e13", "s4", "2021-03-16 13:00:00", "page_view", product_id="ghost"),
    _event("e14", "s4", "2021-03-16 13:01:00", "page_view"),
    # A type that is no stage, alone on its date.
    _event("e15", "s5", "2021-03-17 13:00:00", "wishlist", product_id="moss"),
    # An order that is not known, and no order at all.
    _event("e16", "s4", "2021-03-16 13:02:00", "checkout", order_id="o9"),
    _event("e17", "s4", "2021-03-16 13:03:00", "package_shipped"),
    # Fields that are not the event's to carry: a view names an order, a checkout a product.
    _event("e18", "s6", "2021-03-16 14:00:00", "page_view", order_id="o1", product_id="orchid"),
    _event("e19", "s6", "2021-03-16 14:01:00", "checkout", order_id="o1", product_id="orchid"),
]

TABLES: Mapping[str, list[Row]] = {
    "raw_events": EVENTS,
    "raw_products": PRODUCTS,
    "raw_observations": OBSERVATIONS,
    "raw_orders": ORDERS,
    "raw_order_items": ORDER_ITEMS,
    "weeks": WEEKS,
}
