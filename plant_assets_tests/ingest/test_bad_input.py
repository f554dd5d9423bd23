"""Bad input: what is refused, what is said of it, and that every row read is accounted for."""

import datetime as dt
import gzip
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from plant_assets.sources.errors import SourceError
from plant_assets.sources.tables import SOURCE_TABLES
from plant_assets.warehouse.open import open_warehouse
from plant_assets_tests.support.small_stores import (
    AS_OF,
    DATED,
    EVENT_COLUMNS,
    SINGLE,
    Content,
    LiveStore,
    Row,
    Store,
    as_bytes,
    assert_accounted,
    csv_text,
    event,
    jsonl_text,
    new_live_store,
    new_store,
    product,
    with_types,
)

E1 = event("e1", "2021-03-01T10:00:00Z")
E2 = event("e2", "2021-03-02T10:00:00Z", user_id=None)
HEADER = ",".join(EVENT_COLUMNS) + "\n"
CSV_ROW = "e1,s1,u1,/p1,2021-03-01T10:00:00Z,page_view,,p1\n"
CSV = csv_text([E1, E2])
ORDER: Row = {"order_id": "o1", "user_id": "u1", "created_at": "2021-03-01", "order_total": "19.00", "status": "new"}
ITEM: Row = {"order_id": "o1", "product_id": "p1", "quantity": "2"}


# Sources that are refused as a whole


def replace_events(name: str, content: Content) -> Callable[[Store], object]:
    """Break a store by another events file in the place of the sound one."""

    def break_it(store: Store) -> None:
        store.remove("events.csv")
        store.put(name, content)

    return break_it


def without(column: str) -> list[Row]:
    return [{name: value for name, value in E1.items() if name != column}]


def corrupted(data: bytes, place: int) -> bytes:
    """The data with one byte turned over."""
    return data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :]


EVENTS_GZ = as_bytes("events.csv.gz", [E1, E2])
EVENTS_PARQUET = as_bytes("events.parquet", [E1, E2])
BROKEN: dict[str, tuple[Callable[[Store], object], list[str]]] = {
    "the source is missing": (
        lambda store: shutil.rmtree(store.folder),
        ["source is not a directory", "expected the store's tables"],
    ),
    "events are missing": (
        lambda store: store.remove("events.csv"),
        [
            "has no table events: expected events.<ext> or a folder events/",
            "csv.zst, tsv, tsv.gz, parquet, json, jsonl",
        ],
    ),
    "products are missing": (
        lambda store: shutil.rmtree(store.folder / "products"),
        ["has no table products: expected products.<ext> or a folder products/"],
    ),
    "a folder of events holds no file of a known kind": (
        replace_events("events/day.txt", CSV),
        ["has no table events"],
    ),
    "csv.gz is cut off": (
        replace_events("events.csv.gz", EVENTS_GZ[:-9]),
        ["events.csv.gz: the table events cannot be read to its end: Compressed file ended"],
    ),
    "csv.gz lacks but the last byte": (
        replace_events("events.csv.gz", EVENTS_GZ[:-1]),
        ["events.csv.gz: the table events cannot be read to its end: Compressed file ended"],
    ),
    "csv.gz is damaged, which only its checksum shows": (
        replace_events("events.csv.gz", corrupted(EVENTS_GZ, len(EVENTS_GZ) - 6)),
        ["events.csv.gz: the table events cannot be read to its end: CRC check failed"],
    ),
    "jsonl.gz is cut off": (
        replace_events("events.jsonl.gz", as_bytes("events.jsonl.gz", [E1, E2])[:-4]),
        ["events.jsonl.gz: the table events cannot be read to its end"],
    ),
    "csv.gz is no gzip": (
        replace_events("events.csv.gz", CSV.encode()),
        ["events.csv.gz: the table events cannot be read to its end: Not a gzipped file"],
    ),
    "parquet is cut off": (
        replace_events("events.parquet", EVENTS_PARQUET[:-20]),
        ["events.parquet: the table events cannot be read to its end"],
    ),
    "parquet is damaged within": (
        replace_events("events.parquet", EVENTS_PARQUET[:4] + b"\xff" * 40 + EVENTS_PARQUET[44:]),
        ["events.parquet: the table events cannot be read to its end"],
    ),
    "the third of three files is cut off": (
        lambda store: [
            replace_events("events/1.csv.gz", EVENTS_GZ)(store),
            store.put("events/2.csv.gz", EVENTS_GZ),
            store.put("events/3.csv.gz", EVENTS_GZ[:-9]),
        ],
        ["events/3.csv.gz: the table events cannot be read to its end"],
    ),
    "the second of two parquet files is damaged within": (
        lambda store: [
            replace_events("events/1.parquet", EVENTS_PARQUET)(store),
            store.put("events/2.parquet", EVENTS_PARQUET[:4] + b"\xff" * 40 + EVENTS_PARQUET[44:]),
        ],
        ["events/2.parquet: the table events cannot be read to its end"],
    ),
    "csv is UTF-16 without a mark": (
        lambda store: store.put("events.csv", CSV.encode("utf-16-le")),
        ["events.csv: the table events lacks event_id", r"columns found: e\x00v\x00e"],
    ),
    "jsonl is UTF-16": (
        replace_events("events.jsonl", jsonl_text([E1]).encode("utf-16")),
        ["events cannot be loaded, more than PLANT_MAX_REJECTED=0.05 allows", "events.jsonl, line 1: not UTF-8"],
    ),
    "csv.gz is empty": (
        replace_events("events.csv.gz", b""),
        ["events.csv.gz: the table events cannot be read to its end: an empty file is no gzip file"],
    ),
    "parquet is empty": (
        replace_events("events.parquet", b""),
        ["events.parquet: the table events cannot be read to its end"],
    ),
    "csv lacks a column": (
        lambda store: store.put("events.csv", without("session_id")),
        [
            "events.csv: the table events lacks session_id;"
            " columns found: event_id, user_id, page_url, created_at, event_type, order_id, product_id"
        ],
    ),
    "parquet lacks a column": (
        replace_events("events.parquet", without("order_id")),
        ["events.parquet: the table events lacks order_id; columns found: event_id, session_id"],
    ),
    "parquet has a column only as the name of its folder": (
        replace_events("events/order_id=o1/day.parquet", without("order_id")),
        ["the table events lacks order_id; columns found: event_id, session_id"],
    ),
    "products lack a column": (
        lambda store: store.put("products/2021-02-15.csv", "product_id,name\np1,Fern\n"),
        ["products/2021-02-15.csv: the table products lacks price, inventory; columns found: product_id, name"],
    ),
    "csv has a column twice": (
        lambda store: store.put("events.csv", HEADER.replace("\n", ",user_id\n")),
        ["events.csv: the table events has twice user_id; columns found: event_id, session_id"],
    ),
    "a quote in a row is never closed": (
        lambda store: store.put("events.csv", CSV + 'e3,"s1,u1\n' + CSV_ROW * 3),
        ["events.csv: a quote that opens in line 4 is never closed"],
    ),
    "a quote in the header is never closed": (
        lambda store: store.put("events.csv", CSV.replace("user_id", '"user_id')),
        ["events.csv: a quote that opens in line 1 is never closed"],
    ),
    "a directory is where a file should be": (
        replace_events("events.csv/day.csv", CSV),
        ["events.csv is a directory: expected a file, or a folder named events"],
    ),
    "a directory is where a file of a folder should be": (
        replace_events("events/day.csv/part.csv", CSV),
        ["events/day.csv is a directory: expected a csv file of the table events"],
    ),
    "a table is a file without extension": (
        lambda store: [shutil.rmtree(store.folder / "products"), store.put("products", b"")],
        ["products has no extension: expected one of csv"],
    ),
    "a link leads nowhere": (
        lambda store: [store.remove("events.csv"), (store.folder / "events.csv").symlink_to("nothing.csv")],
        ["events.csv of the table events cannot be read: No such file or directory"],
    ),
    "a table is a file and a folder": (
        lambda store: store.put("events/day.csv", CSV),
        ["gives the table events twice: events and events.csv; keep one of them"],
    ),
    "a table is two files": (
        lambda store: store.put("events.parquet", [E1]),
        ["gives the table events twice: events.csv and events.parquet; keep one of them"],
    ),
    "two products files are of one instant": (
        lambda store: store.put("products/late/2021-02-08T00-00-00Z.csv", [product("p1")]),
        ["products/2021-02-08.csv and ", "have the same instant, 2021-02-08 00:00:00Z; keep one of them"],
    ),
    "a stem is no instant": (
        lambda store: store.put("products/latest.csv", [product("p1")]),
        ["products/latest.csv is not named by an instant: expected 2021-02-22.csv or 2021-02-22T06-00-00Z.csv"],
    ),
    "a stem is no date of the calendar": (
        lambda store: store.put("products/2021-02-30.csv", [product("p1")]),
        ["products/2021-02-30.csv is not named by an instant"],
    ),
    "a stem is written otherwise": (
        lambda store: store.put("products/2021-2-15T6-0-0Z.csv", [product("p1")]),
        ["products/2021-2-15T6-0-0Z.csv is not named by an instant"],
    ),
    "a stem is long before any store": (
        lambda store: store.put("products/0021-02-15.csv", [product("p1")]),
        ["products/0021-02-15.csv is not named by an instant"],
    ),
    "a file's name is not UTF-8": (
        lambda store: store.put(os.fsdecode(b"events-\xe9.csv"), CSV).rename(
            (store.folder / "products") / os.fsdecode(b"caf\xe9.csv")
        ),
        [r"products/caf\udce9.csv of the table products has a name that is not UTF-8: rename it"],
    ),
}


