"""The warehouse: every write is whole or not there, goes by name, and stays within its weeks."""

import datetime as dt
import logging
import multiprocessing
import os
import shutil
import signal
import stat
import time
import uuid
from pathlib import Path
from typing import Any

import duckdb
import ibis
import pytest

from plant_assets.calendar import Weeks
from plant_assets.contracts import PUBLISHED, TABLES
from plant_assets.settings import Settings, UsageError, read_settings, size_in_bytes
from plant_assets.sources.tables import SOURCE_TABLES, staged_columns
from plant_assets.sql import identifier, literal
from plant_assets.warehouse import duckdb as storage
from plant_assets.warehouse.ledger import tables as ledger
from plant_assets.warehouse.marts import open_marts
from plant_assets.warehouse.open import compose, open_warehouse
from plant_assets.warehouse.publish import publish_marts
from plant_assets.warehouse.store import STAGED, Since, WrongShape, create_table
from plant_assets.warehouse.warehouse import Warehouse
from plant_assets_tests.support.machine import need
from plant_assets_tests.support.tables import contents, rows

WEEK = dt.date(2026, 10, 5)
DAYS = TABLES["int_session_days"]


def _weeks(settings: Settings, first: dt.date = WEEK, last: dt.date = WEEK) -> Weeks:
    return Weeks(settings.calendar, first, last)


def _days(*found: tuple[str, str]) -> ibis.Table:
    """Rows of int_session_days from dates and sessions, each of one letter, with no stage reached."""
    made = [
        DAYS.unbound()
        .limit(0)
        .union(
            ibis.table({"one": "int64"}, name="one").select(
                event_date=ibis.literal(date, "date"),
                session_id=ibis.literal(uuid.UUID(int=ord(session)), "uuid"),
                page_view=ibis.literal(False),
                add_to_cart=ibis.literal(False),
                checkout=ibis.literal(False),
                package_shipped=ibis.literal(False),
                events=ibis.literal(1, "int64"),
            )
        )
        for date, session in found
    ]
    return ibis.union(*made) if len(made) > 1 else made[0]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return read_settings(source=tmp_path, warehouse=tmp_path / "plants & 'pots'.duckdb")


@pytest.fixture(params=["duckdb", "spark"])
def warehouse(settings: Settings, request: pytest.FixtureRequest) -> Warehouse:
    if request.param == "spark":
        settings = _on_spark(settings.warehouse_path.parent)
    with open_warehouse(settings) as opened:
        opened.execute("create temp table one as select 1::bigint as one")
        opened.execute(create_table(DAYS))
        yield opened


def _on_spark(home: Path) -> Settings:
    need("java", shutil.which("java") is not None)
    return read_settings(source=home, warehouse="spark://local[2]", home=home / "plants & 'pots'", memory_limit="2GB")


def _stored(warehouse: Warehouse) -> list[tuple[dt.date, str]]:
    stored = warehouse.rows("select event_date, session_id from int_session_days order by all")
    return [(date, chr(uuid.UUID(session).int)) for date, session in stored]


def test_writing_a_week_twice_is_writing_it_once(warehouse: Warehouse, settings: Settings) -> None:
    data = _days(("2026-10-05", "a"), ("2026-10-11", "b"))
    for _time in range(2):
        assert warehouse.write("int_session_days", data, "run", _weeks(settings)) == 2
    assert _stored(warehouse) == [(dt.date(2026, 10, 5), "a"), (dt.date(2026, 10, 11), "b")]


def test_other_weeks_stay(warehouse: Warehouse, settings: Settings) -> None:
    warehouse.write("int_session_days", _days(("2026-10-05", "a")), "run", _weeks(settings))
    later = dt.date(2026, 10, 12)
    warehouse.write("int_session_days", _days(("2026-10-12", "b")), "run", _weeks(settings, later, later))
    assert len(_stored(warehouse)) == 2


@pytest.mark.parametrize("date", ["2026-10-04", "2026-10-12"])
def test_a_row_outside_the_weeks_is_refused(warehouse: Warehouse, settings: Settings, date: str) -> None:
    warehouse.write("int_session_days", _days(("2026-10-05", "a")), "run", _weeks(settings))
    with pytest.raises(WrongShape, match="1 rows lie outside the weeks"):
        warehouse.write("int_session_days", _days(("2026-10-06", "b"), (date, "c")), "run", _weeks(settings))
    assert _stored(warehouse) == [(dt.date(2026, 10, 5), "a")]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.mutate(extra=1), "column extra is not in its contract"),
        (lambda t: t.drop("checkout"), "column checkout is missing"),
        (lambda t: t.mutate(checkout=1), "column checkout is int8, not boolean"),
    ],
    ids=["a column too many", "a column too few", "a column of another type"],
)
def test_another_shape_is_refused(warehouse: Warehouse, settings: Settings, change, message: str) -> None:
    warehouse.write("int_session_days", _days(("2026-10-05", "a")), "run", _weeks(settings))
    with pytest.raises(WrongShape, match=message):
        warehouse.write("int_session_days", change(_days(("2026-10-05", "z"))), "run", _weeks(settings))
    assert _stored(warehouse) == [(dt.date(2026, 10, 5), "a")]


