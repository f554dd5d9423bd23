"""Reads text files line by line in Python: slow, but each row keeps its line and its text.

How the engine reads many files at once is in `shapes.py`.
"""

import csv
import gzip
import io
import itertools
import json
import re
import zlib
from collections.abc import Iterable, Iterator
from typing import BinaryIO, cast

from plant_assets.sources.base import SourceFile
from plant_assets.sources.errors import SourceError
from plant_assets.sources.tables import OTHERS, ReadTable

BATCH_ROWS = 50_000


def unreadable(source_file: SourceFile, error: Exception) -> SourceError:
    """Return the error to raise for a file that could not be read to its end."""
    reason = str(error).strip().splitlines()[0] if str(error) else type(error).__name__
    return SourceError(f"{source_file.path}: the table {source_file.table} cannot be read to its end: {reason}")


def open_file(source_file: SourceFile) -> BinaryIO:
    """Open a file for reading bytes, decompressed."""
    opened = gzip.open if source_file.extension.endswith(".gz") else open
    return cast(BinaryIO, opened(source_file.path, "rb"))


def _text_lines(source_file: SourceFile, newline: str | None) -> io.TextIOWrapper:
    """Open a UTF-8 file for reading lines; bytes that are not UTF-8 become lone surrogates."""
    return io.TextIOWrapper(open_file(source_file), "utf-8-sig", "surrogateescape", newline)


def header_of(source_file: SourceFile) -> list[str]:
    """Return the names in the first row of a csv file.

    Raises:
        SourceError: the file cannot be read, or its header is not UTF-8.
    """
    try:
        for _line, raw_text, fields, _problem in _csv_rows(source_file):
            if has_bad_bytes(raw_text):
                raise SourceError(f"{source_file.path}: the header of the table {source_file.table} is not UTF-8")
            return [name.strip() for name in fields]
        return []
    except (OSError, EOFError, zlib.error) as error:
        raise unreadable(source_file, error) from error


def _kept(lines: Iterable[str], taken: list[str]) -> Iterator[str]:
    for line in lines:
        taken.append(line)
        yield line


def _csv_rows(source_file: SourceFile) -> Iterator[tuple[int, str, list[str], str | None]]:
    """Yield the rows of a csv file, header first: line, text, fields, and why the fields cannot be split, or None.

    Raises:
        SourceError: a quote is never closed.
    """
    taken: list[str] = []
    csv.field_size_limit(2**31 - 1)
    with _text_lines(source_file, newline="") as stream:
        reader = csv.reader(_kept(stream, taken), strict=True)
        while True:
            taken.clear()
            line, problem = reader.line_num + 1, None
            try:
                fields = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                if "unexpected end of data" in str(error):
                    raise SourceError(
                        f"{source_file.path}: a quote that opens in line {line} is never closed"
                    ) from None
                fields, problem = [], f"malformed quotes: {error}"
            raw_text = "".join(taken).rstrip("\r\n")
            if ' "' in raw_text or '" ' in raw_text:
                spaced = _spaced_fields(raw_text)
                fields, problem = spaced or [], None if spaced else problem or "malformed quotes"
            yield line, raw_text, fields, problem


_FIELD = re.compile(r"""(?: ?"([^"]*(?:""[^"]*)*)" *|(?! ?")([^,]*))(,|\Z)""")


def _spaced_fields(text: str) -> list[str] | None:
    """Return the fields of a row with spaces around its quotes, as the engine reads them; None if it is malformed."""
    fields, at = [], 0
    while found := _FIELD.match(text, at):
        quoted, plain, comma = found.groups()
        fields.append(plain if quoted is None else quoted.replace('""', '"'))
        if not comma:
            return fields
        at = found.end()
    return None


Record = tuple[str | int | None, ...]


def csv_records(source_file: SourceFile, table: ReadTable) -> Iterator[Record]:
    """Yield the rows of a csv file: the columns that are read, the others, line, text, and reason or None."""
    rows = _csv_rows(source_file)
    _line, _text, names, _problem = next(rows)
    header = [name.strip() for name in names]
    read = table.theirs.values()
    places = [header.index(name) if name in header else None for name in read]
    others = [place for place, name in enumerate(header) if name not in read]
    nothing: Record = (None,) * (len(places) + 1)
    for line, raw_text, fields, refused in rows:
        if not raw_text:
            continue
        if has_bad_bytes(raw_text):
            raw_text, refused = _replaced(raw_text), "not UTF-8"
        elif not refused and len(fields) != len(header):
            refused = f"{len(fields)} fields, expected {len(header)}"
        values = nothing
        if not refused:
            values = tuple(None if place is None else fields[place] for place in places)
            values += (json.dumps([fields[place] for place in others]) if OTHERS in table.columns else None,)
        yield *values, line, raw_text, refused


def json_records(source_file: SourceFile) -> Iterator[Record]:
    """Yield the lines of a jsonl file: line, raw_text and reason or None; blank lines are left out."""
    with _text_lines(source_file, newline=None) as stream:
        for line, content in enumerate(stream, start=1):
            raw_text = content.rstrip("\n")
            if not raw_text.strip():
                continue
            if has_bad_bytes(raw_text):
                yield line, _replaced(raw_text), "not UTF-8"
            else:
                yield line, raw_text, None


def _replaced(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def named_fields(source_file: SourceFile, raw_text: str) -> dict[str, str | None]:
    """Return the fields of a row's text by the names that its file gives them."""
    if not source_file.extension.startswith("csv"):
        return {name: None if value is None else str(value) for name, value in json.loads(raw_text).items()}
    fields = next(csv.reader(io.StringIO(raw_text, newline="")))
    return dict(zip(header_of(source_file), fields, strict=False))


def has_bad_bytes(text: str) -> bool:
    """Return whether text holds bytes that are not UTF-8, kept as lone surrogates."""
    if text.isascii():
        return False
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False


def batches(records: Iterable[Record]) -> Iterator[tuple[Record, ...]]:
    """Yield the records in tuples of `BATCH_ROWS`."""
    records = iter(records)
    while batch := tuple(itertools.islice(records, BATCH_ROWS)):
        yield batch
