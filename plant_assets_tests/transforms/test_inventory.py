"""Stock of each week, its changes and fluctuations, and episodes out of stock, from observations to rows.

Weeks are UTC's and begin at midnight of Mondays. A product is written as what each observation saw of it.
"""

import datetime as dt

import pytest

from plant_assets.calendar import WEEK, Calendar
from plant_assets.transforms import inventory as transforms
from plant_assets.transforms.snapshots import product_snapshots
from plant_assets_tests.support.engines import ENGINE, Row, picked, table
from plant_assets_tests.support.odd_rows import ABSENT, Seen, observed

pytestmark = pytest.mark.usefixtures("each_engine")

Sighting = Seen | int | str | None
Observed = dict[str, list[Row]]

OBSERVATIONS, WEEKS, VERSIONS = table("raw_observations"), table("weeks"), table("product_snapshots")
SNAPSHOTS = product_snapshots(table("raw_products"), OBSERVATIONS)
YEAR = dt.datetime(2021, 1, 1), dt.datetime(2022, 1, 1)
MAX_GAP = dt.timedelta(hours=24)
INVENTORY = {
    zone: transforms.inventory(VERSIONS, OBSERVATIONS, WEEKS, Calendar(zone).offsets(*YEAR), MAX_GAP)
    for zone in ("UTC", "America/New_York")
}
CHANGES = transforms.inventory_changes(
    table("inventory"), VERSIONS, OBSERVATIONS, WEEKS, Calendar("UTC").offsets(*YEAR)
)
STOCKOUTS = transforms.stockouts(VERSIONS, OBSERVATIONS, MAX_GAP)

# Mondays, and days within the weeks that they begin.
W1, W2, W3, W4 = "2021-02-01", "2021-02-08", "2021-02-15", "2021-02-22"
TUE1, WED1, THU1 = "2021-02-02", "2021-02-03", "2021-02-04"
TUE2, WED2, THU2 = "2021-02-09", "2021-02-10", "2021-02-11"
TUE3, WED3 = "2021-02-16", "2021-02-17"


def seen(*instants: str, **products: tuple[Sighting, ...]) -> Observed:
    return observed(instants, **products)


def weeks(*mondays: str, zone: str = "UTC") -> list[Row]:
    calendar = Calendar(zone)
    days = [dt.date.fromisoformat(monday) for monday in mondays]
    return [
        {"week_start_date": day, "starts_at": calendar.starts_at(day), "ends_at": calendar.starts_at(day + WEEK)}
        for day in days
    ]


ALL_WEEKS = weeks(W1, W2, W3, W4)


def versions(store: Observed) -> list[Row]:
    return ENGINE.rows("product_snapshots", SNAPSHOTS, **store)


def stock(store: Observed, of: list[Row] = ALL_WEEKS, zone: str = "UTC") -> list[Row]:
    """Rows of inventory, by week and product."""
    return ENGINE.rows(
        "inventory",
        INVENTORY[zone],
        product_snapshots=versions(store),
        raw_observations=store["raw_observations"],
        weeks=of,
    )


def changes(store: Observed, of: list[Row] = ALL_WEEKS) -> list[Row]:
    """Rows of inventory_changes, by week and product."""
    return ENGINE.rows(
        "inventory_changes",
        CHANGES,
        inventory=stock(store, of),
        product_snapshots=versions(store),
        raw_observations=store["raw_observations"],
        weeks=of,
    )


def fluctuations(store: Observed, since: str | None = None) -> list[Row]:
    """Rows of inventory_fluctuations, in their own order."""
    start = dt.datetime.fromisoformat(since) if since else None
    expr = transforms.inventory_fluctuations(VERSIONS, OBSERVATIONS, start)
    given = {"product_snapshots": versions(store), "raw_observations": store["raw_observations"]}
    return ENGINE.rows("inventory_fluctuations", expr, in_order=True, **given)


def stockouts(store: Observed) -> list[Row]:
    """Rows of stockouts, by product and instant."""
    return ENGINE.rows(
        "stockouts", STOCKOUTS, product_snapshots=versions(store), raw_observations=store["raw_observations"]
    )


def test_opening_and_closing_are_the_values_just_before_the_week_begins_and_ends() -> None:
    rows = stock(seen(W1, WED1, WED2, W3, fern=(10, 8, 5, 5)))
    assert picked(rows, "week_start_date", "opening_inventory", "closing_inventory") == [
        (W1, None, 8),
        (W2, 8, 5),
        (W3, 5, 5),
    ]


