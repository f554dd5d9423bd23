"""What a refusal says: the text that was found, what was expected, the other row; and that doctor says the same."""

import datetime as dt
from collections.abc import Callable

import pytest

from plant_assets.doctor.diagnose import diagnose
from plant_assets.sources.errors import SourceError
from plant_assets_tests.support.small_stores import (
    AS_OF,
    SINGLE,
    LiveStore,
    Row,
    Store,
    as_bytes,
    event,
    product,
    with_types,
)

NewStore = Callable[..., Store]


def refusal(store: Store) -> str:
    """The sentence of a run, which is the one of doctor, without the figures before it."""
    with pytest.raises(SourceError) as caught:
        store.load()
    found = diagnose(store.settings, AS_OF, [])
    assert str(found.error) == str(caught.value)
    assert found.next_command == "plant-assets doctor --rejected"
    return str(caught.value).partition("the first is ")[2]


def text_store(new_either: NewStore) -> Store:
    return with_types(new_either(products=SINGLE))


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"created_at": "soon"}, "created_at: 'soon' is not a timestamp (instants are text like 2026-10-05T09:00:00Z"),
        ({"created_at": None}, "created_at: missing"),
        ({"session_id": "NULL"}, "session_id: 'NULL' is no value"),
        ({"created_at": "x" * 100}, f"created_at: '{'x' * 57}...' is not a timestamp"),
        ({"created_at": "a\x1b[31m"}, "created_at: 'a\\x1b[31m' is not a timestamp"),
    ],
)
def test_the_text_is_shown_that_was_found(new_either: NewStore, row: Row, said: str) -> None:
    store = text_store(new_either)
    store.put("events.csv", [event("e1", "2021-03-01"), {**event("e2", "2021-03-01"), **row}])
    place = "events, " if isinstance(store, LiveStore) else "events.csv, line 3, "
    assert refusal(store).startswith(place + said)


@pytest.mark.parametrize(
    ("column", "text", "said"),
    [
        ("price", "12,50", "'12,50' is not a number (expected digits with a decimal point, as in 12.50)"),
        ("price", "$12.00", "'$12.00' is not a number"),
        ("inventory", "1.5", "'1.5' is not a whole number (expected digits, as in 12)"),
    ],
)
def test_the_number_is_shown_that_was_found(new_either: NewStore, column: str, text: str, said: str) -> None:
    store = text_store(new_either)
    store.put("events.csv", [event("e1", "2021-03-01")])
    store.put(SINGLE, [product("p1", **{column: text})])
    assert f"{column}: {said}" in refusal(store)


def test_a_conflict_names_the_other_row_and_what_differs(new_either: NewStore) -> None:
    store = text_store(new_either)
    store.put("events.csv", [event("e1", "2021-03-01")])
    store.put(SINGLE, [product("p1", name="Fern", inventory="5"), product("p1", name="Fern", inventory="4")])
    place = "products, product_id: conflict with another row: "
    if not isinstance(store, LiveStore):
        place = "products.csv, line 2, product_id: conflict with line 3: "
    assert refusal(store) in (f"{place}inventory 5 and 4", f"{place}inventory 4 and 5")


@pytest.mark.parametrize("extension", ["csv", "jsonl"])
@pytest.mark.parametrize("new_either", ["files"], indirect=True)
def test_a_conflict_names_columns_that_are_not_read(new_either: NewStore, extension: str) -> None:
    store = new_either(products=SINGLE)
    store.remove(SINGLE)
    store.put("events.csv", [event("e1", "2021-03-01")])
    places = [("4", "Lyon"), ("5", "Paris")]
    rows = [product("p1", inventory=inventory, location=location) for inventory, location in places]
    store.put(f"products.{extension}", rows)
    assert "inventory 5 and 4, location Paris and Lyon" in refusal(store)


@pytest.mark.parametrize("new_either", ["files"], indirect=True)
def test_a_conflict_with_another_file_names_it(new_either: NewStore) -> None:
    store = new_either()
    store.put("events.csv", [event("e1", "2021-03-01")])
    store.put("order_items/a.csv", [{"order_id": "o1", "product_id": "p1", "quantity": "1"}])
    store.put("order_items/b.csv", [{"order_id": "o1", "product_id": "p1", "quantity": "2"}])
    assert refusal(store) == "order_items/b.csv, line 2: conflict with order_items/a.csv: quantity 2 and 1"


