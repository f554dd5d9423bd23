"""Demand by the state of stock, by hand and against a plain reference over random stores."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import strategies as st

from plant_assets.transforms import demand as transforms
from plant_assets.transforms.snapshots import product_snapshots
from plant_assets.transforms.stock_state import STATES, Stock, events_with_stock_state, stock_intervals
from plant_assets_tests.support.engines import ENGINE, Row, over, picked, table
from plant_assets_tests.support.odd_rows import Seen, observed
from plant_assets_tests.support.sightings import CALENDAR, INSTANTS, MAX_GAP, WEEKS, Sightings, sightings

pytestmark = pytest.mark.usefixtures("each_engine")

OFFSETS = CALENDAR.offsets(min(INSTANTS), max(INSTANTS))
OBSERVATIONS, VERSIONS = table("raw_observations"), table("product_snapshots")
SNAPSHOTS = product_snapshots(table("raw_products"), OBSERVATIONS)
INTERVALS = stock_intervals(VERSIONS, OBSERVATIONS, MAX_GAP)
STOCK = Stock(table("int_stock_intervals"), VERSIONS, OBSERVATIONS, table("weeks"), MAX_GAP)
STATED = events_with_stock_state(table("int_events"), STOCK)
DEMAND = transforms.product_demand(
    [transforms.demand_by_session(table("raw_events"), STOCK, OFFSETS)],
    table("raw_events"),
    table("int_orders"),
    table("raw_order_items"),
    STOCK,
    OFFSETS,
)
NAMED = transforms.named_demand(table("int_product_demand"), VERSIONS, OFFSETS)


@dataclass(frozen=True)
class Shop:
    """Observations, events, orders (rows of int_orders) and their items."""

    seen: dict[str, list[Row]]
    events: Sequence[Row]
    orders: Sequence[Row]
    items: Sequence[Row]

    @property
    def stock(self) -> dict[str, list[Row]]:
        versions = ENGINE.rows("product_snapshots", SNAPSHOTS, **self.seen)
        given = {"product_snapshots": versions, "raw_observations": self.seen["raw_observations"]}
        return {**given, "int_stock_intervals": ENGINE.rows("int_stock_intervals", INTERVALS, **given), "weeks": WEEKS}

    def demand(self) -> list[Row]:
        given = {"raw_events": self.events, "int_orders": self.orders, "raw_order_items": self.items}
        stock = self.stock
        unnamed = ENGINE.rows("int_product_demand", DEMAND, **given, **stock)
        versions = stock["product_snapshots"]
        return ENGINE.rows("product_demand", NAMED, int_product_demand=unnamed, product_snapshots=versions)

    def states(self) -> list[str]:
        """The state of each event's product, which `test_stock_state` has a reference for."""
        rows = ENGINE.rows("int_event_stock_state", STATED, int_events=self.events, **self.stock)
        by_id = {row["event_id"]: row["stock_state"] for row in rows}
        return [by_id[event["event_id"]] for event in self.events]


def event(number: int, session: str, at: str | dt.datetime, kind: str, product: str | None, order: str | None) -> Row:
    return {
        "event_id": f"e{number:03}",
        "session_id": session,
        "created_at": at,
        "event_type": kind,
        "product_id": product,
        "order_id": order,
    }


def sold(order: str, week: dt.date | str | None, is_sold: bool = True) -> Row:
    return {"order_id": order, "ordered_at": week and f"{week} 17:00:00", "week_start_date": week, "is_sold": is_sold}


MON = "2021-03-01"
SEEN = observed(
    ["2021-03-01 05:00:00", "2021-03-03 05:00:00", "2021-03-05 05:00:00", "2021-03-07 05:00:00"],
    fern=(Seen(5, name="Fern"), Seen(5, name="Fern"), Seen(0, name="Fern"), Seen(0, name="Boston fern")),
)


