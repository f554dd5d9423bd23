"""Operations on the warehouse under a full disk and under `kill -9`.

Each meets a warehouse that a killed process left with a log. It either succeeds, which is read from the files it moved,
each alone; or it ends with one sentence and the warehouse is as it was. All operations and one run work afterwards.
"""

import contextlib
import logging
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from bench.kills import PROCESSES
from bench.soak_stores import Stores
from plant_assets.settings import Settings, read_settings
from plant_assets.sql import literal
from plant_assets.warehouse.database_files import LOGS
from plant_assets.warehouse.lock import hold_lock
from plant_assets.warehouse.maintenance import back_up, backups_path, compact, import_observations, prune, restore
from plant_assets.warehouse.open import open_warehouse
from plant_assets.warehouse.publish import publish_marts

LOG = logging.getLogger(__name__)
Held = dict[str, list[tuple[Any, ...]]]
# Rows in the log that the operations find, each old enough to be pruned.
IN_LOG = 20_000
BALLAST = f"""
insert into rejected_rows (source_table, file, reason, raw_text, rejected_at)
select 'ballast', 'b.csv', 'missing', md5(range::varchar) || md5('b' || range), timestamp '2020-01-01'
from range({IN_LOG})
"""


def _publish(settings: Settings) -> None:
    with open_warehouse(settings) as warehouse:
        publish_marts(warehouse.connection, warehouse.settings.marts_path, "the soak")


def _accept_source(settings: Settings) -> None:
    """Begin the warehouse of another store, as a run does before it loads."""
    other = settings.model_copy(update={"timezone": "Asia/Tokyo"})
    with open_warehouse(other, accept_source=True) as warehouse:
        warehouse.ledger.facts.remember(**other.store())


OPERATIONS: dict[str, Callable[[Settings], object]] = {
    "compact": lambda settings: compact(settings, LOG, "the soak"),
    "back_up": lambda settings: back_up(settings, LOG, 7, "the soak"),
    "restore": lambda settings: restore(settings, LOG, None, "the soak"),
    "prune": lambda settings: prune(settings, LOG, 30, "the soak"),
    "publish": _publish,
    "accept-source": _accept_source,
}
MOVING = [name for name in OPERATIONS if name != "prune"]