@pytest.fixture(scope="module")
def loaded_once(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A loaded store. Not to be written to: see `loaded`."""
    store = new_store(tmp_path_factory.mktemp("loaded"))
    store.put("events.csv", [E1])
    store.load()
    return store


@pytest.fixture
def loaded(loaded_once: Store, tmp_path: Path) -> Store:
    """A copy of the loaded store, with its warehouse."""
    shutil.copytree(loaded_once.folder, tmp_path / "source")
    shutil.copytree(loaded_once.settings.home, tmp_path / "home")
    copy = new_store(tmp_path)
    with open_warehouse(copy.settings) as warehouse:
        warehouse.ledger.facts.remember(**copy.settings.store())
    return copy


@pytest.mark.parametrize("name", BROKEN)
def test_a_source_that_cannot_be_read_is_refused_by_name(loaded: Store, name: str) -> None:
    break_it, fragments = BROKEN[name]
    before = loaded.contents()
    break_it(loaded)
    with pytest.raises(SourceError) as caught:
        loaded.load()
    message = str(caught.value)
    assert [fragment for fragment in fragments if fragment not in message] == [], message
    assert message.isprintable(), "one line that every terminal can show"
    assert loaded.contents() == before


# Files that are unusual but sound

TWO_ROWS = [
    ("e1", "s,1", "u\n1", 'say "hi"', dt.datetime(2021, 3, 1, 10), "page_view", None, "p1"),
    ("e2", "s2", None, None, dt.datetime(2021, 3, 2, 10, 0, 0, 250000), "page_view", None, "p2"),
]
SOUND = (
    HEADER + 'e1,"s,1","u\n1","say ""hi""",2021-03-01T10:00:00Z,page_view,,p1\n'
    'e2,s2,,"",2021-03-02T10:00:00.25Z,page_view,,p2\n'
)
LINES = jsonl_text(
    [
        event("e1", "2021-03-01T10:00:00Z", session_id="s,1", user_id="u\n1", page_url='say "hi"'),
        event("e2", "2021-03-02T10:00:00.25Z", session_id="s2", user_id="", page_url=None, product_id="p2"),
    ]
)
ODD_FILES: dict[str, tuple[str, bytes]] = {
    "as the rest expects it": ("events.csv", SOUND.encode()),
    "extension in capitals": ("EVENTS.CSV", SOUND.encode()),
    "byte order mark": ("events.csv", SOUND.encode("utf-8-sig")),
    "no final newline": ("events.csv", SOUND.rstrip("\n").encode()),
    "blank lines": ("events.csv", SOUND.replace("p1\n", "p1\n\n\n").encode() + b"\n\n"),
    "CRLF": ("events.csv", SOUND.replace("\n", "\r\n").replace("u\r\n1", "u\n1").encode()),
    "CRLF but for the first line": (
        "events.csv",
        SOUND.replace("\n", "\r\n").replace("u\r\n1", "u\n1").replace("\r\n", "\n", 1).encode(),
    ),
    "CR alone": ("events.csv", SOUND.replace("\n", "\r").replace("u\r1", "u\n1").encode()),
    "spaces around quotes": ("events.csv", SOUND.replace(',""', ', "" ').replace('"s,1"', ' "s,1"  ').encode()),
    "quoted header": ("events.csv", SOUND.replace("event_id", '"event_id"', 1).encode()),
    "spaces in the header": ("events.csv", SOUND.replace(",user_id", ", user_id ", 1).encode()),
    "columns that nobody asked for, the same name twice": (
        "events.csv",
        "".join(f"x,{line},y,\n" for line in SOUND.replace("u\n1", "u\\1").splitlines())
        .replace("x,event_id", "note,event_id", 1)
        .replace("y,", "note,c0", 1)
        .replace("u\\1", "u\n1")
        .encode(),
    ),
    "columns in another order": (
        "events.csv",
        b"product_id,event_id,page_url,user_id,session_id,event_type,created_at,order_id\n"
        b'p1,e1,"say ""hi""","u\n1","s,1",page_view,2021-03-01T10:00:00Z,\n'
        b"p2,e2,,,s2,page_view,2021-03-02T10:00:00.25Z,\n",
    ),
    "gzip": ("events.csv.gz", gzip.compress(SOUND.encode())),
    "gzip in capitals": ("EVENTS.CSV.GZ", gzip.compress(SOUND.encode())),
    "gzip in two members": (
        "events.csv.gz",
        gzip.compress(SOUND[:200].encode()) + gzip.compress(SOUND[200:].encode()),
    ),
    "gzip padded by zeros": ("events.csv.gz", gzip.compress(SOUND.encode()) + bytes(64)),
    "folder like a partition": ("events/event_type=cart/c0=5/day.csv", SOUND.encode()),
    "jsonl": ("events.jsonl", LINES.encode()),
    "jsonl with a mark, CRLF and blank lines": (
        "events.jsonl",
        b"\xef\xbb\xbf" + LINES.replace("\n", "\r\n\r\n  \r\n").encode(),
    ),
    "jsonl with LF and CRLF, no final newline": ("events.jsonl", LINES.replace("\n", "\r\n", 1).rstrip("\n").encode()),
    "jsonl with fields that nobody asked for": (
        "events.jsonl",
        LINES.replace('{"event_id"', '{"more": {"event_id": 1}, "event_id"').encode(),
    ),
    "jsonl without the fields that are NULL": (
        "events.jsonl",
        LINES.replace(', "order_id": null', "").replace(', "page_url": null', "").encode(),
    ),
    "jsonl.gz": ("events.jsonl.gz", gzip.compress(LINES.encode())),
}


