"""Each rule by itself: staged rows, and what the rule says of them."""

import datetime as dt
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from plant_assets.contracts import TABLES
from plant_assets.ingest.limits import RejectedLoad, RowCounts, require_enough_rows, require_few_rejected
from plant_assets.ingest.validation import (
    Observation,
    find_too_few_products,
    note_stored_twins,
    reject_duplicates,
    reject_intervals,
    reject_outside,
    reject_overlaps,
    reject_stored,
)
from plant_assets.ingest.weeks import LoadWeeks
from plant_assets.settings import read_settings
from plant_assets.sources.tables import HISTORY, SOURCE_TABLES, staged_columns
from plant_assets.warehouse.open import open_warehouse
from plant_assets.warehouse.warehouse import Warehouse

AS_OF = dt.datetime(2021, 3, 3, 12)
RUNNING, BEFORE, EARLIER = dt.date(2021, 3, 1), dt.date(2021, 2, 22), dt.date(2021, 2, 15)
EVENT = {"session_id": "s", "event_type": "page_view", "file": "a.csv"}


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[Warehouse]:
    """An empty warehouse of text ids, its staged tables, and a load of the running week and the one before."""
    settings = read_settings(source=tmp_path, warehouse=tmp_path / "w.duckdb", max_rejected=0.5)
    with open_warehouse(settings) as opened:
        LoadWeeks(opened).choose([RUNNING, BEFORE])
        for name, table in SOURCE_TABLES.items():
            opened.execute(f"create table _staged_{name} ({staged_columns(table)})")
            for column in TABLES[table.target].ids:
                opened.store.keep_as_text(name, column)
        yield opened


def put(warehouse: Warehouse, table: str, *rows: dict[str, Any]) -> None:
    for row in rows:
        values = ", ".join(f"${name} as {name}" for name in row)
        warehouse.execute(f"insert into {table} by name select {values}", row)


def event(number: int, at: str, **others: object) -> dict[str, Any]:
    created_at = dt.datetime.fromisoformat(at)
    week = created_at.date() - dt.timedelta(days=created_at.weekday())
    return {**EVENT, "event_id": f"e{number}", "created_at": created_at, "week": week, **others}


def reasons(warehouse: Warehouse, table: str = "events") -> list[tuple[str | None, str | None]]:
    """Reason and column of each staged row, in the order in which they were put."""
    return warehouse.rows(f"select reason, column_name from _staged_{table} order by rowid")


def test_of_rows_with_one_key_the_first_stays(warehouse: Warehouse) -> None:
    later, first = event(1, "2021-03-01 10:00"), event(1, "2021-03-01 09:00")
    put(warehouse, "_staged_events", later, first, first, event(2, "2021-03-01 10:00"))
    reject_duplicates(warehouse, SOURCE_TABLES["events"], "event_id", first="created_at")
    assert reasons(warehouse) == [("conflict", "event_id"), (None, None), ("duplicate", "event_id"), (None, None)]


def test_rows_of_other_weeks_and_rejected_ones_have_no_duplicates(warehouse: Warehouse) -> None:
    earlier, rejected = event(1, "2021-02-16 09:00"), event(1, "2021-03-01 08:00", reason="missing")
    put(warehouse, "_staged_events", earlier, rejected, event(1, "2021-03-01 09:00"))
    reject_duplicates(warehouse, SOURCE_TABLES["events"], "event_id", first="created_at")
    assert [reason for reason, _column in reasons(warehouse)] == [None, "missing", None]


def test_keys_of_two_columns_are_compared_whole(warehouse: Warehouse) -> None:
    items = [("o1", "p1", 2), ("o1", "p2", 1), ("o1", "p1", 1)]
    rows = [dict(zip(("order_id", "product_id", "quantity"), item, strict=True)) for item in items]
    put(warehouse, "_staged_order_items", *rows)
    reject_duplicates(warehouse, SOURCE_TABLES["order_items"], None)
    assert reasons(warehouse, "order_items") == [("conflict", None), (None, None), (None, None)]