def test_a_change_at_monday_belongs_to_the_week_that_begins() -> None:
    rows = stock(seen(W1, W2, W3, fern=(10, 8, 8)))
    assert picked(rows, "week_start_date", "opening_inventory", "closing_inventory", "outflow", "changes") == [
        (W1, None, 10, 0, 0),
        (W2, 10, 8, 2, 1),
        (W3, 8, 8, 0, 0),
    ]


def test_a_change_a_second_before_monday_belongs_to_the_week_that_ends() -> None:
    rows = stock(seen(W1, "2021-02-07 23:59:59", W2, fern=(10, 8, 8)))
    assert picked(rows, "week_start_date", "opening_inventory", "closing_inventory", "changes") == [
        (W1, None, 8, 1),
        (W2, 8, 8, 0),
    ]


def test_a_running_week_closes_with_the_latest_value() -> None:
    rows = stock(seen(W1, TUE1, THU1, fern=(10, 8, 7)))
    assert picked(rows, "closing_inventory", "is_complete") == [(7, False)]


def test_a_week_is_complete_once_an_observation_is_at_its_end() -> None:
    rows = stock(seen(W1, W2, fern=(10, 8)))
    assert picked(rows, "week_start_date", "is_complete") == [(W1, True), (W2, False)]


def test_a_week_is_not_complete_a_second_before_its_end() -> None:
    assert picked(stock(seen(W1, "2021-02-07 23:59:59", fern=(10, 8))), "is_complete") == [False]


def test_a_week_is_complete_by_an_observation_that_misses_the_product() -> None:
    rows = stock(seen(W1, W2, fern=(10, ABSENT)))
    assert picked(rows, "week_start_date", "is_complete") == [(W1, True)]


def test_weeks_after_the_last_observation_have_no_rows() -> None:
    assert picked(stock(seen(W1, TUE2, fern=(10, 10))), "week_start_date") == [W1, W2]


def test_a_week_that_begins_at_the_last_observation_has_rows() -> None:
    assert picked(stock(seen(W1, W2, fern=(10, 10))), "week_start_date") == [W1, W2]


def test_weeks_before_the_first_observation_have_no_rows() -> None:
    assert picked(stock(seen(WED2, fern=(10,))), "week_start_date") == [W2]


def test_a_week_without_an_observation_of_its_own_has_the_stock_held_through_it() -> None:
    rows = stock(seen(WED1, WED3, fern=(10, 8)), weeks(W2))
    assert picked(rows, "opening_inventory", "closing_inventory", "min_inventory", "is_complete") == [
        (10, 10, 10, True)
    ]


def test_a_store_without_observations_has_no_stock() -> None:
    assert stock(seen()) == []


def test_a_week_alone_is_as_it_is_among_all() -> None:
    store = seen(W1, WED1, W2, WED2, W3, fern=(10, 8, 0, None, 3), moss=(1, ABSENT, 4, 4, ABSENT))
    together, changed = stock(store), changes(store)
    assert len(together) == 5
    for monday in (W1, W2, W3, W4):
        assert stock(store, weeks(monday)) == [row for row in together if row["week_start_date"] == monday]
        assert changes(store, weeks(monday)) == [row for row in changed if row["week_start_date"] == monday]


def test_a_week_is_the_zones() -> None:
    # Monday 00:00 in New York is 05:00 UTC: the change at 04:00 belongs to the week before.
    store, zone = seen(WED1, "2021-02-08 04:00:00", WED2, fern=(10, 8, 8)), "America/New_York"
    rows = stock(store, weeks(W1, W2, zone=zone), zone)
    assert picked(rows, "week_start_date", "changes") == [(W1, 1), (W2, 0)]


NOON = "2021-02-01 12:00:00"


def test_time_between_near_observations_that_hold_the_product_is_observed() -> None:
    rows = stock(seen(W1, NOON, TUE1, WED1, fern=(0, 0, 5, 5), moss=(1, 0, 0, 3)))
    assert picked(rows, "product_id", "hours_observed", "hours_out_observed") == [("fern", 48, 24), ("moss", 48, 36)]


def test_time_between_observations_further_apart_is_not_observed() -> None:
    # From Tuesday to Thursday is over a day.
    rows = stock(seen(W1, TUE1, THU1, "2021-02-05", fern=(0, 0, 0, 0)))
    assert picked(rows, "hours_observed", "hours_out_observed", "hours_out_of_stock") == [(48, 48, 96)]