def read_all(path: Path, with_log: bool = False) -> Held:
    """Read a copy of a database file, alone or with its log: return the rows of each table and view, and their hash."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy.duckdb"
        for ending in ("", *(LOGS if with_log else ())):
            with contextlib.suppress(FileNotFoundError):
                shutil.copyfile(f"{path}{ending}", f"{copy}{ending}")
        if not copy.exists():
            return {}
        with duckdb.connect() as connection:
            connection.execute(f"attach {literal(str(copy))} as warehouse; use warehouse.analytics")
            names = connection.execute(
                "select table_name from duckdb_tables() where database_name = 'warehouse' union all"
                " select view_name from duckdb_views() where database_name = 'warehouse' and not internal"
            ).fetchall()
            read = "select count(*), sum(hash(whole)::hugeint) from {} as whole"
            return {name: connection.execute(read.format(name)).fetchall() for (name,) in names}


@dataclass(frozen=True)
class State:
    """The warehouse of the first store, wherever it is, what readers see, and the backups."""

    warehouse: Held
    marts: Held
    backups: list[Held]


def kept_by(settings: Settings) -> Path:
    """Where `--accept-source` keeps the warehouse of before."""
    return settings.warehouse_path.with_name(settings.warehouse_path.name + ".before")


def look(settings: Settings) -> State:
    """Return the state that the next command finds."""
    with hold_lock(settings, LOG, "the soak", wait=True):
        pass
    kept, path = kept_by(settings), settings.warehouse_path
    return State(
        read_all(kept) if kept.exists() else read_all(path, with_log=True),
        read_all(settings.marts_path),
        [read_all(each) for each in sorted(backups_path(settings).glob("*.duckdb"))],
    )


@dataclass(frozen=True)
class Base:
    """A warehouse with a backup and a log, its state, and the states that undisturbed operations leave."""

    home: Path
    at: Callable[[Path], Settings]
    before: State
    after: dict[str, State]

    @contextlib.contextmanager
    def copy(self) -> Iterator[Settings]:
        """The settings of a copy."""
        home = self.home.with_name("tried")
        shutil.copytree(self.home, home)
        try:
            yield self.at(home)
        finally:
            shutil.rmtree(home)

    @property
    def size(self) -> int:
        """The bytes of the warehouse's file and its log."""
        path = self.at(self.home).warehouse_path
        return sum(each.stat().st_size for each in (path, path.with_name(path.name + ".wal")))

    def require_whole(self, settings: Settings, name: str, when: str) -> State:
        """The warehouse and the marts are from before or after the operation, and every backup is whole.

        Raises:
            AssertionError: one is neither.
        """
        found, after = look(settings), self.after[name]
        assert found.warehouse in (self.before.warehouse, after.warehouse), f"{when}: the warehouse"
        assert found.marts in (self.before.marts, after.marts), f"{when}: the published marts"
        whole = [*self.before.backups, *after.backups]
        assert all(each in whole for each in found.backups), f"{when}: a backup"
        return found

    def require_done(self, settings: Settings, name: str, when: str) -> None:
        """The operation did what it does when nothing disturbs it, and left nothing else behind.

        Raises:
            AssertionError: it did not.
        """
        found = self.require_whole(settings, name, when)
        assert found == self.after[name], f"{when}: not done"
        if name == "compact":
            assert read_all(settings.warehouse_path) == self.before.warehouse, f"{when}: the file alone"
        require_no_left_overs(settings, when)


def require_no_left_overs(settings: Settings, when: str) -> None:
    """Nothing unfinished is left beside the warehouse or its backups.

    Raises:
        AssertionError: something is.
    """
    left = [*settings.warehouse_path.parent.glob("*.new*"), *backups_path(settings).glob("*.new*")]
    assert not left, f"{when}: {left}"


def _leave_log(settings: Settings) -> None:
    with open_warehouse(settings) as warehouse:
        warehouse.execute(BALLAST)
        os.kill(os.getpid(), signal.SIGKILL)


def _make_base(settings: Settings, at: Callable[[Path], Settings]) -> Base:
    backup = back_up(settings, LOG, 7, "the soak")
    for path in backups_path(settings).glob(backup.name + "*"):
        # Its name is a second: the next backup gets another.
        path.rename(path.with_name(path.name.replace(backup.stem, "2026-01-01T00-00-00Z")))
    process = PROCESSES.Process(target=_leave_log, args=(settings,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    base = Base(settings.warehouse_path.parent, at, look(settings), {})
    for name, operation in OPERATIONS.items():
        with base.copy() as tried:
            operation(tried)
            base.after[name] = look(tried)
    return base


def make_base(stores: Stores) -> Base:
    """The warehouse that is behind its source, with a backup and a log."""
    home = Path(tempfile.mkdtemp(dir=stores.folder)) / "base"
    shutil.copytree(stores.behind.warehouse_path.parent, home)

    def at(folder: Path) -> Settings:
        return read_settings(source=stores.source, warehouse=folder / "w.duckdb")

    return _make_base(at(home), at)


def make_catalog(stores: Stores) -> Base:
    """The same for a warehouse on Spark, with what loads write, for which Spark is not started."""
    home = Path(tempfile.mkdtemp(dir=stores.folder)) / "base"

    def at(folder: Path) -> Settings:
        return read_settings(source=stores.source, warehouse="spark://local[1]", home=folder)

    import_observations(at(home), LOG, stores.behind.warehouse_path, "the soak")
    with open_warehouse(at(home)) as warehouse:
        warehouse.ledger.facts.remember(**at(home).store())
    return _make_base(at(home), at)
