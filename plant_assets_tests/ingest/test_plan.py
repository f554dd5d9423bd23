"""Which weeks a run loads, and in which ranges."""

import datetime as dt
from collections.abc import Callable

import pytest

from plant_assets.calendar import WEEK, Weeks
from plant_assets.ingest.plan import as_ranges
from plant_assets.orchestration.jobs import plan_run
from plant_assets.sources.errors import SourceError
from plant_assets.warehouse.open import open_warehouse
from plant_assets_tests.support.small_stores import AS_OF, DATED, LOG, Store, assert_accounted, event, product

RUNNING = dt.date(2021, 3, 1)


def weeks_ago(number: int) -> dt.date:
    return RUNNING - number * WEEK


@pytest.fixture
def store(new_either: Callable[..., Store]) -> Store:
    """A store with one event in each of the last four weeks, not loaded, in files or in a database."""
    store = new_either(products=DATED)
    for ago in range(4):
        store.put(f"events/{ago}.csv", [event(f"e{ago}", str(weeks_ago(ago)))])
    return store


@pytest.mark.parametrize(
    ("ago", "ranges"),
    [
        ([0], [(0, 0)]),
        ([2, 0, 1], [(2, 0)]),
        ([20, 0], [(20, 0)]),  # 19 weeks more
        ([21, 0], [(21, 21), (0, 0)]),  # 20 weeks more
        ([40, 39, 21, 20, 1, 0], [(40, 39), (21, 20), (1, 0)]),
        ([25, *range(20), 21], [(25, 0)]),
    ],
)
def test_scattered_weeks_are_one_range_if_that_adds_under_twenty(ago: list[int], ranges: list[tuple[int, int]]) -> None:
    found = as_ranges(weeks_ago(number) for number in ago)
    assert found == [(weeks_ago(first), weeks_ago(last)) for first, last in ranges]


def test_the_first_run_loads_every_week_of_the_source(store: Store) -> None:
    planned = store.plan()
    assert (planned.first_week, planned.ranges) == (weeks_ago(3), [(weeks_ago(3), RUNNING)])


def test_planning_writes_nothing(store: Store) -> None:
    store.load()
    store.put("events/new.csv", [event("new", str(weeks_ago(3)))])
    before = store.contents()
    store.plan()
    assert store.contents() == before


@pytest.mark.parametrize("late_weeks", [0, 1, 3])
def test_with_nothing_new_the_running_and_the_late_weeks_are_due(store: Store, late_weeks: int) -> None:
    store.load()
    assert store.under(late_weeks=late_weeks).plan().ranges == [(weeks_ago(late_weeks), RUNNING)]


def test_with_nothing_new_in_a_store_that_is_silent_the_last_week_with_data_is_due(store: Store) -> None:
    store.load()
    assert store.plan(AS_OF + 5 * WEEK).ranges == [(RUNNING, RUNNING)]
    assert store.plan(AS_OF + 500 * WEEK).ranges == [(RUNNING, RUNNING)]


def test_after_weeks_of_silence_the_silent_weeks_are_due_too(store: Store) -> None:
    store.load()
    store.put("events/new.csv", [event("new", str(RUNNING + 4 * WEEK))])
    planned = store.load(AS_OF + 4 * WEEK)
    assert planned.ranges == [(RUNNING + WEEK, RUNNING + 4 * WEEK)]
    assert store.plan(AS_OF + 4 * WEEK).ranges == [(RUNNING + 3 * WEEK, RUNNING + 4 * WEEK)]


def test_a_week_that_lies_far_back_is_a_range_of_its_own(store: Store) -> None:
    store.load()
    store.put("events/old.csv", [event("old", str(weeks_ago(30)))])
    first = store.plan()
    # The weeks between hold nothing yet, but are the store's now: none of them was ever loaded.
    assert (first.first_week, first.ranges) == (weeks_ago(30), [(weeks_ago(30), RUNNING)])
    store.load()
    store.put("events/old.csv", [event("old", str(weeks_ago(30))), event("older", str(weeks_ago(30)))])
    assert store.plan().ranges == [(weeks_ago(30), weeks_ago(30)), (weeks_ago(1), RUNNING)]


def test_weeks_may_be_chosen(store: Store) -> None:
    store.load()
    assert store.plan(weeks=(weeks_ago(3), weeks_ago(2))).ranges == [(weeks_ago(3), weeks_ago(2))]
    assert store.plan(every_week=True).ranges == [(weeks_ago(3), RUNNING)]


def test_a_week_that_has_not_begun_cannot_be_chosen(store: Store) -> None:
    with pytest.raises(
        SourceError, match="the week 2021-03-08 has not begun: the last one is the running week, 2021-03-01"
    ):
        store.plan(weeks=(RUNNING, RUNNING + WEEK))


def test_chosen_weeks_leave_the_others_due(store: Store) -> None:
    store.load(weeks=(weeks_ago(2), weeks_ago(2)))
    assert set(store.events()) == {"e2"}
    store.load()
    assert set(store.events()) == {"e0", "e1", "e2", "e3"}
    assert_accounted(store, events=4, products=2)


