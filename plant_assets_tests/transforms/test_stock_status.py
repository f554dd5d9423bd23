"""What is in stock and how it sells, by hand and against a plain reference over random stores."""

import datetime as dt
import itertools
from collections.abc import Sequence

import pytest
from hypothesis import strategies as st

from plant_assets.transforms import stock_status as transforms
from plant_assets.transforms.orders import sold_lines
from plant_assets.transforms.snapshots import product_snapshots
from plant_assets.transforms.stock_state import Stock, stock_intervals
from plant_assets_tests.support.engines import ENGINE, Row, frame, over, picked, table
from plant_assets_tests.support.odd_rows import Seen, observed
from plant_assets_tests.support.sightings import CALENDAR, PRODUCTS, Sightings

pytestmark = pytest.mark.usefixtures("each_engine")

GAP = dt.timedelta(days=2)
OBSERVATIONS, VERSIONS = table("raw_observations"), table("product_snapshots")
SNAPSHOTS = product_snapshots(table("raw_products"), OBSERVATIONS)
INTERVALS = stock_intervals(VERSIONS, OBSERVATIONS, GAP)
STOCK = Stock(table("int_stock_intervals"), VERSIONS, OBSERVATIONS, table("weeks"), GAP)
STATUS = transforms.stock_status(table("int_orders"), table("raw_order_items"), STOCK)
LAST = dt.datetime(2021, 3, 31, 12)
WEEKS = [
    {"week_start_date": day, "starts_at": CALENDAR.starts_at(day), "ends_at": CALENDAR.starts_at(day + week)}
    for week in [dt.timedelta(days=7)]
    for day in (dt.date(2020, 11, 30) + number * week for number in range(20))
]


def days_before(*days: float) -> list[str]:
    return [str(LAST - dt.timedelta(days=each)) for each in days]


def status(
    seen: dict[str, list[Row]], sold: Sequence[tuple[str, str | dt.datetime | None, int | None]], in_order: bool = False
) -> list[Row]:
    """Rows of stock_status of lines of sold orders: product, instant and quantity of each."""
    orders = [
        {"order_id": f"o{number}", "ordered_at": at, "is_sold": True} for number, (_id, at, _units) in enumerate(sold)
    ]
    items = [
        {"order_id": f"o{number}", "product_id": product, "quantity": units}
        for number, (product, _at, units) in enumerate(sold)
    ]
    versions = ENGINE.rows("product_snapshots", SNAPSHOTS, **seen)
    given = {"product_snapshots": versions, "raw_observations": seen["raw_observations"]}
    sparse = ENGINE.rows("int_stock_intervals", INTERVALS, **given)
    return ENGINE.rows(
        "stock_status",
        STATUS,
        in_order=in_order,
        int_orders=orders,
        raw_order_items=items,
        int_stock_intervals=sparse,
        weeks=WEEKS,
        **given,
    )


def test_stock_lasts_as_long_as_it_sells_on_days_in_stock() -> None:
    at = days_before(*range(40, -1, -2))
    # Out of stock for the last 20 of 40 days, but for the last observation.
    seen = observed(at, fern=(9,) * 10 + (0,) * 10 + (6,))
    sold = [("fern", instant, 2) for instant in days_before(39, 35, 30, 25, 21)] + [("fern", days_before(60)[0], 50)]
    [row] = status(seen, sold)
    assert row["units_28_days"] == 4
    assert (row["velocity"], row["days_of_cover"]) == (pytest.approx(10 / 20), pytest.approx(12))
    assert row["in_stock_share_28_days"] == pytest.approx(8 / 28)
    assert row["sell_through"] == pytest.approx(0.4)
    assert (row["revenue_class"], row["note"]) == ("A", None)
    assert row["last_sold_at"] == days_before(21)[0]


def test_a_product_without_stock_or_sales_or_a_number() -> None:
    seen = observed(days_before(4, 2, 0), out=(3, 0, -1), slow=(3, 3, 3), unknown=(3, 3, None), gone=(3, 3, "absent"))
    rows = status(seen, [("out", days_before(3)[0], 3), ("unknown", days_before(3)[0], 3)])
    columns = ("product_id", "days_of_cover", "sell_through", "revenue_class", "note")
    assert picked(rows, *columns) == [
        ("out", 0.0, 1.0, "A", "too little history"),
        ("slow", None, 0.0, "-", "too little history"),
        ("unknown", None, None, "A", "too little history"),
    ]


def test_a_store_that_is_never_observed_within_the_gap_has_no_rate() -> None:
    [row] = status(observed(days_before(14, 7, 0), fern=(9, 8, 7)), [("fern", days_before(3)[0], 3)])
    assert (row["velocity"], row["in_stock_share_28_days"], row["days_of_cover"]) == (None, None, None)
    assert row["note"] == "too little history"


