"""Choose the source that the settings name. How it is read is in `files/` and `postgres/`."""

import datetime as dt

from plant_assets.settings import Settings
from plant_assets.sources.base import Source
from plant_assets.sources.files.source import FileSource
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
    mapping = mapping_of(settings)
    if settings.database is None:
        return FileSource(settings.source_path, settings.calendar, mapping)
    # Here, so that stores of files do not need the driver of a database.
    from plant_assets.sources.postgres.source import PostgresSource

    return PostgresSource(
        settings.database, settings.calendar, mapping, as_of, settings.late_weeks, first_week, anew, counts_weeks
    )


def require_files(settings: Settings) -> None:
    """Check that a store's files can be listed, before anything is locked or written.

    Files of a store other than the warehouse's are not checked here: the warehouse rejects them when it opens.

    Raises:
        SourceError: a run could not list the files, or the sample store is to be mapped. The message names the file, or
            what is missing.
    """
    require_mapped_source(settings)
    is_own = all(settings.remembered(name) in (None, value) for name, value in settings.store().items())
    if is_own and settings.source and settings.database is None:
        FileSource(settings.source_path, settings.calendar, mapping_of(settings)).list_files()
