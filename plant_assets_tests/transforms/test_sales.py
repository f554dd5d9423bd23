"""Sales by week, by product and week, and customers: by hand, and over random stores against a plain reference."""

import datetime as dt
import itertools
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import strategies as st

from plant_assets.calendar import WEEK, Calendar
from plant_assets.transforms import sales
from plant_assets_tests.support.engines import ENGINE, Row, over, picked, table

pytestmark = pytest.mark.usefixtures("each_engine")

CALENDAR = Calendar("America/New_York")
OFFSETS = CALENDAR.offsets(dt.datetime(2021, 1, 1), dt.datetime(2021, 6, 1))
MONDAYS = ["2021-03-01", "2021-03-08", "2021-03-15"]
ORDERS, ITEMS = table("int_orders"), table("raw_order_items")
BY_WEEK = sales.sales_by_week(ORDERS, ITEMS)
BY_PRODUCT = sales.sales_by_product_week(ORDERS, ITEMS, table("product_snapshots"), OFFSETS)
CUSTOMERS = sales.customers(ORDERS)


def order(order_id: str, week: int | None = 0, **more: Any) -> Row:
    """A sold order: at noon of a week's Monday, or at no instant."""
    at = None if week is None else f"{MONDAYS[week]} 12:00:00"
    stated = {"week_start_date": None if week is None else MONDAYS[week], "ordered_at": at, "is_sold": True}
    return {"order_id": order_id, **stated, **more}


def line(order_id: str, product_id: str = "fern", quantity: int | None = 1) -> Row:
    return {"order_id": order_id, "product_id": product_id, "quantity": quantity}


def version(product_id: str, valid_from: str, valid_to: str | None = None, **more: Any) -> Row:
    known = {"name": product_id.title(), "price": "10", "is_current": valid_to is None}
    return {"product_id": product_id, "valid_from": valid_from, "valid_to": valid_to} | known | more


def by_week(orders: list[Row], items: list[Row] | None = None) -> list[Row]:
    return ENGINE.rows("sales_by_week", BY_WEEK, int_orders=orders, raw_order_items=items or [])


def by_product(orders: list[Row], items: list[Row], versions: list[Row] | None = None) -> list[Row]:
    given = {"int_orders": orders, "raw_order_items": items, "product_snapshots": versions or []}
    return ENGINE.rows("sales_by_product_week", BY_PRODUCT, **given)


def customers(orders: list[Row]) -> Row:
    (row,) = ENGINE.rows("customers", CUSTOMERS, int_orders=orders)
    return row


def test_a_week_has_its_orders_units_and_revenue() -> None:
    orders = [order("o1", order_total="10.5"), order("o2", order_total="4"), order("o3", 1), order("o4", None)]
    items = [line("o1", "fern", 3), line("o1", "moss", None), line("o2", "fern", -1), line("o3", "fern", None)]
    rows = by_week(orders, [*items, line("o4", "fern", 7)])
    columns = ("week_start_date", "orders", "units", "lines_without_quantity", "revenue", "average_order")
    assert picked(rows, *columns) == [
        (None, 1, 7, 0, None, None),
        (MONDAYS[0], 2, 2, 1, Decimal("14.5"), 7.25),
        (MONDAYS[1], 1, 0, 1, None, None),
    ]


def test_an_order_without_a_total_is_not_in_the_average() -> None:
    rows = by_week([order("o1", order_total="3"), order("o2", order_total="4"), order("o3")])
    assert picked(rows, "orders", "revenue", "average_order") == [(3, Decimal(7), 3.5)]


def test_an_order_that_is_not_sold_counts_nowhere() -> None:
    orders, items = [order("o1", is_sold=False, user_id="ann", order_total="3")], [line("o1")]
    assert by_week(orders, items) == by_product(orders, items) == []
    assert customers(orders)["buyers"] == 0


def test_a_buyer_is_new_in_the_week_of_the_first_dated_order() -> None:
    orders = [
        order("o1", 1, user_id="ann"),
        order("o2", 0, user_id="ann"),
        order("o3", 0, user_id="ann"),
        order("o4", None, user_id="ann"),
        order("o5", 1, user_id="bob"),
        # Has undated orders only.
        order("o6", None, user_id="cleo"),
        order("o7", 1),
    ]
    columns = ("week_start_date", "orders", "buyers", "new_buyers", "returning_buyers")
    assert picked(by_week(orders), *columns) == [
        (None, 2, 2, 1, 1),
        (MONDAYS[0], 2, 1, 1, 0),
        (MONDAYS[1], 3, 2, 1, 1),
    ]


