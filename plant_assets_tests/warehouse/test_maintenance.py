"""Operations on the warehouse, as the jobs that the UI shows."""

import datetime as dt
import logging
import multiprocessing
import os
import resource
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import duckdb
import pytest

from plant_assets.cli.runs import Outcome
from plant_assets.contracts import PRUNED, TABLES
from plant_assets.definitions import build_defs
from plant_assets.settings import Settings, UsageError, read_settings
from plant_assets.warehouse.maintenance import back_up, backups_path, compact, import_observations, prune, restore
from plant_assets.warehouse.marts import open_marts
from plant_assets.warehouse.open import open_warehouse
from plant_assets.warehouse.publish import publish_marts
from plant_assets_tests.support.machine import need
from plant_assets_tests.support.tables import contents, mart_rows, rows

LOG = logging.getLogger(__name__)


def _do(settings: Settings, instance: dg.DagsterInstance, job: str, **config: object) -> dg.ExecuteInProcessResult:
    definition = build_defs(settings).resolve_job_def(job)
    [op] = definition.nodes
    return definition.execute_in_process(
        instance=instance, run_config={"ops": {op.name: {"config": config}}} if config else None, raise_on_error=False
    )


def test_a_backup_restores_what_was_lost(built: Settings, instance: dg.DagsterInstance) -> None:
    before = contents(built)
    assert _do(built, instance, "back_up").success
    rows(built, "drop table inventory; delete from funnel")
    assert _do(built, instance, "restore").success
    assert contents(built) == before
    assert len(mart_rows(built, "from funnel")) == 1


def test_the_last_backups_are_kept(built: Settings, instance: dg.DagsterInstance) -> None:
    folder = backups_path(built)
    folder.mkdir()
    for day in range(1, 5):
        (folder / f"2026-01-0{day}T00-00-00Z.duckdb").write_bytes(built.warehouse_path.read_bytes())
    assert _do(built, instance, "back_up", keep=3).success
    kept = sorted(path.name for path in folder.iterdir())
    assert kept[:2] == ["2026-01-03T00-00-00Z.duckdb", "2026-01-04T00-00-00Z.duckdb"]
    assert len(kept) == 3
    assert (folder / kept[2]).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("keep", [0, -1])
def test_a_backup_is_not_made_to_be_removed(built: Settings, instance: dg.DagsterInstance, keep: int) -> None:
    assert _do(built, instance, "back_up").success
    before = [path.name for path in backups_path(built).iterdir()]
    assert not _do(built, instance, "back_up", keep=keep).success
    with pytest.raises(UsageError, match=f"keep {keep} is not allowed: at least 1"):
        back_up(built, LOG, keep, "a test")
    assert [path.name for path in backups_path(built).iterdir()] == before


@pytest.mark.parametrize("days", [-1, 10**9])
def test_days_that_no_clock_knows_prune_nothing(built: Settings, instance: dg.DagsterInstance, days: int) -> None:
    rows(
        built,
        "insert into rejected_rows by name select 'events' as source_table, 'e.csv' as file, 'what' as raw_text,"
        " 'r' as reason, '2026-01-01'::timestamp as rejected_at",
    )
    assert not _do(built, instance, "prune", days=days).success
    with pytest.raises(UsageError, match=f"days {days} is not allowed: from 0 to 36525"):
        prune(built, LOG, days, "a test")
    assert rows(built, "select distinct raw_text from rejected_rows where file = 'e.csv'") == [("what",)]