@pytest.mark.parametrize("name", ODD_FILES)
@pytest.mark.parametrize("has_refused", [False, True], ids=["by the engine", "line by line"])
def test_an_unusual_file_holds_the_same_rows(tmp_path: Path, name: str, has_refused: bool) -> None:
    """A refused row in the same file has it read line by line: the others must not read otherwise for that."""
    file, content = ODD_FILES[name]
    store = new_store(tmp_path)
    if has_refused:
        is_gzip = file.lower().endswith(".gz")
        newline = "" if is_gzip or content[-1:] in b"\n\r" else "\n"
        refused = (newline + ("{\n" if ".jsonl" in file.lower() else "one field\n")).encode()
        content += gzip.compress(refused) if is_gzip else refused
    store.put(file, content)
    staged = store.staged("events", f"{', '.join(EVENT_COLUMNS)}, reason")
    assert [row[:-1] for row in staged if row[-1] is None] == TWO_ROWS
    assert len(staged) == 2 + has_refused


def test_every_format_and_a_database_give_the_same_tables(tmp_path: Path, database: str) -> None:
    tables: dict[str, list[Row]] = {
        "events": [E1, E2, event("e2", "2021-03-02T10:00:00Z"), event(None, "2021-03-01"), E1],
        "orders": [ORDER, {**ORDER, "order_id": "o2", "order_total": None, "status": 'größer, "x"\nand \';'}],
        "order_items": [ITEM, {**ITEM, "product_id": "p2", "quantity": None}],
        "products": [product("p1", inventory="-3", price="1.2345"), product("p2", inventory=None), product(None)],
    }
    found = {}
    for extension in ("csv", "csv.gz", "jsonl", "jsonl.gz", "parquet", "database"):
        if extension == "database":
            store: Store = new_live_store(database, tmp_path / extension, max_rejected=0.5)
        else:
            store = new_store(tmp_path / extension, max_rejected=0.5)
            store.remove("products/2021-02-08.csv")
        for table, rows in tables.items():
            store.put(f"{table}.{'csv' if extension == 'database' else extension}", rows)
        store.load()
        assert_accounted(store, events=5, orders=2, order_items=2, products=3)
        contents = store.contents()
        refused = store.rows("select column_name, reason, week_start_date, row_key from rejected_rows order by all")
        found[extension] = (refused, *(contents[f"raw_{name}"] for name in tables))
    for extension, contents_found in found.items():
        assert contents_found == found["csv"], extension


INSTANTS = {
    "2021-03-01T10:00:00Z": dt.datetime(2021, 3, 1, 10),
    "2021-03-01 10:00:00": dt.datetime(2021, 3, 1, 10),  # no offset is UTC
    "2021-03-01T10:00": dt.datetime(2021, 3, 1, 10),
    "2021-03-01T00:30:00+02:00": dt.datetime(2021, 2, 28, 22, 30),  # in the week before
    "2021-03-01 10:00:00-0530": dt.datetime(2021, 3, 1, 15, 30),
    "2021-03-01 10:00:00+01": dt.datetime(2021, 3, 1, 9),
    "2021-03-01T10:00:00.5Z": dt.datetime(2021, 3, 1, 10, 0, 0, 500000),
    "2021-03-01T10:00:00.123456Z": dt.datetime(2021, 3, 1, 10, 0, 0, 123456),
    "2021-03-01": dt.datetime(2021, 3, 1),
    "yesterday": None,
    "01.03.2021": None,
    "03/01/2021": None,
    "2021-02-29": None,  # no leap year
    "2021-03-01T25:00:00Z": None,
    "infinity": None,
    "0021-03-01": None,
    "99999-01-01": None,
}


@pytest.mark.parametrize(
    ("new_either", "file"),
    [*(("files", f"events.{extension}") for extension in ("csv", "jsonl", "parquet")), ("database", "events.csv")],
    indirect=["new_either"],
)
def test_instants_are_read_as_utc_or_refused(new_either: Callable[..., Store], file: str) -> None:
    store = with_types(new_either())
    store.put(file, [event(text, text) for text in INSTANTS])
    staged = store.staged("events", "event_id, created_at, column_name, reason")
    refused = ("created_at", "not a timestamp")
    assert sorted(staged, key=str) == sorted(
        ((text, instant, *((None, None) if instant else refused)) for text, instant in INSTANTS.items()), key=str
    )


