"""What a week is told by at its end: by hand, and over random weeks against a plain reference in Python."""

import datetime as dt
from typing import Any

import pandas as pd
import pytest
from hypothesis import strategies as st

from plant_assets.calendar import WEEK, Calendar
from plant_assets.contracts import RATES, STAGES, TABLES, THE_WEEK, UNTIL_WEEK
from plant_assets.transforms import weekly
from plant_assets.transforms.totals import TOTALS
from plant_assets_tests.support.engines import ENGINE, Row, frame, over, picked, table

pytestmark = pytest.mark.usefixtures("each_engine")

CALENDAR = Calendar("America/New_York")
MONDAYS = [dt.date(2021, 2, 22) + WEEK * number for number in range(6)]
WEEKS = [
    {"week_start_date": day, "starts_at": CALENDAR.starts_at(day), "ends_at": CALENDAR.starts_at(day + WEEK)}
    for day in MONDAYS
]
OFFSETS = CALENDAR.offsets(dt.datetime(2020, 12, 1), dt.datetime(2021, 6, 1))
PRODUCTS = ("fern", "ivy", "moss")
INVENTORY, CALENDAR_WEEKS = table("inventory"), table("weeks")
UNTIL = {most: weekly.inventory_until_week(INVENTORY, CALENDAR_WEEKS, most) for most in (None, 1, 2, 4)}
STOCKOUTS = weekly.stockouts_by_week(table("stockouts"), CALENDAR_WEEKS, OFFSETS)
FUNNELS = weekly.funnel_until_week(table("int_funnel_weeks"), CALENDAR_WEEKS)


def stock(week: int, product_id: str, closing: int | None = 5, least: int | None = None, **given: Any) -> Row:
    """A row of inventory; nothing moves in it unless it is said."""
    row = {
        "week_start_date": MONDAYS[week],
        "product_id": product_id,
        "product_name": product_id.title(),
        "closing_inventory": closing,
        "min_inventory": closing if least is None else least,
        "max_inventory": closing,
        "inflow": 0,
        "outflow": 0,
        "changes": 0,
        "hours_out_of_stock": 0.0,
        "is_complete": True,
    }
    return row | given


def until(inventory: list[Row], most_weeks: int | None = None) -> list[Row]:
    """Rows of inventory_until_week, by week and product."""
    return ENGINE.rows("inventory_until_week", UNTIL[most_weeks], inventory=inventory, weeks=WEEKS)


def of_week(rows: list[Row], week: int, *columns: str) -> list[Any]:
    return picked([row for row in rows if row["week_start_date"] == str(MONDAYS[week])], *columns)


def test_moves_add_up_to_a_weeks_end() -> None:
    rows = until(
        [
            stock(0, "fern", 9, changes=1, inflow=4),
            stock(1, "fern", 2, changes=2, outflow=7),
            stock(1, "moss", 3, changes=3, inflow=1, outflow=2),
        ]
    )
    columns = ("product_id", "rank", "changes", "volume", "range")
    assert of_week(rows, 0, *columns) == [("fern", 1, 1, 4, 0)]
    assert of_week(rows, 1, *columns) == [("fern", 1, 3, 11, 7), ("moss", 1, 3, 3, 0)]
    # Nothing is observed any more, and what was stays.
    assert of_week(rows, 5, *columns) == of_week(rows, 1, *columns)


def test_a_product_that_left_keeps_its_moves_and_its_last_name() -> None:
    gone = stock(0, "fern", changes=2), stock(1, "fern", changes=1, product_name=None)
    rows = until([*gone, stock(2, "moss", changes=1)])
    assert of_week(rows, 2, "product_name", "rank", "changes") == [("Fern", 1, 3), ("Moss", 2, 1)]


def test_only_the_last_weeks_are_counted_if_a_number_is_given() -> None:
    rows = until([stock(0, "fern", 90, changes=5), stock(1, "fern", 2, changes=1), stock(2, "moss", changes=2)], 2)
    assert of_week(rows, 1, "changes", "range") == [(6, 88)]
    assert of_week(rows, 2, "product_id", "changes", "range", "rank") == [("fern", 1, 0, 2), ("moss", 2, 0, 1)]


