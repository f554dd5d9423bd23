"""The head of a csv file: its encoding, its separator, the lines before the header, and the names in the header."""

import codecs
import csv
import io
import zlib
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from plant_assets.sources.base import SourceFile
from plant_assets.sources.errors import SourceError
from plant_assets.sources.files.opening import has_bad_bytes, open_file, unreadable

SEPARATORS = (",", ";", "\t", "|")
UTF8 = "utf-8-sig"
MOST_HEADER = 1_000_000


@dataclass(frozen=True)
class Head:
    """What stands before the rows of a csv file.

    Attributes:
        names: the names in the header, those that differ from ours in capitals only by ours.
        separator: what separates fields.
        quote: what encloses fields; empty for nothing.
        skip: the number of lines before the header.
        encoding: Python's name of the encoding.
    """

    names: tuple[str, ...] = ()
    separator: str = ","
    quote: str = '"'
    skip: int = 0
    encoding: str = UTF8

    @property
    def is_plain(self) -> bool:
        """Whether the engine reads the file: it knows UTF-8 only, and loses rows where lines before end otherwise."""
        return self.encoding == UTF8 and not self.skip


COMMAS = Head()


def head_of(source_file: SourceFile, wanted: Collection[str] = ()) -> Head:
    """Return the head of a csv file; the separator is the one by which most of the `wanted` names are found.

    Raises:
        SourceError: the file cannot be read, or its header is not in the encoding.
    """
    form, encoding = source_file.form, _encoding(source_file)
    try:
        with io.TextIOWrapper(open_file(source_file), encoding, "surrogateescape", newline="") as stream:
            lines, separator, skip = iter(stream), form.separator, 0
            for line in lines:
                text = line.strip()
                if skip >= form.skip and text.lower().startswith("sep=") and len(text) <= len("sep=,"):
                    separator = separator or text[len("sep=") :] or "\t"
                elif skip >= form.skip and text:
                    break
                skip += 1
            else:
                return Head(encoding=encoding)
            # A name in quotes may go on in the next line.
            text = line
            while form.quote and text.count(form.quote) % 2:
                if len(text) > MOST_HEADER or not (line := next(lines, "")):
                    raise SourceError(f"{source_file.path}: a quote that opens in line {skip + 1} is never closed")
                text += line
    except (OSError, EOFError, zlib.error, UnicodeError) as error:
        raise unreadable(source_file, error) from error
    found = [(each, _names(text, each, form.quote)) for each in ([separator] if separator else SEPARATORS)]
    least = {name.casefold() for name in wanted}
    separator, names = max(found, key=lambda each: (len(least & {name.casefold() for name in each[1]}), len(each[1])))
    if has_bad_bytes("".join(names)):
        raise SourceError(
            f"{source_file.path}: the header of the table {source_file.table} is not {called(encoding)}:"
            " name its encoding in PLANT_MAPPING, as in `csv: {encoding: cp1252}`"
        )
    return Head(tuple(as_wanted(names, wanted)), separator, form.quote, skip, encoding)


def rows_of(lines: Iterable[str], head: Head) -> Iterator[list[str]]:
    """Return the reader of a file's lines, header first; it raises an error where quotes are malformed."""
    if head.quote:
        return csv.reader(lines, delimiter=head.separator, quotechar=head.quote, strict=True)
    return csv.reader(lines, delimiter=head.separator, quoting=csv.QUOTE_NONE, strict=True)


def _names(text: str, separator: str, quote: str) -> list[str]:
    try:
        return [name.strip() for name in next(rows_of([text], Head((), separator, quote)), [])]
    except csv.Error:
        return []


def as_wanted(names: Collection[str], wanted: Collection[str]) -> list[str]:
    """Return names, those that differ from one that is wanted in capitals only as that, where no other does."""
    lower = [name.casefold() for name in names]
    by_lower = {name.casefold(): name for name in wanted if name not in names}
    return [by_lower.get(key, name) if lower.count(key) == 1 else name for name, key in zip(names, lower, strict=True)]


def called(encoding: str) -> str:
    """Return how messages call an encoding."""
    return "UTF-8" if encoding == UTF8 else encoding


def _encoding(source_file: SourceFile) -> str:
    """Return the encoding that the mapping gives; else UTF-16 where a file begins so, or UTF-8."""
    if source_file.form.encoding:
        return UTF8 if codecs.lookup(source_file.form.encoding).name in ("utf-8", UTF8) else source_file.form.encoding
    try:
        with open_file(source_file) as stream:
            return "utf-16" if stream.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else UTF8
    except (OSError, EOFError, zlib.error) as error:
        raise unreadable(source_file, error) from error