def test_customers_are_told_by_how_often_they_ordered() -> None:
    often = {"ann": 1, "bob": 2, "cleo": 3, "dan": 4}
    orders = [order(f"{user}{n}", n % 2 or None, user_id=user) for user, times in often.items() for n in range(times)]
    assert list(customers([*orders, order("of nobody")]).values()) == [4, 1, 1, 2, 0.75]


def test_a_product_is_valued_at_the_price_of_the_orders_instant() -> None:
    versions = [
        version("fern", f"{MONDAYS[0]} 12:00:00", f"{MONDAYS[1]} 12:00:00", price="2.5"),
        version("fern", f"{MONDAYS[1]} 12:00:00", f"{MONDAYS[1]} 13:00:00", price=None),
        version("fern", f"{MONDAYS[2]} 12:00:00", price="4"),
    ]
    orders = [order("o1"), order("o2", 1), order("o3", 2), order("o4", 2), order("o5", None)]
    before = order("o6", ordered_at=f"{MONDAYS[0]} 11:59:59")
    items = [line(each["order_id"], "fern", 2) for each in orders[:3]] + [line("o4", "fern", None), line("o5")]
    rows = by_product([*orders, before], [*items, line("o6", "fern", 5)], versions)
    columns = ("week_start_date", "orders", "units", "list_value", "lines_without_price", "lines_without_quantity")
    assert picked(rows, *columns) == [
        (None, 1, 1, None, 1, 0),
        (MONDAYS[0], 2, 7, Decimal(5), 1, 0),
        (MONDAYS[1], 1, 2, None, 1, 0),
        (MONDAYS[2], 2, 2, Decimal(8), 0, 1),
    ]


def test_a_product_has_the_name_last_held_by_the_weeks_end_else_the_first_after_it() -> None:
    versions = [
        version("fern", "2021-03-08 05:00:00", "2021-03-10", name="Fern"),
        version("fern", "2021-03-10", "2021-03-12", name=None),
        # The last instant of the week, and the first of the next.
        version("fern", "2021-03-15 03:59:59", "2021-03-15 04:00:00", name="Boston fern"),
        version("fern", "2021-03-15 04:00:00", name="Fern"),
        version("moss", "2021-03-15 04:00:00", name="Moss"),
    ]
    orders = [order("o0", 0), order("o1", 1), order("o2", 2), order("o3", None)]
    items = [line(each["order_id"], product) for each in orders for product in ("fern", "moss", "ghost")]
    rows = by_product(orders, items, versions)
    names = {product: [r["product_name"] for r in rows if r["product_id"] == product] for product in ("fern", "ghost")}
    assert names == {"fern": ["Fern", "Fern", "Boston fern", "Fern"], "ghost": [None] * 4}
    assert {row["product_name"] for row in rows if row["product_id"] == "moss"} == {"Moss"}


PRODUCTS, USERS = ("fern", "moss", "ghost"), (None, "ann", "bob")
# About the bounds of weeks: New York's clock changes before the second of them.
HOURS = [
    CALENDAR.starts_at(dt.date.fromisoformat(day)) + dt.timedelta(hours=hour) for day in MONDAYS for hour in (-1, 0, 30)
]
AFTER_ALL = dt.datetime(2022, 1, 1)


@st.composite
def stores(draw: st.DrawFn) -> dict[str, list[Row]]:
    orders, items, versions = [], [], []
    for number in range(draw(st.integers(0, 5))):
        at = draw(st.sampled_from([None, *HOURS]))
        row = {"order_id": f"o{number}", "ordered_at": at, "week_start_date": at and CALENDAR.week_of(at)}
        total = draw(st.sampled_from([None, "2.5", "10"]))
        sold = draw(st.sampled_from([True, True, True, False]))
        orders.append(row | {"order_total": total, "user_id": draw(st.sampled_from(USERS)), "is_sold": sold})
        for product in draw(st.sets(st.sampled_from(PRODUCTS))):
            items.append(line(f"o{number}", product, draw(st.sampled_from([None, -1, 1, 3]))))
    for product in PRODUCTS[:2]:
        bounds = sorted(draw(st.sets(st.sampled_from(HOURS), max_size=5)))
        for start, end in itertools.pairwise([*bounds, None]):
            held = {
                "name": draw(st.sampled_from([None, "Old", "New"])),
                "price": draw(st.sampled_from([None, "1", "2"])),
            }
            if draw(st.sampled_from([True, True, False])):
                versions.append({"product_id": product, "valid_from": start, "valid_to": end, **held})
    return {"orders": orders, "items": items, "versions": versions}