def test_columns_go_by_name(warehouse: Warehouse, settings: Settings) -> None:
    turned = _days(("2026-10-05", "a")).select(*reversed(DAYS.names))
    warehouse.write("int_session_days", turned, "run", _weeks(settings))
    assert _stored(warehouse) == [(dt.date(2026, 10, 5), "a")]


def test_a_failure_in_a_transaction_leaves_the_table_as_it_was(warehouse: Warehouse, settings: Settings) -> None:
    warehouse.write("int_session_days", _days(("2026-10-05", "a")), "run", _weeks(settings))

    def fail() -> None:
        with warehouse.transaction():
            warehouse.store.delete_weeks(DAYS, [WEEK])
            warehouse.ledger.writes.record("int_session_days", "other", [WEEK])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert _stored(warehouse) == [(dt.date(2026, 10, 5), "a")]
    assert warehouse.value("select count(*) from _writes where run_id <> 'run'") == 0


def test_rows_since_a_date_take_the_place_of_those_of_then_and_later(warehouse: Warehouse, settings: Settings) -> None:
    both = _weeks(settings, WEEK, WEEK + dt.timedelta(days=7))
    warehouse.write("int_session_days", _days(("2026-10-05", "a"), ("2026-10-12", "b")), "run", both)
    since = Since(_days(("2026-10-13", "c")), "event_date", dt.date(2026, 10, 12))
    assert warehouse.write("int_session_days", since.rows, "run", since=since) == 1
    assert _stored(warehouse) == [(dt.date(2026, 10, 5), "a"), (dt.date(2026, 10, 13), "c")]
    too_early = Since(_days(("2026-10-11", "d")), "event_date", dt.date(2026, 10, 12))
    with pytest.raises(WrongShape, match="1 rows have a event_date before 2026-10-12"):
        warehouse.write("int_session_days", too_early.rows, "run", since=too_early)
    assert _stored(warehouse) == [(dt.date(2026, 10, 5), "a"), (dt.date(2026, 10, 13), "c")]


def _staged_rows(warehouse: Warehouse, *rows: str) -> None:
    table = SOURCE_TABLES["order_items"]
    warehouse.execute(f"create or replace table {STAGED}order_items ({staged_columns(table)})")
    for order in rows:
        reason = "bad" if order == "bad" else None
        warehouse.execute(
            f"insert into {STAGED}order_items (order_id, product_id, reason) values (?, 'p', ?)", [order, reason]
        )


def test_what_is_staged_becomes_an_empty_table_and_is_added_to_a_full_one(warehouse: Warehouse) -> None:
    table = TABLES["raw_order_items"]
    for orders, added in ((("a", "bad", "b"), 2), (("c", "bad"), 1)):
        _staged_rows(warehouse, *orders)
        with warehouse.transaction():
            assert warehouse.store.append_staged("order_items", table) == added
        assert list(warehouse.catalog.column_types(table.name)) == table.names
    assert warehouse.rows("select order_id from raw_order_items order by all") == [("a",), ("b",), ("c",)]


def test_what_a_killed_process_had_staged_is_gone(settings: Settings) -> None:
    with open_warehouse(settings):
        pass
    with duckdb.connect(str(settings.warehouse_path)) as own:
        own.execute(f"create table analytics.{STAGED}events as select 1 as event_id")
    with open_warehouse(settings) as warehouse:
        assert not warehouse.catalog.has(STAGED + "events")


def test_an_empty_result_makes_a_typed_table(warehouse: Warehouse) -> None:
    empty = TABLES["stockouts"].unbound().limit(0)
    warehouse.execute(create_table(TABLES["stockouts"]))
    assert warehouse.write("stockouts", empty, "run") == 0
    assert warehouse.catalog.column_types("stockouts") == {
        column.name: column.sql_type for column in TABLES["stockouts"].columns
    }


def test_a_view_and_a_table_replace_one_another(warehouse: Warehouse) -> None:
    warehouse.execute("create table int_events as select 1 as stray")
    warehouse.execute(create_table(TABLES["int_events"]).replace("int_events", "same_columns"))
    warehouse.write("int_events", ibis.table(TABLES["int_events"].schema, name="same_columns"), "run")
    assert warehouse.value("select count(*) from duckdb_views() where view_name = 'int_events'") == 1