def test_a_run_that_broke_off_is_taken_up_by_the_next(store: Store) -> None:
    store.put("events/old.csv", [event("old", str(weeks_ago(30)))])
    store.load()
    store.put("events/old.csv", [event("old", str(weeks_ago(30))), event("older", str(weeks_ago(30)))])
    store.put("events/0.csv", [event("newer", str(RUNNING))])
    with open_warehouse(store.settings) as warehouse:
        planned = plan_run(warehouse, AS_OF, LOG, counts_weeks=True)
        planned.load.write_events(Weeks(warehouse.calendar, *planned.ranges[0]), "run")
    assert planned.ranges == [(weeks_ago(30), weeks_ago(30)), (weeks_ago(1), RUNNING)]
    assert {"older", "e0"} <= set(store.events())
    # The first range has raw events that the other weekly tables do not know; the second was never written.
    assert store.plan().ranges == planned.ranges
    store.load()
    assert set(store.events()) == {"old", "older", "newer", "e1", "e2", "e3"}
    assert_accounted(store, events=6)


@pytest.mark.parametrize("name", ["int_session_days", "inventory", "inventory_changes"])
def test_weeks_behind_which_a_table_fell_are_due(store: Store, name: str) -> None:
    store.load()
    with open_warehouse(store.settings) as warehouse:
        warehouse.execute("delete from _writes where table_name = ? and week = ?", [name, weeks_ago(3)])
    assert store.plan().ranges == [(weeks_ago(3), RUNNING)]


def test_a_new_observation_bears_on_the_week_of_the_one_before_and_on_all_later_ones(store: Store) -> None:
    store.put("products/2021-03-02.csv", [product("p1")])
    store.load()
    store.put("products/2021-02-26.csv", [product("p1")])
    # The one before is of 2021-02-08, three weeks ago.
    assert store.plan().ranges == [(weeks_ago(3), RUNNING)]
    store.load()
    store.put("products/2021-03-03.csv", [product("p1")])
    assert store.plan().ranges == [(weeks_ago(1), RUNNING)]


def test_weeks_go_on_while_only_products_are_observed(store: Store) -> None:
    store.load()
    store.put("products/2021-03-10.csv", [product("p1")])
    assert store.load(AS_OF + 2 * WEEK).ranges == [(weeks_ago(3), RUNNING + WEEK)]
    assert store.plan(AS_OF + 2 * WEEK).ranges == [(RUNNING + WEEK, RUNNING + WEEK)]


def test_events_to_come_make_no_week(store: Store) -> None:
    store.put("events/to-come.csv", [event("soon", str(RUNNING + 3 * WEEK)), event("far", "9999-12-30")])
    assert store.load().ranges == [(weeks_ago(3), RUNNING)]
    assert_accounted(store, events=6)


def test_weeks_begin_on_monday_in_the_stores_zone(new_either: Callable[..., Store]) -> None:
    store = new_either(products=DATED, timezone="America/New_York")
    store.put(
        "events.csv",
        [
            event("sunday there", "2021-03-01T04:59:59Z"),
            event("monday there", "2021-03-01T05:00:00Z"),
            event("sunday in summer time", "2021-03-15T03:59:59Z"),
            event("monday in summer time", "2021-03-15T04:00:00Z"),
        ],
    )
    store.load(dt.datetime(2021, 3, 16))
    assert store.rows(
        "select bucket, sum(rows_loaded) from _loads where source_table = 'events' group by 1 order by 1"
    ) == [
        ("2021-02-22", 1),
        ("2021-03-01", 1),
        ("2021-03-08", 1),
        ("2021-03-15", 1),
    ]
    assert store.rows("select observed_at from raw_observations") == [(dt.datetime(2021, 2, 8, 5),)]


def test_a_start_that_is_set_is_the_first_week(store: Store) -> None:
    planned = store.under(start=weeks_ago(1)).plan()
    assert (planned.first_week, planned.ranges) == (weeks_ago(1), [(weeks_ago(1), RUNNING)])
    earlier = store.under(start=weeks_ago(10)).plan()
    assert (earlier.first_week, earlier.ranges) == (weeks_ago(10), [(weeks_ago(10), RUNNING)])


def test_a_start_after_the_running_week_is_refused(store: Store) -> None:
    with pytest.raises(
        SourceError, match="PLANT_START=2021-03-08 is not allowed: at most 2021-03-01, the running week"
    ):
        store.under(start=RUNNING + WEEK).plan()


def test_a_start_after_weeks_that_are_loaded_is_refused(store: Store) -> None:
    """The rows before it would stay in the tables, though nothing could load those weeks any more."""
    store.load()
    before = store.contents()
    with pytest.raises(
        SourceError, match="PLANT_START=2021-02-22 is not allowed: at most 2021-02-08, the first week of"
    ):
        store.under(start=weeks_ago(1)).load()
    assert store.contents() == before
