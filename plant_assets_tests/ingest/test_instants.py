"""Instants as numbers, with zones, and the first instant of 1970: in files and in a database."""

import datetime as dt
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from plant_assets.sources.errors import SourceError
from plant_assets_tests.support.small_stores import SINGLE, LiveStore, Store, assert_accounted, event, with_types

# 2021-03-02 10:00:00.5 UTC.
AT = dt.datetime(2021, 3, 2, 10, 0, 0, 500_000)
SECONDS = 1_614_679_200
NUMBERS = {
    "epoch_s": f"{SECONDS}.5",
    "epoch_ms": f"{SECONDS}500",
    "epoch_us": f"{SECONDS}500000",
    "epoch_ns": f"{SECONDS}500000000",
}
STORED = "select event_id, created_at from raw_events order by 1"
NewStore = Callable[..., Store]


@pytest.fixture
def new_log(new_either: NewStore, tmp_path: Path) -> Callable[..., Store]:
    """Makes a store whose created_at is of a type of the database, or text, with these values."""

    def new(*values: str | None, mapping: str = "", kind: str = "text", extension: str = "csv") -> Store:
        (tmp_path / "mapping.yaml").write_text(mapping)
        store = with_types(
            new_either(products=SINGLE, mapping=tmp_path / "mapping.yaml", max_rejected=0.9), created_at=kind
        )
        rows = [event(f"e{number}", value) for number, value in enumerate(values)]
        store.put(f"events.{'csv' if isinstance(store, LiveStore) else extension}", rows)
        return store

    return new


@pytest.mark.parametrize("unit", NUMBERS)
@pytest.mark.parametrize("kind", ["text", "numeric"])
def test_a_number_is_read_by_its_unit(new_log: NewStore, unit: str, kind: str) -> None:
    for mapping in ("", f"time: {{format: {unit}}}"):
        store = new_log(NUMBERS[unit], "0", mapping=mapping, kind=kind)
        store.load(every_week=True)
        assert store.rows(STORED) == [("e0", AT)]
        assert store.refused() == [("e1", "created_at", "not a timestamp")]


@pytest.mark.parametrize("extension", ["jsonl", "parquet"])
@pytest.mark.parametrize("new_either", ["files"], indirect=True)
def test_a_number_is_read_in_every_format(new_log: NewStore, extension: str) -> None:
    store = new_log(NUMBERS["epoch_ms"], NUMBERS["epoch_ms"], extension=extension)
    store.load()
    assert store.rows(STORED) == [("e0", AT), ("e1", AT)]


def test_a_given_unit_reads_other_years(new_log: NewStore) -> None:
    store = new_log("315532800", "-1", "soon", mapping="time: {format: epoch_s}")
    store.load()
    assert store.rows(STORED) == [("e0", dt.datetime(1980, 1, 1))]
    assert len(store.refused()) == 2


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (NUMBERS["epoch_s"], r"epoch_ms \(events.*\) and epoch_s \(events.*\): give time.format in PLANT_MAPPING"),
        ("12", r"epoch_ms \(events.*\) and no instant from 2000 to 2100 \(events.*\): give time.format"),
    ],
)
def test_numbers_in_two_units_are_not_guessed(new_log: NewStore, other: str, said: str) -> None:
    with pytest.raises(SourceError, match=f"created_at of the table events holds numbers as {said}"):
        new_log(NUMBERS["epoch_ms"], other).load()


@pytest.mark.parametrize("new_either", ["files"], indirect=True)
def test_another_unit_in_another_file_is_named(new_log: NewStore) -> None:
    store = new_log(NUMBERS["epoch_ms"])
    store.remove("events.csv")
    for name, unit in (("a", "epoch_ms"), ("b", "epoch_us")):
        store.put(f"events/{name}.csv", [event(name, NUMBERS[unit])])
    with pytest.raises(SourceError, match=r"epoch_ms \(events/a.csv, line 2, .*epoch_us \(events/b.csv, line 2"):
        store.load()


def test_a_number_among_text_is_not_guessed(new_log: NewStore) -> None:
    store = new_log("2021-03-02 10:00:00.5", "2021-03-03", str(SECONDS))
    for _time in range(2):
        store.load()
        assert [event_id for event_id, _at in store.rows(STORED)] == ["e0", "e1"]
        assert store.refused() == [("e2", "created_at", "not a timestamp")]
        assert_accounted(store, events=3)


def test_numbers_that_are_no_instant_are_refused(new_log: NewStore) -> None:
    store = new_log("12", "2021-03-02")
    store.load()
    assert store.refused() == [("e0", "created_at", "not a timestamp")]


