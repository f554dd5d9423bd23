"""Late, corrected and withdrawn data: whatever the order of arrival, the tables are those of one load from nothing."""

import datetime as dt
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from plant_assets.calendar import Weeks
from plant_assets.orchestration.jobs import plan_run
from plant_assets.warehouse.open import open_warehouse
from plant_assets_tests.support.machine import need
from plant_assets_tests.support.small_stores import (
    AS_OF,
    DATED,
    LOG,
    LiveStore,
    Row,
    Store,
    appended_tables,
    assert_accounted,
    csv_text,
    event,
    event_id,
    new_live_store,
    new_store,
    product,
    rebuilt,
)

WEEKS = [dt.date(2021, 1, 4) + dt.timedelta(weeks=n) for n in range(9)]
RUNNING, LAST_WEEK = WEEKS[8], WEEKS[7]
ON_TIME = [(LAST_WEEK, RUNNING)]


def day(week: int, weekday: int = 0) -> str:
    """A date of one of WEEKS."""
    return str(WEEKS[week] + dt.timedelta(days=weekday))


@pytest.fixture
def empty(new_either: Callable[..., Store]) -> Store:
    """A store that takes any number of refused rows, without an event yet, in files or in a database."""
    return new_either(max_rejected=1)


@pytest.fixture
def either(empty: Store) -> Store:
    """A loaded store with events in each of WEEKS, in files or in a database."""
    return with_weeks(empty)


@pytest.fixture
def store(new_either: Callable[..., Store]) -> Store:
    """The same store with products that were observed long ago, and not by each load."""
    return with_weeks(new_either(products=DATED, max_rejected=1))


def with_weeks(store: Store) -> Store:
    for number in range(len(WEEKS)):
        store.put(f"events/{number}.csv", [event(f"e{number}", day(number)), event(f"f{number}", day(number, 2))])
    store.load()
    return store


def assert_as_from_nothing(store: Store, tmp_path: Path, as_of: dt.datetime = AS_OF) -> None:
    assert store.contents() == rebuilt(store, tmp_path / "anew", as_of).contents()


def test_a_new_file_of_an_old_week_brings_back_that_week(either: Store, tmp_path: Path) -> None:
    either.put("events/late.csv", [event("late", day(2, 6))])
    assert either.load().ranges == [(WEEKS[2], RUNNING)], "one range, since that adds under 20 weeks"
    assert either.events()["late"] == day(2, 6)
    assert_as_from_nothing(either, tmp_path)


def test_of_weeks_far_apart_only_those_are_loaded(store: Store, tmp_path: Path) -> None:
    later = AS_OF + dt.timedelta(weeks=30)
    store.put("events/later.csv", [event("later", "2021-09-27")])
    store.load(later)
    store.put("events/late.csv", [event("late", day(2, 6))])
    store.put("events/5.csv", [event("e5", day(5))])
    store.remove("events/0.csv")
    now = dt.date(2021, 9, 27)
    assert store.load(later).ranges == [(week, week) for week in (WEEKS[0], WEEKS[2], WEEKS[5])] + [
        (now - dt.timedelta(weeks=1), now)
    ]
    assert set(store.events()) == {*(f"{kind}{n}" for kind in "ef" for n in range(1, 9)), "late", "later"} - {"f5"}
    assert_accounted(store, events=17, products=2)
    assert_as_from_nothing(store, tmp_path, later)


def test_a_changed_file_brings_back_the_weeks_it_held_and_holds(either: Store, tmp_path: Path) -> None:
    either.put("events/4.csv", [event("e4", day(3))])
    assert either.load().ranges == [(WEEKS[3], RUNNING)]
    assert either.events()["e4"] == day(3)
    assert "f4" not in either.events()
    assert_accounted(either, events=17)
    assert_as_from_nothing(either, tmp_path)


@pytest.mark.parametrize("number", [0, 4, 8], ids=["of the first week", "of some week", "of the last week"])
def test_a_removed_file_takes_its_rows_along(either: Store, tmp_path: Path, number: int) -> None:
    either.remove(f"events/{number}.csv")
    either.load()
    assert set(either.events()) == {f"{kind}{n}" for kind in "ef" for n in range(9) if n != number}
    assert_accounted(either, events=16)
    assert_as_from_nothing(either, tmp_path)
    settled = either.contents()
    either.load()
    assert either.contents() == settled