NOON = dt.datetime(2021, 3, 1, 12, 0, 0, 125000)
ZONED = dt.datetime(2021, 3, 1, 13, 0, 0, 125000, tzinfo=dt.timezone(dt.timedelta(hours=1)))
PARQUET_INSTANTS: dict[str, tuple[Any, Any, dt.datetime]] = {
    "TIMESTAMP": (NOON, pa.timestamp("us"), NOON),
    "TIMESTAMP_MS": (NOON, pa.timestamp("ms"), NOON),
    "TIMESTAMP_NS": (NOON, pa.timestamp("ns"), NOON),
    "TIMESTAMPTZ": (ZONED, pa.timestamp("us", tz="Europe/Berlin"), NOON),
    "TIMESTAMPTZ of nanoseconds": (ZONED, pa.timestamp("ns", tz="UTC"), NOON),
    "VARCHAR": ("2021-03-01T13:00:00.125+01:00", pa.string(), NOON),
    "DATE": (dt.date(2021, 3, 1), pa.date32(), dt.datetime(2021, 3, 1)),
}


@pytest.mark.parametrize("name", PARQUET_INSTANTS)
def test_instants_of_parquet_are_read_whatever_their_type(tmp_path: Path, name: str) -> None:
    value, kind, expected = PARQUET_INSTANTS[name]
    store = new_store(tmp_path)
    path = store.put("events.parquet", [E1])
    table = pq.read_table(path)
    place = table.column_names.index("created_at")
    pq.write_table(table.set_column(place, "created_at", pa.array([value], kind)), path)
    assert store.staged("events", "event_id, created_at, reason") == [("e1", expected, None)]


def test_parquet_of_other_types_and_with_other_columns_is_read(tmp_path: Path) -> None:
    store = new_store(tmp_path, max_rejected=0.5)
    # Whole numbers as pandas leaves them where some are missing, and columns that the loading names itself.
    columns = {
        "product_id": pa.array(["p1", "", "p3", "p4"]).dictionary_encode(),
        "inventory": pa.array([3.0, 4.0, 2.5, None]),
        "price": pa.array([1, 2, 3, None], pa.int32()),
        "name": pa.array(["a", "b", "c", "d"]),
        **{name: pa.array(["x"] * 4) for name in ("filename", "line", "reason", "raw_text", "file", "observed_at")},
    }
    pq.write_table(pa.table(columns), store.folder / "products" / "2021-02-15.parquet")
    store.put("events.csv", [E1])
    store.load()
    found = store.rows(
        "select product_id, price, inventory from raw_products where observed_at = '2021-02-15' order by 1"
    )
    assert found == [("p1", Decimal(1), 3), ("p4", None, None)]
    assert store.rows("select line, column_name, reason, raw_text from rejected_rows order by column_name") == [
        # An empty text is NULL, also where parquet keeps a dictionary of texts; half a plant is not guessed at.
        (None, "inventory", "not a whole number", '{"product_id":"p3","name":"c","price":3,"inventory":2.5}'),
        (None, "product_id", "missing", '{"product_id":"","name":"b","price":2,"inventory":4.0}'),
    ]
    assert_accounted(store, products=6)


def test_numbers_are_read_or_refused(new_either: Callable[..., Store]) -> None:
    store = with_types(new_either(products=SINGLE, max_rejected=1))
    texts = ["7", "-7", "+7", "7.0", " 7 ", "7.5", "seven", "7e2", "99999999999999999999", "1,5"]
    rows = [product(f"i {text}", inventory=text) for text in texts]
    store.put(SINGLE, rows + [product(f"p {text}", price=text) for text in texts])
    store.put("events.csv", [E1])
    store.load()
    assert store.rows("select product_id, inventory from raw_products where product_id like 'i %' order by 1") == [
        ("i  7 ", 7),
        ("i +7", 7),
        ("i -7", -7),
        ("i 7", 7),
        ("i 7.0", 7),
    ]
    refused = store.rows("select column_name, reason, count(*) from rejected_rows group by all order by all")
    assert refused == [("inventory", "not a whole number", 5), ("price", "not a number", 3)]
    assert_accounted(store, products=20)


# Rows that are refused


def test_each_refused_row_of_csv_is_kept_with_line_column_and_reason(tmp_path: Path) -> None:
    store = new_store(tmp_path, max_rejected=1)
    content = b"".join(
        [
            SOUND.encode(),  # lines 1 to 4, for one field spans two
            b"e3,s1,u1,/p1,2021-03-01T10:00:00Z,page_view,\n",  # a field too few
            b"e4,s1,u1,/p1,2021-03-01T10:00:00Z,page_view,,p1,p2\n",  # a field too many
            b"e5,s1,u1,/p1,2021-03-01T10:00:00Z,page_view,,p1,\n",  # an empty field too many
            b"e6,s1,u1,/caf\xe9,2021-03-01T10:00:00Z,page_view,,p1\n",  # Latin-1
            b'e7,"s1"x,u1,/p1,2021-03-01T10:00:00Z,page_view,,p1\n',  # text after a closing quote
            b"e8,s1,u1,/p1,soon,page_view,,p1\n",
            b'"e\n9",s1,u1,/p1,soon,page_view,,p1\n',  # begins in line 11
            b"   \n",
            b"e0,s1,u1,/p1,2021-03-01T10:00:00Z,,,p1\n",
        ]
    )
    store.put("events/day.csv", content)
    store.load()
    found = store.rows("select line, column_name, reason, raw_text from rejected_rows order by line")
    assert found == [
        (5, None, "7 fields, expected 8", "e3,s1,u1,/p1,2021-03-01T10:00:00Z,page_view,"),
        (6, None, "9 fields, expected 8", "e4,s1,u1,/p1,2021-03-01T10:00:00Z,page_view,,p1,p2"),
        (7, None, "9 fields, expected 8", "e5,s1,u1,/p1,2021-03-01T10:00:00Z,page_view,,p1,"),
        (8, None, "not UTF-8", "e6,s1,u1,/caf�,2021-03-01T10:00:00Z,page_view,,p1"),
        (
            9,
            None,
            "malformed quotes: ',' expected after '\"'",
            'e7,"s1"x,u1,/p1,2021-03-01T10:00:00Z,page_view,,p1',
        ),
        (10, "created_at", "not a timestamp", "e8,s1,u1,/p1,soon,page_view,,p1"),
        (11, "created_at", "not a timestamp", '"e\n9",s1,u1,/p1,soon,page_view,,p1'),
        (13, None, "1 fields, expected 8", "   "),
        (14, "event_type", "missing", "e0,s1,u1,/p1,2021-03-01T10:00:00Z,,,p1"),
    ]
    assert {row[0] for row in store.refusals()} == {"events/day.csv"}
    assert list(store.events()) == ["e1", "e2"]
    assert_accounted(store, events=11)