@pytest.mark.parametrize("text", ["1970-01-01", "1970-01-01T00:00:00Z", "1970-01-01 01:00:00+01"])
def test_the_first_instant_of_1970_is_none(new_log: NewStore, text: str) -> None:
    store = new_log(text, "1970-01-01 00:00:01")
    store.load(weeks=(dt.date(2021, 3, 1), dt.date(2021, 3, 1)))
    assert store.refused() == [("e0", "created_at", "not a timestamp")]


def test_a_typed_first_instant_of_1970_is_none(new_log: NewStore) -> None:
    store = new_log("1970-01-01 00:00:00+00", "2021-03-02 10:00:00.5+00", kind="timestamptz")
    store.load()
    assert store.rows(STORED) == [("e1", AT)]
    assert store.refused() == [("e0", "created_at", "not a timestamp")]


@pytest.mark.parametrize("offset", ["Z", "+00", "+0000", "+00:00"])
def test_an_offset_is_written_in_four_ways(new_log: NewStore, offset: str) -> None:
    store = new_log(f"02.03.2021 10:00:00.5{offset}", mapping="time: {format: '%d.%m.%Y %H:%M:%S.%f%z'}")
    store.load()
    assert store.rows(STORED) == [("e0", AT)]


ZONES = ["BST", "EST", "PST", "CST", "CET", "EDT", "NZ", "MSK"]


@pytest.mark.parametrize(
    "mapping",
    ["", "time: {zone: Europe/London}", "time: {format: '%Y-%m-%d %H:%M:%S.%f %Z'}"],
    ids=["ours", "zone", "%Z"],
)
def test_a_zones_abbreviation_is_never_guessed(new_log: NewStore, mapping: str) -> None:
    known = [f"2021-03-02 10:00:00.5 {zone}" for zone in ("UTC", "GMT")]
    store = new_log(*known, *(f"2021-03-02 10:00:00.5 {zone}" for zone in ZONES), mapping=mapping)
    store.load()
    assert store.rows(STORED) == [("e0", AT), ("e1", AT)]
    assert [row[1:] for row in store.refused()] == [("created_at", "not a timestamp")] * len(ZONES)


def test_blanks_after_a_zone_are_no_part_of_it(new_log: NewStore) -> None:
    store = new_log("2021-03-02 10:00:00.5 UTC ", "2021-03-02 10:00:00.5Z  ", "2021-03-02 10:00:00.5 BST  ")
    store.load()
    assert store.rows(STORED) == [("e0", AT), ("e1", AT)]
    assert [row[1:] for row in store.refused()] == [("created_at", "not a timestamp")]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("2021-03-02 10:00:00 BST", "BST is ambiguous: give time.format and time.zone"),
        ("2021-03-02 10:00:00 (bst)", "bst is ambiguous: give time.format and time.zone"),
        ("2021-03-02 10:00:00 PM", "instants are text like 2026-10-05T09:00:00Z, or as time.format of a mapping says"),
    ],
)
def test_the_abbreviation_is_named(new_log: NewStore, text: str, why: str) -> None:
    store = new_log(text)
    with pytest.raises(SourceError, match=re.escape(f"'{text}' is not a timestamp ({why})")):
        store.under(max_rejected=0.0).load()


def test_a_zones_whole_name_is_read(new_log: NewStore) -> None:
    store = new_log("2021-07-02 10:00:00 Europe/London")
    store.load(as_of=dt.datetime(2021, 7, 3))
    assert store.rows(STORED) == [("e0", dt.datetime(2021, 7, 2, 9))]


@pytest.mark.parametrize("extension", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("new_either", ["files"], indirect=True)
def test_each_unit_is_named_with_a_row_that_has_it(new_log: NewStore, extension: str) -> None:
    store = new_log(f"{SECONDS}", f"{SECONDS}500", "5", extension=extension)
    lines = {"csv": (2, 3, 4), "jsonl": (1, 2, 3)}.get(extension)
    places = [f"events.{extension}{f', line {line}' if lines else ''}, created_at: " for line in lines or (0, 0, 0)]
    with pytest.raises(SourceError) as caught:
        store.load()
    said = f"epoch_ms ({places[1]}'{SECONDS}500') and epoch_s ({places[0]}'{SECONDS}')"
    assert f"{said} and no instant from 2000 to 2100 ({places[2]}'5'): give time.format" in str(caught.value)


def test_a_number_among_text_is_shown(new_log: NewStore) -> None:
    store = new_log(f"{SECONDS}500", "2021-03-02 10:00:00")
    with pytest.raises(SourceError, match=f"created_at: '{SECONDS}500' is not a timestamp"):
        store.under(max_rejected=0.0).load()
