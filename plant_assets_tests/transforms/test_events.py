"""Events with their products and dates, session days, and the calendar that dates come from."""

import datetime as dt
from collections.abc import Sequence
from typing import Any

import pytest

from plant_assets.calendar import Calendar, monday_of, weeks_between
from plant_assets.transforms.events import events_with_products, local_date, session_days, sessions
from plant_assets_tests.support.engines import ENGINE, Row, frame, picked, table

pytestmark = pytest.mark.usefixtures("each_engine")

SECOND, HOUR = dt.timedelta(seconds=1), dt.timedelta(hours=1)
UTC = Calendar("UTC")
NEW_YORK = Calendar("America/New_York")
LORD_HOWE = Calendar("Australia/Lord_Howe")
SAO_PAULO = Calendar("America/Sao_Paulo")


def at(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text)


def day(text: str) -> dt.date:
    return dt.date.fromisoformat(text)


def event(event_id: str, event_type: str, created_at: str = "2021-02-10 12:00:00", **more: Any) -> Row:
    return {"event_id": event_id, "session_id": "s1", "event_type": event_type, "created_at": created_at, **more}


def version(product_id: str, name: str | None, valid_from: str = "2021-02-01", valid_to: str | None = None) -> Row:
    is_current = valid_to is None
    return {
        "product_id": product_id,
        "name": name,
        "valid_from": valid_from,
        "valid_to": valid_to,
        "is_current": is_current,
    }


def int_events(
    events: Sequence[Row],
    items: Sequence[Row] = (),
    versions: Sequence[Row] = (),
    zone: Calendar = UTC,
) -> list[Row]:
    offsets = zone.offsets(at("2021-01-01"), at("2022-01-01"))
    tables = (table(name) for name in ("raw_events", "raw_order_items", "product_snapshots"))
    expr = events_with_products(*tables, offsets)
    return ENGINE.rows("int_events", expr, raw_events=events, raw_order_items=items, product_snapshots=versions)


def days(events: Sequence[Row], zone: Calendar = UTC) -> list[Row]:
    offsets = zone.offsets(at("2021-01-01"), at("2022-01-01"))
    return ENGINE.rows("int_session_days", session_days(table("raw_events"), offsets), raw_events=events)


FERN_AND_MOSS = [{"order_id": "o1", "product_id": "fern"}, {"order_id": "o1", "product_id": "moss"}]


@pytest.mark.parametrize("stage", ["page_view", "add_to_cart"])
def test_a_view_and_a_cart_carry_the_events_product(stage: str) -> None:
    rows = int_events([event("e1", stage, product_id="fern")])
    assert picked(rows, "event_id", "product_id") == [("e1", "fern")]


@pytest.mark.parametrize("stage", ["checkout", "package_shipped"])
def test_a_checkout_and_a_shipment_have_a_row_per_product_of_the_order(stage: str) -> None:
    rows = int_events([event("e1", stage, order_id="o1")], FERN_AND_MOSS)
    assert picked(rows, "event_id", "order_id", "product_id") == [("e1", "o1", "fern"), ("e1", "o1", "moss")]


@pytest.mark.parametrize("stage", ["page_view", "checkout", "package_shipped"])
@pytest.mark.parametrize("order_id", [None, "o9"], ids=["no order", "an unknown order"])
def test_an_event_without_items_keeps_the_product_that_it_names(stage: str, order_id: str | None) -> None:
    rows = int_events([event("e1", stage, order_id=order_id, product_id="palm")], FERN_AND_MOSS)
    assert picked(rows, "event_id", "order_id", "product_id") == [("e1", order_id, "palm")]


@pytest.mark.parametrize("stage", ["checkout", "package_shipped"])
def test_the_orders_items_come_before_the_product_that_the_event_names(stage: str) -> None:
    rows = int_events([event("e1", stage, order_id="o1", product_id="palm")], FERN_AND_MOSS)
    assert picked(rows, "event_id", "product_id") == [("e1", "fern"), ("e1", "moss")]


def test_each_event_finds_its_product_on_its_own() -> None:
    events = [
        event("of items", "checkout", order_id="o1", product_id="palm"),
        event("of its own", "checkout", product_id="palm"),
        event("of nothing", "checkout", order_id="o9"),
    ]
    rows = int_events(events, [{"order_id": "o1", "product_id": "fern"}])
    assert picked(rows, "event_id", "product_id") == [
        ("of items", "fern"),
        ("of its own", "palm"),
        ("of nothing", None),
    ]


