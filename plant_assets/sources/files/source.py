"""A directory of csv, parquet and jsonl files as a source.

Files are read by the engine into typed rows. A file in which a row is refused is read a second time line by
line, so that the refusal names its line and keeps its text. Names of columns and files reach SQL quoted or not at all.
"""

import abc
import contextlib
import csv
import datetime as dt
import functools
import gzip
import hashlib
import io
import itertools
import json
import os
import re
import stat
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, cast

import duckdb
import pyarrow as pa

from plant_assets.calendar import Calendar
from plant_assets.contracts import COUNT, FLAG, ID, INSTANT, PRICE, SQL_TYPES, STAGES, TABLES, TEXT
from plant_assets.sources.base import SourceError as SourceError
from plant_assets.sources.mapping import NONE, PRICE_OF_EVENT, Stage, StoreMapping, Time

EXTENSIONS = ("csv", "csv.gz", "parquet", "jsonl", "jsonl.gz")
BATCH_ROWS = 50_000


@dataclass(frozen=True)
class SourceTable:
    """What is read of one source table, and how its rows are told apart and accounted for.

    `required` must not be NULL, `optional` columns may be missing; `bucket` is the SQL text under which a staged row is
    counted.
    """

    name: str
    target: str
    is_needed: bool
    required: tuple[str, ...]
    key: tuple[str, ...]
    bucket: str
    optional: tuple[str, ...] = ()

    @property
    def columns(self) -> dict[str, str]:
        """The columns that are read, each with its type; ids are read as text."""
        types = {column.name: TEXT if column.type == ID else column.type for column in TABLES[self.target].columns}
        return {name: kind for name, kind in types.items() if name != "observed_at"}


NO_WEEK = "no week"
# What dbt wrote of the products: `history` makes observations of it.
HISTORY = "products_snapshot"
SOURCE_TABLES = {
    table.name: table
    for table in (
        SourceTable(
            "events",
            "raw_events",
            is_needed=True,
            required=("event_id", "session_id", "created_at", "event_type"),
            key=("event_id",),
            bucket=f"coalesce(week::varchar, '{NO_WEEK}')",
        ),
        SourceTable(
            "products",
            "raw_products",
            is_needed=True,
            required=("product_id",),
            key=("observed_at", "product_id"),
            bucket="observed_at::varchar",
        ),
        SourceTable(
            "orders",
            "raw_orders",
            is_needed=False,
            required=("order_id",),
            key=("order_id",),
            bucket="'all'",
        ),
        SourceTable(
            "order_items",
            "raw_order_items",
            is_needed=False,
            required=("order_id", "product_id"),
            key=("order_id", "product_id"),
            bucket="'all'",
        ),
        SourceTable(
            HISTORY,
            "raw_products_snapshot",
            is_needed=False,
            required=("product_id", "dbt_valid_from"),
            key=("dbt_valid_from", "product_id"),
            bucket="'all'",
            optional=("dbt_is_deleted",),
        ),
    )
}


@dataclass(frozen=True)
class ReadTable:
    """A table as a store's files have it: the names there, and what stands for columns that they do not have.

    `uuids` are the columns that are staged as UUID.
    """

    table: SourceTable
    mapping: StoreMapping
    uuids: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        return self.table.name

    @functools.cached_property
    def columns(self) -> dict[str, str]:
        """Our columns with their types."""
        is_priced = self.name == "events" and self.mapping.makes_products
        return self.table.columns | ({PRICE_OF_EVENT: PRICE} if is_priced else {})

    @functools.cached_property
    def theirs(self) -> dict[str, str]:
        """Our columns that the files have, each with its name there."""
        return self.mapping.columns_read(self.name, self.columns)

    def values(self, places: dict[str, str]) -> str:
        """Our columns as SQL: those that are read by their places, the others by what stands for them."""

        def constant(name: str) -> str:
            value = self.mapping.constant(self.name, name)
            return "null::varchar" if value is None else f"{_literal(value)}::varchar"

        return ", ".join(f"{places.get(name) or constant(name)} as {name}" for name in self.columns)


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