@pytest.mark.parametrize("unseen", [None, ABSENT])
def test_time_beside_an_observation_without_the_number_is_not_observed(unseen: Sighting) -> None:
    rows = stock(seen(W1, NOON, TUE1, WED1, THU1, fern=(0, 0, unseen, 5, 5)))
    assert picked(rows, "hours_observed", "hours_out_observed") == [(36, 12)]


def test_a_stretch_over_a_weeks_end_is_observed_in_both_weeks() -> None:
    rows = stock(seen("2021-02-07 12:00:00", "2021-02-08 06:00:00", fern=(0, 5)))
    assert picked(rows, "week_start_date", "hours_observed", "hours_out_observed") == [(W1, 12, 12), (W2, 6, 6)]


def test_an_episode_has_the_hours_that_were_observed() -> None:
    store = seen(W1, TUE1, WED1, "2021-02-05", "2021-02-06", fern=(0, 0, Seen(0, price="12"), 0, 5))
    assert picked(stockouts(store), "hours_out", "hours_out_observed") == [(120, 72)]


def test_a_product_that_is_gone_at_the_weeks_end_has_no_closing() -> None:
    rows = stock(seen(W1, WED2, W3, fern=(10, ABSENT, ABSENT)))
    assert picked(rows, "week_start_date", "opening_inventory", "closing_inventory") == [(W1, None, 10), (W2, 10, None)]


def test_a_product_that_is_gone_in_a_running_week_has_no_closing() -> None:
    rows = stock(seen(W1, TUE1, fern=(10, ABSENT)))
    assert picked(rows, "closing_inventory", "min_inventory") == [(None, 10)]


def test_a_product_that_left_at_monday_closes_the_week_before_and_has_no_row_after() -> None:
    rows = stock(seen(W1, W2, W3, fern=(10, ABSENT, ABSENT)))
    assert picked(rows, "week_start_date", "closing_inventory") == [(W1, 10)]


def test_a_product_that_left_at_monday_and_returned_in_the_week_has_its_opening() -> None:
    rows = stock(seen(W1, W2, WED2, fern=(10, ABSENT, 7)), weeks(W2))
    assert picked(rows, "opening_inventory", "closing_inventory", "min_inventory", "max_inventory", "outflow") == [
        (10, 7, 7, 7, 3)
    ]


def test_a_product_that_returns_has_no_opening() -> None:
    rows = stock(seen(W1, WED1, WED2, fern=(10, ABSENT, 10)), weeks(W2))
    assert picked(rows, "opening_inventory", "closing_inventory", "changes") == [(None, 10, 0)]


def test_weeks_of_absence_have_no_rows() -> None:
    rows = stock(seen(W1, WED1, WED3, fern=(10, ABSENT, 10)))
    assert picked(rows, "week_start_date") == [W1, W3]


def test_a_product_seen_for_a_moment_has_a_row() -> None:
    rows = stock(seen(W1, TUE1, WED1, fern=(ABSENT, 10, ABSENT)))
    assert picked(rows, "opening_inventory", "closing_inventory", "max_inventory") == [(None, None, 10)]


def test_inflow_is_the_sum_of_rises_and_outflow_of_falls() -> None:
    rows = stock(seen(W1, TUE1, WED1, THU1, W2, fern=(10, 4, 9, 8, 8)), weeks(W1))
    assert picked(rows, "inflow", "outflow", "changes") == [(5, 7, 3)]


def test_a_first_value_is_no_change() -> None:
    assert picked(stock(seen(W1, fern=(10,))), "inflow", "outflow", "changes") == [(0, 0, 0)]


def test_a_first_value_after_unknown_ones_is_no_change() -> None:
    assert picked(stock(seen(W1, TUE1, fern=(None, 10))), "inflow", "changes") == [(0, 0)]


@pytest.mark.parametrize("changed", [Seen(10, price="11"), Seen(10, name="Boston fern")])
def test_a_change_of_price_or_name_is_no_change_of_stock(changed: Seen) -> None:
    assert picked(stock(seen(W1, TUE1, fern=(10, changed))), "inflow", "outflow", "changes") == [(0, 0, 0)]


def test_a_change_skips_unknown_values() -> None:
    rows = stock(seen(W1, TUE1, WED1, fern=(10, None, 7)))
    assert picked(rows, "inflow", "outflow", "changes") == [(0, 3, 1)]


