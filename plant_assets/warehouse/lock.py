"""The lock of a warehouse's only writer. The operating system releases it, however the process ends."""

import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import filelock

from plant_assets.atomic import write_atomically
from plant_assets.settings import Settings, UsageError
from plant_assets.warehouse.aside import settle_aside


def lock_path(settings: Settings) -> Path:
    """Return the file that the writer of the warehouse locks."""
    return settings.warehouse_path.with_name(settings.warehouse_path.name + ".lock")


def held_by_path(settings: Settings) -> Path:
    """Return the file that names the holder of the lock."""
    return settings.warehouse_path.with_name(settings.warehouse_path.name + ".locked-by")


@contextlib.contextmanager
def hold_lock(settings: Settings, log: logging.Logger, holder: str, wait: bool) -> Iterator[None]:
    """Hold the lock of the warehouse; the log names the holder that this process waits for.

    Raises:
        UsageError: another writer holds it and `wait` is false.
    """
    path, held_by = lock_path(settings), held_by_path(settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(path, mode=0o600)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        other = held_by.read_text() if held_by.exists() else "another process"
        if not wait:
            raise UsageError(f"the warehouse is in use by {other}") from None
        log.info("waiting for %s, which holds %s", other, settings.warehouse_path)
        lock.acquire()
    try:
        write_atomically(held_by, f"{holder} (process {os.getpid()})")
        settle_aside(settings, log)
        try:
            yield
        finally:
            settle_aside(settings, log)
    finally:
        lock.release()
