"""Orders, their instants, users and lines: by hand, and over random stores against a plain reference in Python."""

import datetime as dt
import functools
from typing import Any

import ibis
import pytest
from hypothesis import strategies as st

from plant_assets.calendar import Calendar
from plant_assets.transforms import orders as transforms
from plant_assets_tests.support.engines import ENGINE, Row, over, picked, table

pytestmark = pytest.mark.usefixtures("each_engine")

CALENDAR = Calendar("America/New_York")
OFFSETS = CALENDAR.offsets(dt.datetime(2021, 1, 1), dt.datetime(2021, 6, 1))
# The last instant of a week, the first of the next, and some within: standard time would say otherwise.
INSTANTS = ["2021-03-02 15:00:00", "2021-03-15 03:59:59.999999", "2021-03-15 04:00:00", "2021-03-16 12:00:00"]


@functools.cache
def every_order(not_sold: tuple[str, ...]) -> ibis.Table:
    tables = (table(name) for name in ("raw_orders", "raw_order_items", "int_order_events"))
    return transforms.orders(*tables, not_sold, OFFSETS)


def orders(
    stated: list[Row], items: list[Row] | None = None, events: list[Row] | None = None, not_sold: tuple[str, ...] = ()
) -> list[Row]:
    given = {"raw_orders": stated, "raw_order_items": items or [], "int_order_events": events or []}
    return ENGINE.rows("int_orders", every_order(not_sold), **given)


def checkout(event_id: str, created_at: str = INSTANTS[0], order_id: str | None = "o1", **more: Any) -> Row:
    event = {"event_id": event_id, "session_id": "s1", "event_type": "checkout", "order_id": order_id}
    return event | {"created_at": created_at} | more


def test_the_events_of_orders_are_checkouts_and_shipments() -> None:
    types = ["page_view", "checkout", "package_shipped", "wishlist"]
    events = [checkout(type_, event_type=type_, order_id=None) for type_ in types]
    rows = ENGINE.rows("int_order_events", transforms.order_events(table("raw_events")), raw_events=events)
    assert picked(rows, "event_id", "order_id") == [("checkout", None), ("package_shipped", None)]


def test_an_order_has_its_own_instant_and_user() -> None:
    stated = [{"order_id": "o1", "created_at": INSTANTS[1], "user_id": "ann", "order_total": "9.5", "status": "new"}]
    rows = orders(stated, events=[checkout("e1", INSTANTS[0], user_id="bob")])
    columns = ("ordered_at", "user_id", "status", "week_start_date")
    assert picked(rows, *columns) == [(INSTANTS[1], "ann", "new", "2021-03-08")]
    assert float(rows[0]["order_total"]) == 9.5


def test_an_order_without_instant_or_user_takes_each_from_its_first_checkout() -> None:
    stated = [{"order_id": "o1", "user_id": "ann"}, {"order_id": "o2", "created_at": INSTANTS[0]}, {"order_id": "o3"}]
    events = [
        checkout("late", INSTANTS[3], order_id, user_id="cleo") for order_id in ("o1", "o2", "o3")
    ] + [checkout("first", INSTANTS[2], order_id, user_id="bob") for order_id in ("o1", "o2", "o3")]  # fmt: skip
    assert picked(orders(stated, events=events), "order_id", "ordered_at", "user_id") == [
        ("o1", INSTANTS[2], "ann"),
        ("o2", INSTANTS[0], "bob"),
        ("o3", INSTANTS[2], "bob"),
    ]


def test_of_checkouts_at_one_instant_the_least_event_id_is_the_first() -> None:
    events = [checkout("e2", user_id="bob"), checkout("e1", user_id="ann"), checkout("e3", user_id="cleo")]
    assert picked(orders([], events=events), "user_id") == ["ann"]


