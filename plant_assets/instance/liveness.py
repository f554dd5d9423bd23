"""Which runs are alive. Dagster does not notice if a run's process is killed together with its parent.

A run holds an OS lock named after its id. The system frees the lock however the process ends, so a started run whose
lock is free is dead. A run that hangs is alive; `orchestration/watch.py` ends it.
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

# A run takes its lock a moment after its start.
GRACE = dt.timedelta(seconds=20)
# The folder of the runs' locks.
ALIVE = "alive"
STARTED = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]


def _lock_of(settings: Settings, run_id: str) -> Path:
    return settings.dagster_home / ALIVE / run_id


def _process_path(lock: Path) -> Path:
    """Return the file with the id of a run's process; the lock file would be emptied by trying the lock."""
    return lock.with_name(lock.name + ".process")


@contextlib.contextmanager
def hold_run(settings: Settings, run_id: str) -> Iterator[None]:
    """Hold the lock of a run while in the body, and note this process as the run's."""
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
    """Return the ids of live runs, each with the id of its process."""
    live = {}
    for path in (settings.dagster_home / ALIVE).glob("*.process"):
        # The run may end meanwhile.
        with contextlib.suppress(FileNotFoundError):
            process = int(path.read_text())
            try:
                with filelock.FileLock(path.with_suffix(""), timeout=0):
                    pass
            except filelock.Timeout:
                live[path.stem] = process
    return live


def fail_dead_runs(settings: Settings, instance: dg.DagsterInstance, log: logging.Logger) -> list[str]:
    """Mark started runs whose process is gone as failed; return their ids."""
    dead = []
    for record in instance.get_run_records(dg.RunsFilter(statuses=STARTED)):
        since = dt.datetime.fromtimestamp(record.start_time or record.create_timestamp.timestamp(), dt.UTC)
        if dt.datetime.now(dt.UTC) - since < GRACE:
            continue
        run, path = record.dagster_run, _lock_of(settings, record.dagster_run.run_id)
        try:
            # Without the file there is no lock that a process could hold.
            with filelock.FileLock(path, timeout=0) if path.exists() else contextlib.nullcontext():
                log.warning("run %s failed: its process is gone", run.run_id)
                instance.report_run_failed(run, "The run's process is gone: it was killed, or the machine stopped.")
                dead.append(run.run_id)
        except filelock.Timeout:
            continue
        _forget(path)
    return dead