def test_an_unknown_order_is_one_row_without_a_product() -> None:
    rows = int_events([event("e1", "checkout", order_id="o9")], FERN_AND_MOSS)
    assert picked(rows, "event_id", "order_id", "product_id") == [("e1", "o9", None)]


def test_a_checkout_without_an_order_is_one_row_without_a_product() -> None:
    assert picked(int_events([event("e1", "checkout")], FERN_AND_MOSS), "event_id", "product_id") == [("e1", None)]


def test_a_view_that_names_an_order_keeps_its_own_product_and_one_row() -> None:
    rows = int_events([event("e1", "page_view", order_id="o1", product_id="palm")], FERN_AND_MOSS)
    assert picked(rows, "order_id", "product_id") == [("o1", "palm")]


def test_a_type_that_is_no_stage_is_kept_with_its_product_and_no_step() -> None:
    rows = int_events([event("e1", "wishlist", order_id="o1", product_id="palm")], FERN_AND_MOSS)
    assert picked(rows, "event_type", "session_step", "product_id") == [("wishlist", None, "palm")]


def test_stages_are_steps_one_to_four() -> None:
    stages = ["page_view", "add_to_cart", "checkout", "package_shipped"]
    rows = int_events([event(f"e{number}", stage) for number, stage in enumerate(stages, start=1)])
    assert picked(rows, "event_id", "session_step") == [("e1", 1), ("e2", 2), ("e3", 3), ("e4", 4)]


def test_stages_are_told_apart_by_case() -> None:
    assert picked(int_events([event("e1", "Page_View")]), "session_step") == [None]


def test_every_event_is_there_without_orders_or_products() -> None:
    types = ["page_view", "add_to_cart", "checkout", "package_shipped", "wishlist"]
    rows = int_events([event(type_, type_, order_id="o1", product_id="fern") for type_ in types])
    assert sorted(picked(rows, "event_id")) == sorted(types)


def test_no_events_are_no_rows() -> None:
    assert int_events([], FERN_AND_MOSS, [version("fern", "Fern")]) == []


def test_an_order_without_an_event_is_no_row() -> None:
    assert picked(int_events([event("e1", "page_view")], FERN_AND_MOSS), "event_id") == ["e1"]


def test_the_name_is_the_last_known_also_of_older_events() -> None:
    versions = [version("fern", "Fern", "2021-02-01", "2021-02-15"), version("fern", "Boston fern", "2021-02-15")]
    rows = int_events([event("e1", "page_view", "2021-02-02", product_id="fern")], versions=versions)
    assert picked(rows, "product_name") == ["Boston fern"]


def test_the_name_stays_known_after_the_product_left() -> None:
    left = [version("fern", "Fern", "2021-02-01", "2021-02-08")]
    rows = int_events([event("e1", "page_view", "2021-02-20", product_id="fern")], versions=left)
    assert picked(rows, "product_name") == ["Fern"]


def test_a_last_version_without_a_name_leaves_the_name_before_as_the_last_known() -> None:
    versions = [version("fern", "Fern", "2021-02-01", "2021-02-15"), version("fern", None, "2021-02-15")]
    rows = int_events([event("e1", "page_view", product_id="fern")], versions=versions)
    assert picked(rows, "product_name") == ["Fern"]


def test_an_unknown_product_is_kept_without_a_name() -> None:
    items = [{"order_id": "o1", "product_id": "ghost"}]
    events = [event("e1", "page_view", product_id="ghost"), event("e2", "checkout", order_id="o1")]
    rows = int_events(events, items, [version("fern", "Fern")])
    assert picked(rows, "event_id", "product_id", "product_name") == [("e1", "ghost", None), ("e2", "ghost", None)]


def test_products_of_an_order_have_their_names() -> None:
    rows = int_events(
        [event("e1", "checkout", order_id="o1")], FERN_AND_MOSS, [version("fern", "Fern"), version("moss", "Moss")]
    )
    assert picked(rows, "product_id", "product_name") == [("fern", "Fern"), ("moss", "Moss")]


