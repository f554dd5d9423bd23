"""Words that stand for no value, in files and in a database: which there are, and in which columns."""

from collections.abc import Callable
from pathlib import Path

import pytest

from plant_assets.sources.mapping import NULL_WORDS
from plant_assets_tests.support.small_stores import (
    SINGLE,
    Store,
    assert_accounted,
    diagnosis_of,
    event,
    product,
    with_types,
)

NewStore = Callable[..., Store]


@pytest.fixture
def new_store_of(new_either: NewStore, tmp_path: Path) -> NewStore:
    """Makes a store of text columns with a mapping, if one is given."""

    def new(mapping: str = "") -> Store:
        (tmp_path / "mapping.yaml").write_text(mapping)
        return with_types(new_either(products=SINGLE, mapping=tmp_path / "mapping.yaml", max_rejected=0.99))

    return new


def put(store: Store, words: tuple[str, ...]) -> None:
    """Rows that have each word as an id that may be NULL, as one that may not, as a number, an instant and a name."""
    events = [event(f"e{number}", "2021-03-01", product_id=word, order_id=word) for number, word in enumerate(words)]
    sessions = [event(f"s{number}", "2021-03-01", session_id=word) for number, word in enumerate(words)]
    store.put("events.csv", [*events, *sessions, event("t", words[0]), event("kept", "2021-03-01", page_url=words[0])])
    numbers = [
        product(f"n{number}", name=word, inventory=word, price=word) for number, word in enumerate(words, start=1)
    ]
    store.put(SINGLE, [product("p1"), *numbers])


def test_words_are_no_value_in_ids_numbers_and_instants(new_store_of: NewStore) -> None:
    store = new_store_of()
    put(store, NULL_WORDS)
    store.load()
    assert store.refused() == [
        *((f"s{number}", "session_id", "missing") for number in range(len(NULL_WORDS))),
        ("t", "created_at", "missing"),
    ]
    found = "select count(*), count(product_id), count(order_id), max(page_url) filter (where event_id = 'kept')"
    assert store.rows(f"{found} from raw_events") == [(9, 1, 0, "NULL")]
    named = store.rows("select name, price, inventory from raw_products where product_id <> 'p1' order by product_id")
    assert named == [(word, None, None) for word in NULL_WORDS]
    assert_accounted(store, events=18, products=9)


def test_a_mapping_adds_words(new_store_of: NewStore) -> None:
    store = new_store_of('nulls: ["-", "no session"]')
    put(store, ("-", "no session", "NA"))
    store.load()
    assert [reason for _key, _column, reason in store.refused()] == ["missing"] * 4
    assert store.rows("select distinct product_id, order_id from raw_events where event_id <> 'kept'") == [(None, None)]


def test_a_mapping_turns_all_words_off(new_store_of: NewStore) -> None:
    store = new_store_of("nulls: []")
    put(store, ("NULL",))
    store.load()
    assert store.rows("select product_id, order_id, session_id from raw_events order by event_id") == [
        ("NULL", "NULL", "s1"),
        ("p1", None, "s1"),
        ("p1", None, "NULL"),
    ]
    assert store.refused() == [("t", "created_at", "not a timestamp")]
    assert store.refused("products") == [("n1", "price", "not a number")]


@pytest.mark.parametrize("new_either", ["database"], indirect=True)
def test_a_mapping_adds_numbers_in_columns_of_numbers(new_store_of: NewStore) -> None:
    store = with_types(new_store_of('nulls: ["-1", "9"]'), inventory="bigint", user_id="integer")
    store.put("events.csv", [event("e", "2021-03-01", user_id="9")])
    store.put(SINGLE, [product("p1", inventory="-1"), product("p2", inventory="1")])
    store.load()
    assert store.rows("select user_id from raw_events") == [(None,)]
    assert store.rows("select inventory from raw_products order by product_id") == [(None,), (1,)]
    assert "1 word of products taken for no value: inventory -1 (1)" in " ".join(diagnosis_of(store).odd)