@pytest.mark.parametrize("damage", ["missing", "cut off"])
def test_a_backup_that_cannot_be_read_changes_nothing(
    built: Settings, instance: dg.DagsterInstance, damage: str
) -> None:
    before = contents(built)
    folder = backups_path(built)
    folder.mkdir()
    if damage == "cut off":
        whole = built.warehouse_path.read_bytes()
        (folder / "2026-01-01T00-00-00Z.duckdb").write_bytes(whole[: len(whole) // 2])
    assert not _do(built, instance, "restore").success
    assert contents(built) == before


def test_compacting_keeps_every_row_and_the_view(built: Settings, instance: dg.DagsterInstance) -> None:
    before = contents(built)
    rows(built, "create table ballast as select random() as x from range(500000)")
    rows(built, "create table behind_it as select random() as x from range(100000)")
    rows(built, "drop table ballast")
    size = built.warehouse_path.stat().st_size
    assert _do(built, instance, "compact").success
    assert built.warehouse_path.stat().st_size < size
    assert contents(built) == before


def test_pruned_text_is_in_no_file_of_the_warehouse(built: Settings, refresh: Callable[..., Outcome]) -> None:
    secret = "said-in-confidence"
    refused = "insert into rejected_rows (source_table, file, reason, raw_text, rejected_at)"
    rows(built, f"{refused} values ('orders', 'o.csv', 'missing', '{secret}', timestamp '2020-01-01')")
    with open_warehouse(built) as warehouse:
        publish_marts(warehouse.connection, warehouse.settings.marts_path, "run of before")
    assert secret.encode() in built.marts_path.read_bytes()
    assert prune(built, LOG, 30, "a test") == 1
    back_up(built, LOG, 7, "a test")
    files = [path for path in built.warehouse_path.parent.rglob("*") if path.is_file()]
    assert len([path for path in files if path.suffix == ".duckdb"]) == 3
    assert [path.name for path in files if secret.encode() in path.read_bytes()] == []
    with open_marts(built) as marts:
        assert marts.publisher() == "run of before"
        assert marts.rows("select raw_text from rejected_rows where file = 'o.csv'") == [(PRUNED,)]


def test_compacting_keeps_comments_and_indexes(built: Settings) -> None:
    rows(built, "comment on table funnel is 'of the store'; comment on column funnel.checkout is 'sessions'")
    rows(built, "create index by_week on inventory (week_start_date)")
    compact(built, LOG, "a test")
    [found] = rows(
        built,
        "select (select comment from duckdb_tables() where table_name = 'funnel'), (select comment from"
        " duckdb_columns() where table_name = 'funnel' and column_name = 'checkout'), index_name from duckdb_indexes()",
    )
    assert found == ("of the store", "sessions", "by_week")


def _in_child(target: Callable[..., None], *arguments: object) -> int | None:
    process = multiprocessing.get_context("fork").Process(target=target, args=arguments)
    process.start()
    process.join()
    return process.exitcode


def _compact_with_little_space(settings: Settings) -> None:
    size = settings.warehouse_path.stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size * 9 // 10, size * 9 // 10))
    try:
        compact(settings, LOG, "a test")
    except (OSError, duckdb.Error):
        os._exit(1)
    os._exit(0)


def test_compacting_without_space_leaves_the_warehouse(built: Settings) -> None:
    before = contents(built)
    assert _in_child(_compact_with_little_space, built) == 1
    assert contents(built) == before
    assert list(built.warehouse_path.parent.glob("*.new*")) == []


def _leave_log(settings: Settings) -> None:
    with open_warehouse(settings) as warehouse:
        warehouse.execute("update funnel set checkout = 17")
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("operation", ["back_up", "compact"])
def test_what_is_in_the_log_of_a_killed_process_is_in_the_new_file(built: Settings, operation: str) -> None:
    assert _in_child(_leave_log, built) == -signal.SIGKILL
    assert built.warehouse_path.with_name("w.duckdb.wal").exists()
    if operation == "compact":
        compact(built, LOG, "a test")
        path = built.warehouse_path
    else:
        path = back_up(built, LOG, 7, "a test")
    assert not path.with_name(path.name + ".wal").exists()
    with duckdb.connect(str(path), read_only=True) as alone:
        assert alone.execute("select checkout from analytics.funnel").fetchall() == [(17,)]


def _leave_half_a_file(fresh: Path) -> None:
    with duckdb.connect(str(fresh)) as half:
        half.execute("create or replace table t as from range(1000)")
        os.kill(os.getpid(), signal.SIGKILL)


def test_what_a_killed_operation_left_is_in_no_ones_way(built: Settings) -> None:
    before = contents(built)
    fresh = built.warehouse_path.with_name("w.duckdb.new")
    for operation in (
        lambda: back_up(built, LOG, 7, "a test"),
        lambda: restore(built, LOG, None, "a test"),
        lambda: compact(built, LOG, "a test"),
    ):
        assert _in_child(_leave_half_a_file, fresh) == -signal.SIGKILL
        assert fresh.with_name(fresh.name + ".wal").exists()
        operation()
        assert contents(built) == before
    assert list(built.warehouse_path.parent.glob("*.new*")) == []


def test_a_backup_with_a_log_is_not_restored(built: Settings) -> None:
    copy, before = back_up(built, LOG, 7, "a test"), contents(built)
    log = copy.with_name(copy.name + ".wal")
    log.write_bytes(b"of a notebook that was killed")
    with pytest.raises(UsageError, match=r"duckdb has a log, .*\.wal: open and close the file with DuckDB"):
        restore(built, LOG, None, "a test")
    assert contents(built) == before


def test_a_damaged_warehouse_is_restored(built: Settings) -> None:
    before = contents(built)
    back_up(built, LOG, 7, "a test")
    built.warehouse_path.write_bytes(b"damaged")
    built.warehouse_path.with_name("w.duckdb.wal").write_bytes(b"its log")
    restore(built, LOG, None, "a test")
    assert contents(built) == before


def test_without_a_warehouse_there_is_nothing_to_copy(tmp_path: Path) -> None:
    settings = read_settings(source=tmp_path, warehouse=tmp_path / "none.duckdb")
    for operation in (lambda: compact(settings, LOG, "a test"), lambda: back_up(settings, LOG, 7, "a test")):
        with pytest.raises(UsageError, match=r"there is no warehouse .*none\.duckdb: start with `plant-assets run`"):
            operation()
    assert not settings.warehouse_path.exists()


def test_pruning_forgets_old_text_and_keeps_the_reason(built: Settings, instance: dg.DagsterInstance) -> None:
    recent = dt.datetime.now(dt.UTC).replace(tzinfo=None)
    rows(
        built,
        "insert into rejected_rows (source_table, file, reason, raw_text, rejected_at) values"
        " ('events', 'old.csv', 'missing', 'secret', timestamp '2020-01-01'),"
        " ('events', 'new.csv', 'missing', 'kept', ?)",
        [recent],
    )
    assert _do(built, instance, "prune", days=30).success
    assert rows(built, "select file, reason, raw_text from rejected_rows order by file") == [
        ("new.csv", "missing", "kept"),
        ("old.csv", "missing", PRUNED),
    ]


@pytest.fixture
def on_spark(built: Settings, tmp_path: Path) -> Settings:
    """A warehouse on Spark with what loads write, which they do without it."""
    need("java", shutil.which("java") is not None)
    settings = read_settings(source=built.source, warehouse="spark://local[2]", home=tmp_path / "spark")
    assert import_observations(settings, LOG, built.warehouse_path, "a test") > 1
    return settings


def test_a_new_warehouse_gets_the_observations_of_another_whose_files_are_gone(
    built: Settings, tmp_path: Path, refresh: Callable[..., Outcome]
) -> None:
    source = tmp_path / "store"
    shutil.copytree(built.source_path, source)
    for path in sorted((source / "products").iterdir())[:-2]:
        path.unlink()
    rows(built, "update _meta set value = ? where name = 'source'", [str(source)])
    anew = read_settings(source=source, warehouse=tmp_path / "anew" / "w.duckdb")
    import_observations(anew, LOG, built.warehouse_path, "a test")
    for _time in range(2):
        outcome = refresh(anew)
        assert (outcome.failures, outcome.failed_errors) == ([], [])
        assert contents(anew) == contents(built)
    with pytest.raises(UsageError, match="has observations already: import them before its first run"):
        import_observations(anew, LOG, built.warehouse_path, "a test")
    other = read_settings(source=tmp_path, warehouse=tmp_path / "other" / "w.duckdb")
    with pytest.raises(UsageError, match=f"holds the store with source {source}, not {tmp_path}"):
        import_observations(other, LOG, built.warehouse_path, "a test")


def test_observations_go_to_a_warehouse_on_spark_and_back(built: Settings, on_spark: Settings, tmp_path: Path) -> None:
    rows(on_spark, "insert into _meta select 'source', ?", [built.source])
    back = read_settings(source=built.source, warehouse=tmp_path / "back" / "w.duckdb")
    import_observations(back, LOG, on_spark.warehouse_path, "a test")
    statement = "select (select count(*) from raw_products), bucket, file, rows_loaded from _loads join"
    statement += " raw_observations using (file) where source_table = 'products' order by all"
    assert rows(back, statement) == rows(on_spark, statement) == rows(built, statement)
    assert rows(back, "from raw_products order by all") == rows(built, "from raw_products order by all")


def test_a_backup_on_spark_restores_files_that_were_lost(on_spark: Settings) -> None:
    before = rows(on_spark, "from raw_products order by all")
    copy = back_up(on_spark, LOG, 7, "a test")
    with open_warehouse(on_spark) as warehouse, warehouse.transaction():
        warehouse.store.delete(TABLES["raw_products"])
    shutil.rmtree(on_spark.tables_path)
    assert restore(on_spark, LOG, copy.name, "a test") == copy
    assert rows(on_spark, "from raw_products order by all") == before
    compact(on_spark, LOG, "a test")
    assert rows(on_spark, "from raw_products order by all") == before


def test_a_backup_on_spark_without_its_files_changes_nothing(on_spark: Settings) -> None:
    copy = back_up(on_spark, LOG, 7, "a test")
    before = rows(on_spark, "from raw_products order by all")
    with open_warehouse(on_spark) as warehouse, warehouse.transaction():
        warehouse.store.delete_observations(TABLES["raw_products"], [row[0] for row in before[:1]])
    now = rows(on_spark, "from raw_products order by all")
    shutil.rmtree(copy.with_name(copy.name + ".tables"))
    with pytest.raises(UsageError, match=r"\.parquet is missing; nothing was changed"):
        restore(on_spark, LOG, copy.name, "a test")
    assert rows(on_spark, "from raw_products order by all") == now
