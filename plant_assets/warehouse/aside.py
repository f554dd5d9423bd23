"""The warehouse of another store, which `--accept-source` sets aside. Each function needs the warehouse's lock.

The old warehouse is `<warehouse>.aside` until the new one remembers its store, and `<warehouse>.before` from then on.
If that never happens, since the source cannot be read or the process is killed, the old one is put back.
"""

import logging
from pathlib import Path

from plant_assets.settings import Settings, UsageError
from plant_assets.warehouse.database_files import connect, put_in_place, remove_database, settle
from plant_assets.warehouse.ledger.facts import store_facts


def set_aside_other_store(settings: Settings, log: logging.Logger) -> None:
    """Move the warehouse aside if it has another source or time zone.

    Raises:
        duckdb.Error, NotWhole: its file does not hold all of it; nothing was moved.
    """
    known, given = _store_of(settings, log), settings.store()
    if any(known.get(name) not in (None, value) for name, value in given.items()):
        settle(settings, log)
        put_in_place(settings.warehouse_path, _aside(settings))


def settle_aside(settings: Settings, log: logging.Logger) -> None:
    """Keep the warehouse that was set aside as `<warehouse>.before`, or put it back if no new one remembers a store."""
    aside, path = _aside(settings), settings.warehouse_path
    if not aside.exists():
        return
    if _store_of(settings, log):
        kept = path.with_name(path.name + ".before")
        put_in_place(aside, kept)
        log.info("the warehouse of before is kept in %s", kept)
    else:
        remove_database(path)
        put_in_place(aside, path)


def _aside(settings: Settings) -> Path:
    return settings.warehouse_path.with_name(settings.warehouse_path.name + ".aside")


def _store_of(settings: Settings, log: logging.Logger) -> dict[str, str]:
    """Return source and time zone of the warehouse's file; nothing if it is new, missing or unreadable."""
    path = settings.warehouse_path
    if not path.exists():
        return {}
    try:
        with connect(path, settings, log) as connection:
            return store_facts(connection)
    except UsageError:
        return {}