@dataclass
class SourceFile:
    """A file of a table, named relative to the source. `observed_at` is set for dated products.

    One without an extension is an instant of dbt's history. `mapping` is the digest of the mapping that it is read by.
    `is_part` says that it is a week of a table, and can be read again without the others.
    """

    table: str
    name: str
    path: Path
    extension: str
    size: int
    modified_ns: int
    observed_at: dt.datetime | None = None
    mapping: str = ""
    is_part: bool = False
    _hash: str | None = field(default=None, repr=False)

    @property
    def content_hash(self) -> str:
        """SHA-256 of the content, and the mapping: by another one the rows are others.

        A footer of parquet does not tell two rows' exchanged values apart.
        """
        if self._hash is None:
            try:
                with self.path.open("rb") as stream:
                    self._hash = hashlib.file_digest(stream, "sha256").hexdigest()
            except OSError as error:
                raise SourceError(f"{self.path} of the table {self.table} cannot be read: {error.strerror}") from error
        return self._mapped(self._hash)

    def _mapped(self, content_hash: str) -> str:
        return f"{content_hash}:{self.mapping}" if self.mapping else content_hash

    def is_read_as(self, content_hash: str) -> bool:
        """Whether what has that hash was read by the same mapping."""
        return content_hash.partition(":")[2] == self.mapping

    def has_content_of(self, content_hash: str) -> bool:
        """Whether the content has that hash, by whatever mapping."""
        return content_hash.partition(":")[0] == self.content_hash.partition(":")[0]

    @property
    def has_lines(self) -> bool:
        """Whether its rows are lines, so that one can be named by its line and text."""
        return self.extension.startswith(("csv", "jsonl"))

    def is_known(self, size: int, modified_ns: int, content_hash: str) -> bool:
        """Whether it is as it was: by size and time, which are cheap to see; by content where only the time differs."""
        return (
            self.is_read_as(content_hash)
            and self.size == size
            and (self.modified_ns == modified_ns or self.content_hash == content_hash)
        )

    def begins_with(self, size: int, content_hash: str) -> bool:
        """Whether whole lines were only added to a file that was that long, with that hash."""
        if self.extension not in ("csv", "jsonl") or self.size <= size or not size:
            return False
        with self.path.open("rb") as stream:
            before = stream.read(size)
        return before.endswith(b"\n") and self._mapped(hashlib.sha256(before).hexdigest()) == content_hash


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


def _extension(name: str) -> str | None:
    for extension in EXTENSIONS:
        if name.lower().endswith("." + extension):
            return extension
    return None


def _paths_below(folder: Path) -> Iterator[Path]:
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


class Source(abc.ABC):
    """A store's tables, by the names that the mapping gives them; `name` is the source's for readers."""

    def __init__(self, name: str, calendar: Calendar, mapping: StoreMapping, prefix: str = "") -> None:
        self.name, self.calendar, self.mapping = name, calendar, mapping
        # What stands before the names of files in the engine.
        self._prefix = prefix

    @abc.abstractmethod
    def list_files(self) -> dict[str, list[SourceFile]]:
        """The files of each table, or what stands for them; an absent optional table has none."""

    @abc.abstractmethod
    def stage(self, connection: duckdb.DuckDBPyConnection, table: SourceTable, files: list[SourceFile]) -> None:
        """Add files to `_staged_<table>`: typed columns, file, line, raw_text, row_key, column_name and reason.

        Every row read is there; `reason` and `row_key` are NULL for those that can be loaded.

        Raises:
            SourceError: a file cannot be read to its end, or lacks a needed column.
        """

    @abc.abstractmethod
    def columns_found(self, connection: duckdb.DuckDBPyConnection) -> list[tuple[str, list[str]]]:
        """What could be tables of the source, whatever their names, each with its columns."""

    def _lacks(self, name: str, found: Collection[str]) -> bool:
        """Whether a table that must be there is not among those found; dbt's history tells of the products too.

        Raises:
            SourceError: there is a history, and PLANT_MAPPING makes the products of the events.
        """
        is_told = name == "products" and HISTORY in found
        if is_told and self.mapping.makes_products:
            raise SourceError(
                f"{self.name}: the table {HISTORY} tells of the products that PLANT_MAPPING makes from the events:"
                f" remove `products: {NONE}` from its tables, or add `{HISTORY}: {NONE}`"
            )
        return SOURCE_TABLES[name].is_needed and bool(self.mapping.table(name)) and name not in found and not is_told

    def _or_history(self, name: str) -> str:
        """What may be there in the place of a missing table: of products dbt's history."""
        history = self.mapping.table(HISTORY)
        return f"; or dbt's history, {history}" if name == "products" and history else ""

    @property
    def is_asked_for_weeks(self) -> bool:
        """Whether a load takes weeks for known that may have changed: then `weeks_of_events` says what they hold."""
        return False

    def weeks_of_events(self, event_ids: Collection[str]) -> set[tuple[str, dt.date]]:
        """Return each of the events that the source has now, with its week."""
        raise NotImplementedError

    def oddities(self) -> list[str]:
        """What makes reading it slow, if anything."""
        return []

    @abc.abstractmethod
    def close(self) -> None:
        """Let go of what reading holds."""

    def _insert(self, table: ReadTable, types: dict[str, str], select: str, raw_text: str = "raw_text") -> str:
        """The statement that types what `select` reads and gives each row that cannot be loaded its reason."""
        # dbt's instants are the warehouse's that it wrote to, not the store's.
        typed, problems, clocks, time = [], [], "", Time() if table.name == HISTORY else self.mapping.time
        for name, kind in table.columns.items():
            if kind == INSTANT and time != Time():
                clocks += f", {_clock(types[name], name, time)}"
                typed.append(f"{_instant_of_clock(name, Calendar(time.zone))} as typed_{name}")
            elif name == "event_type" and self.mapping.event_types is not None:
                typed.append(f"{_stage(_text(types[name], name), self.mapping.event_types)} as typed_{name}")
            else:
                typed.append(f"{_typed(kind, types[name], name)} as typed_{name}")
            if kind != TEXT:
                given = _text(types[name], name) if types[name] == "VARCHAR" else name
                is_wrong = f"{given} is not null and typed_{name} is null"
                problems.append((is_wrong, name, _NOT_A[kind]))
            if name in table.table.required:
                problems.append((f"typed_{name} is null", name, "missing"))
        made = {"event_id": _content_id(table)} if table.name == "events" and self.mapping.makes_event_ids else {}
        problems = [each for each in problems if each[1] not in made]
        texts = {name: made.get(name, f"typed_{name}") for name in table.columns}
        values = ", ".join(
            f"{_as_uuid(name, text) if name in table.uuids else text} as {name}" for name, text in texts.items()
        )
        columns = " ".join(f"when {is_wrong} then '{name}'" for is_wrong, name, _reason in problems)
        reasons = " ".join(f"when {is_wrong} then '{reason}'" for is_wrong, _name, reason in problems)
        week = _week_of(self.calendar, "typed_created_at") if table.name == "events" else "null"
        is_dated = "observed_at" in TABLES[table.table.target].names
        observed_at, key = "staged_at" if is_dated else "null", f"typed_{table.table.key[-1]}"
        paths = "join staged_paths on filename = staged_path" if is_dated else ""
        return (
            f"insert into _staged_{table.name} by name select {values}, {observed_at} as observed_at,"
            f" {week} as week, substr(filename, {len(self._prefix) + 1}) as file, line, column_name, reason,"
            f" if(reason is null, null, {key}) as row_key,"
            f" if(reason is null and line is null, null, {raw_text}) as raw_text from ("
            f"select *, case when refused is not null then null {columns} end as column_name,"
            f" case when refused is not null then refused {reasons} end as reason from ("
            f"select *, {', '.join(typed)} from (select *{clocks} from ({select}) {paths})))"
        )


