"""Forms of JSON and other files: arrays, nested fields, tabs, compression, and files that cannot be read."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from plant_assets.sources.errors import SourceError
from plant_assets_tests.support.small_stores import (
    Row,
    Store,
    assert_accounted,
    csv_text,
    diagnosis_of,
    event,
    new_store,
)

EVENTS = [event("e1", "2021-03-01"), event("e2", "2021-03-02", user_id=None)]
NESTED = """
tables: {products: none, order_items: none, orders: none}
columns:
  events: {session_id: context.session, user_id: who, page_url: context.page.url, product_id: a.b, order_id: none,
    price: none}
"""


def array(rows: Any) -> str:
    return json.dumps(rows, indent=1)


def lines(rows: list[Row]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    (tmp_path / "mapping.yaml").write_text("")
    return new_store(tmp_path, mapping=tmp_path / "mapping.yaml")


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("events.json", array),
        ("events.json", lines),
        ("events.ndjson", lines),
        ("events/1.json", array),
        ("events.tsv", lambda rows: csv_text(rows).replace(",", "\t")),
    ],
)
def test_events_are_read(store: Store, name: str, write: Callable[[list[Row]], str]) -> None:
    store.put(name, write(EVENTS))
    store.load()
    assert store.events() == {"e1": "2021-03-01", "e2": "2021-03-02"}
    assert_accounted(store, events=2)


def test_zstandard_is_read(store: Store) -> None:
    plain, packed = store.put("plain", csv_text(EVENTS)), store.folder / "events.csv.zst"
    options = "format csv, header true, compression zstd"
    duckdb.sql(f"copy (from read_csv('{plain}', all_varchar = true)) to '{packed}' ({options})")
    store.load()
    assert store.events() == {"e1": "2021-03-01", "e2": "2021-03-02"}
    packed.write_bytes(packed.read_bytes()[:-6])
    with pytest.raises(SourceError, match=r"events\.csv\.zst: the table events cannot be read to its end"):
        store.load()


def test_a_rejected_item_has_its_line(store: Store) -> None:
    loose = store.under(max_rejected=0.9)
    loose.put("events.json", array([*EVENTS, {**EVENTS[0], "created_at": "soon"}, 7]))
    loose.load()
    assert loose.refusals() == [
        ("events.json", 22, "created_at", "not a timestamp"),
        ("events.json", 32, None, "not a JSON object"),
    ]


@pytest.mark.parametrize("cut", [3, 60])
def test_an_array_that_is_cut_off_is_refused(store: Store, cut: int) -> None:
    store.put("events.json", array(EVENTS)[:-cut])
    with pytest.raises(SourceError, match=r"events\.json, line \d+: the table events is no JSON array to its end"):
        store.load()


@pytest.mark.parametrize("name", ["events.jsonl", "events.json"])
def test_nested_fields_are_read_by_their_paths(store: Store, name: str) -> None:
    assert store.settings.mapping
    store.settings.mapping.write_text(NESTED)
    given = {"event_id": "e1", "created_at": "2021-03-01", "event_type": "page_view", "who": "u1"}
    rows = [
        {**given, "context": {"session": "s1", "page": {"url": "/x"}}, "a": {"b": "p1"}},
        {**given, "event_id": "e2", "context": {"session": "s2"}, "a.b": "p2", "a": {"b": "other"}},
    ]
    store.remove("products/2021-02-08.csv")
    store.put(name, array(rows) if name.endswith(".json") else lines(rows))
    store.load()
    found = store.rows("select session_id, user_id, page_url, product_id from raw_events order by 1")
    assert found == [("s1", "u1", "/x", "p1"), ("s2", "u1", None, "p2")]


def test_lists_are_named_as_not_read(store: Store) -> None:
    store.put("events.jsonl", lines([{"session": "s1", "events": [{"aid": 1}], "at": {"day": 1}}]))  # type: ignore[list-item]
    with pytest.raises(SourceError, match=r"columns found: at\.day, session; lists are not read: events$"):
        store.load()


@pytest.mark.parametrize(
    ("name", "how"),
    [("events.xlsx", "save each sheet as csv"), ("events.zip", "unpack it"), ("Events.sql", "export it")],
)
def test_how_to_save_is_said(store: Store, name: str, how: str) -> None:
    store.put(name, b"x")
    with pytest.raises(SourceError, match=rf"has no table events: .*; {name} cannot be read: {how}"):
        store.load()


def test_what_is_not_read_is_named(store: Store) -> None:
    store.put("events.csv", EVENTS)
    store.put("carts.xlsx", b"x")
    store.put("notes.md", b"x")
    store.put("other/a.csv", EVENTS)
    said = "not read, as no table is named so: carts.xlsx (save each sheet as csv), notes.md, other"
    assert said in diagnosis_of(store).odd