def test_the_other_columns_are_the_events() -> None:
    rows = int_events([event("e1", "page_view", "2021-02-10 12:00:00.123456", user_id="u1")])
    assert picked(rows, "session_id", "user_id", "created_at") == [("s1", "u1", "2021-02-10 12:00:00.123456")]


@pytest.mark.parametrize(
    ("created_at", "event_date"),
    [
        ("2021-03-14 04:59:59.999999", "2021-03-13"),  # 23:59 on standard time
        ("2021-03-14 05:00:00", "2021-03-14"),
        ("2021-03-14 06:59:59.999999", "2021-03-14"),  # the last of standard time
        ("2021-03-14 07:00:00", "2021-03-14"),
        ("2021-03-15 03:59:59.999999", "2021-03-14"),  # 23:59 on summer time, 22:59 on standard time
        ("2021-03-15 04:00:00", "2021-03-15"),
        ("2021-11-07 03:59:59", "2021-11-06"),
        ("2021-11-08 04:59:59", "2021-11-07"),  # standard time again
        ("2021-11-08 05:00:00", "2021-11-08"),
    ],
)
def test_a_date_is_new_yorks_across_daylight_saving(created_at: str, event_date: str) -> None:
    events = [event("e1", "page_view", created_at)]
    assert picked(int_events(events, zone=NEW_YORK), "event_date") == [event_date]
    assert picked(days(events, zone=NEW_YORK), "event_date") == [event_date]


@pytest.mark.parametrize(
    ("created_at", "event_date"),
    [
        ("2021-04-02 12:59:59", "2021-04-02"),  # +11:00
        ("2021-04-02 13:00:00", "2021-04-03"),
        ("2021-04-04 13:29:59", "2021-04-04"),  # +10:30
        ("2021-04-04 13:30:00", "2021-04-05"),
    ],
)
def test_a_date_is_lord_howes_whose_summer_is_half_an_hour(created_at: str, event_date: str) -> None:
    assert picked(days([event("e1", "page_view", created_at)], zone=LORD_HOWE), "event_date") == [event_date]


def test_a_date_turns_where_the_clock_goes_back_over_midnight() -> None:
    # At 02:00 UTC Sao Paulo's clock goes from 24:00 of 2018-02-17 back to 23:00: the date does not turn yet.
    instants = [at("2018-02-18 01:59:59"), at("2018-02-18 02:00:00"), at("2018-02-18 03:00:00")]
    expr = session_days(table("raw_events"), SAO_PAULO.offsets(instants[0], instants[-1]))
    events = [event("e", "page_view", str(instant), session_id=f"{instant:%H:%M}") for instant in instants]
    rows = ENGINE.rows("int_session_days", expr, raw_events=events)
    assert picked(rows, "session_id", "event_date") == [
        ("01:59", "2018-02-17"),
        ("02:00", "2018-02-17"),
        ("03:00", "2018-02-18"),
    ]


