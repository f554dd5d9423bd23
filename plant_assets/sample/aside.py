"""The default sample store of another version, which is set aside with its warehouse: a new one takes their place."""

import logging
import os
import shutil
from pathlib import Path

from plant_assets.sample.store import VERSION, read_manifest
from plant_assets.settings import Settings
from plant_assets.warehouse.database_files import put_in_place, settle
from plant_assets.warehouse.lock import hold_lock


def set_aside_other_version(settings: Settings, log: logging.Logger, holder: str, wait: bool = True) -> None:
    """Move the default sample store and its warehouse to `.before` if another version wrote the store.

    Raises:
        UsageError: the warehouse is in use and `wait` is false.
    """
    store, warehouse = settings.source_path, settings.warehouse_path
    if not settings.is_sample or not _is_other_version(store):
        return
    with hold_lock(settings, log, holder, wait):
        # The store goes last: a process that is killed in between is made up for by the next.
        if warehouse.exists():
            settle(settings, log)
            put_in_place(warehouse, _before(warehouse))
        if settings.tables_path.exists():
            _replace_folder(settings.tables_path)
        settings.store_path.unlink(missing_ok=True)
        _replace_folder(store)
    log.info("the sample store is made new, as version %s: the one of before is kept in %s", VERSION, _before(store))


def _is_other_version(store: Path) -> bool:
    known = read_manifest(store)
    return known is not None and known.version != VERSION


def _replace_folder(folder: Path) -> None:
    shutil.rmtree(_before(folder), ignore_errors=True)
    os.replace(folder, _before(folder))


def _before(path: Path) -> Path:
    return path.with_name(path.name + ".before")