class FileSource(Source):
    """A store's tables as files under one directory."""

    def __init__(self, directory: Path, calendar: Calendar, mapping: StoreMapping | None = None) -> None:
        super().__init__(str(directory), calendar, mapping or StoreMapping(), str(directory).rstrip("/") + "/")
        self.directory = directory

    def close(self) -> None:
        """Let go of what reading holds: nothing, as each file is closed when it is read."""

    def list_files(self) -> dict[str, list[SourceFile]]:
        """The files of each table, in order of their names; an absent optional table has none.

        Raises:
            SourceError: the directory or a needed table is missing, a table is given twice, a products file is not
                named by an instant, or by the instant of another, or there is a history of products made from events.
        """
        if not self.directory.is_dir():
            raise SourceError(f"the source {self.directory} is not a directory: expected the store's tables")
        found = {name: self._files_of(name) for name in SOURCE_TABLES}
        for name in SOURCE_TABLES:
            if self._lacks(name, [each for each in found if found[each]]):
                stem = self.mapping.table(name)
                raise SourceError(
                    f"{self.directory} has no table {name}: expected {stem}.<ext> or a folder {stem}/,"
                    f" <ext> one of {', '.join(EXTENSIONS)}{self._or_history(name)}"
                )
        return found

    def columns_found(self, connection: duckdb.DuckDBPyConnection) -> list[tuple[str, list[str]]]:
        """The files of the directory, whatever their names, with their columns; the first of each folder in it."""
        if not self.directory.is_dir():
            return []
        firsts: dict[Path, Path] = {}
        for path in _paths_below(self.directory):
            if _extension(path.name) and path.is_file():
                beside = path if path.parent == self.directory else path.parent
                firsts[beside] = min(path, firsts.get(beside, path))
        found = []
        for path in sorted(firsts.values()):
            with contextlib.suppress(SourceError):
                source_file = self._file(path.stem, path, dated=False)
                found.append((source_file.name, _columns_of(connection, source_file)))
        return found

    def _files_of(self, table: str) -> list[SourceFile]:
        stem = self.mapping.table(table)
        if stem is None:
            return []
        places = []
        try:
            entries = sorted(self.directory.iterdir())
        except OSError as error:
            raise SourceError(f"the source {self.directory} cannot be listed: {error.strerror}") from error
        for entry in entries:
            is_file_of_table = any(entry.name.lower() == f"{stem.lower()}.{ext}" for ext in EXTENSIONS)
            if entry.name == stem or is_file_of_table:
                places.append(entry)
        if len(places) > 1:
            names = " and ".join(place.name for place in places)
            raise SourceError(f"{self.directory} gives the table {table} twice: {names}; keep one of them")
        if not places:
            return []
        place = places[0]
        if place.name != stem:
            if place.is_dir():
                raise SourceError(f"{place} is a directory: expected a file, or a folder named {stem}")
            return [self._file(table, place, dated=False)]
        if not place.is_dir():
            raise SourceError(f"{place} has no extension: expected one of {', '.join(EXTENSIONS)}")
        files = [
            self._file(table, path, dated=table == "products")
            for path in sorted(_paths_below(place))
            if _extension(path.name)
        ]
        if table == "products":
            self._require_distinct_instants(files)
        return files

    def _file(self, table: str, path: Path, dated: bool) -> SourceFile:
        extension = _extension(path.name)
        assert extension
        if path.is_dir():
            raise SourceError(f"{path} is a directory: expected a {extension} file of the table {table}")
        try:
            status = path.stat()
        except OSError as error:
            raise SourceError(f"{path} of the table {table} cannot be read: {error.strerror}") from error
        if not stat.S_ISREG(status.st_mode):
            raise SourceError(f"{path} of the table {table} is no regular file: expected a {extension} file")
        name = path.relative_to(self.directory).as_posix()
        if _has_bad_bytes(name):
            raise SourceError(f"{path} of the table {table} has a name that is not UTF-8: rename it")
        source_file = SourceFile(
            table, name, path, extension, status.st_size, status.st_mtime_ns, mapping=self.mapping.digest
        )
        if dated:
            stem = path.name[: -len(extension) - 1]
            source_file.observed_at = instant_of(stem, self.calendar)
            if source_file.observed_at is None:
                raise SourceError(
                    f"{path} is not named by an instant: expected 2021-02-22.{extension}"
                    f" or 2021-02-22T06-00-00Z.{extension}"
                )
        return source_file

    def _require_distinct_instants(self, files: list[SourceFile]) -> None:
        by_instant: dict[dt.datetime | None, SourceFile] = {}
        for source_file in files:
            other = by_instant.setdefault(source_file.observed_at, source_file)
            if other is not source_file:
                raise SourceError(
                    f"{other.path} and {source_file.path} are of one instant, {source_file.observed_at}Z;"
                    " keep one of them"
                )

    def stage(self, connection: duckdb.DuckDBPyConnection, table: SourceTable, files: list[SourceFile]) -> None:
        """Add files to `_staged_<table>`, those that are alike by one statement.

        Raises:
            SourceError: a file cannot be read to its end, or lacks a needed column.
        """
        read = ReadTable(table, self.mapping, staged_uuids(connection, table))
        by_shape: dict[Shape, list[SourceFile]] = {}
        of_schema: dict[str, Shape] = {}
        schemas = _schemas(connection, [each for each in files if each.extension == "parquet"])
        for each in files:
            schema = schemas.get(str(each.path))
            shape = of_schema.get(schema) if schema else None
            shape = shape or _shape(connection, read, each)
            if schema:
                of_schema[schema] = shape
            by_shape.setdefault(shape, []).append(each)
        for shape, alike in by_shape.items():
            self._stage_alike(connection, read, shape, alike)
            if shape.form == "jsonl":
                _require_keys(connection, read, alike)

    def _stage_alike(
        self, connection: duckdb.DuckDBPyConnection, table: ReadTable, shape: "Shape", alike: list[SourceFile]
    ) -> None:
        """Stage by one statement; where the engine gives up, the halves, down to the file that it cannot read."""
        paths = {str(each.path): each for each in alike}
        connection.execute(
            "create or replace temp table staged_paths as select unnest(?::varchar[]) as staged_path,"
            " unnest(?::varchar[]) as staged_file, unnest(?::timestamp[]) as staged_at",
            [list(paths), [each.name for each in alike], [each.observed_at for each in alike]],
        )
        connection.execute("drop table if exists refused_lines; drop table if exists refused_scans")
        try:
            connection.execute(
                self._insert(table, shape.types(table), shape.select(table), shape.raw_text(table)),
                [[_escape_glob(path) for path in paths]],
            )
        except duckdb.Error as error:
            half = len(alike) // 2
            if column_without_uuids(error):
                raise
            if half:
                self._stage_alike(connection, table, shape, alike[:half])
                self._stage_alike(connection, table, shape, alike[half:])
            elif shape.form == "parquet":
                raise _unreadable(alike[0], error) from error
            else:
                # It gives up on csv that is sound: lines that end now in LF, now in CRLF.
                self.stage_line_by_line(connection, table.table, alike[0])
            return
        if shape.form == "parquet":
            return
        refused = connection.execute(
            "select staged_file from staged_paths where staged_path in (select file_path from refused_scans"
            " join refused_lines using (scan_id, file_id)) or staged_file in"
            f" (select file from _staged_{table.name} where reason is not null and line is null)"
        ).fetchall()
        names = {row[0] for row in refused}
        for each in alike:
            if each.name in names:
                self.stage_line_by_line(connection, table.table, each)

    def stage_line_by_line(
        self, connection: duckdb.DuckDBPyConnection, table: SourceTable, source_file: SourceFile
    ) -> None:
        """Stage a csv or jsonl file again, each row with its line and text."""
        read = ReadTable(table, self.mapping, staged_uuids(connection, table))
        connection.execute(f"delete from _staged_{table.name} where file = ?", [source_file.name])
        connection.execute(
            "create or replace temp table staged_paths as select ? as staged_path, ? as staged_file,"
            " ?::timestamp as staged_at",
            [str(source_file.path), source_file.name, source_file.observed_at],
        )
        if source_file.extension.startswith("jsonl"):
            records, names = _json_records(source_file), ["line", "raw_text", "refused"]
            select = _json_select(read, "select *, ? as filename from lines")
        else:
            records, names = _csv_records(source_file, read), [*read.theirs, "line", "raw_text", "refused"]
            values = read.values({name: name for name in read.theirs})
            select = f"select {values}, line, raw_text, refused, ? as filename from lines"
        schema = pa.schema([(name, pa.int64() if name == "line" else pa.string()) for name in names])
        try:
            for batch in _batches(records):
                columns = [
                    pa.array(values, kind.type) for values, kind in zip(zip(*batch, strict=True), schema, strict=True)
                ]
                connection.register("lines", pa.table(columns, schema=schema))
                connection.execute(
                    self._insert(read, dict.fromkeys(read.columns, "VARCHAR"), select),
                    [str(source_file.path)],
                )
                connection.unregister("lines")
        except (OSError, EOFError, zlib.error) as error:
            raise _unreadable(source_file, error) from error


