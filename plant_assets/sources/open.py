"""Where a store's tables are read from. Each source stages typed rows; refusals keep their reason."""

import datetime as dt

from plant_assets.settings import Settings
from plant_assets.sources.base import Source
from plant_assets.sources.files.source import FileSource
from plant_assets.sources.mapping import mapping_of


def source_of(
    settings: Settings,
    as_of: dt.datetime,
    first_week: dt.date | None = None,
    anew: tuple[dt.date, dt.date] | None = None,
    counts_weeks: bool = False,
) -> Source:
    """The source that the settings name, as of an instant. What else is given says which weeks of a database to read.

    Raises:
        MappingError: the mapping's file cannot be used.
    """
    mapping = mapping_of(settings)
    if settings.database is None:
        return FileSource(settings.source_path, settings.calendar, mapping)
    # Stores of files need no database's driver.
    from plant_assets.sources.postgres.source import PostgresSource

    return PostgresSource(
        settings.database, settings.calendar, mapping, as_of, settings.late_weeks, first_week, anew, counts_weeks
    )


def require_files(settings: Settings) -> None:
    """Look at a store's files before anything is locked or written. Another store's are for the warehouse to refuse.

    Raises:
        SourceError: a run could not read them; the message names the file or what is missing.
    """
    is_own = all(settings.remembered(name) in (None, value) for name, value in settings.store().items())
    if is_own and settings.source and settings.database is None:
        FileSource(settings.source_path, settings.calendar, mapping_of(settings)).list_files()
