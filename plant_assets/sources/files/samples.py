"""The first rows of a file whatever it is called, as text by the names of its columns: what `doctor` guesses from."""

import codecs
import csv
import io
import itertools
import json
from dataclasses import replace
from typing import Any

import duckdb

from plant_assets.sources.base import Sample, SourceFile
from plant_assets.sources.files.heads import head_of, rows_of
from plant_assets.sources.files.lines import json_records
from plant_assets.sources.files.opening import open_file
from plant_assets.sources.files.shapes import escape_glob, fields_of
from plant_assets.sources.mapping import CsvForm

MOST_ROWS, MOST_BYTES = 50_000, 1 << 22
# What most stores write that do not write UTF-8.
OTHER_ENCODING = "cp1252"


def sample_of(connection: duckdb.DuckDBPyConnection, source_file: SourceFile) -> Sample:
    """Return the first rows of a file.

    Raises:
        SourceError: the file cannot be read.
    """
    table = source_file.name.partition("/")[0].removesuffix(f".{source_file.extension}")
    if source_file.kind == "csv":
        return replace(_of_csv(source_file), table=table)
    if source_file.kind == "jsonl":
        records = itertools.islice(json_records(source_file), MOST_ROWS)
        found = [_object(str(text)) for _line, text, _refused in records]
        rows = [{name: value for name, value in fields_of(each) if not isinstance(value, list)} for each in found]
    else:
        statement = f"select to_json(file)::varchar from read_parquet(?) as file limit {MOST_ROWS}"
        texts = connection.execute(statement, [escape_glob(str(source_file.path))]).fetchall()
        rows = [_object(text) for (text,) in texts]
    return Sample(table, tuple(dict.fromkeys(name for row in rows for name in row)), [_texts(row) for row in rows])


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _texts(row: dict[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in row.items() if value not in (None, "")}


def _of_csv(source_file: SourceFile) -> Sample:
    encoding = None if _is_unicode(source_file) else OTHER_ENCODING
    read = replace(source_file, form=CsvForm(encoding=encoding))
    head = head_of(read)
    with io.TextIOWrapper(open_file(read), head.encoding, "replace", newline="") as stream:
        lines = itertools.islice(stream, head.skip, None)
        try:
            rows = list(itertools.islice(rows_of(lines, head), 1, MOST_ROWS))
        except csv.Error:
            rows = []
    named = [{name: value for name, value in zip(head.names, row, strict=False) if value} for row in rows]
    return Sample("", head.names, named, head.separator, encoding)


def _is_unicode(source_file: SourceFile) -> bool:
    """Return whether the start of a file is UTF-8, or is marked as UTF-16."""
    with open_file(source_file) as stream:
        start = stream.read(MOST_BYTES)
    if start[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return True
    try:
        codecs.getincrementaldecoder("utf-8")().decode(start)
    except UnicodeDecodeError:
        return False
    return True
