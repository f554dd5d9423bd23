"""Which files of a folder belong to which table, by their names. Nothing here opens a file."""

import datetime as dt
import os
import re
from collections.abc import Iterator
from pathlib import Path

from plant_assets.calendar import Calendar
from plant_assets.sources.errors import SourceError

EXTENSIONS = ("csv", "csv.gz", "parquet", "jsonl", "jsonl.gz")


def instant_of(stem: str, calendar: Calendar) -> dt.datetime | None:
    """The instant that a dated file's stem names, in UTC; None where it names none, or one before 1970."""
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


def extension_of(name: str) -> str | None:
    """Return the extension of a file that can be read, None for others."""
    for extension in EXTENSIONS:
        if name.lower().endswith("." + extension):
            return extension
    return None


def paths_below(folder: Path) -> Iterator[Path]:
    """What lies in a folder at any depth, behind links too; hidden files and folders do not count."""

    def fail(error: OSError) -> None:
        raise SourceError(f"{error.filename} cannot be listed: {error.strerror}") from error

    seen = set()
    for parent, folders, names in os.walk(folder, onerror=fail, followlinks=True):
        is_loop = os.path.realpath(parent) in seen
        seen.add(os.path.realpath(parent))
        folders[:] = [] if is_loop else sorted(name for name in folders if not name.startswith("."))
        if not is_loop:
            yield from (Path(parent, name) for name in (*folders, *names) if not name.startswith("."))