def test_out_of_stock_lately_is_in_the_last_three_weeks_with_an_inventory() -> None:
    fern = [stock(0, "fern", 0, hours_out_of_stock=10.0), stock(1, "fern", 4, 0, hours_out_of_stock=2.5)]
    # No week 3: week 4 looks at 1, 2 and 4.
    later = [stock(week, "moss") for week in (1, 2)] + [stock(4, "moss", 0, hours_out_of_stock=7.0)]
    rows = until([*fern, *later])
    columns = ("product_id", "hours_out_lately", "was_out_lately", "is_out", "is_newly_out")
    assert of_week(rows, 0, *columns) == [("fern", 10.0, True, True, True)]
    assert of_week(rows, 1, *columns) == [("fern", 12.5, True, False, False), ("moss", 0.0, False, False, False)]
    assert of_week(rows, 4, *columns) == [("fern", 2.5, True, False, False), ("moss", 7.0, True, True, True)]
    # A week without an inventory: what it ended with is not known.
    assert of_week(rows, 5, *columns) == [("fern", 2.5, True, False, False), ("moss", 7.0, True, False, True)]


def test_an_unknown_stock_is_not_out() -> None:
    rows = until([stock(0, "fern", None)])
    assert picked(rows[:1], "was_out_lately", "is_out", "range") == [(False, False, None)]


@st.composite
def inventories(draw: st.DrawFn) -> list[Row]:
    units = st.one_of(st.none(), st.integers(-1, 3))
    moves = st.integers(0, 2)
    rows = []
    for week in range(len(MONDAYS)):
        for product_id in draw(st.sets(st.sampled_from(PRODUCTS))):
            least, inflow, outflow = draw(units), draw(moves), draw(moves)
            named = draw(st.sampled_from([None, "Old", "New"]))
            rows.append(
                stock(
                    week,
                    product_id,
                    least,
                    least,
                    inflow=inflow,
                    outflow=outflow,
                    changes=inflow + outflow,
                    hours_out_of_stock=float(draw(moves)),
                    product_name=named,
                )
            )
    return rows


def expected_until(inventory: list[Row], most_weeks: int | None) -> list[Row]:
    expected = []
    for week in MONDAYS:
        before = [row for row in inventory if row["week_start_date"] <= week]
        lately = sorted({row["week_start_date"] for row in before})[-weekly.OUT_WEEKS :]
        counted = [row for row in before if not most_weeks or row["week_start_date"] > week - most_weeks * WEEK]
        looked_at = [row for row in before if row in counted or row["week_start_date"] in lately]
        changes = {
            product_id: sum(row["changes"] for row in counted if row["product_id"] == product_id)
            for product_id in {row["product_id"] for row in looked_at}
        }
        for product_id in sorted(changes):
            mine = [row for row in looked_at if row["product_id"] == product_id]
            moved, recent = [row for row in mine if row in counted], [r for r in mine if r["week_start_date"] in lately]
            least = [row["min_inventory"] for row in moved if row["min_inventory"] is not None]
            out = [row for row in recent if (row["min_inventory"] or 0) <= 0 and row["min_inventory"] is not None]
            ended = [row["closing_inventory"] for row in mine if row["week_start_date"] == week]
            names = [row["product_name"] for row in before if row["product_id"] == product_id and row["product_name"]]
            inflow, outflow = sum(row["inflow"] for row in moved), sum(row["outflow"] for row in moved)
            expected.append(
                {
                    "week_start_date": str(week),
                    "rank": len({number for number in changes.values() if number > changes[product_id]}) + 1,
                    "product_id": product_id,
                    "product_name": names[-1] if names else None,
                    "changes": changes[product_id],
                    "volume": inflow + outflow,
                    "inflow": inflow,
                    "outflow": outflow,
                    "range": max(least) - min(least) if least else None,
                    "hours_out_lately": sum(row["hours_out_of_stock"] for row in recent),
                    "was_out_lately": bool(out),
                    "is_out": bool(ended) and ended[0] is not None and ended[0] <= 0,
                    "is_newly_out": bool(out) and all(row["week_start_date"] == lately[-1] for row in out),
                }
            )
    return expected


