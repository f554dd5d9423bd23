"""A store in a PostgreSQL database: what of it is read, when, and what is said where that fails."""

import datetime as dt
import logging
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg2
import pytest

from plant_assets.calendar import WEEK
from plant_assets.ingest.load import Load
from plant_assets.postgres_url import PostgresUrl
from plant_assets.settings import read_settings
from plant_assets.sources.errors import SourceError
from plant_assets.sources.open import source_of
from plant_assets.warehouse.open import open_warehouse
from plant_assets_tests.support.postgres import PASSWORD, database, execute
from plant_assets_tests.support.small_stores import (
    AS_OF,
    LOG,
    LiveStore,
    appended_tables,
    assert_accounted,
    event,
    new_live_store,
    product,
)

RUNNING = dt.date(2021, 3, 1)


def weeks_ago(number: int) -> dt.date:
    return RUNNING - number * WEEK


@pytest.fixture
def store(database: str, tmp_path: Path) -> LiveStore:
    """A loaded store with one event in each of the last six weeks."""
    store = new_live_store(database, tmp_path)
    store.put("events.csv", [event(f"e{ago}", str(weeks_ago(ago))) for ago in range(6)])
    execute(database, "create index on events (created_at)")
    store.load()
    return store


def add(store: LiveStore, *events: tuple[str, str]) -> None:
    """Insert events: id and instant."""
    for event_id, created_at in events:
        execute(
            str(store.settings.source),
            "insert into events (event_id, session_id, created_at, event_type) values (%s, 's', %s, 'page_view')",
            [event_id, created_at],
        )


def read_weeks(load: Load) -> list[str]:
    """The weeks that were read, in order; those of no week of the store always are."""
    names = sorted(load.events.staged.files)
    assert names.pop() == "events/other"
    return [name.removeprefix("events/") for name in names]


def later(store: LiveStore, as_of: dt.datetime = AS_OF, **chosen: Any) -> Load:
    """Load as a tick does, which counts nothing."""
    return super(LiveStore, store).load(as_of, **chosen).load


# What is read


def test_a_tick_reads_the_running_and_the_late_weeks_alone(store: LiveStore) -> None:
    add(store, ("new", "2021-03-03 09:00Z"))
    # What is read by the index is counted by the server; these tables are too small for it to choose that itself.
    url = f"{store.settings.source}?options=-cenable_seqscan%3Doff%20-cenable_bitmapscan%3Doff"
    load = later(store.under(source=url))
    assert read_weeks(load) == ["2021-02-22", "2021-03-01"]
    assert load.weeks.kept == {weeks_ago(1), weeks_ago(0)}, "only the new row was added"
    assert store.events()["new"] == "2021-03-03"
    assert_accounted(store, events=7)


def test_a_week_that_a_clock_ahead_has_read_is_read_again(store: LiveStore) -> None:
    later(store, AS_OF + 4 * WEEK)
    add(store, ("new", "2021-03-03 09:00Z"), ("late", "2021-02-24 09:00Z"))
    later(store, AS_OF + dt.timedelta(hours=6))
    assert {"new", "late"} <= set(store.events())
    # The weeks before are read once more, since only a wrong clock can tell when they were.
    assert read_weeks(later(store, AS_OF + dt.timedelta(hours=12))) == ["2021-02-22", "2021-03-01"]


def test_the_server_reads_no_row_of_older_weeks(store: LiveStore) -> None:
    add(store, *((f"o{number}", "2021-01-26 00:00:00Z") for number in range(30)))
    later(store, every_week=True)
    url = str(store.settings.source)
    touched = "select idx_tup_fetch + seq_tup_read from pg_stat_user_tables where relname = 'events'"
    execute(url, "vacuum analyze events")
    [(before,)] = execute(url, touched)
    later(store.under(source=f"{url}?options=-cenable_seqscan%3Doff"))
    [(after,)] = execute(url, touched)
    assert 0 < after - before < 10, "of 36 events 3 are of these weeks or the first"


def test_what_came_late_into_an_older_week_is_counted_or_asked_for(store: LiveStore) -> None:
    add(store, ("late", f"{weeks_ago(4)} 00:00Z"))
    assert read_weeks(later(store)) == ["2021-02-22", "2021-03-01"]
    assert "late" not in store.events()
    assert store.plan().ranges == [(weeks_ago(4), RUNNING)], "counted"
    later(store, weeks=(weeks_ago(4), weeks_ago(4)))
    assert store.events()["late"] == str(weeks_ago(4))
    assert_accounted(store, events=7)