def expected_weeks(orders: list[Row], items: list[Row], versions: list[Row]) -> list[Row]:
    sold = [row for row in orders if row["is_sold"]]
    first: dict[str, dt.date | None] = {}
    for row in sold:
        weeks = [each["week_start_date"] for each in sold if each["user_id"] == row["user_id"]]
        first[row["user_id"]] = min((week for week in weeks if week), default=None)
    expected = []
    for week in _in_order({row["week_start_date"] for row in sold}):
        mine = [row for row in sold if row["week_start_date"] == week]
        quantities = [each["quantity"] for row in mine for each in items if each["order_id"] == row["order_id"]]
        totals = [Decimal(row["order_total"]) for row in mine if row["order_total"]]
        users = {row["user_id"] for row in mine} - {None}
        new = sum(first[user] == week for user in users)
        expected.append(
            {
                "week_start_date": week and str(week),
                "orders": len(mine),
                "units": sum(each or 0 for each in quantities),
                "lines_without_quantity": quantities.count(None),
                "revenue": sum(totals) if totals else None,
                "average_order": float(sum(totals)) / len(totals) if totals else None,
                "buyers": len(users),
                "new_buyers": new,
                "returning_buyers": len(users) - new,
            }
        )
    return expected


def expected_products(orders: list[Row], items: list[Row], versions: list[Row]) -> list[Row]:
    sold = {row["order_id"]: row for row in orders if row["is_sold"]}
    lines = [(sold[row["order_id"]], row) for row in items if row["order_id"] in sold]
    expected = []
    for week in _in_order({of["week_start_date"] for of, _row in lines}):
        for product in sorted(PRODUCTS):
            mine = [
                (row["quantity"], price_at(versions, product, of["ordered_at"]))
                for of, row in lines
                if of["week_start_date"] == week and row["product_id"] == product
            ]
            if not mine:
                continue
            values = [quantity * price for quantity, price in mine if quantity is not None and price is not None]
            expected.append(
                {
                    "week_start_date": week and str(week),
                    "product_id": product,
                    "product_name": name_in(versions, product, week),
                    "orders": len(mine),
                    "units": sum(quantity or 0 for quantity, _price in mine),
                    "lines_without_quantity": [quantity for quantity, _price in mine].count(None),
                    "list_value": sum(values) if values else None,
                    "lines_without_price": [price for _quantity, price in mine].count(None),
                }
            )
    return expected


def price_at(versions: list[Row], product: str, at: dt.datetime | None) -> Decimal | None:
    for row in versions:
        ends = row["valid_to"] or AFTER_ALL
        if at and row["product_id"] == product and row["valid_from"] <= at < ends and row["price"]:
            return Decimal(row["price"])
    return None


def name_in(versions: list[Row], product: str, week: dt.date | None) -> str | None:
    named = sorted((row["valid_from"], row["name"]) for row in versions if row["product_id"] == product and row["name"])
    end = CALENDAR.starts_at(week + WEEK) if week else AFTER_ALL
    before = [name for at, name in named if at < end]
    return before[-1] if before else next((name for _at, name in named), None)


def _in_order(weeks: set[dt.date | None]) -> list[dt.date | None]:
    return sorted(weeks, key=lambda week: week or dt.date.min)


@over(store=stores())
def test_weeks_are_those_of_a_walk_over_the_orders(store: dict[str, list[Row]]) -> None:
    assert by_week(store["orders"], store["items"]) == expected_weeks(**store)


@over(store=stores())
def test_products_are_those_of_a_walk_over_the_lines(store: dict[str, list[Row]]) -> None:
    assert by_product(**store) == expected_products(**store)


@over(store=stores())
def test_every_unit_order_and_buyer_is_in_a_week(store: dict[str, list[Row]]) -> None:
    weeks, whole = by_week(store["orders"], store["items"]), customers(store["orders"])
    sold = {row["order_id"]: row["user_id"] for row in store["orders"] if row["is_sold"]}
    units = sum(row["quantity"] or 0 for row in store["items"] if row["order_id"] in sold)
    assert sum(row["units"] for row in weeks) == sum(row["units"] for row in by_product(**store)) == units
    assert sum(row["orders"] for row in weeks) == len(sold)
    assert sum(row["new_buyers"] for row in weeks) == whole["buyers"] == len(set(sold.values()) - {None})
    assert whole["with_one_order"] + whole["with_two_orders"] + whole["with_three_or_more"] == whole["buyers"]