def test_each_refused_line_of_jsonl_is_kept_and_the_others_load(tmp_path: Path) -> None:
    store = new_store(tmp_path, max_rejected=1)
    broken = [
        b'{"event_id": "e3", "session_id":',
        b"[1, 2]",
        b"null",
        jsonl_text([event("caf\u00e9", "2021-03-01")]).encode("latin-1").rstrip(),
        jsonl_text([event(r"\ud800", "2021-03-01")]).replace(r"\\u", r"\u").encode().rstrip(),  # half a character
        (jsonl_text([E1]).rstrip() * 2).encode(),  # two objects
    ]
    store.put("events.jsonl", LINES.encode() + b"\n".join(broken) + b"\n" + jsonl_text([event("e3", "soon")]).encode())
    store.load()
    found = store.rows("select line, column_name, reason from rejected_rows order by line")
    assert found == [
        (3, None, "not a JSON object"),
        (4, None, "not a JSON object"),
        (5, None, "not a JSON object"),
        (6, None, "not UTF-8"),
        (7, None, "not a JSON object"),
        (8, None, "not a JSON object"),
        (9, "created_at", "not a timestamp"),
    ]
    assert list(store.events()) == ["e1", "e2"]
    assert_accounted(store, events=9)


def test_values_of_jsonl_read_the_same_beside_a_broken_line(tmp_path: Path) -> None:
    """Numbers, nested values and repeated fields: as the engine reads them, whoever reads the lines."""
    line = (
        '{"event_id": 1.10, "session_id": {"a": 1.50}, "user_id": 1, "user_id": 2, "page_url": true, "product_id": [1],'
        ' "created_at": "2021-03-01", "event_type": "page_view", "order_id": 12345678901234567890123}\n'
    )
    found = []
    for number, tail in enumerate(["", "{\n"]):
        store = new_store(tmp_path / str(number), max_rejected=0.5)
        store.put("events.jsonl", line + tail)
        store.load()
        found.append(store.rows("from raw_events"))
    assert found[0] == found[1]
    assert found[0][0][6] == "12345678901234567890123"


def test_null_in_a_required_column_is_refused(new_either: Callable[..., Store]) -> None:
    store = new_either(products=SINGLE, max_rejected=0.8)
    sound: dict[str, Row] = {"events": E1, "products": product("p1"), "orders": ORDER, "order_items": ITEM}
    required = {
        "events": ["created_at", "event_id", "event_type", "session_id"],
        "products": ["product_id"],
        "orders": ["order_id"],
        "order_items": ["order_id", "product_id"],
    }
    for table, row in sound.items():
        store.put(f"{table}.csv", [row, *({**row, column: None} for column in required[table])])
    store.load()
    for table, columns in required.items():
        found = [(column, reason) for _key, column, reason in store.refused(table)]
        assert sorted(found) == [(column, "missing") for column in columns]
    assert_accounted(store, events=5, products=2, orders=2, order_items=3)


@pytest.mark.parametrize("table", ["events", "products", "orders", "order_items"])
def test_more_refused_rows_than_allowed_refuse_the_load(new_either: Callable[..., Store], table: str) -> None:
    rows = {
        "events": [event(f"e{n}", "2021-03-01") for n in range(20)],
        "products": [product(f"p{n}") for n in range(20)],
        "order_items": [{**ITEM, "product_id": f"p{n}"} for n in range(20)],
        "orders": [{**ORDER, "order_id": f"o{n}"} for n in range(20)],
    }[table]
    store = new_either(products=SINGLE)
    store.put("events.csv", [E1])
    bad = {**rows[0], SOURCE_TABLES[table].key[-1]: None}
    store.put(f"{table}.csv", [*rows[1:], bad])
    store.load()
    assert len(store.refused(table)) == 1, "one in twenty is allowed"
    before = store.contents()
    store.put(f"{table}.csv", [*rows[2:], bad, bad])
    share, place = "2 of 20", f"{table}.csv, line 20, "
    if isinstance(store, LiveStore):
        # Of a week, the row that was refused before is no news.
        share, place = ("1 of 19", "events/2021-03-01, ") if table == "events" else (share, f"{table}, ")
    with pytest.raises(SourceError, match=f"{share} rows of the table {table} cannot be loaded") as caught:
        store.load(AS_OF + dt.timedelta(hours=6))
    assert f"more than PLANT_MAX_REJECTED=0.05 allows; the first is {place}" in str(caught.value)
    assert store.contents() == before


def test_rows_refused_once_do_not_refuse_later_loads_of_a_part(new_either: Callable[..., Store]) -> None:
    """A file is read whole, and weeks of a database not: refused rows weigh against all that was read with them."""
    store = new_either()
    days = [dt.date(2021, 1, 4) + dt.timedelta(days=n % 58) for n in range(580)]
    rows = [event(f"e{n}", str(day)) for n, day in enumerate(days)]
    bad = [
        *(event(f"b{n}", "soon") for n in range(20)),
        *(event(f"w{n}", "2021-03-02", session_id=None) for n in range(8)),
    ]
    store.put("events.csv", rows + bad)
    store.load()
    before = store.contents()
    store.load()
    store.load(weeks=(dt.date(2021, 1, 4), dt.date(2021, 1, 4)))
    assert store.contents() == before


# Rows that compare with others, with the clock, or with the settings


def test_events_of_the_future_wait_until_their_time(new_either: Callable[..., Store]) -> None:
    store = new_either()
    store.put(
        "events.csv",
        [
            E1,
            event("in 23 hours", "2021-03-04T11:00:00Z"),
            event("in a day", "2021-03-04T12:00:01Z"),  # over a day ahead
            event("next week", "2021-03-08T00:00:00Z"),
            event("next year", "2022-03-08T00:00:00Z"),
        ],
    )
    store.load()  # three of five rows are refused, more than PLANT_MAX_REJECTED
    assert set(store.events()) == {"e1", "in 23 hours"}
    late = [(key, "created_at", "future") for key in ("in a day", "next week", "next year")]
    assert store.refused() == late
    assert_accounted(store, events=5)
    store.load(weeks=(dt.date(2021, 2, 8), dt.date(2021, 2, 8)))
    assert_accounted(store, events=5)
    store.load(dt.datetime(2021, 3, 9))
    assert set(store.events()) == {"e1", "in 23 hours", "in a day", "next week"}
    assert store.refused() == late[2:]
    assert_accounted(store, events=5)


