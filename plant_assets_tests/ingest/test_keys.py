"""Keys of several columns: sessions that are numbered by user, and products that are in stock in several places."""

from collections.abc import Callable
from pathlib import Path

import pytest

from plant_assets.sources.errors import SourceError
from plant_assets_tests.support.small_stores import (
    AS_OF,
    SINGLE,
    LiveStore,
    Row,
    Store,
    assert_accounted,
    diagnosis_of,
    event,
    product,
    with_types,
)

SESSIONS = "select event_id, replace(session_id, chr(31), '|') from raw_events order by 1"
STOCK = "select product_id, name, price::double, inventory from raw_products order by 1"


@pytest.fixture
def store(new_either: Callable[..., Store], tmp_path: Path) -> Store:
    (tmp_path / "mapping.yaml").write_text("")
    return new_either(products=SINGLE, mapping=tmp_path / "mapping.yaml", max_rejected=0.9)


def map_by(store: Store, text: str) -> None:
    assert store.settings.mapping
    store.settings.mapping.write_text(text)


def session(event_id: str, user_id: str | None, number: str | None, at: str = "2021-03-01 10:00:00") -> Row:
    return {**event(event_id, at, user_id=user_id), "session_id": number}


def test_several_columns_make_a_session(store: Store) -> None:
    map_by(store, "columns: {events: {session_id: [user_id, session_id]}}")
    rows = [session("a", "u1", "1"), session("b", "u2", "1"), session("c", None, "1"), session("d", "u1", "NULL")]
    store.put("events.csv", rows)
    store.load()
    assert store.rows(SESSIONS) == [("a", "u1|1"), ("b", "u2|1")]
    assert [(column, reason) for _key, column, reason in store.refused()] == [("session_id", "missing")] * 2
    assert_accounted(store, events=4)


@pytest.mark.parametrize("new_either", ["files"], indirect=True)
@pytest.mark.parametrize("extension", ["jsonl", "csv.gz", "parquet"])
def test_parts_of_a_session_are_read_in_all_forms(store: Store, extension: str) -> None:
    map_by(store, "columns: {events: {session_id: [session_id, user_id, page_url]}}\nids: {session_id: integer}")
    store.put(f"events.{extension}", [session("a", "u1", "007.0")])
    store.load()
    assert store.rows(SESSIONS) == [("a", "7|u1|https://plants.example/p1")]


def test_a_row_that_lacks_a_part_of_a_session_shows_all_parts(store: Store) -> None:
    map_by(store, "columns: {events: {session_id: [user_id, session_id, page_url]}}")
    store.put("events.csv", [{**session("a", None, "1"), "page_url": "/"}])
    with pytest.raises(SourceError, match="session_id: ', 1, /' is no value"):
        store.under(max_rejected=0.0).load()


def test_a_lacking_part_of_a_session_is_named(store: Store) -> None:
    map_by(store, "columns: {events: {session_id: [user_id, visit]}}")
    store.put("events.csv", [session("a", "u1", "1")])
    with pytest.raises(SourceError, match="the table events lacks visit; columns found: event_id, session_id"):
        store.load()


def test_doctor_counts_sessions_of_several_users(store: Store) -> None:
    store.put("events.csv", [session("a", "u1", "1"), session("b", "u2", "1"), session("c", None, "2")])
    said = "1 of 2 sessions has events of more than one user: if users number their own, give"
    found = [odd for odd in diagnosis_of(store).odd if "more than one user" in odd]
    assert found == [f"{said} `columns: {{events: {{session_id: [user_id, session_id]}}}}` in PLANT_MAPPING"]
    map_by(store, "columns: {events: {session_id: [user_id, session_id]}}")
    assert not [odd for odd in diagnosis_of(store).odd if "more than one user" in odd]


def at(place: str | None, inventory: str | None, product_id: str = "p1", **others: str | None) -> Row:
    return {**product(product_id, inventory=inventory, **others), "location": place}


def test_places_are_summed_where_the_mapping_says_so(store: Store) -> None:
    map_by(store, "sum_over: {products: location}")
    rows = [at("Lyon", "4"), at("Paris", "4"), at(None, None), at("Lyon", "-7", "p2"), at("Paris", None, "p2")]
    rows += [at("Lyon", None, "p3"), at("Paris", None, "p3"), at("Lyon", "5", "p4"), at("Lyon", "5", "p4")]
    rows += [at("Lyon", "1", "p5"), at("Lyon", "2", "p5"), at("Paris", "4", "p5")]
    store.put(SINGLE, rows)
    store.put("events.csv", [event("e1", "2021-03-01")])
    store.load()
    assert [(key, number) for key, _name, _price, number in store.rows(STOCK)] == [
        ("p1", 8),
        ("p2", -7),
        ("p3", None),
        ("p4", 5),
        ("p5", 5),
    ]
    assert store.refused("products") == [("p5", "product_id", "conflict")]
    assert_accounted(store, products=len(rows))


@pytest.mark.parametrize("new_either", ["files"], indirect=True)
def test_name_and_price_are_those_of_the_first_line(store: Store) -> None:
    map_by(store, "sum_over: {products: location}")
    store.put(SINGLE, [at("Lyon", "4", name="Moss", price="2"), at("Arles", "3", name="Lichen", price="1")])
    store.put("events.csv", [event("e1", "2021-03-01")])
    store.load()
    assert store.rows(STOCK) == [("p1", "Moss", 2.0, 7)]


def test_rows_of_other_places_are_no_copies(store: Store) -> None:
    store.put(SINGLE, [at("Lyon", "4"), at("Paris", "4"), at("Lyon", "4", "p2"), at("Lyon", "4", "p2")])
    store.put("events.csv", [event("e1", "2021-03-01")])
    strict = store.under(max_rejected=0.05)
    place = "line 3" if not isinstance(store, LiveStore) else "another row"
    with pytest.raises(SourceError, match=f"product_id: conflict with (line 2|{place}): location (Paris|Lyon) and"):
        strict.load()
    assert str(diagnosis_of(strict).error).startswith(
        f"{store.settings.source_name}: 1 of 4 rows of the table products"
    )
    store.load()
    assert store.refused("products") == [("p1", "product_id", "conflict")]
    assert store.rows("select rows_dropped from _loads where source_table = 'products'") == [(1,)]


@pytest.mark.parametrize("new_either", ["files"], indirect=True)
def test_rows_of_other_places_are_no_copies_in_parquet(store: Store) -> None:
    store.remove(SINGLE)
    store.put("products.parquet", [at("Lyon", "4"), at("Paris", "4")])
    store.put("events.csv", [event("e1", "2021-03-01")])
    with pytest.raises(SourceError, match=r"conflict with another row: location (Paris and Lyon|Lyon and Paris)"):
        store.under(max_rejected=0.05).load()


def test_a_place_without_inventory_is_summed_again_by_each_run(store: Store) -> None:
    map_by(store, "sum_over: {products: location}")
    store.put(SINGLE, [at("Lyon", "4"), at("Paris", "4")])
    store.put("events.csv", [event("e1", "2021-03-01")])
    for _time in range(2):
        store.load(AS_OF)
    assert store.rows("select distinct inventory from raw_products") == [(8,)]
    assert with_types(store).settings == store.settings
