"""Which instants files of the products are of: that of the file's name, those of its rows, or that of the run."""

import contextlib
import datetime as dt
import re
from pathlib import Path

import duckdb

from plant_assets.calendar import Calendar
from plant_assets.sources.base import Source, SourceFile, note_instants
from plant_assets.sources.errors import SourceError
from plant_assets.sources.files.heads import as_wanted
from plant_assets.sources.files.shapes import columns_of
from plant_assets.sources.tables import OBSERVED_AT, Holds


def dated(source: Source, directory: Path, products: list[SourceFile], stock: list[SourceFile]) -> list[SourceFile]:
    """Return the files of the products and of stock, each with its instant, or noted to have those of its rows.

    Raises:
        SourceError: the name of a file is not an instant, or is that of another file.
    """
    are_dated = any(each.path.parent != directory for each in products)
    files = note_instants(source.mapping, products, stock, dates_rows(source, "products", products), are_dated)
    if are_dated:
        _date_by_name([each for each in files if each.holds == Holds.OBSERVATION], source.calendar)
    return files


def dates_rows(source: Source, table: str, files: list[SourceFile]) -> bool:
    """Return whether a table has a column of instants: the mapping names it, or the first file has ours."""
    if not files or not (column := source.mapping.instants_of(table)):
        return False
    if column != OBSERVED_AT:
        return True
    with contextlib.suppress(SourceError), duckdb.connect() as connection:
        return OBSERVED_AT in as_wanted(columns_of(connection, files[0]), [OBSERVED_AT])
    # A load says why the file cannot be read.
    return False


def instant_of(stem: str, calendar: Calendar) -> dt.datetime | None:
    """Return the UTC instant that a dated file's stem names; None if it names none, or one before 1970."""
    try:
        if re.fullmatch(r"\d{4}-\d\d-\d\d", stem):
            instant = calendar.starts_at(dt.date.fromisoformat(stem))
        elif re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ", stem):
            instant = dt.datetime.strptime(stem, "%Y-%m-%dT%H-%M-%SZ")
        else:
            return None
    except (ValueError, OverflowError):
        return None
    return instant if instant >= dt.datetime(1970, 1, 1) else None


def _date_by_name(files: list[SourceFile], calendar: Calendar) -> None:
    for each in files:
        each.observed_at = instant_of(each.path.name[: -len(each.extension) - 1], calendar)
        if each.observed_at is None:
            raise SourceError(
                f"{each.path} is not named by an instant: expected 2021-02-22.{each.extension}"
                f" or 2021-02-22T06-00-00Z.{each.extension}"
            )
    _require_distinct_instants(files)


def _require_distinct_instants(files: list[SourceFile]) -> None:
    by_instant: dict[dt.datetime | None, SourceFile] = {}
    for source_file in files:
        other = by_instant.setdefault(source_file.observed_at, source_file)
        if other is not source_file:
            raise SourceError(
                f"{other.path} and {source_file.path} have the same instant, {source_file.observed_at}Z;"
                " keep one of them"
            )
