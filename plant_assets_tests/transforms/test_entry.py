"""The closed funnel by entry date: by hand, and over random stores against a plain reference in Python."""

import datetime as dt
import functools
from itertools import pairwise
from typing import Any

import ibis
import pytest
from hypothesis import strategies as st

from plant_assets.calendar import Calendar
from plant_assets.contracts import RATES, STAGES
from plant_assets.transforms.entry import LATER, first_touched, funnel_by_entry_date
from plant_assets.transforms.events import session_days
from plant_assets.transforms.orders import order_events
from plant_assets_tests.support.engines import ENGINE, Row, frame, over, picked, table

pytestmark = pytest.mark.usefixtures("each_engine")

CALENDAR = Calendar("America/New_York")
OFFSETS = CALENDAR.offsets(dt.datetime(2021, 1, 1), dt.datetime(2021, 6, 1))
NOON = dt.datetime(2021, 3, 2, 17)
HOUR, DAY = dt.timedelta(hours=1), dt.timedelta(days=1)
EVENTS, ORDER_EVENTS, DAYS = table("raw_events"), table("int_order_events"), table("int_session_days")
SESSION_DAYS, OF_ORDERS = session_days(EVENTS, OFFSETS), order_events(EVENTS)
VIEW, CART, CHECKOUT, SHIPPED = STAGES


@functools.cache
def funnel(
    stages: tuple[str, ...] = STAGES,
    limit: int = 7,
    mature_before: dt.date | None = None,
    since: dt.date | None = None,
) -> ibis.Table:
    return funnel_by_entry_date(EVENTS, ORDER_EVENTS, DAYS, stages, limit, mature_before, OFFSETS, since)


def derived(events: list[Row]) -> dict[str, list[Row]]:
    return {
        "raw_events": events,
        "int_order_events": ENGINE.rows("int_order_events", OF_ORDERS, raw_events=events),
        "int_session_days": ENGINE.rows("int_session_days", SESSION_DAYS, raw_events=events),
    }


def by_date(events: list[Row], **how: Any) -> list[Row]:
    return ENGINE.rows("funnel_by_entry_date", funnel(**how), **derived(events))


def session(session_id: str, *events: tuple[str, float] | tuple[str, float, str | None]) -> list[Row]:
    """Events of a session: a stage, hours after NOON, and the order."""
    return [
        {
            "event_id": f"{session_id}/{number}",
            "session_id": session_id,
            "event_type": stage,
            "created_at": str(NOON + hours * HOUR),
            "order_id": order[0] if order else None,
        }
        for number, (stage, hours, *order) in enumerate(events)
    ]


def reached(row: Row) -> list[int]:
    return [row[stage] for stage in STAGES]


def test_each_stage_is_sought_after_the_one_before_it() -> None:
    in_turn = session("s1", (VIEW, 0), (CART, 0), (CHECKOUT, 0, "o1"), (SHIPPED, 0, "o1"))
    # The cart comes first, then again; the checkout only before the second cart.
    out_of_turn = session("s2", (CART, 0), (VIEW, 1), (CHECKOUT, 2, "o2"), (CART, 3), (SHIPPED, 4, "o2"))
    [row] = by_date([*in_turn, *out_of_turn])
    assert reached(row) == [2, 2, 1, 1]
    assert picked([row], "entry_date", *RATES) == [("2021-03-02", 100, 100, 50, 50)]
    assert [row[f"any_{stage}"] for stage in LATER] == [2, 2, 2]
    assert [row[f"skipped_{stage}"] for stage in LATER] == [0, 1, 1]


def test_a_session_counts_on_the_date_of_its_first_view() -> None:
    rows = by_date(session("s1", (CART, -30), (VIEW, 0), (VIEW, 24), (CART, 25)))
    assert picked(rows, "entry_date", "page_view", "add_to_cart", "any_add_to_cart", "last_event_date") == [
        ("2021-03-02", 1, 1, 1, "2021-03-03")
    ]


def test_sessions_without_a_view_have_a_row_without_a_date() -> None:
    rows = by_date(
        [*session("s1", (CART, 0), (CHECKOUT, 1, "o1")), *session("s2", ("wish", 0)), *session("s3", (VIEW, 0))]
    )
    columns = ("entry_date", *STAGES, "purchase_rate", "any_add_to_cart", "skipped_checkout", "is_mature")
    assert picked(rows, *columns) == [
        (None, 0, 0, 0, 0, None, 1, 1, None),
        ("2021-03-02", 1, 0, 0, 0, 0, 0, 0, False),
    ]


@pytest.mark.parametrize(
    ("hours", "shipped", "late"), [(2, 1, 0), (2 + 7 * 24, 1, 0), (2 + 7 * 24 + 1 / 3600, 0, 1), (1, 0, 0)]
)
def test_a_shipment_counts_from_its_checkout_to_the_limit(hours: float, shipped: int, late: int) -> None:
    events = session("s1", (VIEW, 0), (CART, 1), (CHECKOUT, 2, "o1"), (SHIPPED, hours, "o1"))
    [row] = by_date(events)
    assert picked([row], SHIPPED, "late_package_shipped") == [(shipped, late)]
    assert row["skipped_package_shipped"] == 1 - shipped - late


