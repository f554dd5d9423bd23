"""The state of a product's stock at an instant, by hand and against a plain reference over random stores."""

import datetime as dt

import pytest
from hypothesis import strategies as st

from plant_assets.transforms import stock_state as transforms
from plant_assets.transforms.snapshots import product_snapshots
from plant_assets_tests.support.engines import ENGINE, Row, over, picked, table
from plant_assets_tests.support.odd_rows import ABSENT, Seen, observed
from plant_assets_tests.support.sightings import INSTANTS, MAX_GAP, PRODUCTS, WEEKS, Sightings, sightings

pytestmark = pytest.mark.usefixtures("each_engine")

OBSERVATIONS, VERSIONS = table("raw_observations"), table("product_snapshots")
SNAPSHOTS = product_snapshots(table("raw_products"), OBSERVATIONS)
DAY = dt.timedelta(days=1)
SPARSE = {gap: transforms.stock_intervals(VERSIONS, OBSERVATIONS, gap) for gap in (DAY, MAX_GAP)}
STATES = {
    gap: transforms.events_with_stock_state(
        table("int_events"),
        transforms.Stock(table("int_stock_intervals"), VERSIONS, OBSERVATIONS, table("weeks"), gap),
    )
    for gap in (DAY, MAX_GAP)
}
CALENDAR_WEEKS = [{"week_start_date": "2021-03-01", "starts_at": "2021-03-01", "ends_at": "2021-03-08"}]


def sparse(store: dict[str, list[Row]], gap: dt.timedelta = DAY) -> list[Row]:
    versions = ENGINE.rows("product_snapshots", SNAPSHOTS, **store)
    given = {"product_snapshots": versions, "raw_observations": store["raw_observations"]}
    return ENGINE.rows("int_stock_intervals", SPARSE[gap], **given)


def states(
    store: dict[str, list[Row]], events: list[Row], weeks: list[Row] = CALENDAR_WEEKS, gap: dt.timedelta = DAY
) -> list[str]:
    """The state at each event, in their order."""
    versions = ENGINE.rows("product_snapshots", SNAPSHOTS, **store)
    rows = ENGINE.rows(
        "int_event_stock_state",
        STATES[gap],
        int_events=events,
        int_stock_intervals=sparse(store, gap),
        product_snapshots=versions,
        raw_observations=store["raw_observations"],
        weeks=weeks,
    )
    assert [row["event_id"] for row in rows] == [event["event_id"] for event in events]
    return picked(rows, "stock_state")


def looks(product: str | None, *instants: str) -> list[Row]:
    return [
        {"event_id": f"e{number:03}", "created_at": instant, "product_id": product}
        for number, instant in enumerate(instants)
    ]


MON, TUE, WED, THU, SAT = "2021-03-01", "2021-03-02", "2021-03-03", "2021-03-04", "2021-03-06"


def test_between_two_observations_that_agree_the_state_is_theirs() -> None:
    store = observed([MON, TUE, WED, THU], fern=(5, 1, 0, 0))
    instants = (MON, f"{MON} 12:00:00", f"{TUE} 00:00:00.5", f"{WED} 23:59:59.999999")
    assert states(store, looks("fern", *instants)) == ["in_stock", "in_stock", "uncertain", "out"]


def test_at_an_observation_the_state_is_what_it_saw() -> None:
    store = observed([MON, TUE, SAT], fern=(5, 0, None))
    assert states(store, looks("fern", MON, TUE, SAT)) == ["in_stock", "out", "unknown"]


def test_before_the_first_observation_and_long_after_the_last_nothing_is_known() -> None:
    store = observed([TUE, WED], fern=(5, 5), moss=(5, 0))
    instants = (f"{MON} 12:00:00", f"{THU} 00:00:00", f"{THU} 00:00:00.000001")
    assert states(store, looks("fern", *instants)) == ["unknown", "in_stock", "unknown"]
    assert states(store, looks("moss", *instants)) == ["unknown", "out", "unknown"]