def test_a_product_that_takes_back_orders_says_so() -> None:
    seen = observed(days_before(6, 4, 2, 0), fern=(9, 0, 0, 0))
    sold = [("fern", instant, units) for instant, units in zip(days_before(5, 3, 1), (90, 2, 3), strict=True)]
    assert picked(status(seen, sold), "note") == ["sells when out"]
    assert picked(status(seen, [*sold, ("fern", days_before(5)[0], 5)]), "note") == ["too little history"]


def test_products_by_days_of_cover_and_class_by_list_value() -> None:
    ids = {"a": 70, "b": 20, "c": 8, "d": 2, "e": 0}
    seen = observed(days_before(2, 0), **{each: (Seen(9, price="1"), Seen(9, price="1")) for each in ids})
    rows = status(seen, [(each, days_before(1)[0], units) for each, units in ids.items() if units], in_order=True)
    assert picked(rows, "product_id", "revenue_class") == [("a", "A"), ("b", "A"), ("c", "B"), ("d", "C"), ("e", "-")]


def test_phi_is_the_mean_of_a_units_line() -> None:
    orders = [{"order_id": "o1", "is_sold": True}]
    items = [
        {"order_id": "o1", "product_id": each, "quantity": units} for each, units in (("a", 1), ("b", 3), ("c", -2))
    ]
    phi = transforms.dispersion(sold_lines(table("int_orders"), table("raw_order_items")))
    for given, expected in ((items, 2.5), ([], 1.0)):
        tables = {"int_orders": frame("int_orders", orders), "raw_order_items": frame("raw_order_items", given)}
        assert ENGINE.run(phi, tables).to_pylist() == [{"phi": expected}]


INSTANTS = [
    LAST - dt.timedelta(days=day) for day in (70, 57, 56, 55, 40, 29, 28, 27, 26, 25, 24, 20, 18, 16, 4, 2, 1, 0)
]


@st.composite
def histories(draw: st.DrawFn) -> Sightings:
    chosen = draw(st.lists(st.sampled_from(INSTANTS[:-1]), unique=True, min_size=2, max_size=14))
    instants = (*sorted(chosen), LAST)
    sighting = st.one_of(*[st.builds(Seen, st.sampled_from([None, 0, 2, 9, 9]), st.just("2"))] * 6, st.none())
    line = st.lists(sighting, min_size=len(instants), max_size=len(instants)).map(tuple)
    return Sightings(instants, {product: draw(line) for product in PRODUCTS})


def stretches(store: Sightings, product: str) -> list[tuple[dt.datetime, dt.datetime, int]]:
    seen = [(at, each.inventory if each else None) for at, each in zip(store.instants, store.of[product], strict=True)]
    pairs = itertools.pairwise(seen)
    return [(a, b, s) for (a, s), (b, t) in pairs if s is not None and t is not None and b - a <= GAP]


def expected(store: Sightings, product: str, sold: list[tuple[str, dt.datetime, int]]) -> Row | None:
    """The row of a product, stretch by stretch and line by line."""
    held = store.of[product][-1]
    if held is None:
        return None
    known = stretches(store, product)

    def days(window: int, stocked: bool) -> float:
        start = LAST - dt.timedelta(days=window)
        parts = [b - max(a, start) for a, b, units in known if b > start and (units > 0 or not stocked)]
        return sum(parts, dt.timedelta()) / dt.timedelta(days=1)

    def units(window: int) -> list[tuple[dt.datetime, int]]:
        start = LAST - dt.timedelta(days=window)
        return [(at, quantity) for each, at, quantity in sold if each == product and start < at <= LAST]

    in_stock = sum(q for at, q in units(56) if any(a < at <= b and s > 0 for a, b, s in known))
    time, recent = days(56, True), sum(q for _at, q in units(28))
    velocity = in_stock / time if time else None
    left = held.inventory
    cover = None
    if left is not None:
        cover = 0.0 if left <= 0 else min(left / velocity, 365) if velocity and velocity > 0 else None
    observed_days = days(28, False)
    return {
        "units_28_days": recent,
        "in_stock_share_28_days": days(28, True) / observed_days if observed_days else None,
        "velocity": velocity,
        "days_of_cover": cover,
        "sell_through": recent / (recent + left) if left is not None and recent + max(left, 0) > 0 else None,
    }


SOLD = st.lists(
    st.tuples(
        st.sampled_from(PRODUCTS),
        st.builds(lambda at, hours: at + dt.timedelta(hours=hours), st.sampled_from(INSTANTS), st.sampled_from([0, 5])),
        st.sampled_from([-1, 1, 4]),
    ),
    max_size=12,
)


@over(store=histories(), sold=SOLD)
def test_status_is_that_of_a_walk_over_stretches_and_lines(
    store: Sightings, sold: list[tuple[str, dt.datetime, int]]
) -> None:
    rows = {row["product_id"]: row for row in status(store.rows, sold)}
    for product in PRODUCTS:
        row = expected(store, product, sold)
        if row is None:
            assert product not in rows
            continue
        found = rows[product]
        assert {name: found[name] for name in row} == {
            name: value if value is None else pytest.approx(value) for name, value in row.items()
        }