@pytest.mark.parametrize("zone_name", ["America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "Pacific/Auckland"])
def test_the_engines_dates_are_the_calendars_in_every_half_hour_of_a_year(zone_name: str) -> None:
    calendar, first = Calendar(zone_name), at("2021-01-01")
    instants = [first + HOUR / 2 * number for number in range(2 * 24 * 365)]
    offsets = calendar.offsets(instants[0], instants[-1])
    events = [{"event_id": str(instant), "created_at": instant} for instant in instants]
    dated = table("raw_events").select("event_id", event_date=local_date(table("raw_events").created_at, offsets))
    found = ENGINE.run(dated, {"raw_events": frame("raw_events", events)}).to_pylist()
    assert {row["event_id"]: row["event_date"] for row in found} == {
        str(instant): calendar.date_of(instant) for instant in instants
    }


def test_a_session_day_has_the_stages_of_that_date() -> None:
    rows = days([event("e1", "page_view"), event("e2", "checkout")])
    assert picked(rows, "session_id", "page_view", "add_to_cart", "checkout", "package_shipped") == [
        ("s1", True, False, True, False)
    ]


def test_a_session_has_its_user_bounds_stages_and_orders() -> None:
    events = [
        event("e1", "add_to_cart", "2021-03-14 04:00:00", user_id="bob"),
        event("e2", "page_view", "2021-03-14 05:00:00", user_id="ann"),
        event("e3", "checkout", "2021-03-14 06:00:00", order_id="o1"),
        event("e4", "checkout", "2021-03-14 07:00:00", order_id="o1"),
        event("e5", "checkout", "2021-03-14 08:00:00"),
        event("e6", "package_shipped", "2021-03-16 08:00:00", order_id="o2"),
        event("e7", "wishlist", session_id="s2"),
    ]
    expr = sessions(table("raw_events"), NEW_YORK.offsets(at("2021-01-01"), at("2022-01-01")))
    bought, wished = ENGINE.rows("int_sessions", expr, raw_events=events)
    assert list(bought.values()) == [
        "s1", "ann", "2021-03-14 04:00:00", "2021-03-16 08:00:00", "2021-03-14", True, True, True, True, 1, 6,
    ]  # fmt: skip
    assert picked([wished], "user_id", "entry_date", "page_view", "orders", "events") == [(None, None, False, 0, 1)]


def test_a_stage_reached_twice_is_one_session_day() -> None:
    assert picked(days([event("e1", "page_view"), event("e2", "page_view")]), "session_id", "page_view") == [
        ("s1", True)
    ]


def test_a_session_over_two_dates_has_a_row_for_each_with_that_dates_stages() -> None:
    rows = days([event("e1", "page_view", "2021-02-10 23:59:59"), event("e2", "checkout", "2021-02-11 00:00:00")])
    assert picked(rows, "event_date", "page_view", "checkout") == [
        ("2021-02-10", True, False),
        ("2021-02-11", False, True),
    ]


def test_two_sessions_of_a_date_have_a_row_each() -> None:
    rows = days([event("e1", "page_view"), event("e2", "page_view", session_id="s2")])
    assert picked(rows, "session_id") == ["s1", "s2"]


def test_a_session_day_with_no_stage_is_a_row_of_false() -> None:
    assert picked(days([event("e1", "wishlist")]), "page_view", "add_to_cart", "checkout", "package_shipped") == [
        (False, False, False, False)
    ]


def test_no_events_are_no_session_days() -> None:
    assert days([]) == []


@pytest.mark.parametrize(
    ("calendar", "instant", "hours"),
    [
        (NEW_YORK, "2021-03-14 06:59:59.999999", -5),
        (NEW_YORK, "2021-03-14 07:00:00", -4),
        (NEW_YORK, "2021-11-07 05:59:59.999999", -4),
        (NEW_YORK, "2021-11-07 06:00:00", -5),
        (LORD_HOWE, "2021-04-03 14:59:59", 11),
        (LORD_HOWE, "2021-04-03 15:00:00", 10.5),
        (Calendar("Asia/Kolkata"), "2021-01-01", 5.5),
        (Calendar("Asia/Kathmandu"), "2021-01-01", 5.75),
        (UTC, "2021-01-01", 0),
    ],
)
def test_the_offset_is_what_the_local_clock_adds(calendar: Calendar, instant: str, hours: float) -> None:
    assert calendar.offset_at(at(instant)) == hours * HOUR


def test_offsets_of_new_york_change_twice_a_year() -> None:
    assert NEW_YORK.offsets(at("2021-01-01"), at("2022-01-01")) == [
        (at("2021-03-14 07:00:00"), -5 * HOUR),
        (at("2021-11-07 06:00:00"), -4 * HOUR),
        (None, -5 * HOUR),
    ]


def test_offsets_of_lord_howe_change_by_half_an_hour() -> None:
    assert LORD_HOWE.offsets(at("2021-01-01"), at("2022-01-01")) == [
        (at("2021-04-03 15:00:00"), 11 * HOUR),
        (at("2021-10-02 15:30:00"), 10.5 * HOUR),
        (None, 11 * HOUR),
    ]


@pytest.mark.parametrize(("zone_name", "hours"), [("UTC", 0), ("Asia/Kolkata", 5.5), ("America/Phoenix", -7)])
def test_a_zone_that_never_changes_has_one_offset(zone_name: str, hours: float) -> None:
    assert Calendar(zone_name).offsets(at("2021-01-01"), at("2022-01-01")) == [(None, hours * HOUR)]


def test_offsets_of_one_instant_are_one_offset() -> None:
    assert NEW_YORK.offsets(at("2021-07-01"), at("2021-07-01")) == [(None, -4 * HOUR)]


def test_offsets_change_at_whole_seconds_when_the_first_instant_is_none() -> None:
    found = NEW_YORK.offsets(at("2021-03-13 12:34:56.789012"), at("2021-03-15"))
    assert found == [(at("2021-03-14 07:00:00"), -5 * HOUR), (None, -4 * HOUR)]


@pytest.mark.parametrize("first", ["2021-03-14 06:59:59.5", "2021-03-14 07:00:00", "2021-03-14 07:00:00.5"])
def test_offsets_that_begin_beside_a_change_are_right_at_their_first_instant(first: str) -> None:
    until, offset = NEW_YORK.offsets(at(first), at("2021-03-20"))[0]
    assert offset == NEW_YORK.offset_at(at(first))
    assert until in (None, at("2021-03-14 07:00:00"))


def test_two_changes_in_one_month_are_both_found() -> None:
    # Morocco leaves summer time for Ramadan.
    assert Calendar("Africa/Casablanca").offsets(at("2021-04-01"), at("2021-06-01")) == [
        (at("2021-04-11 02:00:00"), 1 * HOUR),
        (at("2021-05-16 02:00:00"), 0 * HOUR),
        (None, 1 * HOUR),
    ]


def test_a_date_whose_midnight_does_not_exist_starts_at_the_instant_that_it_begins() -> None:
    start = SAO_PAULO.starts_at(day("2018-11-04"))  # the clock goes from 23:59:59 to 01:00:00
    assert start == at("2018-11-04 03:00:00")
    assert SAO_PAULO.date_of(start) == day("2018-11-04")
    assert SAO_PAULO.date_of(start - SECOND) == day("2018-11-03")


def test_a_date_whose_midnight_comes_twice_starts_at_the_first() -> None:
    havana = Calendar("America/Havana")  # at 01:00 the clock goes back to 00:00
    assert havana.starts_at(day("2021-11-07")) == at("2021-11-07 04:00:00")
    assert havana.date_of(at("2021-11-07 03:59:59")) == day("2021-11-06")


def test_a_date_whose_evening_comes_twice_ends_once() -> None:
    # On 2018-02-17 at midnight Sao Paulo's clock goes back to 23:00.
    assert SAO_PAULO.starts_at(day("2018-02-18")) == at("2018-02-18 03:00:00")
    assert SAO_PAULO.date_of(at("2018-02-18 02:30:00")) == day("2018-02-17")


def test_a_week_of_daylight_saving_has_167_or_169_hours() -> None:
    spring = NEW_YORK.starts_at(day("2021-03-15")) - NEW_YORK.starts_at(day("2021-03-08"))
    autumn = NEW_YORK.starts_at(day("2021-11-08")) - NEW_YORK.starts_at(day("2021-11-01"))
    assert (spring, autumn) == (167 * HOUR, 169 * HOUR)


@pytest.mark.parametrize(
    ("calendar", "instant", "monday"),
    [
        (UTC, "2021-02-21 23:59:59.999999", "2021-02-15"),
        (UTC, "2021-02-22 00:00:00", "2021-02-22"),
        (UTC, "2021-01-03 12:00:00", "2020-12-28"),  # over the year's end
        (NEW_YORK, "2021-03-15 03:59:59", "2021-03-08"),
        (NEW_YORK, "2021-03-15 04:00:00", "2021-03-15"),
        (Calendar("Pacific/Auckland"), "2021-02-21 11:00:00", "2021-02-22"),  # Monday there, Sunday by UTC
        (Calendar("Asia/Kolkata"), "2021-02-21 18:29:59", "2021-02-15"),
        (Calendar("Asia/Kolkata"), "2021-02-21 18:30:00", "2021-02-22"),
    ],
)
def test_a_week_is_from_monday_to_monday_on_the_local_clock(calendar: Calendar, instant: str, monday: str) -> None:
    assert calendar.week_of(at(instant)) == day(monday)


def test_each_day_of_a_week_has_its_monday() -> None:
    assert {monday_of(day("2021-02-22") + dt.timedelta(days=number)) for number in range(7)} == {day("2021-02-22")}


def test_weeks_between_holds_both_ends() -> None:
    assert weeks_between(day("2021-02-22"), day("2021-03-08")) == [
        day("2021-02-22"),
        day("2021-03-01"),
        day("2021-03-08"),
    ]


def test_weeks_between_is_empty_when_the_last_is_earlier() -> None:
    assert weeks_between(day("2021-03-08"), day("2021-03-01")) == []
