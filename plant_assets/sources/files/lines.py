"""Reads text files line by line in Python: slow, but each row keeps its line and its text.

How the engine reads many files at once is in `shapes.py`.
"""

import csv
import functools
import io
import itertools
import json
import re
from collections.abc import Iterable, Iterator

from plant_assets.contracts import COUNT, PRICE
from plant_assets.sources.base import SourceFile
from plant_assets.sources.errors import SourceError
from plant_assets.sources.files.heads import UTF8, Head, called, head_of, rows_of
from plant_assets.sources.files.opening import has_bad_bytes, is_array, open_file, unreadable
from plant_assets.sources.tables import OTHERS, ReadTable

BATCH_ROWS = 50_000


def _text_lines(source_file: SourceFile, encoding: str, newline: str | None) -> io.TextIOWrapper:
    """Open a file for reading lines; bytes that are not in the encoding become lone surrogates."""
    return io.TextIOWrapper(open_file(source_file), encoding, "surrogateescape", newline)


def _kept(lines: Iterable[str], taken: list[str]) -> Iterator[str]:
    for line in lines:
        taken.append(line)
        yield line


def _csv_rows(source_file: SourceFile, head: Head) -> Iterator[tuple[int, str, list[str], str | None]]:
    """Yield the rows of a csv file, header first: line, text, fields, and why the fields cannot be split, or None.

    Raises:
        SourceError: a quote is never closed, or the file is cut off.
    """
    taken: list[str] = []
    csv.field_size_limit(2**31 - 1)
    with _text_lines(source_file, head.encoding, newline="") as stream:
        lines = itertools.count(head.skip + 1)
        reader = rows_of(_kept(itertools.islice(stream, head.skip, None), taken), head)
        line = next(lines)
        while True:
            line, problem = line + len(taken), None
            taken.clear()
            try:
                fields = next(reader)
            except StopIteration:
                return
            except UnicodeError as error:
                # UTF-16 that is cut off.
                raise unreadable(source_file, error) from error
            except csv.Error as error:
                if "unexpected end of data" in str(error):
                    raise SourceError(
                        f"{source_file.path}: a quote that opens in line {line} is never closed"
                    ) from None
                fields, problem = [], f"malformed quotes: {error}"
            raw_text = "".join(taken).rstrip("\r\n")
            if ' "' in raw_text or '" ' in raw_text:
                spaced = _spaced_fields(raw_text, head.separator)
                fields, problem = spaced or [], None if spaced else problem or "malformed quotes"
            yield line, raw_text, fields, problem


@functools.cache
def _field(separator: str) -> re.Pattern[str]:
    other, ends = f"[^{re.escape(separator)}]*", f"({re.escape(separator)}|\\Z)"
    return re.compile(rf"""(?: ?"([^"]*(?:""[^"]*)*)" *|(?! ?")({other})){ends}""")


def _spaced_fields(text: str, separator: str) -> list[str] | None:
    """Return the fields of a row with spaces around its quotes, as the engine reads them; None if it is malformed."""
    fields, at = [], 0
    while found := _field(separator).match(text, at):
        quoted, plain, comma = found.groups()
        fields.append(plain if quoted is None else quoted.replace('""', '"'))
        if not comma:
            return fields
        at = found.end()
    return None


Record = tuple[str | int | None, ...]


def csv_records(source_file: SourceFile, table: ReadTable, head: Head) -> Iterator[Record]:
    """Yield the rows of a csv file: the columns that are read, the others, line, text, and reason or None."""
    rows, header = _csv_rows(source_file, head), head.names
    next(rows)
    read = table.theirs.values()
    places = [header.index(name) if name in header else None for name in read]
    others = [place for place, name in enumerate(header) if name not in read]
    nothing: Record = (None,) * (len(places) + 1)
    for line, raw_text, fields, refused in rows:
        if not raw_text:
            continue
        if has_bad_bytes(raw_text):
            raw_text, refused = _replaced(raw_text), f"not {called(head.encoding)}"
        elif not refused and len(fields) != len(header):
            refused = f"{len(fields)} fields, expected {len(header)}"
        values = nothing
        if not refused:
            values = tuple(None if place is None else fields[place] for place in places)
            values += (json.dumps([fields[place] for place in others]) if OTHERS in table.columns else None,)
        yield *values, line, raw_text, refused


def comma_numbers(source_file: SourceFile, table: ReadTable, head: Head) -> frozenset[str]:
    """Return the columns whose numbers have a decimal comma though the mapping says nothing of it.

    They hold a comma, none has exactly three digits after it, and the separator is another: `1,299` may be a thousand.
    """
    columns = [name for name in table.theirs if table.columns.get(name) in (PRICE, COUNT)]
    if head.separator == "," or source_file.form.decimal or source_file.form.thousands or not columns:
        return frozenset()
    order, found, unclear = list(table.theirs), set[str](), set[str]()
    for record in csv_records(source_file, table, head):
        for name in columns:
            text = record[order.index(name)]
            if isinstance(text, str) and "," in text:
                (unclear if re.search(r",\d{3}(?!\d)", text) else found).add(name)
    return frozenset(found - unclear)


def json_records(source_file: SourceFile) -> Iterator[Record]:
    """Yield the lines of a jsonl file, or the items of an array: line, raw_text and reason or None; no blank lines.

    Raises:
        SourceError: the array is malformed.
    """
    if is_array(source_file):
        yield from _items(source_file)
        return
    with _text_lines(source_file, UTF8, newline=None) as stream:
        for line, content in enumerate(stream, start=1):
            raw_text = content.rstrip("\n")
            if not raw_text.strip():
                continue
            if has_bad_bytes(raw_text):
                yield line, _replaced(raw_text), "not UTF-8"
            else:
                yield line, raw_text, None


_BETWEEN = re.compile(r"[\s,]*")


def _items(source_file: SourceFile) -> Iterator[Record]:
    """Yield the items of an array, each with the line in which it begins."""
    with _text_lines(source_file, UTF8, newline=None) as stream:
        text = stream.read()
    decoder, at, line, counted = json.JSONDecoder(), text.index("[") + 1, 1, 0
    while True:
        at = _BETWEEN.match(text, at).end()  # type: ignore[union-attr]
        line, counted = line + text.count("\n", counted, at), at
        if text.startswith("]", at):
            return
        try:
            _value, end = decoder.raw_decode(text, at)
        except ValueError as error:
            raise SourceError(
                f"{source_file.path}, line {line}: the table {source_file.table} is no JSON array to its end: {error}"
            ) from error
        item = " ".join(text[at:end].splitlines())
        yield line, _replaced(item) if has_bad_bytes(item) else item, "not UTF-8" if has_bad_bytes(item) else None
        at = end


def _replaced(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def named_fields(source_file: SourceFile, raw_text: str) -> dict[str, str | None]:
    """Return the fields of a row's text by the names that its file gives them."""
    if source_file.kind != "csv":
        return {name: None if value is None else str(value) for name, value in json.loads(raw_text).items()}
    head = head_of(source_file)
    return dict(zip(head.names, next(rows_of([raw_text], head)), strict=False))


def batches(records: Iterable[Record]) -> Iterator[tuple[Record, ...]]:
    """Yield the records in tuples of `BATCH_ROWS`."""
    records = iter(records)
    while batch := tuple(itertools.islice(records, BATCH_ROWS)):
        yield batch