@functools.cache
def _week_of(calendar: Calendar, instant: str) -> str:
    """The Monday of an instant's week, as SQL: each offset of the zone from the transition it holds from."""
    changes = calendar.offsets(dt.datetime(1970, 1, 1), dt.datetime(2100, 1, 1))
    from_instants = [until for until, _offset in changes[:-1]]
    cases = [
        f"when {instant} >= timestamp '{at}' then {instant} + to_seconds({int(offset.total_seconds())})"
        for at, (_until, offset) in zip(from_instants, changes[1:], strict=True)
    ]
    first = f"{instant} + to_seconds({int(changes[0][1].total_seconds())})"
    local = f"case {' '.join(reversed(cases))} else {first} end" if cases else first
    return f"date_trunc('week', ({local})::date)::date"


@functools.cache
def _instant_of_clock(name: str, calendar: Calendar) -> str:
    """The UTC instant of a time read off a zone's clock, as SQL over `clock_` and `is_utc_` of a column.

    An hour that a change of clocks repeats is its first pass; one that it skips is read by the offset before.
    """
    changes = calendar.offsets(dt.datetime(1970, 1, 1), dt.datetime(2100, 1, 1))
    clock, cases = f"clock_{name}", []
    for (until, before), (_until, offset) in itertools.pairwise(changes):
        assert until
        cases.append(f"when {clock} >= timestamp '{until + max(before, offset)}' then {_minus(clock, offset)}")
    first = _minus(clock, changes[0][1])
    instant = f"case when is_utc_{name} then {clock} {' '.join(reversed(cases))} else {first} end"
    # A day within the bounds of instants, whatever the offset.
    return f"if({clock} between timestamp '1970-01-02' and timestamp '9999-12-30', {instant}, null)"


