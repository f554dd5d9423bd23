"""Opens files for reading bytes, and says what cannot be read."""

import codecs
import gzip
from typing import BinaryIO, cast

import pyarrow as pa

from plant_assets.sources.base import SourceFile
from plant_assets.sources.errors import SourceError


def unreadable(source_file: SourceFile, error: Exception) -> SourceError:
    """Return the error to raise for a file that could not be read to its end."""
    reason = str(error).strip().splitlines()[0] if str(error) else type(error).__name__
    return SourceError(f"{source_file.path}: the table {source_file.table} cannot be read to its end: {reason}")


def open_file(source_file: SourceFile) -> BinaryIO:
    """Open a file for reading bytes, decompressed."""
    if source_file.extension.endswith(".zst"):
        return cast(BinaryIO, pa.input_stream(str(source_file.path), compression="zstd"))
    opened = gzip.open if source_file.extension.endswith(".gz") else open
    return cast(BinaryIO, opened(source_file.path, "rb"))


def is_array(source_file: SourceFile) -> bool:
    """Return whether a json file is an array; else it has an object per line."""
    if source_file.extension != "json":
        return False
    with open_file(source_file) as stream:
        return stream.read(1 << 16).removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"[")


def has_bad_bytes(text: str) -> bool:
    """Return whether text holds bytes that are not UTF-8, kept as lone surrogates."""
    if text.isascii():
        return False
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False