def test_an_equal_value_after_unknown_ones_is_no_change() -> None:
    assert picked(stock(seen(W1, TUE1, WED1, fern=(10, None, 10))), "changes") == [0]


def test_a_change_skips_absence() -> None:
    rows = stock(seen(W1, TUE1, WED1, fern=(10, ABSENT, 12)))
    assert picked(rows, "inflow", "outflow", "changes") == [(2, 0, 1)]


def test_a_change_over_weeks_of_absence_is_of_the_week_of_return() -> None:
    rows = stock(seen(W1, TUE1, TUE3, fern=(10, ABSENT, 4)))
    assert picked(rows, "week_start_date", "outflow", "changes") == [(W1, 0, 0), (W3, 6, 1)]


def test_stock_may_fall_below_zero() -> None:
    rows = stock(seen(W1, TUE1, WED1, fern=(1, -2, 1)))
    assert picked(rows, "min_inventory", "inflow", "outflow") == [(-2, 3, 3)]


def test_flows_balance_opening_and_closing() -> None:
    (row,) = stock(seen(W1, W2, TUE2, WED2, W3, fern=(10, 4, None, 9, 9)), weeks(W2))
    assert row["opening_inventory"] + row["inflow"] - row["outflow"] == row["closing_inventory"] == 9


def test_products_have_flows_of_their_own() -> None:
    rows = stock(seen(W1, TUE1, fern=(10, 8), moss=(3, 4)))
    assert picked(rows, "product_id", "inflow", "outflow") == [("fern", 0, 2), ("moss", 1, 0)]


def test_min_and_max_are_of_the_values_held_in_the_week() -> None:
    rows = stock(seen(W1, TUE1, WED1, TUE2, W3, fern=(10, 3, 12, 5, 5)))
    assert picked(rows, "week_start_date", "min_inventory", "max_inventory") == [(W1, 3, 12), (W2, 5, 12), (W3, 5, 5)]


def test_a_value_that_ended_at_monday_is_not_held_in_the_week_that_begins() -> None:
    rows = stock(seen(W1, W2, fern=(10, 3)))
    assert picked(rows, "week_start_date", "min_inventory", "max_inventory") == [(W1, 10, 10), (W2, 3, 3)]


def test_unknown_stock_is_no_value() -> None:
    rows = stock(seen(W1, TUE1, fern=(None, None), moss=(4, None)))
    assert picked(rows, "product_id", "closing_inventory", "min_inventory", "max_inventory") == [
        ("fern", None, None, None),
        ("moss", None, 4, 4),
    ]


def test_the_name_is_the_last_held_by_the_weeks_end() -> None:
    renamed = (
        Seen(1, name="Fern"),
        Seen(1, name="Lady fern"),
        Seen(1, name="Boston fern"),
        Seen(1, name="Boston fern"),
    )
    rows = stock(seen(W1, WED1, W2, W3, fern=renamed))
    assert picked(rows, "week_start_date", "product_name") == [
        (W1, "Lady fern"),
        (W2, "Boston fern"),
        (W3, "Boston fern"),
    ]


def test_a_product_that_left_within_the_week_has_the_name_it_held() -> None:
    rows = stock(seen(W1, WED1, fern=(Seen(1, name="Fern"), ABSENT)))
    assert picked(rows, "product_name") == ["Fern"]


def test_hours_out_of_stock_run_until_stock_is_back() -> None:
    assert picked(stock(seen(W1, TUE1, WED1, W2, fern=(10, 0, 4, 4)), weeks(W1)), "hours_out_of_stock") == [24.0]


def test_hours_out_of_stock_run_up_to_the_last_observation() -> None:
    assert picked(stock(seen(W1, TUE1, "2021-02-02 06:30:00", fern=(10, 0, 0))), "hours_out_of_stock") == [6.5]


def test_hours_out_of_stock_are_split_at_monday() -> None:
    rows = stock(seen(W1, "2021-02-07 12:00:00", "2021-02-08 01:30:00", WED2, fern=(10, 0, 4, 4)))
    assert picked(rows, "week_start_date", "hours_out_of_stock") == [(W1, 12.0), (W2, 1.5)]


def test_stock_that_runs_out_at_the_last_observation_has_been_out_for_no_time() -> None:
    assert picked(stock(seen(W1, TUE1, fern=(10, 0))), "hours_out_of_stock") == [0.0]