def _minus(clock: str, offset: dt.timedelta) -> str:
    return f"{clock} - to_seconds({int(offset.total_seconds())})"


# What the engine says of a row that can be loaded, and whose id is no UUID.
_NO_UUID = "not written as a UUID is: "


def column_without_uuids(error: duckdb.Error) -> str | None:
    """The column of ids that a table was not staged for, as not all of them are UUIDs; None where that is not why."""
    # From its beginning to its end: other messages may quote names of files.
    found = re.fullmatch(f"Invalid Input Error: {_NO_UUID}([a-z_]+)", str(error).strip())
    return found[1] if found else None


def _as_uuid(name: str, text: str) -> str:
    """An id as UUID, as SQL; that of a row that is refused may be none."""
    uuid = f"try_cast({text} as uuid)"
    # The comparison first: what a row's reason hangs on costs more, and is asked only where it fails.
    return f"if({uuid}::varchar = {text} or reason is not null, {uuid}, error('{_NO_UUID}{name}'))"


def staged_uuids(connection: duckdb.DuckDBPyConnection, table: SourceTable) -> frozenset[str]:
    """The ids of a table that are staged as UUID."""
    found = connection.execute(
        "select column_name from duckdb_columns() where table_name = ? and data_type = 'UUID'",
        [f"_staged_{table.name}"],
    ).fetchall()
    return frozenset(row[0] for row in found)


def _content_id(table: ReadTable) -> str:
    """What an event without an id is told by, as SQL: equal for events that hold the same."""
    held = ", ".join(f"typed_{name}::varchar" for name in table.columns if name != "event_id")
    return f"md5(to_json([{held}])::varchar)"


# Text with an offset or a zone after its time.
_WITH_OFFSET = r":[0-9]{2}([.][0-9]+)?\s*([A-Za-z]|[+-][0-9]).*$"


