"""Choose the source that the settings name. How it is read is in `files/`, `live/` and a folder for each database."""

import datetime as dt
import os
from collections.abc import Callable
from functools import partial

from plant_assets.duckdb_url import DuckDBUrl
from plant_assets.settings import Settings
from plant_assets.sources.base import Source
from plant_assets.sources.duckdb_file.database import DuckDBDatabase
from plant_assets.sources.errors import SourceError
from plant_assets.sources.files.source import FileSource
from plant_assets.sources.live.database import Database
from plant_assets.sources.live.source import LiveSource
from plant_assets.sources.mapping_file import mapping_of, require_mapped_source


def source_of(
    settings: Settings,
    as_of: dt.datetime,
    first_week: dt.date | None = None,
    anew: tuple[dt.date, dt.date] | None = None,
    counts_weeks: bool = False,
) -> Source:
    """Return the source that the settings name.

    Args:
        settings: the settings.
        as_of: when live tables are observed.
        first_week: the first week that was ever loaded. Only databases use it, and what follows.
        anew: the first and last week to read again in any case.
        counts_weeks: whether to read closed weeks again whose number of rows changed.

    Raises:
        MappingError: the mapping's file cannot be used.
    """
    mapping, database = mapping_of(settings), settings.database
    if database is None:
        return FileSource(settings.source_path, settings.calendar, mapping)
    _require_other_file(settings)
    connect: Callable[[], Database]
    if isinstance(database, DuckDBUrl):
        connect = partial(DuckDBDatabase, database)
    else:
        # Here, so that other stores do not need the driver of a server.
        from plant_assets.sources.postgres.database import PostgresDatabase

        connect = partial(PostgresDatabase, database)
    weeks = settings.late_weeks, first_week, anew, counts_weeks
    return LiveSource(database.shown, connect, settings.calendar, mapping, as_of, *weeks)


def _require_other_file(settings: Settings) -> None:
    """Check that the source is not the warehouse, or its marts.

    Raises:
        SourceError: it is.
    """
    if not isinstance(settings.database, DuckDBUrl) or not settings.database.path.exists():
        return
    for ours in (settings.warehouse_path, settings.marts_path):
        if ours.exists() and os.path.samefile(ours, settings.database.path):
            raise SourceError(
                f"{settings.database.shown} is the warehouse itself, {ours}: name the store's own file as --source, or"
                " another --warehouse"
            )


def require_files(settings: Settings) -> None:
    """Check that a store's files can be listed, before anything is locked or written.

    Files of a store other than the warehouse's are not checked here: the warehouse rejects them when it opens.

    Raises:
        SourceError: a run could not list the files, or the sample store is to be mapped. The message names the file, or
            what is missing.
    """
    require_mapped_source(settings)
    _require_other_file(settings)
    is_own = all(settings.remembered(name) in (None, value) for name, value in settings.store().items())
    if is_own and settings.source and settings.database is None:
        FileSource(settings.source_path, settings.calendar, mapping_of(settings)).list_files()