def test_events_before_the_start_that_was_set_wait_for_an_earlier_one(new_either: Callable[..., Store]) -> None:
    store = new_either(start=dt.date(2021, 2, 22))
    store.put("events.csv", [E1, event("early", "2021-02-21T23:59:59Z"), event("long ago", "2020-02-20")])
    store.load()
    assert set(store.events()) == {"e1"}
    assert store.refused() == [(key, "created_at", "before_start") for key in ("early", "long ago")]
    assert_accounted(store, events=3)
    store.under(start=dt.date(2021, 2, 15)).load()
    assert set(store.events()) == {"e1", "early"}
    assert_accounted(store, events=3)
    store.under(start=None).load()
    assert set(store.events()) == {"e1", "early", "long ago"}
    assert_accounted(store, events=3)


def test_rows_refused_for_another_reason_are_accounted_for_in_any_week(new_either: Callable[..., Store]) -> None:
    store = new_either(start=dt.date(2021, 2, 22), max_rejected=1)
    weeks = ["2020-02-20", "2021-02-22", "2021-03-20", "2031-03-20"]
    store.put("events.csv", [E1, *(event(f"e{day}", day, session_id=None) for day in weeks)])
    store.load()
    assert store.refused() == [(f"e{day}", "session_id", "missing") for day in weeks]
    assert_accounted(store, events=5)


@pytest.mark.parametrize(
    ("new_either", "extension"),
    [("files", "csv"), ("files", "jsonl"), ("files", "parquet"), ("database", "csv")],
    indirect=["new_either"],
)
def test_identical_events_are_dropped_and_counted(new_either: Callable[..., Store], extension: str) -> None:
    store = new_either()
    store.put(f"events/1.{extension}", [E1, E2, E1, *[E2] * 3000])
    store.put(f"events/2.{extension}", [E2])
    store.load()
    assert set(store.events()) == {"e1", "e2"}
    assert store.rows("select sum(rows_dropped) from _loads where source_table = 'events'") == [(3002,)]
    assert_accounted(store, events=3004)


# Rows of one event_id, each before the next one: the first stays. NULL is before any text, and text is no number.
SAME_ID = [
    event("e", "2021-03-01T09:00:00.000001Z", session_id="z"),
    event("e", "2021-03-01T10:00:00Z", session_id="a", user_id=None),
    event("e", "2021-03-01T10:00:00Z", session_id="a", user_id="10"),
    event("e", "2021-03-01T10:00:00Z", session_id="a", user_id="9", page_url=None),
    event("e", "2021-03-01T10:00:00Z", session_id="a", user_id="9", page_url="/"),
    event("e", "2021-03-01T10:00:00Z", session_id="b", user_id=None),
    event("e", "2021-03-01T11:00:00+00:00", session_id="a"),
]


EITHER = pytest.mark.parametrize(
    ("new_either", "extension"), [("files", "csv"), ("files", "parquet"), ("database", "csv")], indirect=["new_either"]
)


@EITHER
def test_of_one_event_id_the_first_stays_in_any_order(new_either: Callable[..., Store], extension: str) -> None:
    store = new_either(max_rejected=1)
    files: dict[str, list[Row]] = {"1": [], "2": []}
    for first in range(len(SAME_ID) - 1):
        # The one that stays comes last; one that goes comes twice, once as a duplicate.
        *later, winner = ({**row, "event_id": f"e{first}"} for row in reversed(SAME_ID[first:]))
        files["1"] += [*later, later[0]]
        files["2"] += [winner]
    for name, rows in files.items():
        store.put(f"events/{name}.{extension}", rows)
    store.load()
    stored = store.rows("select session_id, user_id, page_url from raw_events order by event_id")
    assert stored == [(row["session_id"], row["user_id"], row["page_url"]) for row in SAME_ID[:-1]]
    refused = [(f"e{first}", "event_id", "conflict") for first in range(6) for _row in SAME_ID[first + 1 :]]
    assert store.refused() == refused
    has_lines = extension == "csv" and not isinstance(store, LiveStore)
    assert all(row[1] for row in store.refusals()) == has_lines, "rows of csv are refused with their line"
    counted = store.rows("select sum(rows_rejected), sum(rows_dropped) from _loads where source_table = 'events'")
    assert counted == [(6 + 5 + 4 + 3 + 2 + 1, 6)]
    assert_accounted(store, events=sum(len(rows) for rows in files.values()))


@EITHER
def test_the_same_key_twice_in_a_table_without_weeks(new_either: Callable[..., Store], extension: str) -> None:
    store = new_either(products=SINGLE, max_rejected=1)
    store.remove(SINGLE)
    store.put("events.csv", [E1])
    store.put(
        f"products.{extension}",
        [product("p1"), product("p1"), product("p1", inventory="9"), product("p2")],
    )
    store.put(f"orders.{extension}", [ORDER, {**ORDER, "status": None}, ORDER])
    store.put(f"order_items.{extension}", [ITEM, {**ITEM, "product_id": "p2"}, {**ITEM, "quantity": "3"}, ITEM])
    store.load()
    assert store.rows("select product_id, inventory from raw_products order by all") == [("p1", 10), ("p2", 10)]
    assert store.rows("select status from raw_orders") == [(None,)]
    assert store.rows("select product_id, quantity from raw_order_items order by all") == [("p1", 7), ("p2", 2)]
    assert store.refused("products") == [("p1", "product_id", "conflict")]
    assert store.refused("orders") == [("o1", "order_id", "conflict")]
    assert store.refused("order_items") == []
    assert_accounted(store, events=1, products=4, orders=3, order_items=4)


