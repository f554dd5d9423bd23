"""Rates of stages and products with their intervals, and weeks against the week before, against a plain reference."""

import datetime as dt
from collections.abc import Iterable, Sequence
from math import sqrt
from typing import Any

import pytest
from hypothesis import strategies as st

from plant_assets.calendar import WEEK
from plant_assets.contracts import FEWEST_VIEWS, STAGES, THE_WEEK, UNTIL_WEEK, WHOLE_DAYS
from plant_assets.transforms import rates, stages
from plant_assets_tests.support.engines import DATAFUSION, ENGINE, Row, over, picked, table

pytestmark = pytest.mark.usefixtures("each_engine")

DAY = dt.timedelta(days=1)
MONDAYS = [dt.date(2021, 2, 22) + WEEK * number for number in range(4)]
DATES = [MONDAYS[0] + DAY * number for number in range(28)]
# The calendar ends with the running week.
TODAYS = (DATES[-7], DATES[-4], DATES[-1])
STORES = (STAGES, STAGES[::2], STAGES[:1])
EXPRESSIONS = {
    (store, today): stages.funnel_stages_by_week(
        table("funnel_to_date"), table("funnel_until_week"), table("inventory"), table("weeks"), store, today
    )
    for store in STORES
    for today in TODAYS
}
PURCHASES = rates.purchase_rate_by_product_week(table("funnel_by_product_week"))
Counts = tuple[int, ...]
Interval = tuple[float, float] | None
NOTHING = (0, 0, 0, 0)
Z = 1.959963984540054
STAGE_COLUMNS = [
    "from_stage",
    "until_date",
    "before_until_date",
    "sessions",
    "lost",
    "lost_rate",
    "step_rate",
    "overall_rate",
    "overall_low",
    "overall_high",
    "sessions_before",
    "change",
    "change_rate",
    "overall_change",
    "overall_change_low",
    "overall_change_high",
    "points_change",
]


def counted(counts: Counts) -> Row:
    return dict(zip(STAGES, counts, strict=True))


def wilson(part: int, whole: int) -> Interval:
    if whole == 0 or part > whole:
        return None
    share, spread = part / whole, Z**2 / whole
    center = (share + spread / 2) / (1 + spread)
    reach = Z * sqrt(share * (1 - share) / whole + spread / (4 * whole)) / (1 + spread)
    return max(0.0, center - reach), min(1.0, center + reach)


def newcombe(part: int, whole: int, part_before: int, whole_before: int) -> Interval:
    now, before = wilson(part, whole), wilson(part_before, whole_before)
    if now is None or before is None:
        return None
    share, share_before = part / whole, part_before / whole_before
    return (
        share - share_before - sqrt((share - now[0]) ** 2 + (before[1] - share_before) ** 2),
        share - share_before + sqrt((now[1] - share) ** 2 + (share_before - before[0]) ** 2),
    )


def over_whole(part: int | None, whole: int | None) -> float | None:
    return part / whole if part is not None and whole else None


def percent(part: int, whole: int) -> int | None:
    return (200 * part + whole) // (2 * whole) if whole else None


def less(now: Any, before: Any) -> Any:
    return None if now is None or before is None else now - before


