"""Versions, stock and session days over random stores, each against a plain, slow reference in Python.

The references walk over observations and events one by one; they know neither versions nor SQL.
"""

import datetime as dt
import functools
import itertools
from collections.abc import Sequence
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import ibis
from hypothesis import strategies as st

from plant_assets.calendar import WEEK, Calendar
from plant_assets.contracts import STAGES
from plant_assets.transforms import inventory as transforms
from plant_assets.transforms.events import session_days
from plant_assets.transforms.snapshots import product_snapshots, products
from plant_assets_tests.support.engines import ENGINE, Row, over, table
from plant_assets_tests.support.odd_rows import Seen
from plant_assets_tests.support.sightings import CALENDAR, INSTANTS, MAX_GAP, PRODUCTS, WEEKS, Sightings, sightings

OBSERVATIONS, VERSIONS = table("raw_observations"), table("product_snapshots")
SEEN = products(VERSIONS, OBSERVATIONS)
SNAPSHOTS = product_snapshots(table("raw_products"), OBSERVATIONS)
OFFSETS = CALENDAR.offsets(min(INSTANTS), max(INSTANTS))
INVENTORY = transforms.inventory(VERSIONS, OBSERVATIONS, table("weeks"), OFFSETS, MAX_GAP)
CHANGES = transforms.inventory_changes(table("inventory"), VERSIONS, OBSERVATIONS, table("weeks"), OFFSETS)
STOCKOUTS = transforms.stockouts(VERSIONS, OBSERVATIONS, MAX_GAP)


@functools.cache
def snapshots_since(since: dt.datetime) -> ibis.Table:
    return product_snapshots(table("raw_products"), OBSERVATIONS, VERSIONS, since)


def expected_versions(store: Sightings) -> list[Row]:
    versions: list[dict[str, Any]] = []
    for product in PRODUCTS:
        held, last_seen_at = None, None
        for instant, _until, seen in store.spans(product):
            if held is not None and seen != held:
                versions[-1] |= {"valid_to": str(instant), "is_current": False}
            if seen is not None and seen != held:
                versions.append(
                    {
                        "product_id": product,
                        "name": product if seen.name == "" else seen.name,
                        "inventory": seen.inventory,
                        "valid_from": str(instant),
                        "valid_to": None,
                        "is_current": True,
                        "changed_after": last_seen_at,
                    }
                )
            held = seen
            last_seen_at = str(instant) if seen is not None else last_seen_at
    return versions


def expected_inventory(store: Sightings) -> list[Row]:
    rows: list[Row] = []
    last = store.instants[-1]
    for week, product in itertools.product(WEEKS, PRODUCTS):
        start, end = week["starts_at"], week["ends_at"]
        held = [
            (max(start, since), min(end, until or last), seen)
            for since, until, seen in store.spans(product)
            if seen is not None and since < end and (until is None or until > start) and start <= last
        ]
        if not held:
            continue
        opening, closing = store.before(product, start), store.before(product, end)
        deltas = [delta for at, delta in stock_changes(store, product) if start <= at < end]
        known = [seen.inventory for _since, _until, seen in held if seen.inventory is not None]
        out = [until - since for since, until, seen in held if seen.inventory is not None and seen.inventory <= 0]
        name = held[-1][2].name
        rows.append(
            {
                "week_start_date": str(week["week_start_date"]),
                "product_id": product,
                "product_name": product if name == "" else name,
                "opening_inventory": opening.inventory if opening else None,
                "closing_inventory": closing.inventory if closing else None,
                "min_inventory": min(known, default=None),
                "max_inventory": max(known, default=None),
                "inflow": sum(delta for delta in deltas if delta > 0),
                "outflow": -sum(delta for delta in deltas if delta < 0),
                "changes": len(deltas),
                "hours_out_of_stock": sum(out, dt.timedelta()) / dt.timedelta(hours=1),
                "hours_observed": hours_within(store.stretches(product), start, end),
                "hours_out_observed": hours_within(out_stretches(store, product), start, end),
                "is_complete": last >= end,
            }
        )
    return rows


def out_stretches(store: Sightings, product: str) -> list[tuple[dt.datetime, dt.datetime, Seen]]:
    return [(start, end, seen) for start, end, seen in store.stretches(product) if seen.inventory <= 0]


def hours_within(
    stretches: Sequence[tuple[dt.datetime, dt.datetime, Seen]], low: dt.datetime, high: dt.datetime
) -> float:
    parts = [max(min(end, high) - max(start, low), dt.timedelta()) for start, end, _seen in stretches]
    return sum(parts, dt.timedelta()) / dt.timedelta(hours=1)


def stock_changes(store: Sightings, product: str) -> list[tuple[dt.datetime, int]]:
    """Each change against the last known value."""
    known = [(at, seen.inventory) for at, _until, seen in store.spans(product) if seen and seen.inventory is not None]
    return [(at, now - then) for (_, then), (at, now) in itertools.pairwise(known) if now != then]