def test_what_is_odd_but_may_be_is_kept(new_either: Callable[..., Store]) -> None:
    store = new_either(products=SINGLE)
    store.put(
        "events.csv",
        [
            event("unknown type", "2021-03-01", event_type="wish_list"),
            event("unknown product", "2021-03-01", product_id="p9"),
            event("unknown order", "2021-03-01", event_type="checkout", order_id="o9", product_id=None),
        ],
    )
    store.put("order_items.csv", [{**ITEM, "product_id": "p9", "quantity": "-1"}])
    store.put(SINGLE, [product("p1", inventory="-3"), product("p2", inventory=None, name=None)])
    store.load()
    assert set(store.events()) == {"unknown type", "unknown product", "unknown order"}
    stock = store.rows("select product_id, name, inventory from raw_products order by 1")
    assert stock == [("p1", "Fern", -3), ("p2", None, None)]
    assert store.rows("select quantity from raw_order_items") == [(-1,)]
    assert store.rows("from rejected_rows") == []
    assert_accounted(store, events=3, order_items=1, products=2)


@pytest.mark.parametrize(
    ("new_either", "file"),
    [
        *(("files", f"events.{extension}") for extension in ("csv", "csv.gz", "jsonl", "jsonl.gz", "parquet")),
        ("database", "events.csv"),
    ],
    indirect=["new_either"],
)
def test_a_table_without_rows_is_an_empty_table(new_either: Callable[..., Store], file: str) -> None:
    store = new_either(products=DATED)
    empty = pq.read_table(pa.BufferReader(EVENTS_PARQUET)).slice(0, 0)
    sink = pa.BufferOutputStream()
    pq.write_table(empty, sink)
    store.put(file, bytes(sink.getvalue()) if file.endswith("parquet") else [])
    planned = store.load()
    assert planned.ranges == [(dt.date(2021, 2, 8), dt.date(2021, 2, 8))]
    assert store.rows("from raw_events") == []
    types = dict(
        store.rows(
            "select column_name, data_type from duckdb_columns() where table_name = 'raw_events'"
            " and database_name = 'warehouse'"
        )
    )
    assert types == dict.fromkeys(EVENT_COLUMNS, "VARCHAR") | {
        "event_id": "UUID",
        "session_id": "UUID",
        "created_at": "TIMESTAMP",
    }
    known = store.rows("select distinct source_table from _files where source_table <> 'products_snapshot' order by 1")
    assert known == [("events",), ("products",)]


# Names, sizes and numbers of files

SQL_NAME = "'; drop table raw_events; --"


@pytest.mark.parametrize("extension", ["csv", "jsonl", "parquet"])
def test_names_are_never_sql_nor_patterns(tmp_path: Path, extension: str) -> None:
    store = new_store(tmp_path, 'it\'s [a]*? "b"', max_rejected=0.5)
    file = f"events/[a]*? it's {{x,y}}/{SQL_NAME} [0-9]?.{extension}"
    # A pattern would find this file too, and read it twice.
    store.put(f"events/a it's x/{SQL_NAME} 1.{extension}", [E2])
    rows = [event(SQL_NAME, "2021-03-01", event_type=SQL_NAME, product_id=SQL_NAME), E1, event("e3", "soon")]
    store.put(file, rows)
    store.put("products/2021-02-15.csv", [product(SQL_NAME, name=SQL_NAME), product("p1")])
    store.load()
    assert set(store.events()) == {SQL_NAME, "e1", "e2"}
    assert store.rows("select name from raw_products where product_id = ?", [SQL_NAME]) == [(SQL_NAME,)]
    assert store.refusals() == [
        (file, None if extension == "parquet" else 4 - (extension == "jsonl"), "created_at", "not a timestamp")
    ]
    assert_accounted(store, events=4, products=4)