def _clock(source_type: str, name: str, time: Time) -> str:
    """What a column's value reads on the clock, and whether that is UTC's, as SQL: `clock_` and `is_utc_`."""
    text = _text(source_type, name)
    clock, is_utc = f"try_cast({text} as timestamptz) at time zone 'UTC'", f"regexp_matches({text}, '{_WITH_OFFSET}')"
    if source_type in _WITH_ZONE:
        clock, is_utc = f"{name}::timestamptz at time zone 'UTC'", "true"
    elif source_type.startswith(("TIMESTAMP", "DATE")):
        clock, is_utc = f"try_cast({name} as timestamp)", "false"
    elif time.format:
        clock, is_utc = f"try_strptime({text}, {_literal(time.format)})", "false"
        if "%z" in time.format or "%Z" in time.format:
            clock, is_utc = f"{clock} at time zone 'UTC'", "true"
    return f"{clock} as clock_{name}, {is_utc} as is_utc_{name}"


def _stage(text: str, stages: dict[str, Stage]) -> str:
    """The stage of a store's event type, as SQL; a type that is none stays, and bears no stage's name."""
    cases = " ".join(f"when {_literal(theirs)} then '{stage}'" for theirs, stage in stages.items())
    others = " ".join(f"when '{stage}' then 'other {stage}'" for stage in STAGES if stage not in stages)
    return f"case {text} {cases} {others} else {text} end"


@dataclass(frozen=True)
class Shape:
    """Files that one statement reads: csv with equal headers, parquet with equal columns, or jsonl."""

    form: str
    columns: tuple[tuple[str, str], ...] = ()

    def types(self, table: ReadTable) -> dict[str, str]:
        """The engine's type of each of our columns, as `select` gives them."""
        given = dict(self.columns)
        return {name: given.get(table.theirs.get(name, ""), "VARCHAR") for name in table.columns}

    def raw_text(self, table: ReadTable) -> str:
        """A row as it was read, as SQL over what `select` gives."""
        if self.form != "parquet":
            return "raw_text"
        # Of the row as given, not as typed: those stand beside it.
        return f"to_json(struct_pack({', '.join(f'{name} := {name}' for name in table.theirs)}))::varchar"

    def select(self, table: ReadTable) -> str:
        """The statement with one parameter, the paths, that reads the table's columns as they are."""
        text_form = (
            f"auto_detect = false, nullstr = '{_NO_NULL}', filename = true, hive_partitioning = false,"
            " store_rejects = true, rejects_limit = 0, rejects_table = 'refused_lines', rejects_scan = 'refused_scans'"
        )
        if self.form == "parquet":
            found = {column for column, _type in self.columns}
            values = table.values({name: f'"{column}"' for name, column in table.theirs.items() if column in found})
            return (
                f"select {values}, read_from as filename, null::bigint as line, null as refused"
                " from read_parquet(?, filename = 'read_from', hive_partitioning = false)"
            )
        if self.form == "csv":
            header = [name for name, _type in self.columns]
            values = table.values(
                {name: f"c{header.index(column)}" for name, column in table.theirs.items() if column in header}
            )
            columns = {f"c{place}": "VARCHAR" for place in range(len(header))}
            return (
                f"select {values}, filename, null::bigint as line, null as refused, null as raw_text"
                f" from read_csv(?, columns = {columns}, header = true, delim = ',', quote = '\"',"
                f" escape = '\"', {text_form})"
            )
        return _json_select(
            table,
            "select raw_text, filename, null::bigint as line, null as refused from read_csv(?,"
            " columns = {'raw_text': 'VARCHAR'}, header = false, delim = '\x01', quote = '', escape = '',"
            f" {text_form}) where trim(raw_text) <> ''",
        )


# What no field of a file is taken for: the engine overlooks fields too many where they are its NULL.
_NO_NULL = "\x02"


def _require_keys(connection: duckdb.DuckDBPyConnection, table: ReadTable, files: list[SourceFile]) -> None:
    """Refuse jsonl files in which no line has a column of the table. Columns that may be NULL may be left out."""
    columns = [name for name in table.theirs if name not in (*_LEFT_OUT, *table.table.optional)]
    counts = connection.execute(
        f"select count(*), {', '.join(f'count({name})' for name in columns)} from _staged_{table.name}"
        " where list_contains(?::varchar[], file)",
        [[each.name for each in files]],
    ).fetchall()[0]
    if not counts[0] or all(counts[1:]):
        return
    found = _json_names(files[0])
    missing = [table.theirs[name] for name in columns if table.theirs[name] not in found]
    if found and missing:
        raise SourceError(
            f"{files[0].path}: the table {table.name} lacks {', '.join(missing)}; columns found:"
            f" {', '.join(sorted(found))}"
        )


# What writers of jsonl leave out where it is NULL.
_LEFT_OUT = ("user_id", "page_url", "order_id", "product_id", "order_total", "status", "dbt_valid_to", PRICE_OF_EVENT)
SAMPLED_LINES = 1000


