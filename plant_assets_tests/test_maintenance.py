"""Operations on the warehouse, as the jobs that the UI shows."""

import datetime as dt

import dagster as dg
import pytest

from plant_assets.definitions import build_defs
from plant_assets.maintenance import PRUNED, backups_path
from plant_assets.settings import Settings
from plant_assets_tests.tables import contents, mart_rows, rows


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
