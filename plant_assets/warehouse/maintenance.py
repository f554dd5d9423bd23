"""Back up, restore, compact and prune the warehouse. Each waits for the lock, as a run does.

A file is made beside the one it replaces, read back, and moved in place: what fails leaves all as it was. Where the
tables are files that are never changed, a backup holds them too, as further names of the same files where it can.
"""

import contextlib
import datetime as dt
import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb

from plant_assets.contracts import FROM_HISTORY, PRUNED, TABLES
from plant_assets.settings import Settings, UsageError
from plant_assets.sql import literal
from plant_assets.warehouse.catalog import Catalog
from plant_assets.warehouse.database_files import (
    NotWhole,
    contents,
    copy_database,
    open_alone,
    open_file,
    put_in_place,
    remove_database,
    settle,
    sync,
    unfinished,
)
from plant_assets.warehouse.ledger.facts import Facts, require_same_store, source_of_other
from plant_assets.warehouse.lock import hold_lock
from plant_assets.warehouse.marts import open_marts
from plant_assets.warehouse.observations import forget, is_dated, is_in_history
from plant_assets.warehouse.open import open_warehouse
from plant_assets.warehouse.publish import publish_marts

BACKUPS_KEPT = 7
MOST_DAYS = 36_525
STAMP = "%Y-%m-%dT%H-%M-%SZ"


def backups_path(settings: Settings) -> Path:
    """Return the folder of the warehouse's backups."""
    return settings.warehouse_path.with_name(settings.warehouse_path.name + ".backups")


def _contents_of(path: Path) -> list[tuple[Any, ...]]:
    with open_alone(path) as connection:
        return contents(connection)


def _table_files(path: Path, settings: Settings) -> tuple[Path, list[str]]:
    """Return the directory of a Spark warehouse's tables, and their files; no files if it is not on Spark."""
    with open_alone(path) as connection:
        tables = settings.tables_path / (Facts(connection).get("tables") or "")
        if not Catalog(connection).has("_slices"):
            return tables, []
        return tables, [file for (file,) in connection.execute("select unnest(files) from _slices").fetchall()]