def test_events_outside_the_stores_time_are_rejected(warehouse: Warehouse) -> None:
    instants = ["2021-02-14 23:59:59", "2021-02-15", "2021-03-04 12:00", "2021-03-04 12:00:01", "2021-03-08"]
    put(warehouse, "_staged_events", *(event(number, at) for number, at in enumerate(instants)))
    reject_outside(warehouse, EARLIER, AS_OF)
    before, future = ("before_start", "created_at"), ("future", "created_at")
    assert reasons(warehouse) == [before, (None, None), (None, None), future, future]


def test_the_running_week_ends_the_stores_time_even_within_a_day(warehouse: Warehouse) -> None:
    put(warehouse, "_staged_events", event(1, "2021-03-07 23:59:59"), event(2, "2021-03-08"))
    reject_outside(warehouse, EARLIER, dt.datetime(2021, 3, 7, 12))
    assert [reason for reason, _column in reasons(warehouse)] == [None, "future"]


def stored(number: int, at: str) -> dict[str, Any]:
    return {name: value for name, value in event(number, at).items() if name not in ("week", "file")}


def test_events_that_are_stored_earlier_in_other_weeks_are_in_conflict(warehouse: Warehouse) -> None:
    put(warehouse, "raw_events", stored(1, "2021-02-16"), stored(2, "2021-02-23"))
    put(warehouse, "_staged_events", event(1, "2021-03-01"), event(2, "2021-03-01"), event(3, "2021-03-01"))
    note_stored_twins(warehouse)
    reject_stored(warehouse)
    # The stored row of the second event is in a week that the load replaces.
    assert reasons(warehouse) == [("conflict", "event_id"), (None, None), (None, None)]


def test_in_a_week_that_is_kept_a_stored_event_stays(warehouse: Warehouse) -> None:
    weeks = LoadWeeks(warehouse)
    weeks.choose([RUNNING, BEFORE])
    weeks.keep({BEFORE})
    put(warehouse, "raw_events", stored(1, "2021-02-23"))
    put(warehouse, "_staged_events", event(1, "2021-03-01"))
    note_stored_twins(warehouse)
    reject_stored(warehouse)
    assert reasons(warehouse) == [("conflict", "event_id")]


def version(product: int, begins: str, ends: str | None) -> dict[str, Any]:
    instants = (begins, ends)
    valid_from, valid_to = (at and dt.datetime.fromisoformat(at) for at in instants)
    return {"product_id": f"p{product}", "dbt_valid_from": valid_from, "dbt_valid_to": valid_to}


def test_versions_that_have_not_begun_or_end_before_they_begin_are_rejected(warehouse: Warehouse) -> None:
    versions = [version(1, "2021-03-02", "2021-03-01"), version(2, "2021-03-05", None), version(3, "2021-03-02", None)]
    put(warehouse, f"_staged_{HISTORY}", *versions)
    reject_intervals(warehouse, AS_OF + dt.timedelta(days=1))
    backwards = ("ends before it begins", "dbt_valid_to")
    assert reasons(warehouse, HISTORY) == [backwards, ("future", "dbt_valid_from"), (None, None)]


def test_of_overlapping_versions_the_one_that_began_last_stays(warehouse: Warehouse) -> None:
    versions = [
        version(1, "2021-02-01", "2021-02-03"),
        version(1, "2021-02-03", "2021-02-06"),  # goes on where the next has begun
        version(1, "2021-02-05", None),
        version(2, "2021-02-01", None),  # never ends, though another begins
        version(2, "2021-02-02", None),
    ]
    put(warehouse, f"_staged_{HISTORY}", *versions)
    reject_overlaps(warehouse)
    overlaps, good = ("conflict", "dbt_valid_to"), (None, None)
    assert reasons(warehouse, HISTORY) == [good, overlaps, good, overlaps, good]


def observed(*products: int, first_day: int = 1) -> list[Observation]:
    """Observations of these numbers of products, one a day."""
    return [
        Observation(dt.datetime(2021, 2, day), f"products/{day}", number)
        for day, number in enumerate(products, start=first_day)
    ]


