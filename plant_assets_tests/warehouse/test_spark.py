"""Warehouses on Spark: built on a cluster that loses a worker, brought up to date without it, killed, and refused."""

import datetime as dt
import json
import multiprocessing
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import ibis
import psutil
import pyspark
import pytest

from plant_assets.calendar import Weeks
from plant_assets.cli.runs import Outcome, run_checks, run_refresh
from plant_assets.contracts import SQL_TYPES, TABLES
from plant_assets.readers.answers import read_answers
from plant_assets.readers.answers_text import in_json
from plant_assets.sample import store as sample
from plant_assets.settings import Settings, UsageError, read_settings
from plant_assets.warehouse.marts import open_marts
from plant_assets.warehouse.open import open_warehouse
from plant_assets.warehouse.spark.slices import SPARK_TYPES
from plant_assets.warehouse.store import EngineFailed
from plant_assets_tests.support.machine import ROOT, need
from plant_assets_tests.support.runs import END, Silence
from plant_assets_tests.support.tables import contents, rows

CLASSES = Path(pyspark.__file__).parent / "bin" / "spark-class"
LOCAL = "spark://local[2]"
WEEK = dt.date(2026, 10, 5)
LATER = END + dt.timedelta(days=6)


def _settings(home: Path, source: Path, warehouse: str = LOCAL) -> Settings:
    need("java", shutil.which("java") is not None)
    return read_settings(source=source, warehouse=warehouse, home=home, memory_limit="2GB")


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """A standalone Spark on loopback: the address of its master, and its two workers."""
    need("java", shutil.which("java") is not None)
    home, port, page = tmp_path_factory.mktemp("cluster"), _free_port(), _free_port()
    environment = {**os.environ, "SPARK_LOCAL_IP": "127.0.0.1", "SPARK_DAEMON_MEMORY": "256m"}
    started = []

    def start(kind: str, *arguments: object) -> subprocess.Popen[bytes]:
        command = [str(CLASSES), f"org.apache.spark.deploy.{kind}", "--host", "127.0.0.1", *map(str, arguments)]
        with (home / "log").open("ab") as log:
            started.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))
        return started[-1]

    start("master.Master", "--port", port, "--webui-port", page)
    address = f"spark://127.0.0.1:{port}"
    try:
        workers = [
            start(
                "worker.Worker", "--cores", 1, "--memory", "1g", "--work-dir", home / name, "--webui-port", 0, address
            )
            for name in ("one", "two")
        ]
        _wait_for(lambda: _alive_workers(page) == 2, "two workers")
        yield address, workers
    finally:
        for process in reversed(started):
            process.kill()
            process.wait()


def _alive_workers(page: int) -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{page}/json/", timeout=5) as answer:
            return sum(worker["state"] == "ALIVE" for worker in json.load(answer)["workers"])
    except OSError:
        return 0


