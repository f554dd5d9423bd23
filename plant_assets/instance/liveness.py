"""The runs that are alive. Dagster does not see that the parent of a run died with it.

A run holds an OS lock named by its id, which the system frees however the process ends: a started run whose lock is
free is dead. A run that hangs is alive; `orchestration/watch.py` ends it.
"""

import contextlib
import datetime as dt
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import filelock

from plant_assets.atomic import write_atomically
from plant_assets.settings import Settings

# A run is started a moment before it takes its lock.
GRACE = dt.timedelta(seconds=20)
# The folder of the locks of runs.
ALIVE = "alive"
STARTED = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]


def _lock_of(settings: Settings, run_id: str) -> Path:
    return settings.dagster_home / ALIVE / run_id


def _process_path(lock: Path) -> Path:
    """Return where the process of a run is; its lock's file is emptied by whoever tries the lock."""
    return lock.with_name(lock.name + ".process")


@contextlib.contextmanager
def hold_run(settings: Settings, run_id: str) -> Iterator[None]:
    """Show that a run is alive, and in which process, for as long as this process is in the body."""
    path = _lock_of(settings, run_id)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with filelock.FileLock(path, mode=0o600):
        write_atomically(_process_path(path), str(os.getpid()))
        yield
    _forget(path)


def _forget(lock: Path) -> None:
    for path in (lock, _process_path(lock)):
        path.unlink(missing_ok=True)


def live_runs(settings: Settings) -> dict[str, int]:
    """Return the runs whose process is alive, each with that process."""
    live = {}
    for path in (settings.dagster_home / ALIVE).glob("*.process"):
        # It may end while it is looked at.
        with contextlib.suppress(FileNotFoundError):
            process = int(path.read_text())
            try:
                with filelock.FileLock(path.with_suffix(""), timeout=0):
                    pass
            except filelock.Timeout:
                live[path.stem] = process
    return live


def fail_dead_runs(settings: Settings, instance: dg.DagsterInstance, log: logging.Logger) -> list[str]:
    """Mark the started runs as failed whose process is gone; their ids."""
    dead = []
    for record in instance.get_run_records(dg.RunsFilter(statuses=STARTED)):
        since = dt.datetime.fromtimestamp(record.start_time or record.create_timestamp.timestamp(), dt.UTC)
        if dt.datetime.now(dt.UTC) - since < GRACE:
            continue
        run, path = record.dagster_run, _lock_of(settings, record.dagster_run.run_id)
        try:
            # Without its file there is no lock to hold.
            with filelock.FileLock(path, timeout=0) if path.exists() else contextlib.nullcontext():
                log.warning("run %s is failed: its process is gone", run.run_id)
                instance.report_run_failed(run, "The run's process is gone: it was killed, or the machine stopped.")
                dead.append(run.run_id)
        except filelock.Timeout:
            continue
        _forget(path)
    return dead
