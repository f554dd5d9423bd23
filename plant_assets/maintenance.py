"""Operations on the warehouse as jobs: back up, restore, compact, prune. Each takes its turn as a run does.

A file is made beside the one it replaces, read back, and moved in place: what fails leaves all as it was. Where the
tables are files that are never changed, a backup holds them too, as further names of the same files where it can.
"""

import datetime as dt
import logging
import os
import shutil
from pathlib import Path

import dagster as dg
import duckdb

from plant_assets.contracts import TABLES
from plant_assets.instance import hold_run
from plant_assets.settings import Settings, UsageError
from plant_assets.storage import Warehouse, hold_lock, literal, open_warehouse, remove_database

PRUNED = "(pruned)"
MOST_DAYS = 36_525
STAMP = "%Y-%m-%dT%H-%M-%SZ"


def backups_path(settings: Settings) -> Path:
    """The folder of the warehouse's backups."""
    return settings.warehouse_path.with_name(settings.warehouse_path.name + ".backups")


def count_rows(path: Path) -> dict[str, int]:
    """The rows of each table of a warehouse file, read to its end.

    Raises:
        UsageError: the file is no readable warehouse.
    """
    try:
        with duckdb.connect() as connection:
            connection.execute(f"attach {literal(str(path))} as warehouse (read_only); use warehouse.analytics")
            names = connection.execute(
                "select table_name from duckdb_tables() where database_name = 'warehouse' order by table_name"
            ).fetchall()
            # The hash reads every value, where a count alone would only ask the file's statistics.
            read = "select count(*), bit_xor(hash(whole)) from {} as whole"
            return {name: connection.execute(read.format(name)).fetchall()[0][0] for (name,) in names}
    except duckdb.Error as error:
        raise UsageError(f"{path} is no readable warehouse: {error}") from error


def _rows_of(warehouse: Warehouse) -> dict[str, int]:
    names = warehouse.rows(
        "select table_name from duckdb_tables() where database_name = 'warehouse' order by table_name"
    )
    return {name: warehouse.value(f"select count(*) from {name}") for (name,) in names}


def _require_same(path: Path, expected: dict[str, int]) -> None:
    if count_rows(path) != expected:
        path.unlink()
        raise UsageError(f"{path} does not hold what was copied to it; nothing was changed")


def _table_files(path: Path, settings: Settings) -> tuple[Path, list[str]]:
    """The directory of the tables that a warehouse file is the catalog of, and their files; none of any other."""
    with duckdb.connect() as connection:
        connection.execute(f"attach {literal(str(path))} as warehouse (read_only); use warehouse.analytics")
        warehouse = Warehouse(connection, settings)
        files = (
            [row[0] for row in warehouse.rows("select unnest(files) from _slices")] if warehouse.has("_slices") else []
        )
        return settings.tables_path / (warehouse.meta("tables") or ""), files


def _give_files(files: list[str], source: Path, target: Path) -> None:
    """Let a directory have files of another.

    Raises:
        UsageError: one is in neither.
    """
    for file in files:
        given, to = source / file, target / file
        if to.exists():
            continue
        if not given.exists():
            raise UsageError(f"{given} is missing; nothing was changed")
        to.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            os.link(given, to)
        except OSError:
            # Another file system, or one without links.
            shutil.copyfile(given, to)


def _tables_of(backup: Path) -> Path:
    return backup.with_name(backup.name + ".tables")


def _require_same_store(settings: Settings, backup: Path) -> None:
    with duckdb.connect() as connection:
        connection.execute(f"attach {literal(str(backup))} as warehouse (read_only); use warehouse.analytics")
        Warehouse(connection, settings).require_store()