def test_views_carts_and_units_by_what_was_in_stock() -> None:
    events = [
        event(1, "s1", "2021-03-02 12:00:00", "page_view", "fern", None),
        event(2, "s1", "2021-03-02 12:01:00", "page_view", "fern", None),
        event(3, "s1", "2021-03-02 12:02:00", "add_to_cart", "fern", None),
        event(4, "s1", "2021-03-02 12:03:00", "checkout", None, "o1"),
        event(5, "s2", "2021-03-04 12:00:00", "page_view", "fern", None),  # between 5 and 0 units
        event(6, "s3", "2021-03-06 12:00:00", "page_view", "fern", None),
        event(7, "s3", "2021-03-06 12:01:00", "add_to_cart", "fern", None),
        event(8, "s3", "2021-03-06 12:02:00", "checkout", None, "o2"),
        event(9, "s4", "2021-03-06 13:00:00", "page_view", "ghost", None),
        event(10, "s4", "2021-03-06 13:00:00", "page_view", None, None),
    ]
    items = [
        {"order_id": "o1", "product_id": "fern", "quantity": 2},
        {"order_id": "o1", "product_id": "moss", "quantity": 1},
        {"order_id": "o2", "product_id": "fern", "quantity": 3},
        {"order_id": "o3", "product_id": "fern", "quantity": 7},
        {"order_id": "o4", "product_id": "fern", "quantity": 9},
    ]
    orders = [sold("o1", MON), sold("o2", MON), sold("o3", MON, is_sold=False), sold("o4", None)]
    fern, ghost, moss = Shop(SEEN, events, orders, items).demand()
    assert fern == {
        "week_start_date": MON,
        "product_id": "fern",
        "product_name": "Boston fern",
        "views_in_stock": 2,
        "views_out": 1,
        "views_uncertain": 1,
        "views_unknown": 0,
        "view_sessions_in_stock": 1,
        "view_sessions_out": 1,
        "view_sessions_uncertain": 1,
        "view_sessions_unknown": 0,
        "carts_in_stock": 1,
        "buying_sessions_in_stock": 1,
        "units_in_stock_view": 2,
        "units_other": 3,
        "share_met_empty_shelf": 0.5,
    }
    assert (ghost["views_unknown"], ghost["share_met_empty_shelf"], ghost["product_name"]) == (1, None, None)
    assert (moss["units_in_stock_view"], moss["units_other"], moss["views_unknown"]) == (0, 1, 0)


def test_a_view_of_the_week_before_makes_no_buying_session() -> None:
    events = [
        event(1, "s1", "2021-03-02 12:00:00", "page_view", "fern", None),
        event(2, "s1", "2021-03-09 12:00:00", "checkout", None, "o1"),
    ]
    shop = Shop(SEEN, events, [sold("o1", "2021-03-08")], [{"order_id": "o1", "product_id": "fern", "quantity": 2}])
    columns = ("week_start_date", "buying_sessions_in_stock", "units_in_stock_view", "units_other")
    assert picked(shop.demand(), *columns) == [(MON, 0, 0, 0), ("2021-03-08", 0, 0, 2)]


def test_an_order_that_two_sessions_check_out_counts_once() -> None:
    events = [
        event(number, session, f"2021-03-02 12:0{number}:00", kind, product, order)
        for number, (session, kind, product, order) in enumerate(
            [
                ("s1", "page_view", "fern", None),
                ("s2", "page_view", "fern", None),
                ("s1", "checkout", None, "o1"),
                ("s2", "checkout", None, "o1"),
            ]
        )
    ]
    shop = Shop(SEEN, events, [sold("o1", MON)], [{"order_id": "o1", "product_id": "fern", "quantity": 2}])
    assert picked(shop.demand(), "buying_sessions_in_stock", "units_in_stock_view", "units_other") == [(2, 2, 0)]


def test_a_cart_without_stock_is_no_row() -> None:
    cart = event(1, "s1", "2021-03-06 12:00:00", "add_to_cart", "fern", None)
    assert Shop(SEEN, [cart], [], []).demand() == []