def test_a_shipment_is_found_by_its_order_in_any_session_else_by_the_session() -> None:
    bought = (VIEW, 0), (CART, 1), (CHECKOUT, 2, "o1")
    elsewhere = session("s2", (SHIPPED, 30, "o1"))
    [of_none, row] = by_date([*session("s1", *bought), *elsewhere])
    assert (row[SHIPPED], row["any_package_shipped"], row["last_event_date"]) == (1, 0, "2021-03-03")
    assert (of_none["entry_date"], of_none["skipped_package_shipped"]) == (None, 1)
    # Another order's shipment is none of this one; one without an order is, and so is any for a checkout without one.
    assert by_date(session("s1", *bought, (SHIPPED, 3, "o2")))[0][SHIPPED] == 0
    assert by_date(session("s1", *bought, (SHIPPED, 3)))[0][SHIPPED] == 1
    assert by_date(session("s1", *bought[:2], (CHECKOUT, 2), (SHIPPED, 3, "o2")))[0][SHIPPED] == 1


def test_an_order_that_was_checked_out_before_the_cart_is_none_of_the_funnel() -> None:
    events = session(
        "s1", (VIEW, 0), (CHECKOUT, 1, "o1"), (CART, 2), (CHECKOUT, 3, "o2"), (SHIPPED, 4, "o1"), (SHIPPED, 200, "o2")
    )
    [row] = by_date(events)
    assert (reached(row), row["late_package_shipped"]) == ([1, 1, 1, 0], 1)


@pytest.mark.parametrize(
    ("stages", "counts"),
    [
        ((VIEW, CHECKOUT, SHIPPED), [1, 0, 1, 1]),
        ((VIEW, CART, SHIPPED), [1, 1, 0, 1]),
        ((VIEW, SHIPPED), [1, 0, 0, 1]),
        ((VIEW, CART, CHECKOUT), [1, 1, 1, 0]),
    ],
)
def test_a_stage_that_the_store_lacks_is_passed_over(stages: tuple[str, ...], counts: list[int]) -> None:
    every = (VIEW, 0), (CART, 1), (CHECKOUT, 2, "o1"), (SHIPPED, 3, "o1")
    [row] = by_date(session("s1", *(each for each in every if each[0] in stages)), stages=stages)
    assert reached(row) == counts


def test_hours_are_told_of_mature_dates_with_enough_sessions() -> None:
    events = [
        event
        for number in range(20)
        for event in session(f"s{number}", (VIEW, 0), (CART, number), *[(CHECKOUT, number + 2.5)] * (number < 5))
    ]
    [row] = by_date(events, mature_before=dt.date(2021, 3, 3))
    assert row["is_mature"]
    assert (row["median_hours_to_add_to_cart"], row["median_hours_to_checkout"]) == (9.5, 2.5)
    assert row["p90_hours_to_add_to_cart"] == pytest.approx(17.1)
    assert (row["p90_hours_to_checkout"], row["median_hours_to_package_shipped"]) == (None, None)
    [row] = by_date(events, mature_before=dt.date(2021, 3, 2))
    assert (row["is_mature"], row["median_hours_to_add_to_cart"]) == (False, None)


@st.composite
def stores(draw: st.DrawFn) -> list[Row]:
    event = st.tuples(
        st.sampled_from([*STAGES, *STAGES, "wish"]),
        st.sampled_from([0, 1, 11, 24, 7 * 24, 8 * 24, 15 * 24]),
        st.sampled_from([None, "o1", "o2", "o3"]),
    )
    events = []
    for number in range(draw(st.integers(1, 4))):
        events += session(f"s{number}", *draw(st.lists(event, max_size=6)))
    return events


def expected(events: list[Row], stages: tuple[str, ...], limit: int, mature_before: dt.date) -> list[Row]:
    """The rows of a walk over the sessions."""
    told: dict[str | None, list[Row]] = {}
    for session_id in sorted({row["session_id"] for row in events}):
        mine = [row for row in events if row["session_id"] == session_id]
        found = walked(mine, events, stages, limit)
        date = str(CALENDAR.date_of(found[VIEW])) if found.get(VIEW) else None
        told.setdefault(date, []).append(found | {"own": {row["event_type"] for row in mine}})
    return [
        row_of(date, told[date], stages, bool(date and dt.date.fromisoformat(date) < mature_before))
        for date in sorted(told, key=lambda date: date or "")
    ]


