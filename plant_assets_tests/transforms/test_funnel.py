"""The open funnel: counts and whole-percent rates, over everything, by date and by product, and its steps."""

import datetime as dt
from collections.abc import Sequence
from typing import Any

import ibis
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import strategies as st

from plant_assets.contracts import RATES, STAGES, TABLES
from plant_assets.transforms.funnel import (
    funnel_by_date,
    funnel_by_product,
    funnel_by_product_week,
    funnel_by_week,
    funnel_to_date,
    funnel_weeks,
    of_portion,
    product_funnel_repeats,
    product_funnel_weeks,
    recent_and_earlier,
    spanning_sessions,
    summed_weeks,
    whole_funnel,
    whole_percent,
)
from plant_assets.transforms.steps import funnel_steps
from plant_assets_tests.support.engines import ENGINE, Row, frame, over, picked, table

pytestmark = pytest.mark.usefixtures("each_engine")

WHOLE = whole_funnel(funnel_weeks(table("int_session_days")))
BY_DATE = funnel_by_date(table("int_session_days"))
SHARES = ibis.table({"part": "int64", "whole": "int64"}, name="shares")
PERCENT = SHARES.select(percent=whole_percent(SHARES.part, SHARES.whole))
VERSIONS = table("product_snapshots")
BY_PRODUCT = funnel_by_product(product_funnel_weeks(table("int_events"), VERSIONS), VERSIONS)


def reached(session_id: str, event_date: str, *stages: str) -> Row:
    """A session day with these stages."""
    return {"session_id": session_id, "event_date": event_date, **{stage: stage in stages for stage in STAGES}}


def whole(*session_days: Row) -> Row:
    (row,) = ENGINE.rows("funnel", WHOLE, int_session_days=session_days)
    return row


def by_date(*session_days: Row) -> list[Row]:
    return ENGINE.rows("funnel_by_date", BY_DATE, int_session_days=session_days)


def sessions(count: int, *stages: str) -> list[Row]:
    """This many sessions that reached these stages on one date."""
    return [reached(f"{'-'.join(stages)}-{number}", "2021-02-10", *stages) for number in range(count)]


def staged(session_id: str, event_type: str, product_id: str | None = None, event_date: str = "2021-02-10") -> Row:
    """A row of int_events."""
    return {
        "session_id": session_id,
        "created_at": f"{event_date} 12:00:00",
        "event_date": event_date,
        "event_type": event_type,
        "session_step": STAGES.index(event_type) + 1 if event_type in STAGES else None,
        "product_id": product_id,
    }


def version(product_id: str, name: str | None, valid_from: str = "2021-02-01", valid_to: str | None = None) -> Row:
    return {"product_id": product_id, "name": name, "valid_from": valid_from, "valid_to": valid_to}


FERN, MOSS = version("fern", "Fern"), version("moss", "Moss")


def by_product(events: Sequence[Row], versions: Sequence[Row] = (FERN, MOSS)) -> list[Row]:
    return ENGINE.rows("funnel_by_product", BY_PRODUCT, int_events=events, product_snapshots=versions)