def test_a_removed_file_takes_its_refused_rows_along(either: Store) -> None:
    either.put("events/bad.csv", [event("bad", "soon")])
    either.load()
    assert_accounted(either, events=19)
    either.remove("events/bad.csv")
    either.load()
    assert either.refusals() == []
    assert_accounted(either, events=18)


def test_a_touched_or_renamed_file_changes_no_row(tmp_path: Path) -> None:
    store = with_weeks(new_store(tmp_path))
    before = store.contents()
    store.touch("events/2.csv")
    assert store.load().ranges == ON_TIME
    assert store.contents() == before
    (store.folder / "events" / "2.csv").rename(store.folder / "events" / "two.csv")
    assert store.load().ranges == [(WEEKS[2], RUNNING)]
    assert store.contents()["raw_events"] == before["raw_events"]
    assert_accounted(store, events=18)


def test_a_change_that_leaves_size_and_statistics_of_parquet_is_seen(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    rows = [event("a", day(0)), event("b", day(0, 1)), event("c", day(0, 2))]
    store.put("events.parquet", rows)
    store.load()
    store.put("events.parquet", [{**rows[1], "event_id": "a"}, {**rows[0], "event_id": "b"}, rows[2]])
    store.touch("events.parquet")
    store.load()
    assert store.events() == {"a": day(0, 1), "b": day(0), "c": day(0, 2)}
    assert_accounted(store, events=3)


def test_an_earlier_event_of_the_same_id_makes_a_stored_one_yield(store: Store, tmp_path: Path) -> None:
    store.put("events/late.csv", [event("e6", day(2))])
    planned = store.load(weeks=(WEEKS[2], WEEKS[2]))
    assert planned.ranges == [(WEEKS[2], WEEKS[6])], "the week of the stored row is added to those asked for"
    assert store.events()["e6"] == day(2)
    assert store.refused() == [("e6", "event_id", "conflict")]
    assert_accounted(store, events=19)
    assert_as_from_nothing(store, tmp_path)


def test_a_later_event_of_a_stored_id_is_refused(store: Store, tmp_path: Path) -> None:
    store.put("events/late.csv", [event("e2", day(6))])
    store.load(weeks=(WEEKS[6], WEEKS[6]))
    assert store.events()["e2"] == day(2)
    assert store.refused() == [("e2", "event_id", "conflict")]
    assert_accounted(store, events=19)
    assert_as_from_nothing(store, tmp_path)


@pytest.mark.parametrize("is_corrected", [False, True], ids=["withdrawn", "corrected to another id"])
def test_when_the_first_of_an_id_goes_the_next_comes_back(store: Store, tmp_path: Path, is_corrected: bool) -> None:
    store.put("events/second.csv", [event("e2", day(4))])
    store.put("events/third.csv", [event("e2", day(6))])
    store.load()
    assert store.events()["e2"] == day(2)
    if is_corrected:
        store.put("events/2.csv", [event("g2", day(2)), event("f2", day(2, 2))])
    else:
        store.remove("events/2.csv")
    store.load(weeks=(WEEKS[2], WEEKS[2]))
    assert store.events()["e2"] == day(4)
    assert store.refused() == [("e2", "event_id", "conflict")]
    assert_as_from_nothing(store, tmp_path)


def test_a_refused_row_keeps_the_instant_at_which_it_first_was(store: Store) -> None:
    store.put("events/8.csv", [event("e8", day(8)), event("bad", "soon"), event("e2", day(8))])
    store.load()
    store.put("events/8.csv", [event("e8", day(8)), event("bad", "soon"), event("e2", day(8)), event("worse", "late")])
    store.load(AS_OF + dt.timedelta(hours=6))
    found = store.rows("select row_key, rejected_at from rejected_rows order by row_key")
    assert found == [("bad", AS_OF), ("e2", AS_OF), ("worse", AS_OF + dt.timedelta(hours=6))]


def test_observations_are_added_in_any_order_and_stay(store: Store) -> None:
    for file in ("products/2021-02-22.csv", "products/2021-02-01T18-30-00Z.csv", "products/2021-02-15.parquet"):
        store.put(file, [product("p1", inventory="7"), product("p3")])
        store.load()
    observed = [(at, at.hour) for (at,) in store.rows("select observed_at from raw_observations order by 1")]
    assert [(f"{at:%m-%d}", hour) for at, hour in observed] == [
        ("02-01", 18),
        ("02-08", 0),
        ("02-15", 0),
        ("02-22", 0),
    ]
    stored = store.contents()["raw_products"]
    store.remove("products/2021-02-22.csv")
    store.remove("products/2021-02-08.csv")
    store.load()
    assert store.contents()["raw_products"] == stored


def test_orders_are_replaced_when_any_of_their_files_changes(store: Store) -> None:
    order: Row = {"order_id": "o1", "user_id": "u1", "created_at": day(1), "order_total": "1", "status": "new"}
    store.put("orders/1.csv", [order])
    store.put("orders/2.csv", [order, {**order, "order_id": "o2"}])
    store.load()
    assert_accounted(store, orders=3)
    store.put("orders/2.csv", [{**order, "status": "sent"}])
    store.load()
    assert store.rows("select order_id, status from raw_orders") == [("o1", "new")]
    assert store.refused("orders") == [("o1", "order_id", "conflict")]
    store.remove("orders/1.csv")
    store.load()
    assert store.rows("select order_id, status from raw_orders") == [("o1", "sent")]
    assert_accounted(store, orders=1)


def some_events(chance: random.Random, ids: str) -> list[Row]:
    """A few events of few ids in the last weeks: many are the same, in conflict, refused, early or to come."""
    rows = []
    for _ in range(chance.randint(1, 7)):
        at = f"{day(chance.randint(4, 8), chance.randint(0, 6))}T{chance.randint(0, 23):02d}:00:00Z"
        row = event(event_id(chance.randint(1, 9), ids), at, user_id=chance.choice(["u1", "u1", "u2", None]))
        row["session_id"] = event_id(chance.randint(1, 40), ids)
        if chance.random() < 0.15:
            row[chance.choice(["event_id", "session_id", "created_at"])] = None
        rows.append(row)
    return rows


@pytest.mark.parametrize(
    ("new_either", "seed", "ids", "warehouse"),
    [
        *(("files", seed, ids, "w.duckdb") for seed, ids in enumerate(["text", "uuids", "mixed", "uuids"])),
        *(("files", seed, "mixed", "spark://local[2]") for seed in (1, 2)),
        *(("database", seed, ids, "w.duckdb") for seed, ids in enumerate(["uuids", "text"], 2)),
    ],
    indirect=["new_either"],
)
def test_any_order_of_arrival_gives_the_tables_of_one_load(
    new_either: Callable[..., Store], tmp_path: Path, seed: int, ids: str, warehouse: str
) -> None:
    need("java", "spark" not in warehouse or shutil.which("java") is not None)
    chance = random.Random(seed)
    zone, start = chance.choice([("UTC", None), ("America/New_York", None), ("Europe/Berlin", WEEKS[5])])
    held = warehouse if "spark" in warehouse else tmp_path / warehouse
    store = new_either(products=DATED, warehouse=held, max_rejected=1, min_products=0, timezone=zone, start=start)
    if isinstance(store, LiveStore):
        # Rows of older weeks that are exchanged for as many others are not seen.
        store = store.under(late_weeks=520)
    as_of = dt.datetime.combine(WEEKS[6], dt.time(12))
    extensions = ["csv", "csv.gz", "jsonl", "parquet"]
    there: dict[str, str] = {}
    for number in range(3):
        for _ in range(chance.randint(1, 3)):
            name = chance.choice("abcde")
            if name in there and len(there) > 1 and chance.random() < 0.5:
                store.remove(there.pop(name))
            else:
                there.setdefault(name, f"events/{name}.{chance.choice(extensions)}")
                store.put(there[name], some_events(chance, ids))
        store.put(f"products/{day(chance.randint(0, 5), number)}.csv", [product("p1", inventory=str(number))] * 2)
        store.put("order_items.csv", [{"order_id": "o1", "product_id": chance.choice("pq"), "quantity": "1"}] * 2)
        store.load(as_of)
        as_of = min(as_of + dt.timedelta(days=chance.choice([0, 1, 7])), AS_OF)
    store.load(as_of)
    assert store.contents()["raw_events"] != []
    assert_as_from_nothing(store, tmp_path, as_of)
    settled = store.contents()
    store.load(as_of)
    assert store.contents() == settled


@pytest.fixture
def growing(store: Store) -> Store:
    """The store, with orders and two files of events of its last week."""
    store.put("orders.csv", [order("o1"), order("o2")])
    store.put("order_items/a.csv", [item("o1"), item("o2")])
    store.put("events/today.csv", [event("t1", day(8)), event("t2", day(8, 1))])
    store.load()
    return store


def order(order_id: str, status: str = "paid") -> Row:
    return {"order_id": order_id, "user_id": "u", "created_at": day(8), "order_total": "5", "status": status}


def item(order_id: str, quantity: str = "1") -> Row:
    return {"order_id": order_id, "product_id": "p1", "quantity": quantity}


def test_of_files_that_have_grown_only_the_new_rows_are_added(growing: Store, tmp_path: Path) -> None:
    growing.put("events/today.csv", [event("t1", day(8)), event("t2", day(8, 1)), event("t3", day(8, 2))])
    growing.put("order_items/a.csv", [item("o1"), item("o2"), item("o3")])
    growing.put("order_items/b.csv", [item("o4")])
    load = growing.load().load
    assert load.weeks.kept == {LAST_WEEK, RUNNING}
    assert appended_tables(load) == {"orders", "order_items"}
    assert growing.rows("select count(*) from raw_events where event_id = 't1'") == [(1,)]
    assert_accounted(growing, events=21, orders=2, order_items=4)
    assert_as_from_nothing(growing, tmp_path)


@pytest.mark.parametrize(
    ("events", "items"),
    [
        ([event("t1", day(8))], [item("o1")]),
        ([event("t1", day(8)), event("t2", day(8, 1), user_id="other")], [item("o1"), item("o2", "7")]),
        ([event("t1", day(8)), event("t1", day(8)), event("t2", day(8, 1))], [item("o1"), item("o1"), item("o2")]),
        ([event("t1", day(8)), event("t2", day(8, 1)), event("f8", day(8, 2))], [item("o1"), item("o2"), item("")]),
        ([event("t1", day(8)), event("t2", day(7, 1)), event("bad", "soon")], [item("o2"), item("o1", "many")]),
        (
            [event("t1", day(8)), event("t2", day(8, 1)), event("n", day(8)), event("n", day(8), user_id="x")],
            [item("o1"), item("o2"), item("n"), item("n", "2")],
        ),
    ],
    ids=[
        "has lost a row",
        "has another value",
        "repeats a row",
        "repeats another file's",
        "has moved and bad rows",
        "contradicts itself",
    ],
)
def test_a_file_that_has_not_just_grown_is_as_loaded_from_nothing(
    growing: Store, tmp_path: Path, events: list[Row], items: list[Row]
) -> None:
    growing.put("events/today.csv", events)
    growing.put("order_items/a.csv", items)
    growing.load()
    assert_as_from_nothing(growing, tmp_path)
    growing.put("events/today.csv", [event("t1", day(8)), event("t2", day(8, 1)), event("t4", day(8, 2))])
    growing.put("order_items/a.csv", [item("o1"), item("o2"), item("o5")])
    growing.load()
    assert_as_from_nothing(growing, tmp_path / "again")


def long_ago(store: Store) -> None:
    """Events so far apart that a late one between them makes two ranges."""
    store.put(
        "events/all.csv", [event("h", "2020-02-04 09:00"), event("m", "2020-12-02"), event("n", "2021-03-02 10:00")]
    )


def test_bad_rows_of_a_file_that_grows_are_a_share_of_all_its_rows(
    new_either: Callable[..., Store], tmp_path: Path
) -> None:
    store = new_either()
    rows = [event(f"e{number}", f"2021-03-02 10:00:{number % 60:02}") for number in range(100)]
    store.put("events.csv", [*rows, event("x", "nonsense")])
    store.load()
    store.put("events.csv", [*rows, event("x", "nonsense"), event("new", "2021-03-02 11:00")])
    store.load()
    assert_as_from_nothing(store, tmp_path)


@pytest.mark.parametrize("rows", [["o1", "o2"], ["o3"]], ids=["grown", "changed"])
def test_items_are_written_once_in_a_run_of_two_ranges(empty: Store, tmp_path: Path, rows: list[str]) -> None:
    long_ago(empty)
    empty.put("order_items/a.csv", [item("o1")])
    empty.load()
    empty.put("events/late.csv", [event("l", "2020-02-05")])
    empty.put("order_items/a.csv", [item(order_id) for order_id in rows])
    assert len(empty.load().ranges) == 2
    assert_as_from_nothing(empty, tmp_path)


def test_a_row_of_no_week_outlasts_a_run_of_two_ranges(new_either: Callable[..., Store], tmp_path: Path) -> None:
    store = new_either(products=DATED, max_rejected=1)
    store.put("products/2020-02-03.csv", [product("p1")])
    store.put("events/all.csv", [])
    store.load()
    store.put("events/late.csv", [event("l", "2020-02-05"), event("bad", "nonsense")])
    store.load()
    assert_as_from_nothing(store, tmp_path)


def test_an_event_that_moves_far_is_there_once_though_the_run_stops_between_its_ranges(
    empty: Store, tmp_path: Path
) -> None:
    long_ago(empty)
    empty.load()
    empty.put("events/late.csv", [event("m", "2020-02-05")])
    with open_warehouse(empty.settings) as warehouse:
        planned = plan_run(warehouse, AS_OF, LOG, counts_weeks=True)
        first, last = planned.ranges[0]
        planned.load.write_events(Weeks(warehouse.calendar, first, last), "stopped")
    empty.load()
    assert_as_from_nothing(empty, tmp_path)


def test_a_refused_row_of_a_kept_week_wins_when_the_winner_moves_behind_it(empty: Store, tmp_path: Path) -> None:
    empty.put("events/a.csv", [event("e", "2021-02-16 10:00")])
    empty.put("events/b.csv", [event("e", "2021-03-02 10:00")])
    empty.load()
    empty.put("events/a.csv", [event("e", "2021-03-02 12:00")])
    empty.load()
    assert_as_from_nothing(empty, tmp_path)


@pytest.mark.parametrize(("seed", "ids"), [*enumerate(["text", "uuids", "mixed"] * 2)])
def test_any_changes_of_files_give_the_tables_of_one_load(empty: Store, tmp_path: Path, seed: int, ids: str) -> None:
    drawn = random.Random(seed)
    days = ["2021-02-09", "2021-02-16", "2021-02-23", "2021-03-02"]
    files: dict[str, list[Row]] = {}
    # In a database, rows of older weeks that are exchanged for as many others are not seen.
    empty = empty.under(late_weeks=520)

    def row() -> Row:
        at = drawn.choice(["nonsense", *[f"{date} 1{drawn.randrange(3)}:00" for date in days] * 3])
        return event(
            event_id(drawn.randrange(7), ids),
            at,
            session_id=drawn.choice([event_id(1, ids), event_id(drawn.randrange(20), ids), None]),
        )

    for step in range(4):
        for _change in range(drawn.choice([1, 1, 2])):
            name = drawn.choice(["events/a.csv", "events/b.csv", "events/c.jsonl", "events/d.parquet"])
            change = drawn.choice(["new", "grow", "grow", "exchange", "remove"])
            held = files.get(name, [])
            if change == "remove" and held and len(files) > 1:
                empty.remove(name)
                del files[name]
                continue
            if change == "exchange" and held:
                held = held[1:]
            files[name] = (held if change != "new" else []) + [row() for _row in range(drawn.randrange(1, 4))]
            empty.put(name, files[name])
        empty.load()
        assert empty.contents() == rebuilt(empty, tmp_path / str(step)).contents(), files


def id_types(store: Store) -> dict[str, str]:
    """The types under which ids of events are stored."""
    with open_warehouse(store.settings) as warehouse:
        types = warehouse.catalog.column_types("raw_events")
        assert types == warehouse.catalog.column_types("int_events") | types
        return {name: types[name] for name in ("event_id", "session_id")}


@pytest.mark.parametrize(
    "other",
    [
        "e1",
        "0A3F9E1C-0000-4000-8000-000000000001",
        "0a3f9e1c000040008000000000000001",
        " 0a3f9e1c-0000-4000-8000-000000000001",
    ],
)
def test_ids_are_uuids_until_one_is_written_otherwise(empty: Store, other: str) -> None:
    first = [event_id(number, "uuids") for number in range(3)]
    empty.put("events/a.csv", [event(each, day(7)) for each in first])
    empty.load()
    with open_warehouse(empty.settings) as warehouse:
        # As the asset has it, a view.
        warehouse.execute("create view int_events as select event_id, created_at from raw_events")
    assert id_types(empty) == {"event_id": "UUID", "session_id": "VARCHAR"}
    empty.put("events/b.csv", [event("nothing", "soon"), event(event_id(3, "uuids"), day(8))])
    empty.load()
    assert id_types(empty) == {"event_id": "UUID", "session_id": "VARCHAR"}
    assert len(empty.refusals()) == 1
    empty.put("events/c.csv", [event(other, day(8)), event(event_id(4, "uuids"), day(8))])
    empty.load()
    assert id_types(empty) == {"event_id": "VARCHAR", "session_id": "VARCHAR"}
    assert sorted(empty.events()) == sorted([*first, other, event_id(3, "uuids"), event_id(4, "uuids")])
    assert empty.rows("select count(*), count(distinct event_id) from int_events") == [(6, 6)]
    empty.put("events/d.csv", [event(event_id(5, "uuids"), day(8)), event(first[0], day(8))])
    empty.load()
    assert id_types(empty) == {"event_id": "VARCHAR", "session_id": "VARCHAR"}
    assert empty.rows("select reason, row_key from rejected_rows where reason = 'conflict'") == [("conflict", first[0])]
    assert len(empty.refusals()) == 2


def test_a_refused_row_keeps_its_key_and_instant_when_ids_become_text(empty: Store, tmp_path: Path) -> None:
    known = event_id(1, "uuids")
    empty.put("events/a.csv", [event(known, day(7)), event("order-7", "soon"), event(known.upper(), "soon")])
    empty.load()
    empty.put("events/b.csv", [event("own", day(8))])
    empty.load(AS_OF + dt.timedelta(hours=1))
    assert [key for key, _column, _reason in empty.refused()] == [known.upper(), "order-7"]
    empty.load(AS_OF + dt.timedelta(hours=2), every_week=True)
    assert empty.rows("select distinct rejected_at from rejected_rows") == [(AS_OF,)]
    as_of = AS_OF + dt.timedelta(hours=2)
    assert empty.contents()["rejected_rows"] == rebuilt(empty, tmp_path / "anew", as_of).contents()["rejected_rows"]


def test_what_a_database_holds_is_known_again_when_ids_became_text(database: str, tmp_path: Path) -> None:
    live = new_live_store(database, tmp_path)
    live.put("events/a.csv", [event(event_id(number, "uuids"), day(number)) for number in range(9)])
    live.load()
    live.put("events/b.csv", [event("own", day(8))])
    assert live.load().load.weeks.kept >= {LAST_WEEK}
    before = live.contents()
    assert live.load().load.weeks.kept == {LAST_WEEK, RUNNING}
    live.load(every_week=True)
    assert live.contents() == before


def test_a_file_that_is_named_like_a_message_is_read(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    rows = csv_text([event(event_id(1, "uuids"), day(8))]) + csv_text([event("own", day(8))]).splitlines()[1] + "\r\n"
    store.put("events/not written as a UUID is: product_id.csv", rows)
    store.load()
    assert set(store.events()) == {"own", event_id(1, "uuids")}


@pytest.mark.parametrize("ids", ["text", "uuids"])
def test_an_event_in_conflict_returns_with_the_file_that_held_the_other(empty: Store, tmp_path: Path, ids: str) -> None:
    first, second, third = (event_id(number, ids) for number in range(3))
    empty.put("events/a.csv", [event(first, "2021-02-10"), event(second, "2021-02-11")])
    empty.load()
    empty.put("events/b.csv", [event(third, "2021-02-17"), event(second, "2021-02-09"), event(first, "2021-02-18")])
    empty.load()
    empty.remove("events/a.csv")
    empty.load()
    assert_as_from_nothing(empty, tmp_path)