def test_weeks_that_were_not_over_when_they_were_read_are_read_again(store: LiveStore) -> None:
    add(store, ("after the last run", "2021-03-07 23:00Z"), ("late for its week", "2021-02-28 23:00Z"))
    load = later(store, AS_OF + 4 * WEEK)
    # The late week of the last run was over, but one more is allowed for.
    assert read_weeks(load) == [str(RUNNING + number * WEEK) for number in range(-1, 5)]
    assert {"after the last run", "late for its week"} <= set(store.events())
    assert read_weeks(later(store, AS_OF + 5 * WEEK)) == [str(RUNNING + number * WEEK) for number in range(3, 6)]
    assert read_weeks(later(store, AS_OF + 5 * WEEK)) == [str(RUNNING + number * WEEK) for number in range(4, 6)]


def test_weeks_that_were_read_and_not_loaded_are_loaded_as_they_are_by_then(database: str, tmp_path: Path) -> None:
    store = new_live_store(database, tmp_path)
    store.put("events.csv", [event(f"e{ago}", str(weeks_ago(ago))) for ago in range(6)])
    later(store.under(start=weeks_ago(2)))
    assert set(store.events()) == {"e0", "e1", "e2"}
    execute(database, "delete from events where event_id = 'e4'")
    add(store, ("new", f"{weeks_ago(4)} 09:00Z"))
    later(store)
    assert set(store.events()) == {"e0", "e1", "e2", "e3", "new", "e5"}
    assert_accounted(store, events=6)
    assert store.plan().ranges == [(weeks_ago(1), RUNNING)]


def test_events_that_the_database_forgets_stay(store: LiveStore) -> None:
    execute(str(store.settings.source), f"delete from events where created_at < '{weeks_ago(2)}'")
    later(store)
    assert len(store.events()) == 6
    later(store, every_week=True)
    assert len(store.events()) == 3


def test_a_changed_or_removed_row_of_the_running_week_is_seen(store: LiveStore) -> None:
    add(store, ("gone", "2021-03-02"), ("other", "2021-03-02"))
    later(store)
    url = str(store.settings.source)
    execute(url, "delete from events where event_id = 'gone'")
    execute(url, "update events set product_id = 'p2' where event_id = 'other'")
    later(store)
    assert store.rows("select event_id, product_id from raw_events where created_at > '2021-03-01'") == [
        ("other", "p2")
    ]


def test_a_second_load_changes_nothing(store: LiveStore) -> None:
    store.put("order_items.csv", [{"order_id": "o1", "product_id": "p1", "quantity": "2"}])
    later(store)
    before = store.contents()
    assert appended_tables(later(store)) == {"orders", "order_items"}, "as nothing is new of them"
    assert store.contents() == before


def test_products_are_observed_at_the_moment_of_the_run(store: LiveStore) -> None:
    execute(str(store.settings.source), "update products set inventory = 3 where product_id = 'p1'")
    later(store, AS_OF + dt.timedelta(hours=6))
    found = store.rows("select observed_at, inventory from raw_products where product_id = 'p1' order by 1")
    assert found == [(AS_OF, 10), (AS_OF + dt.timedelta(hours=6), 3)]


def test_all_that_a_load_reads_is_of_one_instant(store: LiveStore) -> None:
    source = source_of(store.settings, AS_OF)
    with open_warehouse(store.settings) as warehouse:
        load = Load(warehouse, source, AS_OF, LOG)
        source.list_files()
        execute(str(store.settings.source), "insert into products values ('p3', 'Ivy', 1, 1); delete from events")
        load.read()
        source.close()
        assert warehouse.value("select count(*) from _staged_products") == 2
        assert warehouse.value("select count(*) from _staged_events") == 2


def test_reading_is_read_only_and_lets_go_of_the_database(store: LiveStore) -> None:
    later(store)
    url = str(store.settings.source)
    assert execute(url, "select count(*) from pg_stat_activity where application_name = 'plant-assets'") == [(0,)]


# What rows may hold