def back_up(settings: Settings, log: logging.Logger, keep: int, holder: str) -> Path:
    """Copy the warehouse, read the copy back, and keep the last ones.

    Raises:
        UsageError: `keep` is under 1, or the copy does not read back as the warehouse.
    """
    if keep < 1:
        raise UsageError(f"keep {keep} is not allowed: at least 1, the backup that is made")
    folder = backups_path(settings)
    folder.mkdir(mode=0o700, exist_ok=True)
    target = folder / f"{dt.datetime.now(dt.UTC):{STAMP}}.duckdb"
    fresh = target.with_suffix(".new")
    with open_warehouse(settings, log, holder) as warehouse:
        for unfinished in folder.glob("*.new"):
            unfinished.unlink()
        warehouse.execute("checkpoint warehouse")
        shutil.copyfile(settings.warehouse_path, fresh)
        fresh.chmod(0o600)
        _require_same(fresh, _rows_of(warehouse))
        tables, files = _table_files(fresh, settings)
        _give_files(files, tables, _tables_of(target))
    os.replace(fresh, target)
    for old in sorted(folder.glob("*.duckdb"))[:-keep]:
        old.unlink()
    for tables in folder.glob("*.tables"):
        if not tables.with_suffix("").exists():
            shutil.rmtree(tables)
    return target


def restore(settings: Settings, log: logging.Logger, name: str | None, holder: str) -> Path:
    """Put a backup, the last one if none is named, in the warehouse's place, and publish its marts.

    Raises:
        UsageError: there is no such backup, or it is not readable.
    """
    folder = backups_path(settings)
    found = {path.name: path for path in sorted(folder.glob("*.duckdb"))}
    if not found or (name is not None and name not in found):
        raise UsageError(f"no backup {name or ''} in {folder}: there are {', '.join(found) or 'none'}")
    source = found[name] if name else list(found.values())[-1]
    expected = count_rows(source)
    _require_same_store(settings, source)
    fresh = settings.warehouse_path.with_name(settings.warehouse_path.name + ".new")
    with hold_lock(settings, log, holder, wait=True):
        shutil.copyfile(source, fresh)
        fresh.chmod(0o600)
        _require_same(fresh, expected)
        tables, files = _table_files(fresh, settings)
        _give_files(files, _tables_of(source), tables)
        settings.warehouse_path.with_name(settings.warehouse_path.name + ".wal").unlink(missing_ok=True)
        os.replace(fresh, settings.warehouse_path)
    with open_warehouse(settings, log, holder) as warehouse:
        if first_week := warehouse.meta("first_week"):
            warehouse.remember_store(dt.date.fromisoformat(first_week), warehouse.stages())
            warehouse.publish_marts(holder)
    return source


def compact(settings: Settings, log: logging.Logger, holder: str) -> tuple[int, int]:
    """Write the warehouse anew, without the space that deleted rows left; its size before and after."""
    path = settings.warehouse_path
    fresh = path.with_name(path.name + ".new")
    before = path.stat().st_size
    with hold_lock(settings, log, holder, wait=True):
        remove_database(fresh)
        expected = count_rows(path)
        with duckdb.connect() as connection:
            connection.execute(f"attach {literal(str(path))} as warehouse; attach {literal(str(fresh))} as fresh")
            connection.execute("copy from database warehouse to fresh")
        fresh.chmod(0o600)
        _require_same(fresh, expected)
        os.replace(fresh, path)
    return before, path.stat().st_size


def prune(settings: Settings, log: logging.Logger, days: int, holder: str) -> int:
    """Forget the text of rows that were refused over `days` ago; that they were, and why, stays. The rows.

    Raises:
        UsageError: `days` is negative, or more than a century.
    """
    if not 0 <= days <= MOST_DAYS:
        raise UsageError(f"days {days} is not allowed: from 0 to {MOST_DAYS}")
    since = dt.datetime.now(dt.UTC).replace(tzinfo=None) - dt.timedelta(days=days)
    with open_warehouse(settings, log, holder) as warehouse:
        return int(
            warehouse.value(
                "update rejected_rows set raw_text = ? where rejected_at < ? and raw_text <> ?",
                [PRUNED, since, PRUNED],
            )
        )


