"""Forms of csv files: separators, lines before the header, encodings, numbers, capitals in names, empty files."""

import codecs
from collections.abc import Callable
from pathlib import Path

import pytest

from plant_assets.sources.errors import SourceError
from plant_assets.sources.mapping_file import MappingError
from plant_assets_tests.support.small_stores import (
    Store,
    assert_accounted,
    csv_text,
    diagnosis_of,
    event,
    new_store,
    product,
)

STOCK = "select product_id, name, price::double, inventory from raw_products order by 1"
GERMAN = "product_id;name;price;inventory\np1;Grünlilie;12,50;3\np2;Efeu;8,00;0\n"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    (tmp_path / "mapping.yaml").write_text("")
    store = new_store(tmp_path, mapping=tmp_path / "mapping.yaml")
    store.put("events.csv", [event("e1", "2021-03-01")])
    return store


def stock(store: Store, content: bytes | str, mapping: str = "", name: str = "products/2021-02-08.csv") -> list[object]:
    assert store.settings.mapping
    store.settings.mapping.write_text(mapping)
    store.put(name, content)
    store.load()
    return list(store.rows(STOCK))


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_the_separator_is_found(store: Store, separator: str) -> None:
    text = GERMAN.replace(";", separator)
    assert stock(store, text) == [("p1", "Grünlilie", 12.5, 3), ("p2", "Efeu", 8.0, 0)]
    assert_accounted(store, products=2)


@pytest.mark.parametrize(
    "content",
    [
        "sep=;\r\n" + GERMAN,
        "\n\n" + GERMAN,
        codecs.BOM_UTF8 + GERMAN.encode(),
        GERMAN.encode("utf-16"),
        codecs.BOM_UTF16_BE + GERMAN.encode("utf-16-be"),
        GERMAN.replace("product_id;name", '"Product_ID";NAME'),
    ],
)
def test_the_head_is_found(store: Store, content: bytes | str) -> None:
    assert stock(store, content) == [("p1", "Grünlilie", 12.5, 3), ("p2", "Efeu", 8.0, 0)]


@pytest.mark.parametrize(
    ("content", "mapping"),
    [
        (GERMAN.encode("cp1252"), "csv: {encoding: cp1252}"),
        (GERMAN.encode("cp1252"), "csv: {products: {encoding: latin-1}}"),
        ("report\nof today\n" + GERMAN, "csv: {products: {skip: 2}}"),
        (GERMAN.replace(";", "#"), "csv: {products: {separator: '#', decimal: ','}}"),
        (GERMAN.replace("Efeu", "'Efeu'"), 'csv: {products: {quote: "\'"}}'),
        (GERMAN.replace("12,50", "€ 12,50").replace("8,00", "8,00 EUR"), "csv: {products: {decimal: ','}}"),
    ],
)
def test_the_form_is_as_the_mapping_says(store: Store, content: bytes | str, mapping: str) -> None:
    assert stock(store, content, mapping) == [("p1", "Grünlilie", 12.5, 3), ("p2", "Efeu", 8.0, 0)]


@pytest.mark.parametrize(
    ("price", "mapping", "read"),
    [
        ("1.299,50", "csv: {products: {decimal: ',', thousands: '.'}}", 1299.5),
        ("1.299", "csv: {products: {decimal: ',', thousands: '.'}}", 1299.0),
        ("1,299", "csv: {products: {thousands: ','}}", 1299.0),
        ("1,299", "csv: {products: {decimal: ','}}", 1.299),
        ("1 299,5", "csv: {products: {decimal: ',', thousands: ' '}}", 1299.5),
        ("1'299.5", 'csv: {products: {thousands: "\'"}}', 1299.5),
        ("$1,234,567.89", "csv: {products: {thousands: ','}}", 1234567.89),
    ],
)
def test_numbers_are_as_the_mapping_says(store: Store, price: str, mapping: str, read: float) -> None:
    assert stock(store, GERMAN.replace("12,50", price).replace("8,00", "8"), mapping)[0] == ("p1", "Grünlilie", read, 3)


@pytest.mark.parametrize(
    ("price", "mapping"),
    [
        ("1,299", ""),
        ("29.90", "csv: {products: {decimal: ',', thousands: '.'}}"),
        ("29.90", "csv: {products: {decimal: ','}}"),
        ("1.2345", "csv: {products: {decimal: ',', thousands: '.'}}"),
        ("€ 12,50", ""),
    ],
)
def test_what_may_be_another_number_is_rejected(store: Store, price: str, mapping: str) -> None:
    with pytest.raises(SourceError, match=r"price: '.*' is not a number"):
        stock(store, GERMAN.replace("12,50", price), mapping)