@pytest.mark.parametrize(
    ("stored", "staged", "rejected"),
    [
        ([], observed(0, 100), []),  # there is none before the first
        (observed(100), observed(50, 49, first_day=2), []),  # each against the one before
        (observed(100), observed(49, 60, 30, first_day=2), [49]),
        (observed(100), observed(49, 25, 60, first_day=2), [49, 25]),  # a rejected one is not compared with
        (observed(100, 10), observed(10, first_day=2), []),  # read again, as it was accepted before
        (observed(1, first_day=5), observed(100, 49, first_day=3), [49]),  # late ones, against the ones before them
    ],
)
def test_observations_of_too_few_products(
    stored: list[Observation], staged: list[Observation], rejected: list[int]
) -> None:
    assert [each.products for each in find_too_few_products(stored, staged, least=0.5)] == rejected


@pytest.mark.parametrize(
    ("counts", "what"),
    [
        (RowCounts("events", RUNNING, 100, 49, True), "the week 2021-03-01 of the table events has 49 rows where 100"),
        (RowCounts("orders", None, 100, 0, False), "the table orders is gone where 100 rows were loaded before"),
    ],
)
def test_much_fewer_rows_than_before_are_rejected(counts: RowCounts, what: str) -> None:
    with pytest.raises(RejectedLoad, match=f"shop: {what}"):
        require_enough_rows("shop", 0.5, [RowCounts("events", BEFORE, 100, 100, True), counts])


@pytest.mark.parametrize(("before", "now"), [(100, 50), (39, 20), (19, 0), (0, 0)])
def test_somewhat_fewer_rows_or_few_missing_ones_are_not(before: int, now: int) -> None:
    counts = [RowCounts("events", RUNNING, before, now, True)]
    require_enough_rows("shop", 0.5, counts)
    with pytest.raises(RejectedLoad):
        require_enough_rows("shop", 0.5, [*counts, RowCounts("orders", None, 100, 0, True)])


def stage_reasons(warehouse: Warehouse, given: Iterable[str | None]) -> None:
    rows = [event(number, "2021-03-01", reason=reason, row_key=str(number)) for number, reason in enumerate(given)]
    put(warehouse, "_staged_events", *rows)


def test_too_many_rejected_rows_reject_the_load(warehouse: Warehouse) -> None:
    stage_reasons(warehouse, ["missing", "missing", None])
    with pytest.raises(RejectedLoad) as caught:
        require_few_rejected(warehouse, "shop", "events", [], 0)
    assert str(caught.value) == (
        "shop: 2 of 3 rows of the table events cannot be loaded, more than PLANT_MAX_REJECTED=0.5 allows;"
        " the first is a.csv: missing"
    )
    require_few_rejected(warehouse, "shop", "events", [], read_elsewhere=1)


@pytest.mark.parametrize("reason", ["duplicate", "future", "before_start", "too_few_products"])
def test_rows_that_are_dropped_or_looked_at_again_do_not_count_as_rejected(warehouse: Warehouse, reason: str) -> None:
    stage_reasons(warehouse, [reason, reason, reason, None])
    require_few_rejected(warehouse, "shop", "events", [], 0)
    stage_reasons(warehouse, ["missing"] * 5)
    with pytest.raises(RejectedLoad, match="5 of 9 rows"):
        require_few_rejected(warehouse, "shop", "events", [], 0)


def test_of_a_part_that_is_read_again_only_newly_rejected_rows_count(warehouse: Warehouse) -> None:
    stage_reasons(warehouse, ["missing", "missing", "missing", None])
    known = {"source_table": "events", "file": "a.csv", "reason": "missing", "week_start_date": RUNNING}
    put(warehouse, "rejected_rows", *({**known, "row_key": str(number), "rejected_at": AS_OF} for number in range(2)))
    require_few_rejected(warehouse, "shop", "events", ["a.csv"], 0)
    with pytest.raises(RejectedLoad, match="3 of 4 rows"):
        require_few_rejected(warehouse, "shop", "events", [], 0)
