"""What a refusal says: the text that was found, what was expected, the other row; and that doctor says the same."""

from collections.abc import Callable

import pytest

from plant_assets.doctor.diagnose import diagnose
from plant_assets.sources.errors import SourceError
from plant_assets_tests.loading.stores import AS_OF, SINGLE, LiveStore, Row, Store, event, product, with_types

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