def test_a_comma_in_files_with_commas_is_no_decimal(store: Store) -> None:
    with pytest.raises(SourceError, match="price: '12,50' is not a number"):
        stock(store, csv_text([product("p1", price="12,50")]))


def test_an_encoding_that_is_not_given_is_asked_for(store: Store) -> None:
    with pytest.raises(SourceError, match=r"not UTF-8 \(give its encoding in PLANT_MAPPING, as in `csv: {encoding: c"):
        stock(store, GERMAN.encode("cp1252"))
    assert "as in `csv: {encoding: cp1252}`" in str(diagnosis_of(store).error)
    with pytest.raises(SourceError, match="the header of the table products is not UTF-8: name its encoding"):
        stock(store, GERMAN.replace("name", "größe").encode("cp1252"))


def test_utf_16_that_is_cut_off_is_refused(store: Store) -> None:
    with pytest.raises(SourceError, match=r"csv: the table products cannot be read to its end: 'utf-16"):
        stock(store, GERMAN.encode("utf-16")[:-1])


@pytest.mark.parametrize(
    ("mapping", "problem"),
    [
        ("csv: {separatr: ';'}", "csv: not known; allowed: separator, decimal, thousands, encoding, quote, skip"),
        ("csv: {products: {encoding: klingon}}", "csv.products.encoding: 'klingon' is not allowed: an encoding that"),
        ("csv: {encoding: hex}", "csv: 'hex' is not allowed: an encoding that Python knows"),
        ("csv: {products: {thousands: '.'}}", "csv.products: .* is not allowed: thousands and decimal are one"),
        ("csv: {products: {separator: ';;'}}", "csv.products.separator: string should have at most 1 character"),
        ("sum_over: {events: x}", "sum_over.events: events is not allowed; allowed: products"),
        ("columns: {events: {user_id: [a, b]}}", "columns.events.user_id: several columns make a session_id only"),
    ],
)
def test_a_mapping_that_makes_no_sense_is_refused(store: Store, mapping: str, problem: str) -> None:
    with pytest.raises(MappingError, match=problem):
        stock(store, GERMAN, mapping)


def test_capitals_of_columns_of_parquet_do_not_count(store: Store) -> None:
    store.remove("products/2021-02-08.csv")
    store.put("products/2021-02-08.parquet", [{"Product_ID": "p1", "NAME": "Fern", "price": "1", "Inventory": "2"}])
    store.load()
    assert store.rows(STOCK) == [("p1", "Fern", 1.0, 2)]


def test_capitals_that_tell_columns_apart_count(store: Store) -> None:
    text = GERMAN.replace("name;", "Name;NAME;").replace("Grünlilie", "Grünlilie;x").replace("Efeu", "Efeu;x")
    with pytest.raises(SourceError, match="the table products lacks name; columns found: product_id, Name, NAME"):
        stock(store, text)


def test_a_file_without_a_byte_has_no_rows(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    store.put("events/2021-03-01.csv", [event("e1", "2021-03-01")])
    store.remove("events.csv")
    store.put("events/2021-03-02.csv", b"")
    store.load()
    assert store.events() == {"e1": "2021-03-01"}
    said = "events/2021-03-02.csv is empty: it is taken as a file without rows"
    assert said in caplog.messages
    assert said in diagnosis_of(store).odd
    store.put("events/2021-03-02.csv", [event("e2", "2021-03-02")])
    store.load()
    assert store.events() == {"e1": "2021-03-01", "e2": "2021-03-02"}


def test_an_empty_observation_is_kept_out(store: Store) -> None:
    store.put("products/2021-02-15.csv", b"")
    store.load()
    assert store.refusals("products") == [("products/2021-02-15.csv", None, None, "too_few_products")]


@pytest.mark.parametrize("how", ["semicolons", "utf16"])
def test_a_rejected_row_keeps_its_line(store: Store, how: str) -> None:
    text = "sep=;\n" + GERMAN + "p3;Moos;teuer;1\n"
    loose = store.under(max_rejected=0.9)
    found = stock(loose, text if how == "semicolons" else text.encode("utf-16"))
    assert len(found) == 2
    assert store.refusals("products") == [("products/2021-02-08.csv", 5, "price", "not a number")]


def test_lines_that_are_added_are_read(store: Store, refresh: Callable[..., object]) -> None:
    store.put("orders.csv", "sep=;\norder_id;user_id;created_at;order_total;status\no1;u1;2021-03-01;9,5;new\n")
    store.load()
    path = store.folder / "orders.csv"
    path.write_text(path.read_text() + "o2;u1;2021-03-01;7,25;new\n")
    store.load()
    assert store.rows("select order_id, order_total::double from raw_orders order by 1") == [("o1", 9.5), ("o2", 7.25)]
