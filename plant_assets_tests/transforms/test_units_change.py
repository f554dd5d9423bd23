"""Why units changed, by hand and against a plain count of all orders in which the three causes can come."""

import datetime as dt
import itertools
import math
from collections.abc import Sequence

import pytest
from hypothesis import strategies as st

from plant_assets.calendar import Calendar
from plant_assets.transforms import units_change as transforms
from plant_assets_tests.support.engines import ENGINE, Row, over, picked, table

pytestmark = pytest.mark.usefixtures("each_engine")

MONDAYS = ["2021-02-22", "2021-03-01", "2021-03-08", "2021-03-15"]
WEEKS = [{"week_start_date": monday} for monday in MONDAYS]
PHI = 2.0
# One row whatever the tables hold.
ONE_ROW = table("weeks").aggregate(phi=table("weeks").count() * 0 + PHI)
CHANGE = transforms.units_change(
    table("int_product_demand"),
    ONE_ROW,
    table("weeks"),
    table("product_snapshots"),
    Calendar("UTC").offsets(dt.datetime(2021, 1, 1), dt.datetime(2022, 1, 1)),
)
VERSIONS = [{"product_id": "fern", "name": "Fern", "valid_from": "2021-02-23", "is_current": True}]
MEASURES = ("views_in_stock", "views_out", "units_in_stock_view", "units_other")


def demand(week: str, product: str, *measures: int) -> Row:
    return {"week_start_date": week, "product_id": product, **dict(zip(MEASURES, measures, strict=True))}


def changes(rows: Sequence[Row], weeks: Sequence[Row] | None = None) -> list[Row]:
    """The rows of `weeks`, by default those from the first to the last demand."""
    known = [row["week_start_date"] for row in rows]
    weeks = weeks or [week for week in WEEKS if min(known) <= week["week_start_date"] <= max(known)]
    return ENGINE.rows("units_change", CHANGE, int_product_demand=rows, weeks=weeks, product_snapshots=VERSIONS)


def test_a_product_that_sold_more_because_it_was_viewed_more() -> None:
    rows = changes([demand(MONDAYS[1], "fern", 100, 0, 20, 0), demand(MONDAYS[2], "fern", 300, 0, 60, 1)])
    columns = ("product_id", "units_before", "units", "change", *transforms.PARTS, "note")
    assert picked(rows, *columns) == [
        (None, 20, 61, 41, pytest.approx(40), 0, pytest.approx(0), 1, None),
        ("fern", 20, 61, 41, pytest.approx(40), 0, pytest.approx(0), 1, None),
    ]
    assert [row["product_name"] for row in rows] == [None, "Fern"]


def test_a_product_that_went_out_of_stock_sold_less_for_that() -> None:
    rows = changes([demand(MONDAYS[1], "fern", 100, 0, 50, 0), demand(MONDAYS[2], "fern", 0, 100, 0, 0)])
    assert picked(rows, "of_views", "of_stock", "of_conversion", "of_other") == [(0, -50, 0, 0)] * 2


def test_a_small_change_has_no_parts_but_counts_in_the_stores() -> None:
    rows = changes([demand(MONDAYS[1], "fern", 10, 0, 5, 0), demand(MONDAYS[2], "fern", 10, 0, 7, 0)])
    assert picked(rows, "product_id", "change", "of_conversion", "note") == [
        (None, 2, pytest.approx(2), None),
        ("fern", 2, None, "within the usual"),
    ]


def test_a_week_without_demand_is_zeros() -> None:
    rows = changes([demand(MONDAYS[0], "fern", 10, 0, 50, 0), demand(MONDAYS[2], "moss", 10, 0, 40, 0)], WEEKS)
    assert picked(rows, "week_start_date", "product_id", "units_before", "units") == [
        (MONDAYS[1], None, 50, 0),
        (MONDAYS[1], "fern", 50, 0),
        (MONDAYS[2], None, 0, 40),
        (MONDAYS[2], "moss", 0, 40),
        (MONDAYS[3], None, 40, 0),
        (MONDAYS[3], "moss", 40, 0),
    ]


def test_a_store_without_demand_has_its_weeks() -> None:
    assert picked(changes([], WEEKS), "week_start_date", "units", "change", *transforms.PARTS) == [
        (monday, *[0] * 6) for monday in MONDAYS[1:]
    ]


def test_five_products_at_most_are_shown_each_way() -> None:
    more = [demand(MONDAYS[1], f"p{number}", 0, 0, 0, 50 + number // 2) for number in range(7)]
    less = [demand(MONDAYS[0], f"q{number}", 0, 0, 0, 50) for number in range(7)]
    rows = changes([*more, *less, demand(MONDAYS[0], "same", 0, 0, 0, 5), demand(MONDAYS[1], "same", 0, 0, 0, 5)])
    assert [row["product_id"] for row in rows] == [None, "p2", "p3", "p4", "p5", "p6", "q0", "q1", "q2", "q3", "q4"]


def expected_parts(before: tuple[int, ...], now: tuple[int, ...]) -> list[float]:
    """The mean over the orders in which views, share in stock and units per view can change, and the other units."""

    def ratio(part: int, whole: int) -> tuple[float, float]:
        known = [each[part] / whole_ if (whole_ := sum(each[:whole])) else None for each in (before, now)]
        then, after = known
        return (then if then is not None else after or 0.0), (after if after is not None else then or 0.0)

    factors = [(float(sum(before[:2])), float(sum(now[:2]))), ratio(0, 2), ratio(2, 1)]
    parts = [0.0, 0.0, 0.0]
    for order in itertools.permutations(range(3)):
        state = [then for then, _now in factors]
        for cause in order:
            product = math.prod(state)
            state[cause] = factors[cause][1]
            parts[cause] += (math.prod(state) - product) / 6
    return [*parts, float(now[3] - before[3])]


COUNTS = st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(0, 90), st.integers(-3, 30)).map(
    # Without a view in stock there are no units of one.
    lambda row: row if row[0] else (0, row[1], 0, row[3])
)


@over(before=COUNTS, now=COUNTS)
def test_parts_are_shapley_values_and_add_up(before: tuple[int, ...], now: tuple[int, ...]) -> None:
    rows = changes([demand(MONDAYS[1], "fern", *before), demand(MONDAYS[2], "fern", *now)])
    parts = [rows[0][name] for name in transforms.PARTS]
    assert parts == pytest.approx(expected_parts(before, now), abs=1e-8)
    assert sum(parts) == pytest.approx(rows[0]["change"], abs=1e-8)
    change = now[2] + now[3] - before[2] - before[3]
    total = now[2] + now[3] + before[2] + before[3]
    is_usual = abs(change) <= 1.96 * math.sqrt(max(PHI * total, 0))
    assert [row["note"] for row in rows[1:]] == ([] if change == 0 else ["within the usual" if is_usual else None])