def expected(shop: Shop, states: list[str]) -> list[Row]:
    """The rows of product_demand, counted one product and week at a time."""
    dated = [
        (each, state, str(CALENDAR.week_of(each["created_at"])))
        for each, state in zip(shop.events, states, strict=True)
    ]
    of_order = {order["order_id"]: [] for order in shop.orders} | {}
    for item in shop.items:
        of_order.setdefault(item["order_id"], []).append(item["product_id"])
    rows: list[Row] = []
    for week in sorted({str(week["week_start_date"]) for week in WEEKS}):
        for product in ("fern", "ghost", "moss"):
            here = [(each, state) for each, state, at in dated if at == week]
            views = [(e, s) for e, s in here if e["event_type"] == "page_view" and e["product_id"] == product]
            carts = [
                e for e, s in here if (e["event_type"], e["product_id"], s) == ("add_to_cart", product, "in_stock")
            ]
            sessions = {state: {e["session_id"] for e, s in views if s == state} for state in STATES}
            checkouts = [e for e, _s in here if e["event_type"] == "checkout"]
            buying = [
                e
                for e in checkouts
                if e["session_id"] in sessions["in_stock"]
                and product in (of_order.get(e["order_id"]) or [e["product_id"]])
            ]
            in_view = {e["order_id"] for e in buying}
            lines = [
                (item["order_id"], item["quantity"] or 0)
                for order in shop.orders
                if order["is_sold"] and str(order["week_start_date"]) == week
                for item in shop.items
                if item["order_id"] == order["order_id"] and item["product_id"] == product
            ]
            if not (views or carts or lines):
                continue
            knowing = sessions["in_stock"] | sessions["out"]
            rows.append(
                {
                    "week_start_date": week,
                    "product_id": product,
                    **{f"views_{state}": sum(s == state for _e, s in views) for state in STATES},
                    **{f"view_sessions_{state}": len(sessions[state]) for state in STATES},
                    "carts_in_stock": len(carts),
                    "buying_sessions_in_stock": len({e["session_id"] for e in buying}),
                    "units_in_stock_view": sum(units for order, units in lines if order in in_view),
                    "units_other": sum(units for order, units in lines if order not in in_view),
                    "share_met_empty_shelf": len(sessions["out"]) / len(knowing) if knowing else None,
                }
            )
    return rows


MOMENTS = st.builds(
    lambda at, off: min(max(at + off, WEEKS[0]["starts_at"]), WEEKS[-1]["ends_at"] - dt.timedelta(seconds=1)),
    st.sampled_from(INSTANTS),
    st.sampled_from([dt.timedelta(), dt.timedelta(hours=30)]),
)
PRODUCT = st.sampled_from(["fern", "moss", "ghost", None])
ORDER = st.sampled_from(["o1", "o2", "o3", None])
EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["s1", "s2", "s3"]),
        MOMENTS,
        st.sampled_from(["page_view", "page_view", "add_to_cart", "checkout", "package_shipped"]),
        PRODUCT,
        ORDER,
    ),
    max_size=25,
)
ORDERS = st.lists(
    st.tuples(ORDER.filter(bool), st.sampled_from([*(week["week_start_date"] for week in WEEKS), None]), st.booleans()),
    unique_by=lambda order: order[0],
)
ITEMS = st.lists(
    st.tuples(ORDER.filter(bool), PRODUCT.filter(bool), st.sampled_from([None, -1, 1, 3])),
    unique_by=lambda item: item[:2],
    max_size=6,
)


@over(store=sightings(), events=EVENTS, orders=ORDERS, items=ITEMS)
def test_demand_is_that_of_a_count_by_hand(
    store: Sightings,
    events: list[tuple[str, dt.datetime, str, str | None, str | None]],
    orders: list[tuple[str, dt.date | None, bool]],
    items: list[tuple[str, str, int | None]],
) -> None:
    shop = Shop(
        store.rows,
        [event(number, *each) for number, each in enumerate(events)],
        [sold(*order) for order in orders],
        [dict(zip(("order_id", "product_id", "quantity"), item, strict=True)) for item in items],
    )
    found = [{name: row[name] for name in row if name != "product_name"} for row in shop.demand()]
    assert found == expected(shop, shop.states())