def import_observations(settings: Settings, log: logging.Logger, path: Path, holder: str) -> int:
    """Give a new warehouse the observations of products that another one of the store has; how many.

    All else is a function of the source; these may be of files that are gone.

    Raises:
        UsageError: the other is no readable warehouse or of another store, or this one has observations.
    """
    count_rows(path)
    with open_warehouse(settings, log, holder) as warehouse:
        if warehouse.value("select exists (from raw_observations)"):
            raise UsageError(f"{settings.warehouse_path} has observations already: import them before its first run")
        warehouse.execute(f"attach {literal(str(path))} as other (read_only)")
        known = warehouse.value("select value from other.analytics._meta where name = 'source'")
        if known != settings.store()["source"]:
            raise UsageError(f"{path} holds the store with source {known}, not {settings.store()['source']}")
        with warehouse.transaction():
            for name in ("raw_products", "raw_observations"):
                columns = ", ".join(TABLES[name].names)
                warehouse.insert_rows(TABLES[name], f"select {columns} from other.analytics.{name}")
            of_them = "source_table = 'products' and {} in (select observed_at from raw_observations)"
            # In the order in which they were loaded, and before all that will be written here.
            warehouse.execute(
                "insert into _loads by name select * replace (dense_rank() over (order by write_number) as"
                f" write_number) from other.analytics._loads where {of_them.format('try_cast(bucket as timestamp)')}"
            )
            warehouse.execute(
                "insert into _writes select unnest(['raw_products', 'raw_observations']), null, max(write_number), ?,"
                " (now() at time zone 'UTC')::timestamp, null from _loads",
                [holder],
            )
            warehouse.execute("insert into _files from other.analytics._files where source_table = 'products'")
            warehouse.execute(
                f"insert into rejected_rows from other.analytics.rejected_rows where {of_them.format('observed_at')}"
            )
        warehouse.execute("detach other")
        return int(warehouse.value("select count(*) from raw_observations"))


def maintenance_jobs(settings: Settings) -> list[dg.JobDefinition]:
    """`back_up`, `restore`, `compact` and `prune`, for the UI."""

    @dg.op(name="back_up_warehouse", config_schema={"keep": dg.Field(int, default_value=7)})
    def back_up_op(context: dg.OpExecutionContext) -> None:
        """Copies the warehouse to `<warehouse>.backups`, reads it back and keeps the last ones."""
        with hold_run(settings, context.run_id):
            path = back_up(settings, context.log, context.op_config["keep"], f"run {context.run_id}")
        context.log.info("backed up to %s", path)

    @dg.op(name="restore_warehouse", config_schema={"backup": dg.Field(str, is_required=False)})
    def restore_op(context: dg.OpExecutionContext) -> None:
        """Puts a backup in the warehouse's place: the one named, or the last."""
        with hold_run(settings, context.run_id):
            path = restore(settings, context.log, context.op_config.get("backup"), f"run {context.run_id}")
        context.log.info("restored from %s", path)

    @dg.op(name="compact_warehouse")
    def compact_op(context: dg.OpExecutionContext) -> None:
        """Writes the warehouse anew without the space of deleted rows."""
        with hold_run(settings, context.run_id):
            before, after = compact(settings, context.log, f"run {context.run_id}")
        context.log.info("%s bytes before, %s after", before, after)

    @dg.op(name="prune_refused_rows", config_schema={"days": dg.Field(int, default_value=90)})
    def prune_op(context: dg.OpExecutionContext) -> None:
        """Forgets the text of rows refused long ago; their reasons and counts stay."""
        with hold_run(settings, context.run_id):
            rows = prune(settings, context.log, context.op_config["days"], f"run {context.run_id}")
        context.log.info("%s rows pruned", rows)

    def job(name: str, op: dg.OpDefinition) -> dg.JobDefinition:
        # Not the assets' IO manager, which would hold the warehouse that the operation asks for.
        resources = {"io_manager": dg.mem_io_manager}
        return dg.GraphDefinition(name=name, node_defs=[op]).to_job(
            name=name, description=op.description, resource_defs=resources
        )

    return [
        job("back_up", back_up_op),
        job("restore", restore_op),
        job("compact", compact_op),
        job("prune", prune_op),
    ]