def test_over_a_long_gap_equal_stock_is_not_taken_for_granted() -> None:
    store = observed([MON, THU, SAT], fern=(5, 5, 5), moss=(0, 0, 0))
    assert states(store, looks("fern", f"{TUE} 00:00:00")) == ["uncertain"]
    assert states(store, looks("moss", f"{TUE} 00:00:00")) == ["uncertain"]


@pytest.mark.parametrize("unseen", [None, ABSENT])
def test_beside_an_observation_without_the_number_the_state_is_unknown(unseen: str | None) -> None:
    store = observed([MON, TUE, WED, THU], fern=(5, unseen, 5, 5))
    instants = (MON, f"{MON} 00:00:01", TUE, f"{TUE} 12:00:00", WED, f"{WED} 12:00:00")
    assert states(store, looks("fern", *instants)) == [
        "in_stock", "unknown", "unknown", "unknown", "in_stock", "in_stock",
    ]  # fmt: skip


def test_a_product_that_came_late_left_or_was_never_seen_is_unknown_then() -> None:
    store = observed([MON, TUE, WED, THU], late=(ABSENT, ABSENT, 5, 5), left=(5, 5, ABSENT, ABSENT))
    instants = (f"{MON} 12:00:00", f"{TUE} 12:00:00", f"{WED} 12:00:00")
    assert states(store, looks("late", *instants)) == ["unknown", "unknown", "in_stock"]
    assert states(store, looks("left", *instants)) == ["in_stock", "unknown", "unknown"]
    assert states(store, looks("ghost", *instants)) == states(store, looks(None, *instants)) == ["unknown"] * 3


def test_only_intervals_that_are_not_plainly_in_stock_are_stored() -> None:
    store = observed([MON, TUE, WED, THU], fern=(5, 4, 0, 7), moss=(5, 5, 4, Seen(4, price="12")))
    assert picked(sparse(store), "product_id", "observed_at", "state_at", "state_after") == [
        ("fern", "2021-03-02 00:00:00", "in_stock", "uncertain"),
        ("fern", "2021-03-03 00:00:00", "out", "uncertain"),
    ]


def expected_state(store: Sightings, product: str, at: dt.datetime) -> str:
    """The state of a product at an instant, rule by rule."""

    def state_of(seen: Seen | None) -> str | None:
        if seen is None or seen.inventory is None:
            return None
        return "in_stock" if seen.inventory > 0 else "out"

    line = list(zip(store.instants, store.of.get(product, [None] * len(store.instants)), strict=True))
    before, after = [each for each in line if each[0] <= at], [each for each in line if each[0] > at]
    if not before:
        return "unknown"
    (seen_at, seen), following = before[-1], after[0] if after else None
    state, next_state = state_of(seen), state_of(following[1]) if following else None
    if at == seen_at and state:
        return state
    if state is None or (following and next_state is None):
        return "unknown"
    if following is None:
        return state if at - seen_at <= MAX_GAP else "unknown"
    return state if state == next_state and following[0] - seen_at <= MAX_GAP else "uncertain"


MOMENTS = st.builds(
    lambda at, off: at + off,
    st.sampled_from(INSTANTS),
    st.sampled_from([dt.timedelta(), dt.timedelta(microseconds=1), dt.timedelta(minutes=-7), MAX_GAP]),
)


@over(store=sightings(), moments=st.lists(MOMENTS, min_size=1, max_size=8))
def test_states_are_those_of_the_rules(store: Sightings, moments: list[dt.datetime]) -> None:
    inside = [at for at in moments if WEEKS[0]["starts_at"] <= at < WEEKS[-1]["ends_at"]]
    asked = [(product, at) for product in (*PRODUCTS, "ghost") for at in inside]
    events: list[Row] = [
        {"event_id": f"e{number:03}", "created_at": at, "product_id": product}
        for number, (product, at) in enumerate(asked)
    ]
    assert states(store.rows, events, WEEKS, MAX_GAP) == [expected_state(store, *each) for each in asked]