def test_files_are_for_their_owner_only(warehouse: Warehouse) -> None:
    mode = stat.S_IMODE(warehouse.settings.warehouse_path.stat().st_mode)
    assert mode == 0o600
    if warehouse.settings.spark_master:
        [tables] = warehouse.settings.tables_path.iterdir()
        assert stat.S_IMODE(tables.stat().st_mode) == 0o700


def test_the_connection_is_closed_after_an_error(settings: Settings) -> None:
    with pytest.raises(ZeroDivisionError), open_warehouse(settings):
        raise ZeroDivisionError
    with duckdb.connect(str(settings.warehouse_path)) as own:
        assert own.execute("select 1").fetchone() == (1,)


def test_a_second_writer_waits_and_is_told_for_whom(settings: Settings) -> None:
    with open_warehouse(settings, holder="run 17"):
        with pytest.raises(UsageError, match="in use by run 17"), open_warehouse(settings, wait=False):
            pass
        waiter = multiprocessing.get_context("spawn").Process(target=_open_and_close, args=(settings,))
        waiter.start()
        time.sleep(5)
        assert waiter.is_alive()
    waiter.join(timeout=20)
    assert waiter.exitcode == 0


def _open_and_close(settings: Settings) -> None:
    with open_warehouse(settings, logging.getLogger("waiter")):
        pass


def _hold_until_killed(path: Path, ready) -> None:
    with duckdb.connect(str(path)):
        ready.set()
        time.sleep(60)


def test_a_foreign_holder_of_the_file_is_waited_for_and_named(settings: Settings) -> None:
    with open_warehouse(settings):
        pass
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    notebook = context.Process(target=_hold_until_killed, args=(settings.warehouse_path, ready))
    notebook.start()
    assert ready.wait(30)
    with pytest.raises(UsageError, match="in use by another process"), open_warehouse(settings, wait=False):
        raise AssertionError("opened")
    waiter = multiprocessing.get_context("spawn").Process(target=_open_and_close, args=(settings,))
    waiter.start()
    time.sleep(5)
    assert waiter.is_alive()
    notebook.kill()
    waiter.join(timeout=20)
    assert waiter.exitcode == 0


def test_kill_while_writing_leaves_the_rows_of_before(settings: Settings, built: Settings) -> None:
    before = contents(built)
    process = multiprocessing.get_context("fork").Process(target=_write_and_be_killed, args=(built,))
    process.start()
    process.join(timeout=60)
    assert process.exitcode == -signal.SIGKILL
    assert contents(built) == before


def _write_and_be_killed(settings: Settings) -> None:
    with open_warehouse(settings) as warehouse, warehouse.transaction():
        warehouse.store.delete_weeks(TABLES["inventory"], [WEEK])
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_kill_while_the_store_is_remembered_forgets_nothing(built: Settings) -> None:
    facts = rows(built, "from _meta order by all")
    process = multiprocessing.get_context("fork").Process(target=_remember_and_be_killed, args=(built,))
    process.start()
    process.join(timeout=60)
    assert process.exitcode == -signal.SIGKILL
    assert rows(built, "from _meta order by all") == facts


def _remember_and_be_killed(settings: Settings) -> None:
    class Killed:
        """A connection whose process is killed before a fact takes the place of another."""

        def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
            self._connection = connection

        def execute(self, statement: str, parameters: object = None) -> duckdb.DuckDBPyConnection:
            if statement.startswith("insert into _meta"):
                os.kill(os.getpid(), signal.SIGKILL)
            return self._connection.execute(statement, parameters)

    with open_warehouse(settings) as warehouse:
        connection: Any = Killed(warehouse.connection)
        compose(connection, settings).remember_store(WEEK, warehouse.ledger.facts.stages())


def test_readers_of_the_marts_see_a_run_while_a_writer_works(built: Settings) -> None:
    with open_warehouse(built) as warehouse, warehouse.transaction():
        warehouse.execute("delete from funnel")
        with open_marts(built) as marts:
            assert len(marts.rows("from funnel")) == 1


def test_every_published_table_names_the_run_that_published_it(built: Settings) -> None:
    with open_warehouse(built) as warehouse:
        publish_marts(warehouse.connection, warehouse.settings.marts_path, "run 'seventeen'")
    with open_marts(built) as marts:
        found = dict(marts.rows("select table_name, comment from duckdb_tables()"))
        assert marts.publisher() == "run 'seventeen'"
    assert {"funnel", "funnel_steps", "inventory"} < set(found)
    assert {text.splitlines()[-1] for text in found.values()} == {"run 'seventeen'"}