def _json_select(table: ReadTable, lines: str) -> str:
    """The statement that takes the table's columns from lines of JSON: raw_text, filename, line and refused."""
    paths = [f'$."{column}"' for column in table.theirs.values()]
    values = table.values({name: f"fields[{place}]" for place, name in enumerate(table.theirs, 1)})
    return (
        f"select {values}, filename, line, raw_text,"
        " coalesce(refused, if(json_type(document) = 'OBJECT', null, 'not a JSON object')) as refused"
        f" from (select *, json_extract_string(document, {paths}) as fields from"
        f" (select *, if(refused is null and json_valid(raw_text), raw_text, '0') as document from ({lines})))"
    )


def _schemas(connection: duckdb.DuckDBPyConnection, files: list[SourceFile]) -> dict[str, str]:
    """The parquet files' schemas as text, by path: asked for all at once; none where a file has none to read."""
    try:
        found = connection.execute(
            "select file_name, string_agg(concat_ws('/', name, type, converted_type, logical_type, num_children), ' ')"
            " from parquet_schema(?) group by file_name",
            [[_escape_glob(str(each.path)) for each in files]],
        )
        return dict(found.fetchall())
    except duckdb.Error:
        return {}


def _columns_of(connection: duckdb.DuckDBPyConnection, source_file: SourceFile) -> list[str]:
    """The names of a file's columns; of jsonl, those in its first lines."""
    if source_file.extension == "parquet":
        try:
            described = "select column_name from (describe from read_parquet(?, hive_partitioning = false))"
            return [row[0] for row in connection.execute(described, [_escape_glob(str(source_file.path))]).fetchall()]
        except duckdb.Error as error:
            raise _unreadable(source_file, error) from error
    if source_file.extension.startswith("jsonl"):
        return sorted(_json_names(source_file))
    return _header(source_file)


def _json_names(source_file: SourceFile) -> set[str]:
    found: set[str] = set()
    for _line, raw_text, _refused in itertools.islice(_json_records(source_file), SAMPLED_LINES):
        with contextlib.suppress(ValueError, RecursionError):
            document = json.loads(str(raw_text))
            found |= set(document) if isinstance(document, dict) else set()
    return found


def _shape(connection: duckdb.DuckDBPyConnection, table: ReadTable, source_file: SourceFile) -> Shape:
    if source_file.extension.endswith(".gz"):
        _require_whole(source_file)
    if source_file.extension.startswith("jsonl"):
        return Shape("jsonl")
    if source_file.extension == "parquet":
        try:
            found = connection.execute(
                "select column_name, column_type from (describe from read_parquet(?, hive_partitioning = false))",
                [_escape_glob(str(source_file.path))],
            ).fetchall()
        except duckdb.Error as error:
            raise _unreadable(source_file, error) from error
        columns = tuple((row[0], row[1]) for row in found if row[0] in table.theirs.values())
        require_columns(table, source_file.path, [row[0] for row in found])
        return Shape("parquet", columns)
    header = _header(source_file)
    require_columns(table, source_file.path, header)
    return Shape("csv", tuple((name, "VARCHAR") for name in header))


def _require_whole(source_file: SourceFile) -> None:
    """Read a compressed file to its end: the engine overlooks a wrong checksum."""
    try:
        if not source_file.size:
            raise EOFError("an empty file is no gzip file")
        with _open(source_file) as stream:
            while stream.read(1 << 20):
                pass
    except (OSError, EOFError, zlib.error) as error:
        raise _unreadable(source_file, error) from error


def require_columns(table: ReadTable, place: object, found: list[str]) -> None:
    """Refuse a table that lacks a column, or has one twice; `place` is where it was found."""
    theirs = dict.fromkeys(table.theirs.values())
    optional = [table.theirs.get(name) for name in table.table.optional]
    missing = [name for name in theirs if name not in found and name not in optional]
    twice = sorted(name for name in theirs if found.count(name) > 1)
    if missing or twice:
        what = f"lacks {', '.join(missing)}" if missing else f"has twice {', '.join(twice)}"
        raise SourceError(f"{place}: the table {table.name} {what}; columns found: {', '.join(found) or 'none'}")


def _unreadable(source_file: SourceFile, error: Exception) -> SourceError:
    reason = str(error).strip().splitlines()[0] if str(error) else type(error).__name__
    return SourceError(f"{source_file.path}: the table {source_file.table} cannot be read to its end: {reason}")


def _escape_glob(path: str) -> str:
    """A path in which no character is a pattern to the engine."""
    return re.sub(r"([*?\[])", r"[\1]", path)


_WITH_ZONE = ("TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ_NS")
_NOT_A = {INSTANT: "not a timestamp", COUNT: "not a whole number", PRICE: "not a number", FLAG: "not true or false"}


def _text(source_type: str, name: str) -> str:
    return f"nullif({name}, '')" if source_type == "VARCHAR" else f"nullif({name}::varchar, '')"


