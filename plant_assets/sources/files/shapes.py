"""How the engine reads files: one statement for all files of a shape, such as csv files with equal headers.

A text file with a rejected row is read again by `lines.py`.
"""

import contextlib
import itertools
import json
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import duckdb

from plant_assets.sources.base import SourceFile
from plant_assets.sources.errors import SourceError
from plant_assets.sources.files.heads import COMMAS, Head, as_wanted, head_of
from plant_assets.sources.files.lines import comma_numbers, json_records
from plant_assets.sources.files.opening import is_array, open_file, unreadable
from plant_assets.sources.mapping import PRICE_OF_EVENT
from plant_assets.sources.tables import OTHERS, ReadTable, require_columns
from plant_assets.sql import identifier, literal


@dataclass(frozen=True)
class Shape:
    """What files that one statement reads share: csv headers, parquet columns, or that they are jsonl.

    `commas` are the columns of ours whose numbers have a decimal comma; of arrays of JSON, `is_array` is true.
    """

    form: str
    columns: tuple[tuple[str, str], ...] = ()
    head: Head = COMMAS
    commas: frozenset[str] = frozenset()
    is_array: bool = False

    @property
    def is_plain(self) -> bool:
        """Whether the engine can read the files."""
        return self.head.is_plain and not self.is_array

    @property
    def _names(self) -> list[str]:
        return [name for name, _type in self.columns]

    def _others(self, table: ReadTable) -> list[str]:
        """Return the columns of a file that are not read, if rows are compared by them."""
        return [name for name in self._names if name not in table.theirs.values()] if OTHERS in table.columns else []

    def types(self, table: ReadTable) -> dict[str, str]:
        """Return the engine's type of each of our columns in the result of `select`."""
        given = dict(self.columns)
        return {name: given.get(table.theirs.get(name, ""), "VARCHAR") for name in table.names}

    def raw_text(self, table: ReadTable) -> str:
        """Return the SQL expression of a row's text, over the result of `select`."""
        if self.form != "parquet":
            return "raw_text"
        # The values as read: the typed ones have names of their own.
        return f"to_json(struct_pack({', '.join(f'{name} := {name}' for name in table.theirs)}))::varchar"

    def select(self, table: ReadTable) -> str:
        """Return the statement that reads the table's columns untyped. Its one parameter is `paths`, a list."""
        text_form = (
            f"auto_detect = false, nullstr = '{_NO_NULL}', filename = true, hive_partitioning = false,"
            " store_rejects = true, rejects_limit = 0, rejects_table = 'refused_lines', rejects_scan = 'refused_scans'"
        )
        if self.form == "parquet":
            places = {name: f'"{column}"' for name, column in table.theirs.items() if column in self._names}
            others = ", ".join(f"{column} := {column}" for column in map(identifier, self._others(table)))
            values = table.values({OTHERS: f"to_json(struct_pack({others}))::varchar" if others else "", **places})
            return (
                f"select {values}, read_from as filename, null::bigint as line, null as refused"
                " from read_parquet($paths, filename = 'read_from', hive_partitioning = false)"
            )
        if self.form == "csv":
            header = self._names
            places = {name: f"c{header.index(column)}" for name, column in table.theirs.items() if column in header}
            others = ", ".join(f"c{place}" for place, name in enumerate(header) if name not in table.theirs.values())
            values = table.values({OTHERS: f"to_json([{others}])::varchar" if others else "", **places})
            columns = {f"c{place}": "VARCHAR" for place in range(len(header))}
            return (
                f"select {values}, filename, null::bigint as line, null as refused, null as raw_text"
                f" from read_csv($paths, columns = {columns}, header = true, delim = {literal(self.head.separator)},"
                f" quote = {literal(self.head.quote)}, escape = {literal(self.head.quote)}, {text_form})"
            )
        return json_select(
            table,
            "select raw_text, filename, null::bigint as line, null as refused from read_csv($paths,"
            " columns = {'raw_text': 'VARCHAR'}, header = false, delim = '\x01', quote = '', escape = '',"
            f" {text_form}) where trim(raw_text) <> ''",
        )


# A file without a byte has no rows.
EMPTY = Shape("empty")
# A NULL string that no file holds: the engine does not report surplus fields that equal it.
_NO_NULL = "\x02"


def require_keys(connection: duckdb.DuckDBPyConnection, table: ReadTable, files: list[SourceFile]) -> None:
    """Check that the staged jsonl files have each column in some line; writers may leave out some nullable columns.

    Raises:
        SourceError: no line has the column.
    """
    left_out = (*_LEFT_OUT, *table.table.optional)
    columns = [name for name in table.columns if {*table.parts.get(name, (name,))} & {*table.theirs} - {*left_out}]
    counts = connection.execute(
        f"select count(*), {', '.join(f'count({name})' for name in columns)} from {table.table.staged}"
        " where list_contains(?::varchar[], file)",
        [[each.name for each in files]],
    ).fetchall()[0]
    if not counts[0] or all(counts[1:]):
        return
    found, lists = _json_names(files[0])
    names = [table.theirs[part] for name in columns for part in table.parts.get(name, (name,))]
    missing = [name for name in names if name not in found]
    if found and missing:
        raise SourceError(
            f"{files[0].path}: the table {table.name} lacks {', '.join(missing)}; columns found:"
            f" {', '.join(sorted(found))}" + (f"; lists are not read: {', '.join(sorted(lists))}" if lists else "")
        )


# Columns that writers of jsonl leave out if they are NULL.
_LEFT_OUT = ("user_id", "page_url", "order_id", "product_id", "order_total", "status", "dbt_valid_to", PRICE_OF_EVENT)
SAMPLED_LINES = 1000