@pytest.mark.parametrize("new_either", ["files"], indirect=True)
def test_a_conflict_of_lines_in_two_files_says_how_many_there_are(new_either: NewStore) -> None:
    store = new_either()
    line = {"order_id": "o1", "product_id": "p1"}
    store.put("events.csv", [event("e1", "2021-03-01")])
    store.put("order_items/a.csv", [{**line, "quantity": "1"}, {**line, "quantity": "2"}])
    store.put("order_items/b.csv", [{**line, "quantity": "3"}])
    said = "order_items/b.csv, line 2: conflict with order_items/a.csv: quantity 3 and 3 in 1 and 2 lines"
    assert refusal(store) == said


def test_a_rejected_instant_is_shown(new_either: NewStore) -> None:
    store = text_store(new_either).under(start=dt.date(2021, 3, 1))
    store.put("events.csv", [event("e1", "2021-03-01"), event("e2", "2021-02-01"), event("e3", "2021-03-06")])
    found = diagnose(store.settings, AS_OF, [], lists_rejected=True)
    assert [said.partition("created_at: ")[2] for table, said in found.rejected if table == "events"] == [
        "'2021-02-01 00:00:00' is before PLANT_START",
        "'2021-03-06 00:00:00' is in the future: later runs look at it again",
    ]


def test_an_event_that_is_loaded_is_named(new_either: NewStore) -> None:
    store = text_store(new_either)
    store.put("events.csv", [event("e1", "2021-02-01")])
    store.load()
    store.put("events.csv", [event("e1", "2021-02-01"), event("e2", "2021-03-01"), event("e2", "2021-03-02")])
    assert "event_id: conflict with " in refusal(store)


@pytest.mark.parametrize(
    ("versions", "said"),
    [
        (
            [("2021-02-01", "2021-02-03"), ("2021-02-02", None)],
            "dbt_valid_to: '2021-02-03 00:00:00' is in conflict with",
        ),
        ([("2021-02-03", "2021-02-01")], "dbt_valid_to: '2021-02-01 00:00:00' is before dbt_valid_from"),
    ],
)
def test_a_rejected_version_is_shown(new_either: NewStore, versions: list[tuple[str, str | None]], said: str) -> None:
    store = new_either(products=SINGLE)
    store.put("events.csv", [event("e1", "2021-03-01")])
    rows = [product("p1", dbt_valid_from=since, dbt_valid_to=until) for since, until in versions]
    store.put("products_snapshot.csv", rows)
    assert said in refusal(store)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("events.csv", "e1,s1\n", "events.csv, line 3: 2 fields, expected 8: 'e1,s1'"),
        ("events.jsonl", "[1, 2]\n", "events.jsonl, line 2: not a JSON object: '[1, 2]'"),
    ],
)
@pytest.mark.parametrize("new_either", ["files"], indirect=True)
def test_a_row_that_cannot_be_split_is_shown(new_either: NewStore, name: str, text: str, said: str) -> None:
    store = new_either()
    store.put(name, as_bytes(name, [event("e1", "2021-03-01")]) + text.encode())
    assert refusal(store) == said


def test_the_first_ten_of_each_reason_are_listed(new_either: NewStore) -> None:
    store = text_store(new_either)
    rows = [event(f"e{number}", "2021-03-01", session_id=None) for number in range(12)]
    store.put("events.csv", [*rows, event("e", "soon"), event("f", "2021-03-01")])
    found = diagnose(store.settings, AS_OF, [], lists_rejected=True)
    listed = [said for table, said in found.sections["Rejected"] if table == "events"]
    assert len(listed) == 12
    assert [said.endswith("session_id: missing") for said in listed[:10]] == [True] * 10
    assert listed[10] == "and 2 more: missing"
    assert "'soon' is not a timestamp" in listed[11]


def test_no_rejected_row_is_said(new_either: NewStore) -> None:
    store = new_either()
    store.put("events.csv", [event("e1", "2021-03-01")])
    found = diagnose(store.settings, AS_OF, [], lists_rejected=True)
    assert (found.sections["Rejected"], found.error) == ([("-", "nothing")], None)
    assert not store.settings.warehouse_path.exists()
