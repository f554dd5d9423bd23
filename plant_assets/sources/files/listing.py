"""Which files of a folder belong to which table, by their names. Nothing here opens a file."""

import os
import stat
from collections.abc import Collection, Iterator
from pathlib import Path

from plant_assets.sources.base import Source, SourceFile
from plant_assets.sources.errors import SourceError
from plant_assets.sources.files.opening import has_bad_bytes
from plant_assets.sources.tables import LISTED_TABLES

EXTENSIONS = (
    "csv",
    "csv.gz",
    "csv.zst",
    "tsv",
    "tsv.gz",
    "parquet",
    "json",
    "jsonl",
    "jsonl.gz",
    "ndjson",
    "ndjson.gz",
)
# Files of the folder that are nobody's: the sample store's own notes.
_OURS = ("sample.json",)

_OTHER_FORMS = (
    ".xml",
    ".sql",
    ".avro",
    ".orc",
    ".feather",
    ".arrow",
    ".db",
    ".sqlite",
    ".sqlite3",
    ".dbf",
    ".txt",
    ".dat",
)


def extension_of(name: str) -> str | None:
    """Return the extension of a file that can be read, or None."""
    for extension in EXTENSIONS:
        if name.lower().endswith("." + extension):
            return extension
    return None


def paths_below(folder: Path) -> Iterator[Path]:
    """Yield the paths below a folder at any depth, links followed, hidden files and folders left out.

    Raises:
        SourceError: a folder cannot be listed.
    """

    def fail(error: OSError) -> None:
        raise SourceError(f"{error.filename} cannot be listed: {error.strerror}") from error

    seen = set()
    for parent, folders, names in os.walk(folder, onerror=fail, followlinks=True):
        is_loop = os.path.realpath(parent) in seen
        seen.add(os.path.realpath(parent))
        folders[:] = [] if is_loop else sorted(name for name in folders if not name.startswith("."))
        if not is_loop:
            yield from (Path(parent, name) for name in (*folders, *names) if not name.startswith("."))


def files_of(source: Source, directory: Path, table: str) -> list[SourceFile]:
    """Return the files of a table, in order of their names; none if it is absent.

    Raises:
        SourceError: the table is given twice, or one of its files cannot be used.
    """
    stem = source.mapping.table(table)
    if stem is None:
        return []
    places = []
    try:
        entries = sorted(directory.iterdir())
    except OSError as error:
        raise SourceError(f"the source {directory} cannot be listed: {error.strerror}") from error
    for entry in entries:
        is_file_of_table = any(entry.name.lower() == f"{stem.lower()}.{ext}" for ext in EXTENSIONS)
        if entry.name == stem or is_file_of_table:
            places.append(entry)
    if len(places) > 1:
        names = " and ".join(place.name for place in places)
        raise SourceError(f"{directory} gives the table {table} twice: {names}; keep one of them")
    if not places:
        return []
    place = places[0]
    if place.name != stem:
        if place.is_dir():
            raise SourceError(f"{place} is a directory: expected a file, or a folder named {stem}")
        return [file_of(source, directory, table, place)]
    if not place.is_dir():
        raise SourceError(f"{place} has no extension: expected one of {', '.join(EXTENSIONS)}")
    return [file_of(source, directory, table, path) for path in sorted(paths_below(place)) if extension_of(path.name)]


def unread_files(directory: Path, stems: Collection[str]) -> list[str]:
    """Return the names of the entries of a folder that belong to no table of these names."""
    tables = {stem.lower() for stem in stems}
    return [
        entry.name
        for entry in sorted(directory.iterdir())
        if not entry.name.startswith(".") and entry.name not in (*stems, *_OURS)
        if not (ext := extension_of(entry.name)) or entry.name.lower().removesuffix(f".{ext}") not in tables
    ]


def how_to_save(name: str) -> str:
    """Return how to save a file so that it can be read; an empty text for a file that holds no table."""
    extension = Path(name).suffix.lower()
    if extension in (".xlsx", ".xls", ".xlsm", ".ods", ".numbers"):
        return "save each sheet as csv"
    if extension in (".zip", ".7z", ".rar", ".tar", ".tgz", ".bz2", ".xz"):
        return "unpack it"
    return "export it as csv, jsonl or parquet" if extension in _OTHER_FORMS else ""


def file_of(source: Source, directory: Path, table: str, path: Path) -> SourceFile:
    """Return a file of a table.

    Raises:
        SourceError: the file cannot be read.
    """
    extension = extension_of(path.name)
    assert extension
    if path.is_dir():
        raise SourceError(f"{path} is a directory: expected a {extension} file of the table {table}")
    try:
        status = path.stat()
    except OSError as error:
        raise SourceError(f"{path} of the table {table} cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(status.st_mode):
        raise SourceError(f"{path} of the table {table} is not a regular file: expected a {extension} file")
    name = path.relative_to(directory).as_posix()
    if has_bad_bytes(name):
        raise SourceError(f"{path} of the table {table} has a name that is not UTF-8: rename it")
    # `doctor` lists files of other names too.
    read_by = LISTED_TABLES[table].read_by(source.mapping) if table in LISTED_TABLES else ""
    source_file = SourceFile(table, name, path, extension, status.st_size, status.st_mtime_ns, mapping=read_by)
    source_file.form = source.mapping.csv_form(table)
    return source_file