@over(inventory=inventories(), most_weeks=st.sampled_from([None, 1, 2, 4]))
def test_stock_until_a_week_is_what_a_plain_reference_says(inventory: list[Row], most_weeks: int | None) -> None:
    assert until(inventory, most_weeks) == expected_until(inventory, most_weeks)


def episode(begins: str, hours: float, restocked_at: str | None = None, **given: Any) -> Row:
    """A row of stockouts."""
    row = {"product_id": "fern", "product_name": "Fern", "out_of_stock_at": begins, "hours_out": hours}
    return row | {"restocked_at": restocked_at, "is_ongoing": False, "min_inventory": 0, "restock_quantity": 9} | given


def known(*stockouts: Row) -> list[Row]:
    """Rows of stockouts_by_week, by week and episode."""
    return ENGINE.rows("stockouts_by_week", STOCKOUTS, stockouts=stockouts, weeks=WEEKS)


def test_an_episode_is_told_as_it_was_known_at_each_weeks_end() -> None:
    # The second week has an hour less: on its Sunday the clocks go forward.
    rows = known(episode("2021-03-10 05:00:00", 240, "2021-03-20 05:00:00"))
    columns = ("until_at", "hours_out", "is_out", "restocked_at", "restock_quantity")
    assert of_week(rows, 1, *columns) == []
    assert of_week(rows, 2, *columns) == [("2021-03-15 04:00:00", 119.0, True, None, None)]
    assert of_week(rows, 3, *columns) == [("2021-03-20 05:00:00", 240.0, False, "2021-03-20 05:00:00", 9)]


def test_an_ongoing_episode_ends_with_what_is_known() -> None:
    ongoing = episode("2021-03-02 05:00:00", 24, is_ongoing=True, restock_quantity=None)
    rows = known(ongoing)
    assert of_week(rows, 1, "until_at", "hours_out", "is_out") == [("2021-03-03 05:00:00", 24.0, True)]
    assert of_week(rows, 5, "until_at", "hours_out", "is_out") == [("2021-03-03 05:00:00", 24.0, True)]


def test_an_episode_that_ends_as_the_week_does_is_still_out() -> None:
    # Restocked at Monday 00:00, which belongs to the week that begins.
    rows = known(episode("2021-02-28 05:00:00", 24, "2021-03-01 05:00:00"))
    assert of_week(rows, 0, "is_out", "restocked_at", "hours_out") == [(True, None, 24.0)]
    assert of_week(rows, 1, "is_out", "restocked_at") == [(False, "2021-03-01 05:00:00")]


@pytest.mark.parametrize(("hours", "weeks"), [(24, []), (25, [0])])
def test_an_episode_is_told_of_for_eight_weeks(hours: int, weeks: list[int]) -> None:
    # Seven weeks before the first one is 2021-01-04, 05:00 UTC.
    rows = known(episode("2021-01-03 05:00:00", hours, None))
    assert [MONDAYS.index(dt.date.fromisoformat(row["week_start_date"])) for row in rows] == weeks


def test_the_funnel_until_a_week_adds_up_first_reached_stages() -> None:
    first_reached = [
        dict(zip(("week_start_date", *STAGES), (MONDAYS[week], *counts), strict=True))
        for week, counts in ((1, (8, 4, 1, 0)), (3, (0, 1, 2, 3)))
    ]
    rows = ENGINE.rows("funnel_until_week", FUNNELS, int_funnel_weeks=first_reached, weeks=WEEKS)
    assert of_week(rows, 0, *STAGES, *RATES) == [(0, 0, 0, 0, None, None, None, None)]
    assert of_week(rows, 2, *STAGES, *RATES) == [(8, 4, 1, 0, 100, 50, 13, 0)]
    assert of_week(rows, 5, *STAGES, *RATES) == [(8, 5, 3, 3, 100, 63, 38, 38)]