def test_negative_stock_is_out_of_stock() -> None:
    assert picked(stock(seen(W1, TUE1, fern=(-3, 1))), "hours_out_of_stock") == [24.0]


def test_unknown_or_absent_is_not_out_of_stock() -> None:
    rows = stock(seen(W1, TUE1, WED1, fern=(0, None, 1), moss=(0, ABSENT, 1), palm=(None, None, None)))
    assert picked(rows, "product_id", "hours_out_of_stock") == [("fern", 24.0), ("moss", 24.0), ("palm", 0.0)]


@pytest.mark.parametrize(("monday", "hours"), [("2021-03-08", 167.0), ("2021-11-01", 169.0), ("2021-05-03", 168.0)])
def test_a_week_out_of_stock_has_the_hours_of_its_zone(monday: str, hours: float) -> None:
    zone = "America/New_York"
    rows = stock(seen("2021-01-01", "2021-12-31", fern=(0, 0)), weeks(monday, zone=zone), zone)
    assert picked(rows, "hours_out_of_stock") == [hours]


@pytest.mark.parametrize(
    ("before", "after", "state", "change"),
    [
        (10, ABSENT, "gone", None),
        (None, ABSENT, "gone", None),
        (10, None, "unknown", None),
        (None, None, "unknown", None),
        (None, 10, "back", None),
        (None, 0, "back", None),
        (10, 0, "sold_out", -10),
        (10, -2, "sold_out", -12),
        (0, 10, "restocked", 10),
        (-2, 1, "restocked", 3),
        (10, 11, "up", 1),
        (-3, -1, "up", 2),
        (-1, 0, "up", 1),
        (10, 9, "down", -1),
        (0, -2, "down", -2),
        (10, 10, "same", 0),
        (0, 0, "same", 0),
        (10, Seen(10, price="11"), "same", 0),
    ],
)
def test_a_week_has_the_first_state_that_fits(
    before: Sighting, after: Sighting, state: str, change: int | None
) -> None:
    rows = changes(seen(W1, WED2, fern=(before, after)), weeks(W2))
    inventory = after if isinstance(after, int) else after.inventory if isinstance(after, Seen) else None
    assert picked(rows, "previous_inventory", "inventory", "change", "state") == [(before, inventory, change, state)]


@pytest.mark.parametrize("first", [10, 0, -1, None])
def test_a_products_first_week_is_new_whatever_its_stock(first: int | None) -> None:
    rows = changes(seen(W1, WED1, fern=(ABSENT, first)))
    assert picked(rows, "previous_inventory", "inventory", "change", "state") == [(None, first, None, "new")]


def test_a_product_that_comes_at_monday_is_new_in_the_week_that_begins() -> None:
    rows = changes(seen(W1, W2, W3, fern=(ABSENT, 10, 10)))
    assert picked(rows, "week_start_date", "state") == [(W2, "new"), (W3, "same")]


def test_a_product_that_comes_and_goes_in_one_week_is_new() -> None:
    rows = changes(seen(W1, TUE1, fern=(10, ABSENT)))
    assert picked(rows, "inventory", "state") == [(None, "new")]


def test_a_week_compares_with_the_close_of_the_week_before_not_with_its_own_course() -> None:
    rows = changes(seen(W1, TUE2, WED2, fern=(10, 0, 10)), weeks(W2))
    assert picked(rows, "previous_inventory", "inventory", "state") == [(10, 10, "same")]


def test_a_product_that_left_at_monday_is_gone_in_the_week_that_begins() -> None:
    rows = changes(seen(W1, W2, W3, fern=(Seen(10, name="Fern"), ABSENT, ABSENT)))
    columns = "week_start_date", "product_name", "previous_inventory", "inventory", "change", "state"
    assert picked(rows, *columns) == [(W1, "Fern", None, 10, None, "new"), (W2, "Fern", 10, None, None, "gone")]


def test_a_product_that_left_at_monday_with_unknown_stock_is_gone() -> None:
    rows = changes(seen(W1, W2, fern=(None, ABSENT)), weeks(W2))
    assert picked(rows, "previous_inventory", "inventory", "state") == [(None, None, "gone")]


def test_a_product_that_left_at_monday_and_returned_in_the_week_is_not_gone() -> None:
    rows = changes(seen(W1, W2, WED2, fern=(10, ABSENT, 7)), weeks(W2))
    assert picked(rows, "previous_inventory", "inventory", "change", "state") == [(10, 7, -3, "down")]