def test_hidden_files_and_folders_are_no_part_of_a_table_but_linked_ones_are(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    store.put("events/.half-written.csv", b"e1,")
    store.put("events/.checkpoints/day.csv", [event("hidden", "2021-03-01")])
    store.put("events/deep/er/day.csv", [E1])
    store.put("../elsewhere/day.csv", [E2])
    (store.folder / "events" / "linked").symlink_to(tmp_path / "elsewhere")
    (store.folder / "events" / "deep" / "round").symlink_to(store.folder / "events")
    store.load()
    assert set(store.events()) == {"e1", "e2"}
    assert_accounted(store, events=2)


def test_two_thousand_small_files_are_read(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    for number in range(2000):
        store.put(f"events/{number % 50}/{number}.csv", f"{HEADER}e{number},s1,,,2021-03-01T10:00:00Z,page_view,,p1\n")
    store.put("events/last.csv", [event("e7", "2021-03-02")])  # one conflict, in the first of two thousand
    store.load()
    assert len(store.events()) == 2000
    assert store.refusals() == [("events/last.csv", 2, "event_id", "conflict")]
    assert_accounted(store, events=2001)


@pytest.mark.parametrize(
    ("new_either", "extension"),
    [("files", "csv"), ("files", "csv.gz"), ("files", "jsonl"), ("database", "csv")],
    indirect=["new_either"],
)
def test_one_huge_field_is_read(new_either: Callable[..., Store], extension: str) -> None:
    store = new_either()
    store.put(
        f"events.{extension}", [E2, event("e1", "2021-03-01", page_url="x" * 5_000_000), event("e3", "2021-03-01")]
    )
    store.load()
    lengths = store.rows("select event_id, length(page_url) from raw_events order by 1")
    assert lengths == [("e1", 5_000_000), ("e2", 25), ("e3", 25)]
    assert_accounted(store, events=3)


# Observations


def test_an_observation_with_too_few_products_is_kept_out_until_it_is_accepted(
    new_either: Callable[..., Store],
) -> None:
    store = new_either(products=DATED)
    store.put("events.csv", [E1])
    store.put("products/2021-02-15.csv", [product(f"p{n}") for n in range(10)])
    store.put("products/2021-02-22.csv", [product(f"p{n}") for n in range(4)])
    store.put("products/2021-03-01.csv", [product(f"p{n}") for n in range(5)])  # half of the last one accepted
    store.load()
    accepted = "select observed_at::date::varchar, products from raw_observations order by 1"
    assert store.rows(accepted) == [("2021-02-08", 2), ("2021-02-15", 10), ("2021-03-01", 5)]
    assert store.refused("products") == [(f"p{n}", None, "too_few_products") for n in range(4)]
    if not isinstance(store, LiveStore):
        assert [row[:2] for row in store.refusals("products")] == [
            ("products/2021-02-22.csv", line) for line in range(2, 6)
        ]
    assert_accounted(store, products=21)
    before = store.contents()
    store.load()
    assert store.contents() == before
    store.under(min_products=0.4).load()
    assert len(store.rows(accepted)) == 4
    assert store.refusals("products") == []
    assert_accounted(store, products=21)
    store.load()
    assert len(store.rows(accepted)) == 4, "what is accepted is not judged again"


def test_an_observation_without_any_product_is_kept_out_too(new_either: Callable[..., Store]) -> None:
    store = new_either(products=DATED)
    store.put("events.csv", [E1])
    store.put("products/2021-02-15.csv", [])
    store.load()
    observed = "select observed_at::date::varchar, products from raw_observations order by 1"
    assert store.rows(observed) == [("2021-02-08", 2)]
    store.under(min_products=0.0).load()
    assert store.rows(observed) == [("2021-02-08", 2), ("2021-02-15", 0)]
    assert_accounted(store, products=2)


def test_an_observation_that_was_kept_out_and_is_gone_is_forgotten(new_either: Callable[..., Store]) -> None:
    store = new_either(products=DATED)
    store.put("events.csv", [E1])
    store.put("products/2021-02-15.csv", [product(f"p{n}") for n in range(10)])
    store.put("products/2021-02-22.csv", [product("p1")])
    store.load()
    assert len(store.refusals("products")) == 1
    store.remove("products/2021-02-22.csv")
    store.load()
    assert store.refusals("products") == []
    assert_accounted(store, products=12)


def test_a_single_products_table_is_observed_by_every_run(new_either: Callable[..., Store]) -> None:
    store = new_either(products=SINGLE)
    store.put("events.csv", [E1])
    store.put("products.csv", [product(f"p{n}") for n in range(4)])
    store.load(AS_OF)
    store.load(AS_OF + dt.timedelta(hours=6))
    store.put("products.csv", [product("p1")])  # an export that broke off
    store.load(AS_OF + dt.timedelta(hours=12))
    assert store.refused("products") == [("p1", None, "too_few_products")]
    store.put("products.csv", [product(f"p{n}") for n in range(5)])
    store.load(AS_OF + dt.timedelta(hours=18))
    observed = store.rows("select observed_at, products from raw_observations order by 1")
    assert observed == [
        (AS_OF, 4),
        (AS_OF + dt.timedelta(hours=6), 4),
        (AS_OF + dt.timedelta(hours=18), 5),
    ]
    assert store.refusals("products") == [], "the file that was kept out is not there any more"


@pytest.mark.parametrize("extension", ["csv", "parquet"])
def test_a_dated_observation_may_not_change_once_it_is_loaded(tmp_path: Path, extension: str) -> None:
    store = new_store(tmp_path)
    store.put("events.csv", [E1])
    file = f"products/2021-02-15.{extension}"
    store.put(file, [product("p1", inventory="1"), product("p2", inventory="2"), product("p3", inventory="3")])
    store.load()
    before = store.contents()
    store.touch(file)
    store.load()
    assert store.contents() == before, "touched is not changed"
    # The same size, values, least and most: only the rows tell that stock was exchanged.
    store.put(file, [product("p1", inventory="2"), product("p2", inventory="1"), product("p3", inventory="3")])
    store.touch(file)
    with pytest.raises(SourceError, match=f"{file} changed after it was loaded as the observation of 2021-02-15"):
        store.load()
    assert store.contents() == before
    store.load(every_week=True)
    stock = store.rows("select product_id, inventory from raw_products where observed_at = '2021-02-15' order by 1")
    assert stock == [("p1", 2), ("p2", 1), ("p3", 3)]
    assert_accounted(store, products=5)
    store.load()


def test_a_dated_observation_may_move(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    store.put("events.csv", [E1])
    store.load()
    stored = store.contents()["raw_products"]
    store.put("products/2021/2021-02-08.csv", (store.folder / "products" / "2021-02-08.csv").read_bytes())
    store.remove("products/2021-02-08.csv")
    store.load()
    assert store.contents()["raw_products"] == stored
    store.put("products/2021/2021-02-08.csv", [product("p1")])
    with pytest.raises(SourceError, match=r"2021/2021-02-08\.csv changed after it was loaded"):
        store.load()


def test_an_optional_table_may_be_missing_or_go(
    new_either: Callable[..., Store], caplog: pytest.LogCaptureFixture
) -> None:
    store = new_either()
    store.put("events.csv", [E1])
    store.put("orders.csv", [ORDER])
    store.load()
    warnings = [record.getMessage() for record in caplog.records]
    assert warnings == [f"{store.settings.source_name} has no table order_items: it is taken as empty"]
    assert_accounted(store, orders=1)
    store.remove("orders.csv")
    store.load()
    assert store.rows("from raw_orders") == []
    assert store.rows("from _loads where source_table = 'orders'") == []


# The command


def plant_assets(store: Store, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command as a user runs it."""
    store_options = ["--source", str(store.folder), "--warehouse", str(store.settings.warehouse_path)]
    return subprocess.run(
        [sys.executable, "-m", "plant_assets.cli", *arguments, *store_options],
        env={**os.environ, "PLANT_HOME": str(store.settings.home)},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_the_command_says_what_it_refused_and_in_one_sentence_what_it_cannot_read(tmp_path: Path) -> None:
    store = new_store(tmp_path, "it's a store")
    rows = [event(f"e{n}", "2021-03-01T10:00:00Z") for n in range(40)]
    store.put("events.csv", [*rows, event(SQL_NAME, "soon"), event(SQL_NAME, "2021-03-02", product_id=SQL_NAME)])
    store.put("products/2021-02-22.csv", [product(f"p{n}") for n in range(9)] + [product(SQL_NAME, name=SQL_NAME)])
    store.put("products/2021-03-01.csv", [product("p1")])  # too few
    done = plant_assets(store, "run")
    assert done.returncode == 1, done.stderr
    assert "check failed: raw_products_observations_are_whole, 1 time: 2021-03-01 00:00:00" in done.stderr
    refused = "raw_events_has_no_rejected_rows, 1 time: events.csv 42 created_at not a timestamp"
    assert f"check warned: {refused}" in done.stderr
    assert "page_view 1 (100 %)" in done.stdout, "the rest of the run went on: all rows are of one session"
    assert "Traceback" not in done.stderr
    assert_accounted(store, events=42, products=13)

    before = store.contents()
    store.put("events.csv", CSV.replace("page_url", "größe").encode("cp1252"))
    broken = plant_assets(store, "run")
    assert broken.returncode == 2
    said = f"plant-assets: {store.folder}/events.csv: the header of the table events is not UTF-8: name its encoding in"
    assert broken.stderr.splitlines() == [
        "reading the source",
        f"{said} PLANT_MAPPING, as in `csv: {{encoding: cp1252}}`",
    ]
    assert (broken.stdout, store.contents()) == ("", before)