def steps(*counts: int) -> pd.DataFrame:
    """The steps of a funnel with these four counts, its rates computed as the contract says."""
    rates = [(200 * count + counts[0]) // (2 * counts[0]) if counts[0] else None for count in counts]
    values: dict[str, Any] = dict(zip(STAGES + RATES, [*counts, *rates], strict=True))
    return funnel_steps(pd.DataFrame([values]))


@pytest.mark.parametrize(
    ("part", "of", "percent"),
    [
        (1, 200, 1),  # 0.5
        (1, 201, 0),
        (1, 40, 3),  # 2.5, to even it would be 2
        (1, 8, 13),  # 12.5, to even it would be 12
        (5, 8, 63),  # 62.5, to even it would be 62
        (7, 8, 88),  # 87.5
        (29, 50, 58),  # 0.58 * 100 is 57.99999999999999 in floating point
        (1, 3, 33),
        (2, 3, 67),
        (199, 200, 100),  # 99.5
        (0, 5, 0),
        (5, 5, 100),
        (3, 2, 150),
        (9, 8, 113),  # 112.5
        (467, 578, 81),
        (361, 578, 62),
        (335, 578, 58),
        (1_000_000_001, 200_000_000_000, 1),  # just over a half
        (999_999_999, 200_000_000_000, 0),  # just under it
        (5, 0, None),
        (0, 0, None),
    ],
)
def test_a_rate_is_a_whole_percent_with_halves_away_from_zero(part: int, of: int, percent: int | None) -> None:
    answer = ENGINE.run(PERCENT, {"shares": pa.table({"part": [part], "whole": [of]})})
    assert answer.to_pylist() == [{"percent": percent}]


def test_each_rate_is_its_stages_share_of_page_views() -> None:
    row = whole(
        *sessions(8, "page_view"),
        *sessions(5, "add_to_cart"),
        *sessions(3, "checkout"),
        *sessions(1, "package_shipped"),
    )
    assert picked([row], *STAGES, *RATES) == [(8, 5, 3, 1, 100, 63, 38, 13)]


def test_a_session_over_two_dates_counts_once_in_the_whole() -> None:
    row = whole(reached("s1", "2021-02-10", "page_view"), reached("s1", "2021-02-11", "page_view", "checkout"))
    assert picked([row], "page_view", "checkout") == [(1, 1)]


def test_a_session_over_two_dates_counts_on_both() -> None:
    rows = by_date(reached("s1", "2021-02-10", "page_view"), reached("s1", "2021-02-11", "page_view", "checkout"))
    assert picked(rows, "event_date", "page_view", "checkout") == [("2021-02-10", 1, 0), ("2021-02-11", 1, 1)]


def test_the_funnel_is_open() -> None:
    row = whole(reached("s1", "2021-02-10", "checkout"), reached("s2", "2021-02-10", "page_view"))
    assert picked([row], "page_view", "add_to_cart", "checkout", "purchase_rate") == [(1, 0, 1, 100)]


def test_a_date_can_exceed_a_hundred_percent() -> None:
    rows = by_date(
        reached("s1", "2021-02-10", "page_view"),
        reached("s2", "2021-02-10", "checkout"),
        reached("s3", "2021-02-10", "checkout"),
    )
    assert picked(rows, "page_view", "checkout", "purchase_rate") == [(1, 2, 200)]


def test_a_date_without_page_views_has_null_rates() -> None:
    rows = by_date(reached("s1", "2021-02-12", "package_shipped"))
    assert picked(rows, *STAGES, *RATES) == [(0, 0, 0, 1, None, None, None, None)]


def test_a_date_with_no_stage_at_all_has_a_row_of_zeros() -> None:
    rows = by_date(reached("s1", "2021-02-12"))
    assert picked(rows, "event_date", *STAGES, *RATES) == [("2021-02-12", 0, 0, 0, 0, None, None, None, None)]


def test_an_empty_store_is_one_row_of_zeros_with_null_rates() -> None:
    assert picked([whole()], *STAGES, *RATES) == [(0, 0, 0, 0, None, None, None, None)]


def test_an_empty_store_has_no_dates_and_no_products() -> None:
    assert by_date() == []
    assert by_product([]) == []


def test_a_session_counts_in_the_first_week_of_each_stage() -> None:
    days = [reached("s1", "2021-02-14", "page_view"), reached("s1", "2021-02-15", "page_view", "checkout")]
    rows = ENGINE.rows("int_funnel_weeks", funnel_weeks(table("int_session_days")), int_session_days=days)
    assert picked(rows, "week_start_date", "page_view", "checkout") == [("2021-02-08", 1, 0), ("2021-02-15", 0, 1)]


# Few sessions over three weeks, so that most are in more than one.
MANY_DAYS = st.lists(
    st.builds(
        lambda session, day, stages: reached(session, str(dt.date(2021, 2, 8) + dt.timedelta(days=day)), *stages),
        st.sampled_from("abc"),
        st.integers(0, 20),
        st.lists(st.sampled_from(STAGES), unique=True),
    ),
    max_size=12,
    unique_by=lambda row: (row["session_id"], row["event_date"]),
)
MONDAYS = [dt.date(2021, 2, 8), dt.date(2021, 2, 15), dt.date(2021, 3, 1)]
DAYS, EVENTS = table("int_session_days"), table("int_events")
WEEKS, PRODUCT_WEEKS = funnel_weeks(DAYS), product_funnel_weeks(EVENTS, VERSIONS)
# By the week since which all is counted anew.
WEEKS_SINCE = {since: funnel_weeks(DAYS, since) for since in MONDAYS}
DATES_SINCE = {since: funnel_by_date(DAYS, since) for since in MONDAYS}
PRODUCT_WEEKS_SINCE = {
    since: product_funnel_weeks(recent, VERSIONS, earlier)
    for since in MONDAYS
    for recent, earlier in [recent_and_earlier(EVENTS, dt.datetime(2021, 2, 8), dt.datetime.combine(since, dt.time()))]
}


def merged(name: str, before: list[Row], rows: list[Row], since: dt.date) -> list[Row]:
    """A table of which the rows from `since` on are exchanged."""
    column = TABLES[name].key[0]
    assert all(row[column] >= str(since) for row in rows)
    both = [row for row in before if row[column] < str(since)] + rows
    return sorted(both, key=lambda row: [row[key] for key in TABLES[name].key])


@over(days=MANY_DAYS)
def test_first_weeks_add_up_to_the_distinct_sessions(days: list[Row]) -> None:
    distinct = {stage: len({row["session_id"] for row in days if row[stage]}) for stage in STAGES}
    assert {stage: whole(*days)[stage] for stage in STAGES} == distinct


@over(old=MANY_DAYS, new=MANY_DAYS, since=st.sampled_from(MONDAYS))
def test_weeks_from_the_first_changed_one_on_are_all_that_is_counted_anew(
    old: list[Row], new: list[Row], since: dt.date
) -> None:
    stays = [row for row in old if row["event_date"] < str(since)]
    changed = stays + [row for row in new if row["event_date"] >= str(since)]
    for name, anew, counted in (
        ("int_funnel_weeks", WEEKS, WEEKS_SINCE[since]),
        ("funnel_by_date", BY_DATE, DATES_SINCE[since]),
    ):
        rows = ENGINE.rows(name, counted, int_session_days=changed)
        assert merged(name, ENGINE.rows(name, anew, int_session_days=old), rows, since) == ENGINE.rows(
            name, anew, int_session_days=changed
        )


MANY_EVENTS = st.lists(
    st.builds(
        lambda session, day, stage, product: staged(
            session, stage, product, str(dt.date(2021, 2, 8) + dt.timedelta(days=day))
        ),
        st.sampled_from("abc"),
        st.integers(0, 20),
        st.sampled_from(STAGES),
        st.sampled_from(["fern", "moss", "weed", None]),
    ),
    max_size=12,
)


@over(old=MANY_EVENTS, new=MANY_EVENTS, since=st.sampled_from(MONDAYS))
def test_products_are_counted_anew_from_the_first_changed_week_on(
    old: list[Row], new: list[Row], since: dt.date
) -> None:
    name, versions = "int_product_funnel_weeks", [FERN, MOSS]
    stays = [row for row in old if row["event_date"] < str(since)]
    changed = stays + [row for row in new if row["event_date"] >= str(since)]
    before = ENGINE.rows(name, PRODUCT_WEEKS, int_events=old, product_snapshots=versions)
    expected = ENGINE.rows(name, PRODUCT_WEEKS, int_events=changed, product_snapshots=versions)
    rows = ENGINE.rows(name, PRODUCT_WEEKS_SINCE[since], int_events=changed, product_snapshots=versions)
    assert merged(name, before, rows, since) == expected
    distinct = {(row["session_id"], row["product_id"]) for row in changed if row["event_type"] == "checkout"}
    counted = {row["product_id"]: row["checkout"] for row in by_product(changed)}
    for product in ("fern", "moss"):
        assert counted.get(product, 0) == sum(seen == product for _session, seen in distinct)


TO_DATE, BY_WEEK = funnel_to_date(DAYS), funnel_by_week(table("funnel_to_date"))
SPANNING = {since: EVENTS.semi_join(spanning_sessions(DAYS, since), "session_id") for since in [None, *MONDAYS]}
REPEATS = {since: product_funnel_repeats(SPANNING[since], VERSIONS, since) for since in SPANNING}
TO_DATE_SINCE = {since: funnel_to_date(DAYS, since) for since in MONDAYS}
BY_PRODUCT_WEEK = funnel_by_product_week(
    table("int_product_funnel_weeks"), table("int_product_funnel_repeats"), VERSIONS
)


def monday_of(date: str) -> str:
    day = dt.date.fromisoformat(date)
    return str(day - dt.timedelta(days=day.weekday()))


def days_of(events: Sequence[Row]) -> list[Row]:
    """The session days of rows of int_events."""
    reached_by: dict[tuple[str, str], set[str]] = {}
    for row in events:
        reached_by.setdefault((row["session_id"], row["event_date"]), set()).add(row["event_type"])
    return [reached(session, date, *sorted(stages)) for (session, date), stages in sorted(reached_by.items())]


def test_a_week_up_to_a_date_counts_a_session_once() -> None:
    days = [
        reached("s1", "2021-02-08", "page_view"),
        reached("s1", "2021-02-10", "page_view", "checkout"),
        reached("s2", "2021-02-10", "page_view"),
        # Another week: it counts again.
        reached("s1", "2021-02-15", "page_view"),
        # A date on which nobody reached any stage.
        reached("s2", "2021-02-16"),
    ]
    rows = ENGINE.rows("funnel_to_date", TO_DATE, int_session_days=days)
    assert picked(rows, "event_date", "week_start_date", "page_view", "checkout", "purchase_rate") == [
        ("2021-02-08", "2021-02-08", 1, 0, 0),
        ("2021-02-10", "2021-02-08", 2, 1, 50),
        ("2021-02-15", "2021-02-15", 1, 0, 0),
        ("2021-02-16", "2021-02-15", 1, 0, 0),
    ]
    weeks = ENGINE.rows("funnel_by_week", BY_WEEK, funnel_to_date=rows)
    assert picked(weeks, "week_start_date", "page_view", "checkout") == [("2021-02-08", 2, 1), ("2021-02-15", 1, 0)]


@over(old=MANY_DAYS, new=MANY_DAYS, since=st.sampled_from(MONDAYS))
def test_weeks_up_to_a_date_are_the_distinct_sessions(old: list[Row], new: list[Row], since: dt.date) -> None:
    stays = [row for row in old if row["event_date"] < str(since)]
    changed = stays + [row for row in new if row["event_date"] >= str(since)]
    rows = ENGINE.rows("funnel_to_date", TO_DATE, int_session_days=changed)
    expected = [
        tuple(
            len({row["session_id"] for row in changed if row[stage] and monday_of(date) <= row["event_date"] <= date})
            for stage in STAGES
        )
        for date in sorted({row["event_date"] for row in changed})
    ]
    assert picked(rows, *STAGES) == expected
    before = ENGINE.rows("funnel_to_date", TO_DATE, int_session_days=old)
    anew = ENGINE.rows("funnel_to_date", TO_DATE_SINCE[since], int_session_days=changed)
    assert merged("funnel_to_date", before, anew, since) == rows


def repeats(events: Sequence[Row], since: dt.date | None = None) -> list[Row]:
    return ENGINE.rows(
        "int_product_funnel_repeats",
        REPEATS[since],
        int_events=events,
        int_session_days=days_of(events),
        product_snapshots=[FERN, MOSS],
    )


def by_product_week(events: Sequence[Row]) -> list[Row]:
    versions = [FERN, MOSS]
    firsts = ENGINE.rows("int_product_funnel_weeks", PRODUCT_WEEKS, int_events=events, product_snapshots=versions)
    return ENGINE.rows(
        "funnel_by_product_week",
        BY_PRODUCT_WEEK,
        int_product_funnel_weeks=firsts,
        int_product_funnel_repeats=repeats(events),
        product_snapshots=versions,
    )


def test_a_product_of_two_weeks_counts_in_both() -> None:
    events = [
        staged("s1", "page_view", "fern", "2021-02-14"),
        staged("s1", "page_view", "fern", "2021-02-15"),
        # Not again: another product, and another stage.
        staged("s1", "page_view", "moss", "2021-02-15"),
        staged("s1", "checkout", "fern", "2021-02-15"),
    ]
    assert picked(repeats(events), "week_start_date", "product_id", *STAGES) == [("2021-02-15", "fern", 1, 0, 0, 0)]
    assert picked(by_product_week(events), "week_start_date", "product_name", "page_view", "checkout") == [
        ("2021-02-08", "Fern", 1, 0),
        ("2021-02-15", "Fern", 1, 1),
        ("2021-02-15", "Moss", 1, 0),
    ]


@over(old=MANY_EVENTS, new=MANY_EVENTS, since=st.sampled_from(MONDAYS))
def test_a_week_of_a_product_is_its_distinct_sessions(old: list[Row], new: list[Row], since: dt.date) -> None:
    stays = [row for row in old if row["event_date"] < str(since)]
    changed = stays + [row for row in new if row["event_date"] >= str(since)]
    distinct: dict[tuple[str, str], dict[str, set[str]]] = {}
    for row in changed:
        product = row["product_id"] if row["product_id"] in ("fern", "moss") else "(unknown)"
        stages = distinct.setdefault((monday_of(row["event_date"]), product), {stage: set() for stage in STAGES})
        stages[row["event_type"]].add(row["session_id"])
    assert picked(by_product_week(changed), "week_start_date", "product_id", *STAGES) == [
        (*key, *(len(stages[stage]) for stage in STAGES)) for key, stages in sorted(distinct.items())
    ]
    assert merged("int_product_funnel_repeats", repeats(old), repeats(changed, since), since) == repeats(changed)


def test_a_product_counts_a_session_once() -> None:
    rows = by_product([staged("s1", "page_view", "fern"), staged("s1", "page_view", "fern")])
    assert picked(rows, "product_id", "page_view") == [("fern", 1)]


def test_a_session_counts_for_each_of_its_products() -> None:
    rows = by_product([staged("s1", "checkout", "fern"), staged("s1", "checkout", "moss")])
    assert picked(rows, "product_id", "checkout") == [("fern", 1), ("moss", 1)]


def test_a_products_rates_are_of_its_own_page_views() -> None:
    views = [staged(session, "page_view", "fern") for session in ("s1", "s2", "s3")]
    rows = by_product([*views, staged("s1", "add_to_cart", "fern"), staged("s2", "checkout", "moss")])
    assert picked(rows, "product_id", *RATES) == [("fern", 100, 33, 0, 0), ("moss", None, None, None, None)]


def test_null_and_unknown_products_are_in_one_row() -> None:
    rows = by_product(
        [
            staged("s1", "page_view", None),
            staged("s2", "page_view", "ghost"),
            staged("s3", "add_to_cart", "phantom"),
            staged("s4", "checkout", None),  # its order is unknown
        ]
    )
    assert picked(rows, "product_id", "product_name", "page_view", "add_to_cart", "checkout", "purchase_rate") == [
        ("(unknown)", "(unknown)", 2, 1, 1, 50)
    ]


def test_a_session_with_two_unknown_products_counts_once() -> None:
    rows = by_product([staged("s1", "page_view", "ghost"), staged("s1", "page_view", "phantom")])
    assert picked(rows, "product_id", "page_view") == [("(unknown)", 1)]


def test_a_store_without_observations_has_only_the_unknown() -> None:
    assert picked(by_product([staged("s1", "page_view", "fern")], []), "product_id", "page_view") == [("(unknown)", 1)]


def test_a_product_without_a_stage_event_has_no_row() -> None:
    rows = by_product([staged("s1", "page_view", "fern"), staged("s1", "wishlist", "moss")])
    assert picked(rows, "product_id") == ["fern"]


def test_an_event_that_is_no_stage_makes_no_unknown_row() -> None:
    assert by_product([staged("s1", "wishlist", None), staged("s1", "wishlist", "ghost")]) == []


def test_a_product_has_its_last_known_name_in_one_row() -> None:
    versions = [version("fern", "Fern", "2021-02-01", "2021-02-08"), version("fern", "Boston fern", "2021-02-08")]
    rows = by_product([staged("s1", "page_view", "fern")], versions)
    assert picked(rows, "product_id", "product_name", "page_view") == [("fern", "Boston fern", 1)]


def test_a_product_that_left_is_known() -> None:
    rows = by_product([staged("s1", "page_view", "fern")], [version("fern", "Fern", "2021-02-01", "2021-02-08")])
    assert picked(rows, "product_id", "product_name") == [("fern", "Fern")]


def test_a_known_product_without_any_name_is_not_the_unknown() -> None:
    rows = by_product([staged("s1", "page_view", "fern")], [version("fern", None)])
    assert picked(rows, "product_id", "page_view") == [("fern", 1)]


def test_steps_are_those_of_the_greenery_store() -> None:
    found = steps(578, 467, 361, 335)
    assert list(found[["from_stage", "to_stage"]].itertuples(index=False, name=None)) == [
        ("page_view", "add_to_cart"),
        ("add_to_cart", "checkout"),
        ("checkout", "package_shipped"),
    ]
    assert found["sessions_from"].tolist() == [578, 467, 361]
    assert found["sessions_to"].tolist() == [467, 361, 335]
    assert found["lost"].tolist() == [111, 106, 26]
    assert found["points_lost"].tolist() == [19, 19, 4]
    assert found["is_largest_by_count"].tolist() == [True, False, False]
    assert found["is_largest_by_rate"].tolist() == [False, True, False]


def test_step_and_overall_rates_are_unrounded_fractions() -> None:
    found = steps(9, 6, 4, 1)
    assert found["step_rate"].tolist() == [6 / 9, 4 / 6, 1 / 4]
    assert found["overall_rate"].tolist() == [6 / 9, 4 / 9, 1 / 9]


def test_points_lost_is_the_difference_of_rounded_rates() -> None:
    # 62.5 % and 37.5 % round to 63 and 38: 25 points, as 100 - 63 = 37.
    assert steps(8, 5, 3, 3)["points_lost"].tolist() == [37, 25, 0]


def test_a_step_of_an_open_funnel_may_lose_less_than_nothing() -> None:
    found = steps(10, 5, 8, 4)
    assert found["lost"].tolist() == [5, -3, 4]
    assert found["points_lost"].tolist() == [50, -30, 40]
    assert found["step_rate"].tolist() == [0.5, 1.6, 0.5]


def test_the_largest_loss_may_be_negative() -> None:
    assert steps(1, 3, 4, 9)["is_largest_by_count"].tolist() == [False, True, False]


def test_a_tie_by_count_marks_the_earlier_step() -> None:
    assert steps(10, 10, 7, 4)["is_largest_by_count"].tolist() == [False, True, False]


def test_a_tie_by_rate_marks_the_earlier_step() -> None:
    assert steps(9, 9, 3, 1)["is_largest_by_rate"].tolist() == [False, True, False]


def test_a_step_from_nothing_has_no_rate_and_is_passed_over() -> None:
    found = steps(10, 0, 4, 2)
    assert found["step_rate"].isna().tolist() == [False, True, False]
    assert found["is_largest_by_rate"].tolist() == [True, False, False]
    assert found["overall_rate"].tolist() == [0.0, 0.4, 0.2]


def test_without_page_views_overall_rates_and_points_are_null() -> None:
    found = steps(0, 4, 2, 1)
    assert found["overall_rate"].isna().all()
    assert found["points_lost"].isna().all()
    assert found["step_rate"].isna().tolist() == [True, False, False]
    assert found["is_largest_by_rate"].tolist() == [False, True, False]
    assert found["is_largest_by_count"].tolist() == [False, True, False]


def test_an_empty_store_has_three_steps_without_rates_and_the_first_largest_by_count() -> None:
    found = steps(0, 0, 0, 0)
    assert found["lost"].tolist() == [0, 0, 0]
    assert found["step_rate"].isna().all()
    assert found["is_largest_by_count"].tolist() == [True, False, False]
    assert found["is_largest_by_rate"].tolist() == [False, False, False]


def test_steps_follow_from_the_funnel_as_an_engine_gives_it() -> None:
    checkout = frame("int_session_days", [reached("s1", "2021-02-10", "checkout")])
    found = funnel_steps(ENGINE.run(WHOLE, {"int_session_days": checkout}).to_pandas())
    assert found["sessions_to"].tolist() == [0, 1, 0]
    assert found["points_lost"].isna().all()


@pytest.mark.parametrize("counts", [(578, 467, 361, 335), (0, 0, 0, 0), (10, 0, 4, 2)])
def test_steps_have_the_contracts_columns_and_types(counts: tuple[int, ...]) -> None:
    found = steps(*counts)
    assert found.columns.tolist() == TABLES["funnel_steps"].names
    kinds = {"string": "O", "int64": "i", "float64": "f", "boolean": "b"}
    assert [found[column.name].dtype.kind for column in TABLES["funnel_steps"].columns] == [
        kinds[column.type] for column in TABLES["funnel_steps"].columns
    ]


def test_portions_of_the_sessions_add_up_to_all() -> None:
    portions = [of_portion(EVENTS, number, 3) for number in range(3)]
    events = [
        staged(f"s{number}", stage, product, str(dt.date(2021, 2, 8) + dt.timedelta(days=number)))
        for number in range(20)
        for stage, product in (("page_view", "fern"), ("page_view", "weed"), ("checkout", "moss"))
    ]
    given = {"int_events": events, "product_snapshots": [FERN, MOSS]}
    summed = summed_weeks([product_funnel_weeks(portion, VERSIONS) for portion in portions])
    assert ENGINE.rows("int_product_funnel_weeks", summed, **given) == ENGINE.rows(
        "int_product_funnel_weeks", PRODUCT_WEEKS, **given
    )
    assert all(ENGINE.rows("int_events", portion, int_events=events) for portion in portions)