def json_select(table: ReadTable, lines: str) -> str:
    """Return the statement that reads the table's columns from JSON lines.

    Args:
        table: the table as the store has it.
        lines: the statement that gives raw_text, filename, line and refused.
    """
    names = list(dict.fromkeys(table.theirs.values()))
    nested = [name for name in names if "." in name]
    paths = [f'$."{name}"' for name in names] + [
        "$" + "".join(f'."{part}"' for part in name.split(".")) for name in nested
    ]
    values_of = {name: f"fields[{place}]" for place, name in enumerate(names, 1)}
    # A name with dots is a field's own where there is one, else a path.
    values_of |= {
        name: f"coalesce({values_of[name]}, fields[{place}])" for place, name in enumerate(nested, len(names) + 1)
    }
    places = {name: values_of[column] for name, column in table.theirs.items()}
    read = json.dumps(dict.fromkeys(table.theirs.values()))
    values = table.values({OTHERS: f"json_merge_patch(document, {literal(read)})::varchar", **places})
    return (
        f"select {values}, filename, line, raw_text,"
        " coalesce(refused, if(json_type(document) = 'OBJECT', null, 'not a JSON object')) as refused"
        f" from (select *, json_extract_string(document, {paths}) as fields from"
        f" (select *, if(refused is null and json_valid(raw_text), raw_text, '0') as document from ({lines})))"
    )


def schemas_of(connection: duckdb.DuckDBPyConnection, files: list[SourceFile]) -> dict[str, str]:
    """Return the schemas of parquet files as text, by path, with one query; none if any file is unreadable."""
    try:
        found = connection.execute(
            "select file_name, string_agg(concat_ws('/', name, type, converted_type, logical_type, num_children), ' ')"
            " from parquet_schema(?) group by file_name",
            [[escape_glob(str(each.path)) for each in files]],
        )
        return dict(found.fetchall())
    except duckdb.Error:
        return {}


def columns_of(connection: duckdb.DuckDBPyConnection, source_file: SourceFile) -> list[str]:
    """Return the names of a file's columns; for jsonl, those of its first lines."""
    if source_file.extension == "parquet":
        try:
            described = "select column_name from (describe from read_parquet(?, hive_partitioning = false))"
            return [row[0] for row in connection.execute(described, [escape_glob(str(source_file.path))]).fetchall()]
        except duckdb.Error as error:
            raise unreadable(source_file, error) from error
    if source_file.kind == "jsonl":
        return sorted(_json_names(source_file)[0])
    return list(head_of(source_file).names)


def _json_names(source_file: SourceFile) -> tuple[set[str], set[str]]:
    """Return the names of the fields in the first lines, nested ones by their paths, and those of lists."""
    found, lists = set[str](), set[str]()
    for _line, raw_text, _refused in itertools.islice(json_records(source_file), SAMPLED_LINES):
        with contextlib.suppress(ValueError, RecursionError):
            document = json.loads(str(raw_text))
            for name, value in fields_of(document) if isinstance(document, dict) else ():
                (lists if isinstance(value, list) else found).add(name)
    return found, lists


def fields_of(document: dict[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the fields of an object that are no objects, by their paths."""
    for name, value in document.items():
        if isinstance(value, dict) and value:
            yield from fields_of(value, f"{before}{name}.")
        else:
            yield before + name, value


def shape_of(connection: duckdb.DuckDBPyConnection, table: ReadTable, source_file: SourceFile) -> Shape:
    """Return the shape of a file, from its header or schema.

    Raises:
        SourceError: the file cannot be read, or lacks a needed column.
    """
    if source_file.extension.endswith((".gz", ".zst")):
        require_whole(source_file)
    if source_file.kind == "jsonl":
        return Shape("jsonl", is_array=is_array(source_file))
    if source_file.extension == "parquet":
        try:
            found = connection.execute(
                "select column_name, column_type from (describe from read_parquet(?, hive_partitioning = false))",
                [escape_glob(str(source_file.path))],
            ).fetchall()
        except duckdb.Error as error:
            raise unreadable(source_file, error) from error
        is_read = {*table.theirs.values()}
        # The engine finds columns whatever their capitals.
        names = as_wanted([name for name, _kind in found], is_read)
        kinds = [kind for _name, kind in found]
        columns = tuple(
            (name, kind) for name, kind in zip(names, kinds, strict=True) if name in is_read or OTHERS in table.columns
        )
        require_columns(table, source_file.path, names)
        return Shape("parquet", columns)
    head = head_of(source_file, table.theirs.values())
    if not head.names and source_file.is_empty:
        return EMPTY
    require_columns(table, source_file.path, list(head.names))
    return Shape("csv", tuple((name, "VARCHAR") for name in head.names), head, comma_numbers(source_file, table, head))


def require_whole(source_file: SourceFile) -> None:
    """Read a compressed file to its end, because the engine does not check its checksum.

    Raises:
        SourceError: the file is truncated or corrupt.
    """
    try:
        if not source_file.size:
            kind = "gzip" if source_file.extension.endswith(".gz") else "zstandard"
            raise EOFError(f"an empty file is no {kind} file")
        with open_file(source_file) as stream:
            while stream.read(1 << 20):
                pass
    except (OSError, EOFError, zlib.error) as error:
        raise unreadable(source_file, error) from error


def escape_glob(path: str) -> str:
    """Return a path in which the engine takes no character for a glob pattern."""
    return re.sub(r"([*?\[])", r"[\1]", path)