def test_an_order_is_any_that_items_or_events_name() -> None:
    events = [
        checkout("e1", order_id="of a checkout"),
        checkout("e2", order_id="of a shipment", event_type="package_shipped", user_id="ann"),
        # An event without an order is none.
        checkout("e3", order_id=None),
    ]
    rows = orders([{"order_id": "of orders"}], [{"order_id": "of items", "product_id": "fern"}], events)
    assert picked(rows, "order_id", "ordered_at", "week_start_date", "is_sold") == [
        ("of a checkout", INSTANTS[0], "2021-03-01", True),
        ("of a shipment", None, None, True),
        ("of items", None, None, True),
        ("of orders", None, None, True),
    ]
    assert set(picked(rows, "user_id")) == {None}


def test_a_status_that_is_not_sold_is_exact_text() -> None:
    stated = [{"order_id": f"o{n}", "status": each} for n, each in enumerate(["cancelled", "Cancelled", "paid", None])]
    rows = orders(stated, not_sold=("cancelled", "refused"))
    assert picked(rows, "status", "is_sold") == [
        ("cancelled", False),
        ("Cancelled", True),
        ("paid", True),
        (None, True),
    ]


@functools.cache
def sold_lines() -> ibis.Table:
    lines = transforms.sold_lines(table("int_orders"), table("raw_order_items"))
    return lines.select("order_id", "product_id", "quantity")


def test_a_sold_line_is_a_product_of_a_sold_order() -> None:
    known = [{"order_id": "o1", "is_sold": True}, {"order_id": "o2", "is_sold": False}]
    items = [
        {"order_id": "o1", "product_id": "fern", "quantity": 2},
        {"order_id": "o1", "product_id": "moss"},
        {"order_id": "o2", "product_id": "fern", "quantity": 1},
    ]
    given = {"int_orders": known, "raw_order_items": items}
    lines = ENGINE.rows("raw_order_items", sold_lines(), **given)
    assert picked(lines, "order_id", "product_id", "quantity") == [("o1", "fern", 2), ("o1", "moss", None)]


ORDER_IDS, USERS = ("o1", "o2", "o3"), (None, "ann", "bob")


@st.composite
def stores(draw: st.DrawFn) -> dict[str, list[Row]]:
    instant, user = st.sampled_from([None, *INSTANTS]), st.sampled_from(USERS)
    status = st.sampled_from([None, "paid", "cancelled"])
    stated = [
        {"order_id": order_id, "created_at": draw(instant), "user_id": draw(user), "status": draw(status)}
        for order_id in sorted(draw(st.sets(st.sampled_from(ORDER_IDS))))
    ]
    items = [{"order_id": order_id, "product_id": "fern"} for order_id in draw(st.sets(st.sampled_from(ORDER_IDS)))]
    events = [
        checkout(
            f"e{number}",
            draw(st.sampled_from(INSTANTS)),
            draw(st.sampled_from([None, *ORDER_IDS])),
            event_type=draw(st.sampled_from(["checkout", "package_shipped"])),
            user_id=draw(user),
        )
        for number in range(draw(st.integers(0, 6)))
    ]
    return {"stated": stated, "items": items, "events": events}


def expected_orders(stated: list[Row], items: list[Row], events: list[Row], not_sold: tuple[str, ...]) -> list[Row]:
    rows = []
    for order_id in sorted({row["order_id"] for row in [*stated, *items, *events] if row["order_id"]}):
        own = next((row for row in stated if row["order_id"] == order_id), {})
        checkouts = [row for row in events if row["order_id"] == order_id and row["event_type"] == "checkout"]
        first = min(checkouts, key=lambda row: (row["created_at"], row["event_id"]), default={})
        at = own.get("created_at") or first.get("created_at")
        rows.append(
            {
                "order_id": order_id,
                "ordered_at": at,
                "week_start_date": str(CALENDAR.week_of(dt.datetime.fromisoformat(at))) if at else None,
                "user_id": own.get("user_id") or first.get("user_id"),
                "order_total": None,
                "status": own.get("status"),
                "is_sold": own.get("status") not in not_sold,
            }
        )
    return rows


@over(store=stores(), not_sold=st.sampled_from([(), ("cancelled",)]))
def test_orders_are_those_of_a_walk_over_tables_and_events(
    store: dict[str, list[Row]], not_sold: tuple[str, ...]
) -> None:
    assert orders(**store, not_sold=not_sold) == expected_orders(**store, not_sold=not_sold)