def test_a_product_that_returned_and_left_again_in_the_week_is_gone() -> None:
    rows = changes(seen(W1, W2, TUE2, WED2, fern=(10, ABSENT, 7, ABSENT)), weeks(W2))
    assert picked(rows, "previous_inventory", "inventory", "state") == [(10, None, "gone")]


def test_a_product_that_left_at_the_next_monday_is_not_gone_yet() -> None:
    rows = changes(seen(W1, TUE2, W3, fern=(10, 9, ABSENT)), weeks(W2))
    assert picked(rows, "inventory", "state") == [(9, "down")]


def test_a_product_is_gone_for_one_week_then_has_no_rows() -> None:
    rows = changes(seen(W1, WED2, W3, W4, fern=(10, ABSENT, ABSENT, ABSENT)))
    assert picked(rows, "week_start_date", "state") == [(W1, "new"), (W2, "gone")]


def test_a_product_that_returns_after_weeks_is_back() -> None:
    rows = changes(seen(W1, TUE1, WED3, fern=(10, ABSENT, 10)))
    assert picked(rows, "week_start_date", "previous_inventory", "inventory", "change", "state") == [
        (W1, None, None, None, "new"),
        (W3, None, 10, None, "back"),
    ]


def test_a_product_that_returns_without_known_stock_is_unknown() -> None:
    rows = changes(seen(W1, TUE1, WED2, fern=(10, ABSENT, None)), weeks(W2))
    assert picked(rows, "state") == ["unknown"]


def test_weeks_after_the_last_observation_have_no_changes() -> None:
    rows = changes(seen(W1, TUE1, fern=(10, 10), moss=(1, ABSENT)))
    assert picked(rows, "week_start_date", "product_id") == [(W1, "fern"), (W1, "moss")]


def test_changes_have_the_name_last_held_by_the_weeks_end() -> None:
    rows = changes(seen(W1, W2, fern=(Seen(1, name="Fern"), Seen(1, name="Boston fern"))))
    assert picked(rows, "week_start_date", "product_name") == [(W1, "Fern"), (W2, "Boston fern")]


def test_each_row_of_inventory_has_a_row_of_changes() -> None:
    store = seen(W1, WED1, W2, W3, fern=(10, 8, ABSENT, 3), moss=(ABSENT, None, 2, ABSENT), palm=(1, 1, 1, 1))
    keys = set(picked(changes(store), "week_start_date", "product_id"))
    assert keys - set(picked(stock(store), "week_start_date", "product_id")) == {(W2, "fern"), (W3, "moss")}
    assert set(picked(stock(store), "week_start_date", "product_id")) <= keys


def test_fluctuations_count_changes_and_their_units() -> None:
    rows = fluctuations(seen(W1, TUE1, WED1, W2, fern=(10, 4, 9, 8)))
    assert picked(rows, "changes", "inflow", "outflow", "volume", "range") == [(3, 5, 7, 12, 6)]


def test_a_product_that_never_changes_has_zeros() -> None:
    rows = fluctuations(seen(W1, W2, fern=(10, Seen(10, price="11"))))
    assert picked(rows, "changes", "inflow", "outflow", "volume", "range", "reversals") == [(0, 0, 0, 0, 0, 0)]


def test_fluctuations_skip_unknown_values_and_absence() -> None:
    rows = fluctuations(seen(W1, TUE1, WED1, W2, fern=(10, None, 7, 7), moss=(10, ABSENT, 7, 7)))
    assert picked(rows, "product_id", "changes", "outflow", "range") == [("fern", 1, 3, 3), ("moss", 1, 3, 3)]


def test_stock_that_was_never_known_has_no_range() -> None:
    assert picked(fluctuations(seen(W1, fern=(None,))), "changes", "volume", "range") == [(0, 0, None)]


@pytest.mark.parametrize(
    ("stock", "reversals"),
    [
        ((10, 9, 8, 7), 0),
        ((10, 9, 10, 10), 1),
        ((10, 9, 10, 9), 2),
        ((10, 9, 9, 10), 1),  # a pause between
        ((10, 9, None, 10), 1),
        ((10, 9, ABSENT, 10), 1),
        ((10, 9, 5, 6), 1),
        ((10, 10, 10, 9), 0),
    ],
)
def test_a_reversal_is_a_change_of_direction(stock: tuple[Sighting, ...], reversals: int) -> None:
    assert picked(fluctuations(seen(W1, TUE1, WED1, W2, fern=stock)), "reversals") == [reversals]