def test_rows_that_cannot_be_loaded_are_refused_one_by_one(store: LiveStore) -> None:
    url = str(store.settings.source)
    add(
        store,
        *(("a", "infinity"), ("b", "-infinity"), ("c", "0044-03-15 00:00Z BC"), ("d", "294276-12-31Z")),
        *(("e", "2021-03-20Z"), ("e0", "2021-03-02Z"), ("twin", "2021-03-02Z"), ("twin", "2021-03-02Z")),
    )
    execute(url, "insert into events (event_id, event_type) values (null, 'page_view')")
    execute(url, "insert into products values ('p4', 'Fern', 'Infinity', 1), (null, 'Fern', 2, 1), ('', 'Fern', 2, 1)")
    later(store.under(max_rejected=1), every_week=True)
    kept = "source_table, line, column_name, reason, json_extract_string(raw_text, ?)"
    found = store.rows(f"select row_key, {kept} from rejected_rows order by all", ["created_at"])
    assert [row for row in found if row[1] == "events"] == [
        ("a", "events", None, "created_at", "not a timestamp", "infinity"),
        ("b", "events", None, "created_at", "not a timestamp", "-infinity"),
        ("c", "events", None, "created_at", "not a timestamp", "0044-03-15 00:00:00+00 BC"),
        ("d", "events", None, "created_at", "not a timestamp", "294276-12-31 00:00:00+00"),
        ("e", "events", None, "created_at", "future", "2021-03-20 00:00:00"),
        ("e0", "events", None, "event_id", "conflict", "2021-03-02 00:00:00"),
        (None, "events", None, "event_id", "missing", None),
    ]
    prices = store.rows(f"select {kept} from rejected_rows where source_table = 'products' order by all", ["price"])
    assert prices == [
        ("products", None, "price", "not a number", "Infinity"),
        ("products", None, "product_id", "missing", "2"),
        ("products", None, "product_id", "missing", "2"),
    ]
    assert_accounted(store, events=15)


ANY_TYPES = """
    create schema shop; set search_path = shop;
    create type kind as enum ('page_view', 'wish');
    create domain instant as timestamp;
    create table clicks (
        event_id uuid, session_id bigint, user_id integer, page_url varchar(40), at {instant}, kind kind,
        order_id char(6), product_id smallint, unread money);
    insert into clicks values
        ('A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', 9007199254740993, 7, '', '2021-03-02 09:30:00.25', 'wish', 'o1', 3);
    create view events as select event_id, session_id, user_id, page_url, at as created_at, kind as event_type,
        order_id, product_id from clicks;
    create table products (product_id smallint, name text, price double precision, inventory numeric)
        partition by range (product_id);
    create table few partition of products for values from (0) to (10);
    insert into products values (3, 'Fern', 1.1, 5.0);
"""