def walked(mine: list[Row], events: list[Row], stages: tuple[str, ...], limit: int) -> dict[str, Any]:
    """The instant at which each stage was reached in turn, and whether a shipment came too late."""
    found: dict[str, Any] = {}
    at = dt.datetime(2000, 1, 1)
    sought: dict[str | None, dt.datetime] = {}
    for stage in (VIEW, CART, CHECKOUT):
        if stage not in stages:
            continue
        later = [row for row in mine if row["event_type"] == stage and _at(row) >= at]
        if not later:
            return found
        at = found[stage] = min(map(_at, later))
        if stage == CHECKOUT:
            for row in later:
                sought[row["order_id"]] = min(_at(row), sought.get(row["order_id"], _at(row)))
    sought = sought if CHECKOUT in stages else {None: at}
    waits = []
    for row in events if SHIPPED in stages else ():
        for order_id, since in sought.items():
            is_same = row["order_id"] == order_id
            if not (row["order_id"] and order_id):
                is_same = row["session_id"] == mine[0]["session_id"]
            if row["event_type"] == SHIPPED and is_same:
                waits.append((_at(row), _at(row) - since))
    in_time = [at for at, wait in waits if dt.timedelta() <= wait <= limit * DAY]
    if in_time:
        found[SHIPPED] = min(in_time)
    found["is_late"] = not in_time and any(wait > limit * DAY for _at, wait in waits)
    return found


def _at(row: Row) -> dt.datetime:
    return dt.datetime.fromisoformat(row["created_at"])


def row_of(date: str | None, sessions: list[Row], stages: tuple[str, ...], is_mature: bool) -> Row:
    counts = {stage: sum(stage in each for each in sessions) for stage in STAGES}
    own = {f"any_{stage}": sum(stage in each["own"] for each in sessions) for stage in LATER}
    late = sum(each.get("is_late", False) for each in sessions)
    skipped = {
        f"skipped_{stage}": sum(
            stage in each["own"] and stage not in each and not (stage == SHIPPED and each.get("is_late"))
            for each in sessions
        )
        for stage in LATER
    }
    hours: dict[str, float | None] = {}
    before = {end: start for start, end in pairwise(stage for stage in STAGES if stage in stages)}
    for stage in LATER:
        waits = sorted((each[stage] - each[before[stage]]) / HOUR for each in sessions if stage in each)
        hours[f"median_hours_to_{stage}"] = median(waits) if is_mature and len(waits) > 4 else None
    views = counts[VIEW]
    rates = {
        rate: (200 * counts[stage] + views) // (2 * views) if views else None
        for rate, stage in zip(RATES, STAGES, strict=True)
    }
    kept = {"late_package_shipped": late, "is_mature": is_mature if date else None}
    return {"entry_date": date, **counts, **rates, **own, **skipped, **kept, **hours}


def median(values: list[float]) -> float:
    half = len(values) // 2
    return values[half] if len(values) % 2 else (values[half - 1] + values[half]) / 2


WITHOUT_ONE = [STAGES, (VIEW, CHECKOUT, SHIPPED), (VIEW, CART, SHIPPED), (VIEW, CART, CHECKOUT)]


@over(events=stores(), stages=st.sampled_from(WITHOUT_ONE), limit=st.sampled_from([0, 7]))
def test_rows_are_those_of_a_walk_over_the_sessions(events: list[Row], stages: tuple[str, ...], limit: int) -> None:
    events = [row for row in events if row["event_type"] in (*stages, "wish")]
    mature_before = dt.date(2021, 3, 4)
    found = by_date(events, stages=stages, limit=limit, mature_before=mature_before)
    wanted = expected(events, stages, limit, mature_before)
    assert [{name: row[name] for name in wanted[0]} for row in found] == wanted if wanted else not found


@over(events=stores())
def test_any_is_reached_or_skipped_and_no_rate_exceeds_100(events: list[Row]) -> None:
    for row in by_date(events):
        for stage in (CART, CHECKOUT):
            assert row[f"any_{stage}"] == row[stage] + row[f"skipped_{stage}"]
        assert row[VIEW] >= row[CART] >= row[CHECKOUT] >= row[SHIPPED]


@over(events=stores(), number=st.integers(1, 20))
def test_dates_counted_again_are_those_of_a_count_from_nothing(events: list[Row], number: int) -> None:
    since = (NOON + number * DAY).date()
    again, whole = by_date(events, since=since), by_date(events)
    assert again == [row for row in whole if row["entry_date"] is None or row["entry_date"] >= str(since)]


TOUCHED = first_touched(DAYS, ORDER_EVENTS, dt.date(2021, 3, 8), CALENDAR.starts_at(dt.date(2021, 3, 8)))


def touched(events: list[Row]) -> str | None:
    given = {name: frame(name, rows) for name, rows in derived(events).items()}
    [row] = ENGINE.run(TOUCHED, given).to_pylist()
    return row["event_date"] and str(row["event_date"])


def test_an_event_bears_on_the_entry_date_of_its_session_and_of_its_order() -> None:
    bought = session("s1", (VIEW, 0), (CART, 1), (CHECKOUT, 2, "o1"))
    assert touched(bought) is None
    assert touched([*bought, *session("s2", (SHIPPED, 20 * 24, "o1"))]) == "2021-03-02"
    assert touched([*bought, *session("s2", (SHIPPED, 20 * 24, "o2"))]) is None
    assert touched([*session("s1", (CART, -24), (VIEW, 24), ("wish", 20 * 24))]) == "2021-03-03"