def test_ranks_are_dense_by_changes_and_by_volume() -> None:
    store = seen(
        W1, TUE1, WED1, W2, fern=(10, 9, 8, 7), moss=(10, 9, 8, 7), palm=(50, 5, 5, 5), rose=(5, 5, 6, 7), ivy=(1,) * 4
    )
    assert picked(fluctuations(store), "product_id", "changes", "rank", "volume", "volume_rank") == [
        ("fern", 3, 1, 3, 2),
        ("moss", 3, 1, 3, 2),
        ("rose", 2, 2, 2, 3),
        ("palm", 1, 3, 45, 1),
        ("ivy", 0, 4, 0, 4),
    ]


def test_rows_are_in_order_of_rank_then_volume_rank_then_name() -> None:
    store = seen(
        W1,
        TUE1,
        p1=(Seen(10, name="Zinnia"), Seen(9, name="Zinnia")),
        p2=(Seen(10, name="Aloe"), Seen(9, name="Aloe")),
        p3=(Seen(10, name="Yarrow"), Seen(5, name="Yarrow")),
        p4=(Seen(10, name="Anemone"), Seen(10, name="Anemone")),
    )
    assert picked(fluctuations(store), "rank", "volume_rank", "product_name") == [
        (1, 1, "Yarrow"),
        (1, 2, "Aloe"),
        (1, 2, "Zinnia"),
        (2, 3, "Anemone"),
    ]


def test_fluctuations_have_the_last_known_name_also_of_who_left() -> None:
    store = seen(W1, TUE1, WED1, fern=(Seen(1, name="Fern"), Seen(1, name="Boston fern"), ABSENT))
    assert picked(fluctuations(store), "product_name") == ["Boston fern"]


def test_a_window_holds_only_the_changes_inside_it() -> None:
    rows = fluctuations(seen(W1, TUE1, TUE2, WED2, fern=(10, 4, 9, 8)), since=W2)
    assert picked(rows, "changes", "inflow", "outflow", "volume") == [(2, 5, 1, 6)]


def test_a_change_at_the_windows_first_instant_is_inside() -> None:
    rows = fluctuations(seen(W1, W2, fern=(10, 4)), since=W2)
    assert picked(rows, "changes", "outflow") == [(1, 6)]


def test_the_range_of_a_window_is_of_the_values_held_inside() -> None:
    rows = fluctuations(seen(W1, TUE1, TUE2, fern=(100, 10, 7)), since=W2)
    assert picked(rows, "range") == [3]


def test_a_value_that_ended_at_the_windows_first_instant_is_outside() -> None:
    assert picked(fluctuations(seen(W1, W2, fern=(100, 10)), since=W2), "range") == [0]


def test_a_change_of_direction_over_the_windows_start_is_no_reversal() -> None:
    store = seen(W1, TUE1, TUE2, WED2, fern=(10, 4, 9, 8))
    assert picked(fluctuations(store), "reversals") == [2]
    assert picked(fluctuations(store, since=W2), "reversals") == [1]


def test_a_product_that_left_before_the_window_has_no_row() -> None:
    store = seen(W1, TUE1, W2, fern=(10, ABSENT, ABSENT), moss=(10, 9, ABSENT), palm=(1, 1, 1))
    assert picked(fluctuations(store, since=W2), "product_id") == ["palm"]


def test_ranks_of_a_window_are_of_its_changes() -> None:
    store = seen(W1, TUE1, WED1, WED2, fern=(10, 9, 8, 8), moss=(10, 10, 10, 9))
    assert picked(fluctuations(store), "product_id", "rank") == [("fern", 1), ("moss", 2)]
    assert picked(fluctuations(store, since=W2), "product_id", "rank") == [("moss", 1), ("fern", 2)]


def test_a_store_without_observations_has_no_fluctuations() -> None:
    assert fluctuations(seen()) == []


def test_an_episode_ends_with_the_restock() -> None:
    rows = stockouts(seen(W1, TUE1, WED1, "2021-02-03 12:00:00", fern=(10, 0, 0, 7)))
    columns = "out_of_stock_at", "restocked_at", "hours_out", "is_ongoing", "min_inventory", "restock_quantity"
    assert picked(rows, *columns) == [("2021-02-02 00:00:00", "2021-02-03 12:00:00", 36.0, False, 0, 7)]