def expected_changes(store: Sightings) -> list[Row]:
    rows: list[Row] = []
    in_stock = {(row["week_start_date"], row["product_id"]) for row in expected_inventory(store)}
    for week, product in itertools.product(WEEKS, PRODUCTS):
        key = str(week["week_start_date"]), product
        before, now = store.before(product, week["starts_at"]), store.before(product, week["ends_at"])
        left_at_monday = before is not None and week["starts_at"] in store.instants
        if key not in in_stock and not left_at_monday:
            continue
        first = min(at for at, _until, seen in store.spans(product) if seen)
        then, units = before.inventory if before else None, now.inventory if now else None
        is_new = week["starts_at"] <= first < week["ends_at"]
        rows.append(
            {
                "week_start_date": key[0],
                "product_id": product,
                "previous_inventory": then,
                "inventory": units,
                "change": None if then is None or units is None else units - then,
                "state": "new" if is_new else "gone" if now is None else state(then, units),
            }
        )
    return rows


def state(then: int | None, now: int | None) -> str:
    if now is None:
        return "unknown"
    if then is None:
        return "back"
    if then > 0 and now <= 0:
        return "sold_out"
    if then <= 0 and now > 0:
        return "restocked"
    return "up" if now > then else "down" if now < then else "same"


def expected_stockouts(store: Sightings) -> list[Row]:
    def is_out(seen: Seen | None) -> bool:
        return seen is not None and seen.inventory is not None and seen.inventory <= 0

    rows: list[Row] = []
    for product in PRODUCTS:
        for out, run in itertools.groupby(store.spans(product), key=lambda span: is_out(span[2])):
            spans = list(run)
            if not out:
                continue
            start, end = spans[0][0], spans[-1][1]
            after = store.of[product][store.instants.index(end)] if end else None
            is_restocked = after is not None and after.inventory is not None
            rows.append(
                {
                    "product_id": product,
                    "out_of_stock_at": str(start),
                    "restocked_at": str(end) if is_restocked else None,
                    "restock_quantity": after.inventory if after else None,
                    "hours_out": ((end or store.instants[-1]) - start) / dt.timedelta(hours=1),
                    "hours_out_observed": hours_within(out_stretches(store, product), start, end or store.instants[-1]),
                    "is_ongoing": end is None,
                    "min_inventory": min(seen.inventory for _, _, seen in spans if seen and seen.inventory is not None),
                }
            )
    return rows


def versions_of(store: Sightings) -> list[Row]:
    return ENGINE.rows("product_snapshots", SNAPSHOTS, **store.rows)


def derived(store: Sightings, into: str, expr: ibis.Table, **more: Sequence[Row]) -> list[Row]:
    given = {"product_snapshots": versions_of(store), "raw_observations": store.rows["raw_observations"], **more}
    return ENGINE.rows(into, expr, **given)


def inventory_of(store: Sightings) -> list[Row]:
    return derived(store, "inventory", INVENTORY, weeks=WEEKS)


def with_columns_of(rows: Sequence[Row], expected: Sequence[Row]) -> list[Row]:
    """The rows with the columns that a reference speaks of."""
    names = expected[0].keys() if expected else ()
    return [{name: row[name] for name in names} for row in rows]


@over(store=sightings())
def test_versions_are_those_of_a_walk_over_the_observations(store: Sightings) -> None:
    expected = expected_versions(store)
    assert with_columns_of(versions_of(store), expected) == expected


@over(store=sightings(), data=st.data())
def test_any_order_of_arrival_gives_the_same_versions(store: Sightings, data: st.DataObject) -> None:
    arrived = {name: data.draw(st.permutations(rows)) for name, rows in store.rows.items()}
    assert ENGINE.rows("product_snapshots", SNAPSHOTS, **arrived) == versions_of(store)


@over(store=sightings(), data=st.data())
def test_observations_that_come_later_change_only_the_versions_they_bear_on(
    store: Sightings, data: st.DataObject
) -> None:
    instants = [str(instant) for instant in store.instants]
    later = data.draw(st.lists(st.sampled_from(instants[1:]), min_size=1, unique=True)) if len(instants) > 1 else []
    if not later:
        return
    arrived = {name: [row for row in rows if row["observed_at"] not in later] for name, rows in store.rows.items()}
    before = ENGINE.rows("product_snapshots", SNAPSHOTS, **arrived)
    following = min(later)
    since = store.instants[instants.index(following) - 1]
    rows = ENGINE.rows("product_snapshots", snapshots_since(since), product_snapshots=before, **store.rows)
    stays = [row for row in before if row["valid_to"] is not None and row["valid_to"] < following]
    assert all(row["valid_to"] is None or row["valid_to"] >= following for row in rows)
    assert sorted(stays + rows, key=_place) == versions_of(store)