def _typed(kind: str, source_type: str, name: str) -> str:
    """The value in the contract's type, NULL where it has none; instants from 1970 to 9999."""
    text = _text(source_type, name)
    if kind == TEXT:
        return text
    if kind == FLAG:
        return f"try_cast({text} as boolean)"
    if kind == PRICE:
        return f"try_cast({text} as decimal(18, 4))"
    if kind == COUNT:
        is_whole = f"regexp_full_match({text}, '\\s*[+-]?[0-9]+([.]0*)?\\s*')"
        return f"if({is_whole}, try_cast({text} as bigint), null)"
    if source_type in _WITH_ZONE:
        instant = f"{name}::timestamptz at time zone 'UTC'"
    elif source_type.startswith(("TIMESTAMP", "DATE")):
        instant = f"try_cast({name} as timestamp)"
    else:
        instant = f"try_cast({text} as timestamptz) at time zone 'UTC'"
    if name == "dbt_valid_to":
        # What stands for an open end may be the last second of all, or infinity.
        instant = f"least({instant}, timestamp '9999-12-31')"
    return f"if({instant} between timestamp '1970-01-01' and timestamp '9999-12-31', {instant}, null)"


def _open(source_file: SourceFile) -> BinaryIO:
    opened = gzip.open if source_file.extension.endswith(".gz") else open
    return cast(BinaryIO, opened(source_file.path, "rb"))


def _text_lines(source_file: SourceFile, newline: str | None) -> io.TextIOWrapper:
    """A UTF-8 file to be read by line; bytes that are none are kept as lone surrogates."""
    return io.TextIOWrapper(_open(source_file), "utf-8-sig", "surrogateescape", newline)


def _header(source_file: SourceFile) -> list[str]:
    try:
        for _line, raw_text, fields, _problem in _csv_rows(source_file):
            if _has_bad_bytes(raw_text):
                raise SourceError(f"{source_file.path}: the header of the table {source_file.table} is not UTF-8")
            return [name.strip() for name in fields]
        return []
    except (OSError, EOFError, zlib.error) as error:
        raise _unreadable(source_file, error) from error


def _kept(lines: Iterable[str], taken: list[str]) -> Iterator[str]:
    for line in lines:
        taken.append(line)
        yield line


def _csv_rows(source_file: SourceFile) -> Iterator[tuple[int, str, list[str], str | None]]:
    """The rows of a csv file, header first: line, text, fields, and why they cannot be told apart or None.

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
    """The fields of a row with spaces around its quotes, which the engine overlooks; None where it is malformed."""
    fields, at = [], 0
    while found := _FIELD.match(text, at):
        quoted, plain, comma = found.groups()
        fields.append(plain if quoted is None else quoted.replace('""', '"'))
        if not comma:
            return fields
        at = found.end()
    return None


Record = tuple[str | int | None, ...]


def _csv_records(source_file: SourceFile, table: ReadTable) -> Iterator[Record]:
    """The rows of a csv file: the columns that are read as text, line, raw_text, and why it is refused or None."""
    rows = _csv_rows(source_file)
    _line, _text, names, _problem = next(rows)
    header = [name.strip() for name in names]
    places = [header.index(name) if name in header else None for name in table.theirs.values()]
    nothing: Record = (None,) * len(places)
    for line, raw_text, fields, refused in rows:
        if not raw_text:
            continue
        if _has_bad_bytes(raw_text):
            raw_text, refused = _replaced(raw_text), "not UTF-8"
        elif not refused and len(fields) != len(header):
            refused = f"{len(fields)} fields, expected {len(header)}"
        values = nothing if refused else tuple(None if place is None else fields[place] for place in places)
        yield *values, line, raw_text, refused


def _json_records(source_file: SourceFile) -> Iterator[Record]:
    """The lines of a jsonl file: line, raw_text, and why it is refused or None."""
    with _text_lines(source_file, newline=None) as stream:
        for line, content in enumerate(stream, start=1):
            raw_text = content.rstrip("\n")
            if not raw_text.strip():
                continue
            if _has_bad_bytes(raw_text):
                yield line, _replaced(raw_text), "not UTF-8"
            else:
                yield line, raw_text, None


def _replaced(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _has_bad_bytes(text: str) -> bool:
    if text.isascii():
        return False
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False


def _batches(records: Iterable[Record]) -> Iterator[tuple[Record, ...]]:
    records = iter(records)
    while batch := tuple(itertools.islice(records, BATCH_ROWS)):
        yield batch


def staged_columns(
    table: SourceTable, mapping: StoreMapping | None = None, stored: Mapping[str, str] | None = None
) -> str:
    """The DDL of a staged table's columns: those of its target in order, then what was found of each row.

    Ids have the type under which they are `stored`.
    """
    read = ReadTable(table, mapping or StoreMapping())
    target = {column.name: column.sql_type for column in TABLES[table.target].columns}
    target |= {name: stored[name] for name in TABLES[table.target].ids if stored}
    found = {"observed_at": "timestamp", "week": "date", "file": "varchar", "line": "bigint"}
    found |= dict.fromkeys(("raw_text", "row_key", "column_name", "reason"), "varchar")
    others = {name: SQL_TYPES[kind] for name, kind in read.columns.items() if name not in table.columns}
    return ", ".join(f"{name} {kind}" for name, kind in (target | (found | target) | others).items())