def funnels(*counts: tuple[int, ...]) -> pd.DataFrame:
    """A funnel for each of the first weeks."""
    rows = [
        [MONDAYS[week], *row, *(round(100 * count / row[0]) if row[0] else None for count in row)]
        for week, row in enumerate(counts)
    ]
    return pd.DataFrame(rows, columns=TABLES["funnel_by_week"].names)


def largest(steps: pd.DataFrame, week: int, period: str) -> list[tuple[str, str, bool, bool]]:
    mine = steps[(steps["week_start_date"] == MONDAYS[week]) & (steps["period"] == period)]
    columns = ["from_stage", "to_stage", "is_largest_by_count", "is_largest_by_rate"]
    return list(mine[columns].itertuples(index=False, name=None))


def test_steps_are_those_of_each_week_and_of_all_until_it() -> None:
    of_weeks, until_weeks = funnels((10, 8, 2, 2), (4, 1, 1, 0)), funnels((10, 8, 2, 2), (14, 9, 3, 2))
    steps = weekly.funnel_steps_by_week(of_weeks, until_weeks, STAGES)
    assert len(steps) == 2 * 2 * 3
    assert steps["is_in_store"].all()
    assert largest(steps, 1, THE_WEEK) == [
        ("page_view", "add_to_cart", True, False),
        ("add_to_cart", "checkout", False, False),
        ("checkout", "package_shipped", False, True),
    ]
    whole = steps[(steps["week_start_date"] == MONDAYS[1]) & (steps["period"] == UNTIL_WEEK)]
    assert whole["lost"].tolist() == [5, 6, 1]
    assert whole["points_lost"].tolist() == [36, 43, 7]


def test_steps_of_a_stage_that_the_store_lacks_are_never_the_largest() -> None:
    steps = weekly.funnel_steps_by_week(funnels(), funnels((10, 0, 4, 3)), ("page_view", "checkout", "package_shipped"))
    in_store = steps[steps["is_in_store"]]
    assert largest(in_store, 0, UNTIL_WEEK) == [
        ("page_view", "checkout", True, True),
        ("checkout", "package_shipped", False, False),
    ]
    assert largest(steps[~steps["is_in_store"]], 0, UNTIL_WEEK) == [
        ("page_view", "add_to_cart", False, False),
        ("add_to_cart", "checkout", False, False),
    ]


@pytest.mark.parametrize("stages", [STAGES, STAGES[:1]])
def test_weekly_steps_have_the_contracts_columns(stages: tuple[str, ...]) -> None:
    steps = weekly.funnel_steps_by_week(funnels((0, 0, 0, 0)), funnels((3, 2, 1, 0)), stages)
    assert steps.columns.tolist() == TABLES["funnel_steps_by_week"].names
    assert steps["points_lost"].dtype == "Int64"
    assert len(steps) == 2 * 3


def test_totals_are_those_of_the_rows() -> None:
    rows = [
        stock(0, "fern", 0, hours_out_of_stock=2.5, inflow=1),
        stock(0, "moss", None),
        stock(0, "ivy", 3, inflow=2, outflow=4),
    ]
    assert totals("inventory", rows) == {
        "products": 3,
        "out_of_stock_at_end": 1,
        "hours_out_of_stock": 2.5,
        "units_in": 3,
        "units_out": 4,
    }
    states = [("sold_out", -2), ("restocked", 5), ("same", 0), ("new", None)]
    changes = [{"state": state, "change": change} for state, change in states]
    assert totals("inventory_changes", changes) == {"products_changed": 2, "sold_out": 1, "restocked": 1}


@pytest.mark.parametrize("name", TOTALS)
def test_nothing_has_totals_too(name: str) -> None:
    assert set(totals(name, []).values()) <= {0, None}


def totals(name: str, rows: list[Row]) -> Row:
    [row] = ENGINE.run(TOTALS[name](table(name)), {name: frame(name, rows)}).to_pylist()
    return row