class Store:
    """What the tables of a store hold: by date the counts from its Monday on, by week the counts of all weeks."""

    def __init__(self, dates: dict[dt.date, Counts], whole: list[Counts], stock: list[list[tuple[int | None, bool]]]):
        self.dates, self.whole, self.stock = dates, whole, stock

    def tables(self) -> dict[str, Sequence[Row]]:
        return {
            "funnel_to_date": [
                {"event_date": date, "week_start_date": monday(date), **counted(counts)}
                for date, counts in self.dates.items()
            ],
            "funnel_until_week": [
                {"week_start_date": week, **counted(counts)} for week, counts in zip(MONDAYS, self.whole, strict=True)
            ],
            "inventory": [
                {
                    "week_start_date": week,
                    "product_id": f"p{number}",
                    "min_inventory": least,
                    "is_complete": is_complete,
                }
                for week, rows in zip(MONDAYS, self.stock, strict=True)
                for number, (least, is_complete) in enumerate(rows)
            ],
            "weeks": [{"week_start_date": week} for week in MONDAYS],
        }

    def rows(self, store: tuple[str, ...], today: dt.date, engine: Any = ENGINE) -> dict[tuple[str, str, str], Row]:
        found = engine.rows("funnel_stages_by_week", EXPRESSIONS[store, today], **self.tables())
        return {(row["week_start_date"], row["period"], row["stage"]): row for row in found}

    def last_date(self, week: dt.date) -> dt.date | None:
        return max((date for date in self.dates if monday(date) == week), default=None)

    def counts_to(self, week: dt.date, until: dt.date) -> Counts:
        known = [date for date in self.dates if week <= date <= until]
        return self.dates[max(known)] if known else NOTHING

    def week_before(self, week: dt.date) -> dt.date | None:
        """The last week before with an event or an inventory."""
        known = [each for each, stock in zip(MONDAYS, self.stock, strict=True) if stock or self.last_date(each)]
        return max((each for each in known if each < week), default=None)

    def is_complete(self, week: dt.date, today: dt.date) -> bool:
        stock = self.stock[MONDAYS.index(week)]
        if any(least is not None for least, _is_complete in stock):
            return any(is_complete for _least, is_complete in stock)
        return today >= week + WEEK

    def spans(self, today: dt.date) -> Iterable[tuple[dt.date, str, dt.date, dt.date | None, Counts, Counts | None]]:
        """Each week and period, the last dates counted in it and before, and the counts."""
        for week in MONDAYS:
            sunday, before, last = week + 6 * DAY, self.week_before(week), self.last_date(week)
            until = None if before is None else before + 6 * DAY
            whole = self.whole[MONDAYS.index(week)]
            whole_before = None if before is None else self.whole[MONDAYS.index(before)]
            yield week, UNTIL_WEEK, sunday, until, whole, whole_before
            if before is not None and last is not None and not self.is_complete(week, today):
                until = last - (week - before)
            then = None if before is None or until is None else self.counts_to(before, until)
            yield week, THE_WEEK, sunday, until, self.counts_to(week, sunday), then
            over = sunday if today > sunday else min([today, max(self.dates, default=today)]) - DAY
            if over >= week and week > MONDAYS[0]:
                counts = self.counts_to(week, over), self.counts_to(week - WEEK, over - WEEK)
                yield week, WHOLE_DAYS, over, over - WEEK, *counts

    def expected(self, store: tuple[str, ...], today: dt.date) -> dict[tuple[str, str, str], list[Any]]:
        return {
            (str(week), period, stage): [
                *expected_stage(store, stage, until, until_before, counted(now), before and counted(before))
            ]
            for week, period, until, until_before, now, before in self.spans(today)
            for stage in STAGES
        }


def expected_stage(
    store: tuple[str, ...], stage: str, until: dt.date, until_before: dt.date | None, now: Row, before: Row | None
) -> Iterable[Any]:
    earlier = store[store.index(stage) - 1] if stage in store[1:] else None
    came, had = (now[earlier] if earlier else None), (before or {}).get(stage)
    sessions, views, views_before = now[stage], now["page_view"], (before or {}).get("page_view")
    yield from (earlier, str(until), until_before and str(until_before), sessions)
    yield from (less(came, sessions), over_whole(less(came, sessions), came), over_whole(sessions, came))
    yield over_whole(sessions, views)
    yield from wilson(sessions, views) or (None, None)
    yield from (had, less(sessions, had), over_whole(less(sessions, had), had))
    yield less(over_whole(sessions, views), over_whole(had, views_before))
    yield from (None, None) if had is None else newcombe(sessions, views, had, views_before or 0) or (None, None)
    yield None if had is None else less(percent(sessions, views), percent(had, views_before or 0))


def monday(date: dt.date) -> dt.date:
    return date - DAY * date.weekday()