def _place(row: Row) -> tuple[str, str]:
    return row["product_id"], row["valid_from"]


@over(store=sightings())
def test_versions_of_a_product_never_overlap_and_one_at_most_is_current(store: Sightings) -> None:
    for _product, of_product in itertools.groupby(versions_of(store), key=lambda row: row["product_id"]):
        versions = list(of_product)
        assert all(row["valid_to"] is None or row["valid_from"] < row["valid_to"] for row in versions)
        assert all(row["valid_to"] <= following["valid_from"] for row, following in itertools.pairwise(versions))
        assert [row["is_current"] for row in versions] == [row["valid_to"] is None for row in versions]


@over(store=sightings())
def test_inventory_is_that_of_a_walk_over_the_observations(store: Sightings) -> None:
    assert inventory_of(store) == expected_inventory(store)


@over(store=sightings())
def test_flows_balance_and_weeks_adjoin(store: Sightings) -> None:
    rows = {(row["product_id"], row["week_start_date"]): row for row in inventory_of(store)}
    for (product, monday), row in rows.items():
        opening, closing = row["opening_inventory"], row["closing_inventory"]
        if opening is not None and closing is not None:
            assert opening + row["inflow"] - row["outflow"] == closing
        following = rows.get((product, str(dt.date.fromisoformat(monday) + WEEK)))
        if following:
            assert following["opening_inventory"] == closing


@over(store=sightings())
def test_inventory_changes_are_those_of_a_walk_over_the_observations(store: Sightings) -> None:
    expected = expected_changes(store)
    found = derived(store, "inventory_changes", CHANGES, weeks=WEEKS, inventory=inventory_of(store))
    assert len(found) == len(expected)
    assert with_columns_of(found, expected) == expected


@over(store=sightings())
def test_stockouts_are_those_of_a_walk_over_the_observations(store: Sightings) -> None:
    expected = expected_stockouts(store)
    found = derived(store, "stockouts", STOCKOUTS)
    assert len(found) == len(expected)
    assert with_columns_of(found, expected) == expected


def expected_products(store: Sightings) -> list[Row]:
    rows: list[Row] = []
    for product in PRODUCTS:
        seen = [(at, held) for at, held in zip(store.instants, store.of[product], strict=True) if held]
        if not seen:
            continue
        names = [product if held.name == "" else held.name for _at, held in seen]
        is_current = store.of[product][-1] is not None
        rows.append(
            {
                "product_id": product,
                "name": names[-1],
                "price": Decimal(str(seen[-1][1].price)),
                "inventory": seen[-1][1].inventory if is_current else None,
                "first_seen_at": str(seen[0][0]),
                "last_seen_at": str(seen[-1][0]),
                "is_current": is_current,
            }
        )
    return rows


@over(store=sightings())
def test_products_are_those_of_a_walk_over_the_observations(store: Sightings) -> None:
    assert derived(store, "products", SEEN) == expected_products(store)


ZONES = ("UTC", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "Pacific/Auckland")


@st.composite
def events(draw: st.DrawFn) -> list[Row]:
    # Two days about a change of New York's clock and two about Lord Howe's.
    near = st.sampled_from([dt.datetime(2021, 3, 14), dt.datetime(2021, 4, 3, 12)])
    instant = st.builds(lambda day, seconds: day + dt.timedelta(seconds=seconds), near, st.integers(0, 2 * 24 * 3600))
    event = st.fixed_dictionaries(
        {
            "session_id": st.sampled_from(["s1", "s2", "s3"]),
            "event_type": st.sampled_from([*STAGES, "wishlist"]),
            "created_at": instant,
        }
    )
    rows = draw(st.lists(event, min_size=1, max_size=12))
    return [{"event_id": f"e{number}", **row} for number, row in enumerate(rows)]


def expected_session_days(rows: Sequence[Row], zone_name: str) -> list[Row]:
    days: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        local = row["created_at"].replace(tzinfo=dt.UTC).astimezone(ZoneInfo(zone_name))
        days.setdefault((str(local.date()), row["session_id"]), []).append(row["event_type"])
    return [
        {"event_date": date, "session_id": session, **{stage: stage in types for stage in STAGES}, "events": len(types)}
        for (date, session), types in sorted(days.items())
    ]


@over(rows=events(), zone_name=st.sampled_from(ZONES))
def test_session_days_are_those_of_a_walk_over_the_events(rows: list[Row], zone_name: str) -> None:
    instants = [row["created_at"] for row in rows]
    offsets = Calendar(zone_name).offsets(min(instants), max(instants))
    found = ENGINE.rows("int_session_days", session_days(table("raw_events"), offsets), raw_events=rows)
    assert found == expected_session_days(rows, zone_name)