def test_an_episode_at_the_end_is_ongoing_up_to_the_last_observation() -> None:
    rows = stockouts(seen(W1, TUE1, "2021-02-03 06:00:00", fern=(10, 0, 0)))
    assert picked(rows, "restocked_at", "restock_quantity", "hours_out", "is_ongoing") == [(None, None, 30.0, True)]


def test_an_episode_that_begins_at_the_last_observation_has_no_hours_yet() -> None:
    assert picked(stockouts(seen(W1, TUE1, fern=(10, 0))), "hours_out", "is_ongoing") == [(0.0, True)]


def test_a_product_first_seen_without_stock_is_out_of_stock_from_then() -> None:
    rows = stockouts(seen(W1, TUE1, fern=(0, 5)))
    assert picked(rows, "out_of_stock_at", "hours_out") == [("2021-02-01 00:00:00", 24.0)]


@pytest.mark.parametrize(
    "inside", [Seen(0, price="12"), Seen(0, name="Boston fern"), Seen(-2), Seen(-2, price="12")], ids=str
)
def test_a_change_inside_an_episode_does_not_split_it(inside: Seen) -> None:
    rows = stockouts(seen(W1, TUE1, WED1, fern=(0, inside, 5)))
    assert picked(rows, "hours_out", "min_inventory", "restock_quantity") == [(48.0, min(inside.inventory or 0, 0), 5)]


def test_an_ongoing_episode_of_several_versions_runs_to_the_last_observation() -> None:
    rows = stockouts(seen(W1, TUE1, WED1, THU1, fern=(5, 0, Seen(0, price="12"), Seen(0, price="12"))))
    assert picked(rows, "out_of_stock_at", "hours_out", "is_ongoing") == [("2021-02-02 00:00:00", 48.0, True)]


def test_a_product_can_be_out_of_stock_twice() -> None:
    rows = stockouts(seen(W1, TUE1, WED1, THU1, W2, fern=(0, 5, -1, -1, 3)))
    assert picked(rows, "out_of_stock_at", "restocked_at", "hours_out", "min_inventory", "restock_quantity") == [
        ("2021-02-01 00:00:00", "2021-02-02 00:00:00", 24.0, 0, 5),
        ("2021-02-03 00:00:00", "2021-02-08 00:00:00", 120.0, -1, 3),
    ]


def test_an_earlier_episode_is_not_ongoing_because_the_last_is() -> None:
    rows = stockouts(seen(W1, TUE1, WED1, THU1, fern=(0, 5, 0, 0)))
    assert picked(rows, "out_of_stock_at", "is_ongoing", "hours_out") == [
        ("2021-02-01 00:00:00", False, 24.0),
        ("2021-02-03 00:00:00", True, 24.0),
    ]


@pytest.mark.parametrize("end", [None, ABSENT])
@pytest.mark.parametrize("after", [None, ABSENT, 5])
def test_an_episode_that_ends_in_unknown_or_absence_is_neither_ongoing_nor_restocked(
    end: Sighting, after: Sighting
) -> None:
    rows = stockouts(seen(W1, TUE1, WED1, fern=(0, end, after)))
    assert picked(rows, "hours_out", "is_ongoing", "restocked_at", "restock_quantity") == [(24.0, False, None, None)]


@pytest.mark.parametrize("between", [None, ABSENT])
def test_unknown_or_absence_splits_an_episode(between: Sighting) -> None:
    rows = stockouts(seen(W1, TUE1, WED1, THU1, fern=(0, between, 0, 4)))
    assert picked(rows, "out_of_stock_at", "restocked_at", "hours_out", "is_ongoing") == [
        ("2021-02-01 00:00:00", None, 24.0, False),
        ("2021-02-03 00:00:00", "2021-02-04 00:00:00", 24.0, False),
    ]


def test_episodes_have_the_last_known_name() -> None:
    rows = stockouts(seen(W1, TUE1, fern=(Seen(0, name="Fern"), Seen(5, name="Boston fern"))))
    assert picked(rows, "product_name") == ["Boston fern"]


def test_products_are_out_of_stock_each_by_themselves() -> None:
    rows = stockouts(seen(W1, TUE1, WED1, fern=(0, 0, 4), moss=(1, 0, 0), palm=(1, 1, 1)))
    assert picked(rows, "product_id", "hours_out") == [("fern", 48.0), ("moss", 24.0)]


def test_a_store_that_always_has_stock_has_no_stockouts() -> None:
    assert stockouts(seen(W1, TUE1, fern=(5, 1), moss=(None, None))) == []
    assert stockouts(seen()) == []