@st.composite
def stores(draw: st.DrawFn) -> Store:
    some = st.tuples(*[st.integers(0, 9)] * 4)
    dates: dict[dt.date, Counts] = {}
    for week in MONDAYS:
        so_far: Counts = NOTHING
        for date in sorted(draw(st.sets(st.sampled_from([week + DAY * number for number in range(7)]), max_size=5))):
            so_far = tuple(sum(each) for each in zip(so_far, draw(some), strict=True))
            dates[date] = so_far
    whole = [tuple(draw(st.integers(0, 200)) for _stage in STAGES) for _week in MONDAYS]
    product = st.tuples(st.none() | st.integers(0, 2), st.booleans())
    return Store(dates, whole, [draw(st.lists(product, max_size=2)) for _week in MONDAYS])


@over(store=stores(), stages_of=st.sampled_from(STORES), today=st.sampled_from(TODAYS))
def test_stages_are_those_of_the_reference(store: Store, stages_of: tuple[str, ...], today: dt.date) -> None:
    expected = store.expected(stages_of, today)
    for engine in (ENGINE, DATAFUSION):
        found = store.rows(stages_of, today, engine)
        assert found.keys() == expected.keys()
        for key, row in found.items():
            assert [row[name] for name in STAGE_COLUMNS] == pytest.approx(expected[key], abs=1e-12), key


@over(counts=st.lists(st.tuples(st.integers(0, 90), st.integers(0, 60)), max_size=6))
def test_purchase_rates_are_those_of_the_reference(counts: list[tuple[int, int]]) -> None:
    given = [
        {"week_start_date": MONDAYS[0], "product_id": f"p{number}", "product_name": "P", "page_view": views}
        | {"checkout": bought}
        for number, (views, bought) in enumerate(counts)
    ]
    average = over_whole(sum(bought for _views, bought in counts), sum(views for views, _bought in counts))
    for engine in (ENGINE, DATAFUSION):
        found = engine.rows("purchase_rate_by_product_week", PURCHASES, funnel_by_product_week=given)
        columns = ("rate", "rate_low", "rate_high", "store_rate", "is_ranked", "against_store")
        for (views, bought), row in zip(counts, picked(found, *columns), strict=True):
            bounds = wilson(bought, views)
            said = None
            if bounds and average is not None and views >= FEWEST_VIEWS:
                said = "above" if bounds[0] > average else "below" if bounds[1] < average else "cannot tell"
            expected = [over_whole(bought, views), *(bounds or (None, None)), average, views >= FEWEST_VIEWS, said]
            assert list(row) == pytest.approx(expected, abs=1e-12)


# From Newcombe, Statistics in Medicine 17 (1998), 857-872 and 873-890, methods 3 and 10.
@pytest.mark.parametrize(
    ("part", "whole", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_is_as_published(part: int, whole: int, low: float, high: float) -> None:
    [week, *_later] = compared((whole, 0, part, 0), NOTHING)
    assert (week["overall_low"], week["overall_high"]) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize(
    ("now", "before", "low", "high"),
    [((56, 70), (48, 80), 0.0524, 0.3339), ((9, 10), (3, 10), 0.1705, 0.8090), ((10, 10), (0, 10), 0.6075, 1.0)],
)
def test_newcombe_is_as_published(now: tuple[int, int], before: tuple[int, int], low: float, high: float) -> None:
    [_first, week] = compared((before[1], 0, before[0], 0), (now[1], 0, now[0], 0))
    assert (week["overall_change_low"], week["overall_change_high"]) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize(("part", "whole"), [(0, 0), (3, 2)])
def test_no_interval_of_what_is_no_share(part: int, whole: int) -> None:
    [first, week] = compared((2, 0, 1, 0), (whole, 0, part, 0))
    assert first["overall_low"] is not None
    assert (week["overall_low"], week["overall_high"]) == (None, None)
    assert (week["overall_change_low"], week["overall_change_high"]) == (None, None)


def compared(*weeks: Counts) -> list[Row]:
    """The checkouts of the first weeks, each compared with the week before."""
    store = Store(dict(zip(MONDAYS, weeks, strict=False)), [NOTHING] * 4, [[]] * 4)
    rows = store.rows(STAGES, TODAYS[0])
    return [rows[str(week), THE_WEEK, "checkout"] for week, _counts in zip(MONDAYS, weeks, strict=False)]