def _give_files(files: list[str], source: Path, target: Path) -> None:
    """Link or copy files that are missing in `target` from `source`.

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
            with unfinished(to) as fresh:
                shutil.copyfile(given, fresh)
                sync(fresh)
                os.replace(fresh, to)


def _tables_of(backup: Path) -> Path:
    return backup.with_name(backup.name + ".tables")


@contextlib.contextmanager
def _swept(folder: Path) -> Iterator[None]:
    """Remove unfinished backups and tables that no backup needs, before and after the body."""
    try:
        _sweep(folder)
        yield
    finally:
        _sweep(folder)


def _sweep(folder: Path) -> None:
    for unfinished_file in folder.glob("*.new*"):
        unfinished_file.unlink()
    for tables in folder.glob("*.tables"):
        if not tables.with_suffix("").exists():
            shutil.rmtree(tables)


def back_up(settings: Settings, log: logging.Logger, keep: int, holder: str) -> Path:
    """Copy the warehouse, read the copy back, and keep the last ones.

    Raises:
        NotWhole: the copy does not read back as the warehouse.
        UsageError: `keep` is under 1, or there is no warehouse.
    """
    if keep < 1:
        raise UsageError(f"keep {keep} is not allowed: at least 1, the backup that is made")
    folder, path = backups_path(settings), settings.warehouse_path
    target = folder / f"{dt.datetime.now(dt.UTC):{STAMP}}.duckdb"
    with hold_lock(settings, log, holder, wait=True):
        settle(settings, log)
        folder.mkdir(mode=0o700, exist_ok=True)
        with _swept(folder):
            expected = _contents_of(path)
            with unfinished(target) as fresh:
                copy_database(path, fresh)
                tables, files = _table_files(fresh, settings)
                _give_files(files, tables, _tables_of(target))
                put_in_place(fresh, target, lambda copy: contents(copy) == expected)
            for old in sorted(folder.glob("*.duckdb"))[:-keep]:
                remove_database(old)
    return target


def restore(settings: Settings, log: logging.Logger, name: str | None, holder: str) -> Path:
    """Replace the warehouse by a backup, the last one if none is named, and publish its marts.

    Raises:
        NotWhole: the copy does not read back as the backup.
        UsageError: there is no such backup, or it is not readable.
    """
    folder = backups_path(settings)
    found = {path.name: path for path in sorted(folder.glob("*.duckdb"))}
    if not found or (name is not None and name not in found):
        raise UsageError(f"no backup {name or ''} in {folder}: there are {', '.join(found) or 'none'}")
    source, target = found[name] if name else list(found.values())[-1], settings.warehouse_path
    expected = _read_backup(source, settings)
    with hold_lock(settings, log, holder, wait=True), unfinished(target) as fresh:
        copy_database(source, fresh)
        tables, files = _table_files(fresh, settings)
        _give_files(files, _tables_of(source), tables)
        # A warehouse that is missing or damaged cannot be settled: it is replaced as it is.
        with contextlib.suppress(UsageError, duckdb.Error):
            settle(settings, log)
        put_in_place(fresh, target, lambda copy: contents(copy) == expected)
    with open_warehouse(settings, log, holder) as warehouse:
        if first_week := warehouse.ledger.facts.first_week():
            warehouse.remember_store(first_week, warehouse.ledger.facts.stages())
            publish_marts(warehouse.connection, settings.marts_path, holder)
    return source


def _read_backup(path: Path, settings: Settings) -> list[tuple[Any, ...]]:
    try:
        with open_alone(path) as connection:
            require_same_store(settings, Facts(connection).get)
            return contents(connection)
    except (NotWhole, duckdb.Error) as error:
        raise UsageError(f"{path} cannot be restored: {error}") from error


def compact(settings: Settings, log: logging.Logger, holder: str) -> tuple[int, int]:
    """Copy the warehouse without the space of deleted rows, and return its size before and after.

    Raises:
        NotWhole: the new file does not read back as the warehouse.
        UsageError: there is no warehouse.
    """
    path = settings.warehouse_path
    with hold_lock(settings, log, holder, wait=True), unfinished(path) as fresh:
        settle(settings, log)
        before = path.stat().st_size
        with open_alone(path) as connection:
            expected = contents(connection)
            connection.execute(f"attach {literal(str(fresh))} as fresh")
            connection.execute("copy from database warehouse to fresh")
            connection.execute("detach fresh")
        put_in_place(fresh, path, lambda made: contents(made) == expected)
        return before, path.stat().st_size


def prune(settings: Settings, log: logging.Logger, days: int, holder: str) -> int:
    """Remove the text of rows that were rejected over `days` ago, keep that they were and why, and return their number.

    The published marts lose it too, and the warehouse is compacted: DuckDB keeps replaced values in its file.

    Raises:
        UsageError: `days` is negative, or more than a century.
    """
    if not 0 <= days <= MOST_DAYS:
        raise UsageError(f"days {days} is not allowed: from 0 to {MOST_DAYS}")
    since = dt.datetime.now(dt.UTC).replace(tzinfo=None) - dt.timedelta(days=days)
    is_old = f"rejected_at < timestamp '{since}' and raw_text <> '{PRUNED}'"
    with open_warehouse(settings, log, holder) as warehouse:
        rows = int(warehouse.value(f"update rejected_rows set raw_text = '{PRUNED}' where {is_old}"))
        if settings.marts_path.exists():
            text = f"if({is_old}, '{PRUNED}', raw_text) as raw_text"
            with open_marts(settings) as marts:
                body = f"select * replace ({text}) from warehouse.analytics.rejected_rows"
                publish_marts(
                    marts.connection, settings.marts_path, marts.publisher() or holder, {"rejected_rows": body}
                )
    compact(settings, log, holder)
    return rows


def forget_observation(settings: Settings, log: logging.Logger, observed_at: dt.datetime, holder: str) -> Path:
    """Back up the warehouse, then remove an observation; the next run rebuilds from there. Return the backup's path.

    Raises:
        UsageError: there is no such observation, or the source would give it again.
    """
    with open_warehouse(settings, log, holder) as warehouse:
        known = dict(warehouse.rows("select observed_at, file from raw_observations order by all"))
        would_return = observed_at in known and is_in_history(warehouse, observed_at, known[observed_at])
    if observed_at not in known:
        nearest = sorted(known, key=lambda at: abs(at - observed_at))[:3]
        named = ", ".join(f"{at.isoformat()}Z" for at in sorted(nearest)) or "none"
        raise UsageError(f"there is no observation of {observed_at.isoformat()}Z; the nearest are {named}")
    file = known[observed_at]
    if is_dated(file) and not settings.database and (settings.source_path / file).exists():
        raise UsageError(f"{settings.source_path / file} would be loaded again: remove the file first")
    if would_return:
        raise UsageError(
            f"{observed_at.isoformat()}Z would be loaded again: {_told_by(file)} in {settings.source_name} says that"
            " the products changed then; mend it and run first"
        )
    backup = back_up(settings, log, BACKUPS_KEPT, holder)
    with open_warehouse(settings, log, holder) as warehouse:
        forget(warehouse, observed_at)
    return backup


def _told_by(file: str) -> str:
    return "dbt's history" if file.startswith(FROM_HISTORY) else file.rpartition("@")[0]


def import_observations(settings: Settings, log: logging.Logger, path: Path, holder: str) -> int:
    """Import the observations of products from another warehouse of the store, and return how many there are.

    All else is a function of the source; these may be of files that are gone.

    Raises:
        UsageError: the other is no readable warehouse or of another store, or this one has observations.
    """
    try:
        with open_file(path) as other:
            contents(other)
    except (NotWhole, duckdb.Error) as error:
        raise UsageError(str(error)) from error
    with open_warehouse(settings, log, holder) as warehouse:
        if warehouse.value("select exists (from raw_observations)"):
            raise UsageError(f"{settings.warehouse_path} has observations already: import them before its first run")
        warehouse.execute(f"attach {literal(str(path))} as other (read_only)")
        known = source_of_other(warehouse.connection, "other")
        if known != settings.store()["source"]:
            raise UsageError(f"{path} holds the store with source {known}, not {settings.store()['source']}")
        with warehouse.transaction():
            for name in ("raw_products", "raw_observations"):
                columns = ", ".join(TABLES[name].names)
                warehouse.store.append(TABLES[name], f"select {columns} from other.analytics.{name}")
            warehouse.ledger.loads.import_observations(holder)
            warehouse.execute(
                "insert into rejected_rows from other.analytics.rejected_rows where source_table = 'products'"
                " and observed_at in (select observed_at from raw_observations)"
            )
        warehouse.execute("detach other")
        return int(warehouse.value("select count(*) from raw_observations"))