@pytest.mark.parametrize("instant", ["timestamp", "timestamptz", "instant", "text", "timestamp(3)", "date"])
def test_columns_of_any_type_are_read_from_views_and_partitions_of_a_schema(
    database: str, tmp_path: Path, instant: str
) -> None:
    execute(database, "set TimeZone = 'UTC'; " + ANY_TYPES.format(instant=instant))
    url = f"{database}?options=-csearch_path%3Dshop"
    store = LiveStore(tmp_path, read_settings(source=url, warehouse=tmp_path / "home" / "w.duckdb"))
    store.load()
    assert store.rows("select * replace (event_id::varchar as event_id) from raw_events") == [
        (
            *("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "9007199254740993", "7", None),
            *(dt.datetime(2021, 3, 2) if instant == "date" else dt.datetime(2021, 3, 2, 9, 30, 0, 250_000),),
            *("wish", "o1", "3"),
        )
    ]
    assert store.rows("select product_id, name, price::varchar, inventory from raw_products") == [
        ("3", "Fern", "1.1000", 5)
    ]


def test_a_store_with_other_names_is_read_by_its_mapping(database: str, tmp_path: Path) -> None:
    execute(
        database,
        """
        create schema "Shop"; create table "Shop"."Click log" (
            "Session of visit" text, "At %" timestamp, "Type" text, item text, cost numeric);
        insert into "Shop"."Click log" values ('s1', '2021-03-01 00:30', 'view', 'fern', 12),
            ('s1', '2021-02-28 23:30', 'view', 'fern', 9), ('s1', 'infinity', 'view', 'ivy', 9)
        """,
    )
    mapping = tmp_path / "mapping.yaml"
    mapping.write_text(
        """
        tables: {events: Shop.Click log, products: none, order_items: none, orders: none}
        columns:
          events: {event_id: none, session_id: Session of visit, created_at: At %, event_type: Type, product_id: item,
                   price: cost, user_id: none, page_url: none, order_id: none}
        event_types: {view: page_view}
        time: {zone: Europe/Berlin}
        """
    )
    home = tmp_path / "home"
    settings = read_settings(
        source=database, mapping=mapping, warehouse=home / "w.duckdb", max_rejected=1, timezone="Europe/Berlin"
    )
    store = LiveStore(tmp_path, settings)
    assert later(store).events.staged.files[:2] == ["Shop.Click log/2021-02-22", "Shop.Click log/2021-03-01"]
    assert store.rows("select created_at, event_type from raw_events order by 1") == [
        (dt.datetime(2021, 2, 28, 22, 30), "page_view"),
        (dt.datetime(2021, 2, 28, 23, 30), "page_view"),
    ]
    assert store.rows("select distinct product_id, price::integer from raw_products") == [("fern", 12)]
    # No stored column has an event's price: the week is read as changed.
    execute(database, """update "Shop"."Click log" set cost = 13 where "At %" = '2021-03-01 00:30'""")
    later(store)
    assert store.rows("select distinct product_id, price::integer from raw_products") == [("fern", 13)]


def test_a_missing_optional_table_is_empty_and_one_warning(store: LiveStore, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        later(store)
    told = [record.getMessage() for record in caplog.records if "is taken as empty" in record.getMessage()]
    assert [message.split(" has no table ")[1].split(":")[0] for message in told] == ["orders", "order_items"]
    assert store.rows("select count(*) from raw_orders") == [(0,)]


# What cannot be read


def at(store: LiveStore, **parts: str) -> str:
    """The URL of the store with other parts: user, password, host, port, database or query."""
    split = urlsplit(str(store.settings.source))
    given = {"user": split.username, "password": split.password, "host": split.hostname, "port": split.port}
    given |= {"database": split.path[1:], "query": "", **parts}
    return "postgresql://{user}:{password}@{host}:{port}/{database}{query}".format(**given)


def closed_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


READER = "create role reader_{name} login password 'hush-hush'; grant usage on schema public to reader_{name}; "
# Fails while rows are streamed, and not before.
ENDLESS = (
    "drop table events; create view events as select i::text as event_id, 's' as session_id, null as user_id,"
    " repeat('x', 200) as page_url, timestamptz '2021-03-02' as created_at, 'page_view' as event_type,"
    " case when i = 150000 and current_query() like '%week_number%' then {then} end as order_id,"
    " null as product_id from generate_series(1, 200000) as i"
)
BROKEN: dict[str, tuple[str, Callable[[LiveStore], dict[str, str]], str]] = {
    "no such host": (
        "",
        lambda store: {"host": "nowhere.invalid"},
        'cannot be opened: could not translate host name "',
    ),
    "nobody listens": ("", lambda store: {"port": closed_port()}, "cannot be opened: .*: Connection refused$"),
    "a wrong password": (
        "",
        lambda store: {"password": "hush-hush"},
        'password authentication failed for user "owner"; see user and password of PLANT_SOURCE',
    ),
    "no such database": ("", lambda store: {"database": "attic"}, 'database "attic" does not exist'),
    "no such parameter": ("", lambda store: {"query": "?colour=green"}, 'invalid URI query parameter: "colour"'),
    "a needed table is missing": (
        "alter table events rename to clicks; create schema shop; create table shop.events ()",
        lambda store: {},
        r"has no table events: expected events in the search_path \(public\); tables found: clicks, products, shop.ev",
    ),
    "a schema is missing": (
        "",
        lambda store: {"query": "?options=-csearch_path%3Dshop"},
        r"has no table events: expected events in the search_path \(empty\); tables found: public.events, public.prod",
    ),
    "a column is missing": (
        "alter table events rename session_id to visit",
        lambda store: {},
        "the table events lacks session_id; columns found: event_id, visit, user_id, page_url, created_at",
    ),
    "a column of products is missing": (
        "alter table products drop price",
        lambda store: {},
        "the table products lacks price; columns found: product_id, name, inventory$",
    ),
    "the instant of events is missing": (
        "alter table events drop created_at",
        lambda store: {},
        "the table events lacks created_at; columns found",
    ),
    "a table may not be read": (
        READER + "grant select on products to reader_{name}",
        lambda store: {"user": f"reader_{name_of(store)}", "password": "hush-hush"},
        "permission denied for table events; grant the user of PLANT_SOURCE usage on the schema and select",
    ),
    "reading takes too long": (
        ENDLESS.format(then="pg_sleep(60)::text"),
        lambda store: {"query": "?options=-cstatement_timeout%3D2s"},
        "the table events cannot be read to its end: canceling statement due to statement timeout; give it more time",
    ),
    "the connection is lost halfway": (
        ENDLESS.format(then="pg_terminate_backend(pg_backend_pid())::text"),
        lambda store: {},
        "the table events cannot be read to its end: .*terminating connection due to administrator command",
    ),
    "the server fails halfway": (
        ENDLESS.format(then="(1 / (i - 150000))::text"),
        lambda store: {},
        "the table events cannot be read to its end: division by zero$",
    ),
    "another session holds the table": (
        "",
        lambda store: {"query": "?options=-clock_timeout%3D200ms"},
        "canceling statement due to lock timeout; another session holds the table",
    ),
}


def name_of(store: LiveStore) -> str:
    return urlsplit(str(store.settings.source)).path[-8:]


@pytest.fixture(scope="module")
def loaded(postgres_server: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A loaded store, whose database each test mends after itself."""
    with database(postgres_server) as url:
        store = new_live_store(url, tmp_path_factory.mktemp("loaded"))
        mend(store)
        store.load()
        yield store


def mend(store: LiveStore) -> None:
    execute(str(store.settings.source), "drop schema public cascade; drop schema if exists shop cascade")
    execute(str(store.settings.source), "create schema public")
    store.put("products.csv", [product("p1"), product("p2")])
    store.put("events.csv", [event("e1", "2021-03-01")])


@pytest.mark.parametrize("name", BROKEN)
def test_a_database_that_cannot_be_read_is_one_sentence_and_changes_nothing(loaded: LiveStore, name: str) -> None:
    statement, parts, message = BROKEN[name]
    url = str(loaded.settings.source)
    before = loaded.contents()
    mend(loaded)
    if statement:
        execute(url, statement.format(name=name_of(loaded)))
    broken = loaded.under(source=at(loaded, **parts(loaded)))
    holder = Holder(url) if "another session" in name else None
    # The warehouse knows the store by its place.
    with open_warehouse(loaded.settings) as warehouse:
        warehouse.ledger.facts.remember(**broken.settings.store())
    with pytest.raises(SourceError, match=message) as caught:
        later(broken)
    assert str(caught.value).isprintable()
    assert not any(secret in str(caught.value) for secret in (PASSWORD, "hush-hush"))
    if holder:
        holder.close()
    assert loaded.contents() == before
    mend(loaded)
    with open_warehouse(loaded.settings) as warehouse:
        warehouse.ledger.facts.remember(**loaded.settings.store())
    later(loaded)
    assert loaded.contents() == before


class Holder:
    """A session that holds the table of events."""

    def __init__(self, url: str) -> None:
        self._connection = psycopg2.connect(url)
        self._connection.cursor().execute("lock table events in access exclusive mode")

    def close(self) -> None:
        self._connection.close()


# URLs


@pytest.mark.parametrize(
    ("url", "is_the_store"),
    [
        ("postgresql://u:p@h/db", True),
        ("postgres://other:secret@H:5432/db?sslmode=require", True),
        ("postgresql://h/db?connect_timeout=5&options=-cstatement_timeout%3D5s", True),
        ("postgresql://h:6432/db", False),
        ("postgresql://h/db2", False),
        ("postgresql://h/db?options=-csearch_path%3Dshop", False),
    ],
)
def test_a_store_is_the_same_whoever_reads_it(url: str, is_the_store: bool) -> None:
    assert (PostgresUrl(url).store == "postgresql://h/db") == is_the_store


def test_a_url_is_shown_with_its_user_and_without_what_is_secret() -> None:
    url = PostgresUrl("postgres://ann:s%40crt@h/db?sslpassword=hush&options=-csearch_path%3Dshop,public&password=hush")
    assert url.shown == "postgresql://ann@h/db?search_path=shop,public"
    assert url.secrets == {"s%40crt", "s@crt", "hush"}
    assert "crt" not in repr(url)


def test_what_the_url_says_is_not_said_otherwise() -> None:
    url = PostgresUrl("postgresql://h/db?connect_timeout=3")
    assert url.with_defaults(connect_timeout=10, keepalives_idle=30).endswith(
        "/db?connect_timeout=3&keepalives_idle=30"
    )