def _wait_for(happens: Callable[[], bool], what: str, seconds: float = 120) -> None:
    until = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < until, f"there is no {what}"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def source(small_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of its own, to which a test adds."""
    copy = tmp_path_factory.mktemp("spark") / "store"
    shutil.copytree(small_store, copy)
    return copy


@pytest.fixture(scope="module")
def made(cluster: tuple[str, list[subprocess.Popen[bytes]]], source: Path) -> Settings:
    """A warehouse made by the command on a cluster, of which a worker is killed meanwhile."""
    address, workers = cluster
    settings = _settings(source.parent / "home", source, address)
    said = source.parent / "said"
    with said.open("wb") as output:
        command = [sys.executable, "-m", "plant_assets.cli", "run", "--as-of", END.isoformat()]
        run = subprocess.Popen(
            command,
            env={**os.environ, **settings.environment()},
            stdout=output,
            stderr=output,
            cwd=ROOT,
        )
        # The next steps write.
        _wait_for(lambda: run.poll() is not None or "weeks_checks" in said.read_text(), "step that has ended", 300)
        executors = psutil.Process(workers[0].pid).children(recursive=True)
        assert executors, "the worker has none of the run's executors"
        for process in (workers[0], *executors):
            process.kill()
        run.wait(timeout=600)
    assert run.returncode == 0, said.read_text()
    assert "Lost executor" in settings.warehouse_path.with_name("plant-spark.duckdb.spark.log").read_text()
    return settings


def test_a_build_that_loses_a_worker_has_the_tables_of_one_on_duckdb(made: Settings, built_once: Settings) -> None:
    found, expected = contents(made), contents(built_once)
    for name in TABLES:
        assert found[name] == expected[name], name
    with open_marts(made) as marts, open_marts(built_once) as others:
        assert in_json(read_answers(marts)) == in_json(read_answers(others))


def test_late_and_new_rows_change_what_they_change_on_duckdb(
    made: Settings, source: Path, built: Settings, refresh: Callable[..., Outcome]
) -> None:
    # The catalog knows no master: another one goes on.
    there = made.model_copy(update={"warehouse": LOCAL})
    sample.write(source, LATER)
    with (source / "events" / "2026-09-25.csv").open("a") as events:
        events.write("w1,weeder,,,2026-09-25T23:00:00Z,page_view,,weed\n")
    others = {path for path in made.tables_path.rglob("*.parquet") if "raw_events" in str(path)}
    others -= {path for path in others if "week_start=2026-09-21" in str(path)}
    for settings in (there, built.model_copy(update={"source": str(source)})):
        outcome = refresh(settings, as_of=LATER, **({} if settings is there else {"accept_source": True}))
        assert (outcome.failures, outcome.failed_errors) == ([], [])
    found, expected = contents(there), contents(settings)
    for name in TABLES:
        assert found[name] == expected[name], name
    # What is added is written beside what a week has.
    assert len(others) == 3
    assert all(path.exists() for path in others)


@pytest.mark.parametrize("written", [False, True], ids=["while its files are written", "before the catalog names them"])
def test_a_week_killed_while_it_is_overwritten_is_whole(made: Settings, written: bool) -> None:
    there = made.model_copy(update={"warehouse": LOCAL})
    before = rows(there, "from int_session_days order by all")
    process = multiprocessing.get_context("spawn").Process(target=_overwrite_and_be_killed, args=(there, written))
    process.start()
    process.join(timeout=120)
    assert process.exitcode == -signal.SIGKILL
    # Its Java ends a moment after it, and removes until then what it did not finish.
    _wait_for(lambda: not _others_java(there), "end of the killed process's Java")
    if written:
        assert _files(there, "int_session_days") > _named(there, "int_session_days")
    assert rows(there, "from int_session_days order by all") == before
    assert _files(there, "int_session_days") == _named(there, "int_session_days")


def _others_java(settings: Settings) -> list[psutil.Process]:
    """The processes of Spark's drivers on a warehouse that this process did not start."""
    scratch, own = f"spark.local.dir={settings.warehouse_path}", psutil.Process().children(recursive=True)
    found = psutil.process_iter(["cmdline"])
    return [each for each in found if each not in own and scratch in " ".join(each.info["cmdline"] or [])]


def _files(settings: Settings, name: str) -> set[str]:
    [folder] = settings.tables_path.iterdir()
    return {path.relative_to(folder).as_posix() for path in folder.glob(f"{name}/**/*.parquet")}


def _named(settings: Settings, name: str) -> set[str]:
    with open_warehouse(settings) as warehouse:
        return {row[0] for row in warehouse.rows("select unnest(files) from _slices where table_name = ?", [name])}


def _overwrite_and_be_killed(settings: Settings, written: bool) -> None:
    before = _files(settings, "int_session_days")

    def kill(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def kill_when_a_file_is_begun() -> None:
        while _files(settings, "int_session_days") <= before:
            time.sleep(0.005)
        kill()

    with open_warehouse(settings) as warehouse:
        # Not within its weeks: it would be refused, if it came to that.
        table = TABLES["int_session_days"].unbound()
        assert warehouse.engine.counts([table]) > [0]
        if written:
            vars(vars(warehouse.store)["_files"])["_written"] = kill
        else:
            threading.Thread(target=kill_when_a_file_is_begun).start()
        warehouse.write(table.get_name(), table, "run", Weeks(warehouse.calendar, WEEK, WEEK))


def test_pieces_of_a_week_are_written_anew_as_one_before_they_are_many(tmp_path: Path) -> None:
    settings, table = _settings(tmp_path, tmp_path), TABLES["raw_products"]
    instants = [dt.datetime(2026, 10, 5) + dt.timedelta(hours=6 * number) for number in range(20)]
    with open_warehouse(settings) as warehouse:
        for at in instants:
            with warehouse.transaction():
                warehouse.store.append(
                    table,
                    "select ?::timestamp as observed_at, 'p' as product_id, 'P' as name, 1::decimal(18, 4) as price,"
                    " 2::bigint as inventory",
                    [at],
                )
        assert warehouse.rows("select observed_at from raw_products order by 1") == [(at,) for at in instants]
        assert warehouse.value("select count(*) from _slices") < 9
        with warehouse.transaction():
            warehouse.store.delete_observations(table, instants[:2])
        assert warehouse.rows("select min(observed_at), count(*) from raw_products") == [(instants[2], 18)]
    assert len(_files(settings, "raw_products")) == len(_named(settings, "raw_products"))


def test_files_of_other_weeks_stay_shut(tmp_path: Path) -> None:
    table = TABLES["raw_products"]
    with open_warehouse(_settings(tmp_path, tmp_path)) as warehouse:
        with warehouse.transaction():
            warehouse.store.append(
                table,
                "select seen_at as observed_at, 'p' as product_id, 'P' as name, 1::decimal(18, 4) as price,"
                " 2::bigint as inventory from (select unnest([timestamp '2026-10-04 23:59:59', timestamp '2026-10-05',"
                " timestamp '2026-10-12']) as seen_at)",
            )
        for (file,) in warehouse.rows("select files[1] from _slices where week <> ?", [WEEK]):
            next(warehouse.settings.tables_path.glob(f"*/{file}")).write_bytes(b"no parquet")
        of_week = table.rows_of(Weeks(warehouse.calendar, WEEK, WEEK))
        assert warehouse.engine.counts([of_week.aggregate(last=of_week.observed_at.max())]) == [1]
        assert warehouse.engine.scalar(of_week.aggregate(last=of_week.observed_at.max())) == dt.datetime(2026, 10, 5)
        with pytest.raises(EngineFailed, match="is not a Parquet file"):
            warehouse.engine.counts([ibis.union(of_week, table.unbound()).distinct()])


def test_a_column_that_older_files_lack_is_null_there(tmp_path: Path) -> None:
    settings = _settings(tmp_path, tmp_path)
    with open_warehouse(settings) as warehouse:
        with warehouse.transaction():
            warehouse.store.append(
                TABLES["raw_orders"],
                "select 'o1' as order_id, * from (select null::varchar as user_id,"
                " null::timestamp as created_at, null::decimal(18, 4) as order_total, 'new' as status)",
            )
        [(file,)] = warehouse.rows("select files[1] from _slices")
        [folder] = settings.tables_path.iterdir()
        older = folder / file
        warehouse.execute(f"copy (select * exclude (status) from raw_orders) to '{older}.new' (format parquet)")
        os.replace(f"{older}.new", older)
        warehouse.execute("update _slices set columns = [each for each in columns if each <> 'status']")
    with open_warehouse(settings) as warehouse:
        assert warehouse.rows("select order_id, status from raw_orders") == [("o1", None)]
        assert warehouse.catalog.column_types("raw_orders")["status"] == "VARCHAR"


def test_a_master_that_does_not_answer_is_named(tmp_path: Path) -> None:
    address = f"spark://127.0.0.1:{_free_port()}"
    with open_warehouse(_settings(tmp_path, tmp_path, address)) as warehouse:
        with pytest.raises(UsageError, match=f"no Spark master answers at PLANT_WAREHOUSE={address}"):
            warehouse.engine.counts([TABLES["funnel"].unbound()])


def test_without_its_master_a_run_ends_before_it_begins(
    tmp_path: Path, small_store: Path, instance: dg.DagsterInstance
) -> None:
    address = f"spark://127.0.0.1:{_free_port()}"
    settings = _settings(tmp_path, small_store, address)
    for run in (run_refresh, run_checks):
        with pytest.raises(UsageError, match="no Spark master answers"):
            run(settings, instance, Silence())
    with open_warehouse(settings) as warehouse:
        assert warehouse.engine.count_rows("raw_events") == 0
    assert instance.get_runs_count() == 0


def test_without_java_it_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = _settings(tmp_path, tmp_path)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(UsageError, match="needs Java 17 or later, and JAVA_HOME="), open_warehouse(settings):
        pass


def test_tables_that_are_not_there_are_an_error(tmp_path: Path) -> None:
    settings = _settings(tmp_path, tmp_path)
    with open_warehouse(settings) as warehouse, warehouse.transaction():
        warehouse.store.append(
            TABLES["raw_observations"],
            "select timestamp '2026-10-05' as observed_at, 'f' as file, 1::bigint as products",
        )
    moved = settings.model_copy(update={"tables": tmp_path / "elsewhere"})
    with pytest.raises(UsageError, match="PLANT_TABLES must name the directory"), open_warehouse(moved):
        pass
    (tmp_path / "a file").touch()
    with pytest.raises(UsageError, match=r"PLANT_TABLES=.* cannot be written to"):
        with open_warehouse(settings.model_copy(update={"tables": tmp_path / "a file"})):
            pass


def test_what_spark_refuses_is_said_in_one_line(tmp_path: Path) -> None:
    texts = ibis.table({"text": "string"}, name="texts")
    with open_warehouse(_settings(tmp_path, tmp_path)) as warehouse:
        warehouse.execute("create temp table texts as select 'no date' as text")
        with pytest.raises(EngineFailed, match=r"^Spark: .*CAST_INVALID_INPUT.*$"):
            warehouse.engine.scalar(texts.select(day=texts.text.cast("date")))


@pytest.mark.parametrize(
    "given", ["spark://", "spark://host", "spark://local[0]", "s3://bucket/w.duckdb", "spark://h:1/x"]
)
def test_another_address_is_refused(given: str) -> None:
    with pytest.raises(UsageError, match=r"PLANT_WAREHOUSE=.* is not allowed: a DuckDB file, spark://local\[\*\], or"):
        read_settings(warehouse=given)


def test_every_type_of_the_contracts_has_one_of_sparks() -> None:
    assert SPARK_TYPES.keys() == SQL_TYPES.keys()


def test_object_stores_are_refused() -> None:
    with pytest.raises(
        UsageError, match="PLANT_TABLES=s3a://bucket is not allowed: a directory that this machine and all"
    ):
        read_settings(warehouse=LOCAL, tables="s3a://bucket")