@pytest.mark.parametrize("is_again", [False, True], ids=["by a run", "again"])
def test_every_published_table_and_column_says_what_it_is(built: Settings, is_again: bool) -> None:
    if is_again:
        with open_warehouse(built) as warehouse:
            publish_marts(warehouse.connection, warehouse.settings.marts_path, "somebody")
    with open_marts(built) as marts:
        tables = (
            "select table_name, comment from duckdb_tables() union all select view_name, comment from duckdb_views()"
        )
        said = {name: text.splitlines() for name, text in marts.rows(tables) if text}
        columns = {
            (table, column): text
            for table, column, text in marts.rows(
                "select table_name, column_name, comment from duckdb_columns() where schema_name = 'analytics'"
            )
        }
    for name in (*PUBLISHED, *ledger.PUBLISHED):
        description, publisher = said[name]
        assert "; one " in description
        assert publisher == "somebody" or publisher.startswith("run ")
    described = {(name, each.name): each.description for name in PUBLISHED for each in TABLES[name].columns}
    of_ledger = {(name, each): text for name, (_, texts) in ledger.PUBLISHED.items() for each, text in texts.items()}
    assert columns == described | of_ledger


def test_publishing_that_fails_leaves_the_marts_of_before_and_no_half_file(built: Settings) -> None:
    before = built.marts_path.read_bytes()
    with open_warehouse(built) as warehouse:
        warehouse.execute("drop table stockouts; create view stockouts as select error('it cannot be read')")
        with pytest.raises(duckdb.Error, match="it cannot be read"):
            publish_marts(warehouse.connection, warehouse.settings.marts_path, "run")
    assert built.marts_path.read_bytes() == before
    assert list(built.marts_path.parent.glob("*.new*")) == []


def test_what_a_killed_publication_left_is_not_taken_for_the_next_ones(built: Settings) -> None:
    fresh = built.marts_path.with_name(built.marts_path.name + ".new")
    for left in (fresh, fresh.with_name(fresh.name + ".wal")):
        left.write_bytes(b"of a run that was killed")
    with open_warehouse(built) as warehouse:
        publish_marts(warehouse.connection, warehouse.settings.marts_path, "run")
    assert list(built.marts_path.parent.glob("*.new*")) == []
    with open_marts(built) as marts:
        assert marts.value("select count(*) from funnel") == 1


def test_marts_open_under_any_name(built: Settings, tmp_path: Path) -> None:
    copy = tmp_path / "analytics.duckdb"
    copy.write_bytes(built.marts_path.read_bytes())
    with duckdb.connect(str(copy), read_only=True) as reader:
        counts = "select (select count(*) from analytics.analytics.{}), (select count(*) from analytics.analytics.{})"
        assert reader.execute(counts.format("funnel", "funnel_steps")).fetchone() == (1, 3)
        versions, by_dbts_names = reader.execute(counts.format("product_snapshots", "product_snapshot_dbt")).fetchone()
        assert versions == by_dbts_names > 0


def test_the_warehouse_opens_under_another_name_with_its_view(built: Settings, tmp_path: Path) -> None:
    copy = tmp_path / "copy.duckdb"
    copy.write_bytes(built.warehouse_path.read_bytes())
    with duckdb.connect(str(copy), read_only=True) as reader:
        found = reader.execute("select count(*) from analytics.int_events").fetchone()
    assert found == rows(built, "select count(*) from int_events")[0]


@pytest.mark.parametrize(
    ("limit", "rows", "allowed"), [("50%", 0, 100), ("50%", 10, 200), ("150MB", 10, 150), ("60MB", 0, 60)]
)
def test_the_engine_gets_of_its_memory_what_its_rows_need(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, limit: str, rows: int, allowed: int
) -> None:
    monkeypatch.setattr(storage, "LEAST_MEMORY", 100_000_000)
    with open_warehouse(settings.model_copy(update={"memory_limit": limit})) as warehouse:
        warehouse.execute(f"create table clicks as from range({rows} * 1000000)")
        warehouse.engine.limit_memory()
        assert size_in_bytes(warehouse.value("select current_setting('memory_limit')")) // 1_000_000 == allowed - 1


def test_a_run_gets_what_the_rows_need_that_it_staged(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "LEAST_MEMORY", 10_000_000)
    with open_warehouse(settings) as warehouse:
        warehouse.execute("create table clicks as from range(10_000_000)")
        for ids, stored, staged in (("uuid()", 219, 19), ("'e' || range", 239, 39)):
            warehouse.execute(
                f"create or replace table _staged_clicks as select {ids} as event_id from range(1_000_000)"
            )
            for is_staged, allowed in ((False, stored), (True, staged)):
                warehouse.engine.limit_memory(is_staged)
                assert size_in_bytes(warehouse.value("select current_setting('memory_limit')")) // 1_000_000 == allowed


@pytest.mark.parametrize("name", ["plain", 'a "quoted" one', "'; drop table raw_events; --"])
def test_names_are_only_names(name: str, warehouse: Warehouse) -> None:
    warehouse.execute(f"create temp table {identifier(name)} as select {literal(name)} as held")
    assert warehouse.rows(f"from {identifier(name)}") == [(name,)]
