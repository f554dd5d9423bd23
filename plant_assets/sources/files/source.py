"""A directory of csv, parquet and jsonl files as a source.

The engine reads files into typed rows. A text file with a rejected row is read a second time, line by line, so that
the rejected row has its line and text. How each format is read is in `shapes.py` and `lines.py`.
"""

import contextlib
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import duckdb
import pyarrow as pa

from plant_assets.calendar import Calendar
from plant_assets.sources.base import Sample, Source, SourceFile
from plant_assets.sources.conform import require_uuids
from plant_assets.sources.errors import SourceError
from plant_assets.sources.files.dating import dated, dates_rows
from plant_assets.sources.files.heads import head_of
from plant_assets.sources.files.lines import batches, comma_numbers, csv_records, json_records
from plant_assets.sources.files.listing import (
    EXTENSIONS,
    extension_of,
    file_of,
    files_of,
    how_to_save,
    paths_below,
    unread_files,
)
from plant_assets.sources.files.opening import unreadable
from plant_assets.sources.files.samples import sample_of
from plant_assets.sources.files.shapes import (
    EMPTY,
    Shape,
    columns_of,
    escape_glob,
    json_select,
    require_keys,
    schemas_of,
    shape_of,
)
from plant_assets.sources.mapping import StoreMapping
from plant_assets.sources.tables import (
    LISTED_TABLES,
    OTHERS,
    SOURCE_TABLES,
    STOCK,
    ReadTable,
    SourceTable,
    staged_uuids,
)
from plant_assets.text import MOST_SHOWN, some_of


class FileSource(Source):
    """A store's tables as files under one directory."""

    def __init__(self, directory: Path, calendar: Calendar, mapping: StoreMapping | None = None) -> None:
        super().__init__(str(directory), calendar, mapping or StoreMapping(), str(directory).rstrip("/") + "/")
        self.directory = directory

    def close(self) -> None:
        """Do nothing: each file is closed once it is read."""

    def list_files(self) -> dict[str, list[SourceFile]]:
        """Return the files of each table, in order of their names; an absent optional table has none.

        Raises:
            SourceError: the directory or a needed table is missing, a table is given twice, the stem of a products file
                is not an instant or is that of another file, or dbt's history is there and products are made from
                events.
        """
        if not self.directory.is_dir():
            raise SourceError(f"the source {self.directory} is not a directory: expected the store's tables")
        found = {name: files_of(self, self.directory, name) for name in LISTED_TABLES}
        if not self.names_stock and not dates_rows(self, STOCK.name, found[STOCK.name]):
            found[STOCK.name] = []
        for name in SOURCE_TABLES:
            if self._lacks(name, [each for each in found if found[each]]):
                stem = self.mapping.table(name)
                raise SourceError(
                    f"{self.directory} has no table {name}: expected {stem}.<ext> or a folder {stem}/,"
                    f" <ext> one of {', '.join(EXTENSIONS)}{self._or_history(name)}{self._others(str(stem))}"
                )
        found["products"] = dated(self, self.directory, found["products"], found.pop(STOCK.name))
        return found

    def oddities(self) -> list[str]:
        """Return what lies in the folder and is not read."""
        names = unread_files(self.directory, [stem for name in LISTED_TABLES if (stem := self.mapping.table(name))])
        shown = [f"{name} ({how})" if (how := how_to_save(name)) else name for name in names]
        return [f"not read, as no table is named so: {some_of(shown[:MOST_SHOWN], len(shown))}"] if shown else []

    def columns_found(self, connection: duckdb.DuckDBPyConnection) -> list[tuple[str, list[str]]]:
        """Return the directory's files, whatever their names, with their columns; one file of each folder."""
        found = []
        for source_file in self._firsts():
            with contextlib.suppress(SourceError):
                found.append((source_file.name, columns_of(connection, source_file)))
        return found

    def samples(self, connection: duckdb.DuckDBPyConnection) -> list[Sample]:
        """Return the first rows of the directory's files, whatever their names; of one file of each folder."""
        found = []
        for source_file in self._firsts():
            with contextlib.suppress(SourceError, duckdb.Error):
                found.append(sample_of(connection, source_file))
        return found

    def _firsts(self) -> Iterator[SourceFile]:
        """Yield the directory's files, whatever their names; the first one of each folder."""
        firsts: dict[Path, Path] = {}
        for path in paths_below(self.directory) if self.directory.is_dir() else ():
            if extension_of(path.name) and path.is_file():
                beside = path if path.parent == self.directory else path.parent
                firsts[beside] = min(path, firsts.get(beside, path))
        for path in sorted(firsts.values()):
            with contextlib.suppress(SourceError):
                yield file_of(self, self.directory, path.stem, path)

    def _others(self, stem: str) -> str:
        """Return how to save a file of that stem which cannot be read."""
        names = [name for name in unread_files(self.directory, []) if Path(name).stem.lower() == stem.lower()]
        return "".join(f"; {name} cannot be read: {how}" for name in names if (how := how_to_save(name)))

    def stage(self, connection: duckdb.DuckDBPyConnection, table: SourceTable, files: list[SourceFile]) -> None:
        """Add the rows of files to `_staged_<table>`, with one statement per shape.

        Raises:
            SourceError: a file cannot be read to its end, or lacks a needed column.
        """
        read = ReadTable(table, self.mapping, staged_uuids(connection, table))
        by_shape: dict[Shape, list[SourceFile]] = {}
        of_schema: dict[str, Shape] = {}
        schemas = schemas_of(connection, [each for each in files if each.extension == "parquet"])
        for each in files:
            schema = schemas.get(str(each.path))
            shape = of_schema.get(schema) if schema else None
            shape = shape or shape_of(connection, read, each)
            if schema:
                of_schema[schema] = shape
            by_shape.setdefault(shape, []).append(each)
        by_shape.pop(EMPTY, None)
        for shape, alike in by_shape.items():
            if shape.is_plain:
                self._stage_alike(connection, replace(read, commas=shape.commas), shape, alike)
            else:
                for each in alike:
                    self.stage_line_by_line(connection, table, each)
            if shape.form == "jsonl":
                require_keys(connection, read, alike)

    def _stage_alike(
        self, connection: duckdb.DuckDBPyConnection, table: ReadTable, shape: "Shape", alike: list[SourceFile]
    ) -> None:
        """Stage files with one statement. If the engine fails, try halves, down to the file that it cannot read."""
        paths = {str(each.path): each for each in alike}
        connection.execute(
            "create or replace temp table staged_paths as select unnest(?::varchar[]) as staged_path,"
            " unnest(?::varchar[]) as staged_file, unnest(?::timestamp[]) as staged_at",
            [list(paths), [each.name for each in alike], [each.observed_at for each in alike]],
        )
        connection.execute("drop table if exists refused_lines; drop table if exists refused_scans")
        try:
            with require_uuids():
                connection.execute(
                    self._insert(table, shape.types(table), shape.select(table), shape.raw_text(table)),
                    {"paths": [escape_glob(path) for path in paths]},
                )
        except duckdb.Error as error:
            half = len(alike) // 2
            if half:
                self._stage_alike(connection, table, shape, alike[:half])
                self._stage_alike(connection, table, shape, alike[half:])
            elif shape.form == "parquet":
                raise unreadable(alike[0], error) from error
            else:
                # The engine also fails on valid csv: some lines end in LF, others in CRLF.
                self.stage_line_by_line(connection, table.table, alike[0])
            return
        if shape.form == "parquet":
            return
        refused = connection.execute(
            "select staged_file from staged_paths where staged_path in (select file_path from refused_scans"
            " join refused_lines using (scan_id, file_id)) or staged_file in"
            f" (select file from {table.table.staged} where reason is not null and line is null)"
        ).fetchall()
        names = {row[0] for row in refused}
        for each in alike:
            if each.name in names:
                self.stage_line_by_line(connection, table.table, each)

    def stage_line_by_line(
        self, connection: duckdb.DuckDBPyConnection, table: SourceTable, source_file: SourceFile
    ) -> None:
        """Stage a csv or jsonl file again, each row with its line and text.

        Raises:
            SourceError: the file cannot be read to its end.
        """
        read = ReadTable(table, self.mapping, staged_uuids(connection, table))
        connection.execute(f"delete from {table.staged} where file = ?", [source_file.name])
        connection.execute(
            "create or replace temp table staged_paths as select ? as staged_path, ? as staged_file,"
            " ?::timestamp as staged_at",
            [str(source_file.path), source_file.name, source_file.observed_at],
        )
        if source_file.kind == "jsonl":
            records, names = json_records(source_file), ["line", "raw_text", "refused"]
            select = json_select(read, "select *, $path as filename from lines")
        else:
            head = head_of(source_file, read.theirs.values())
            read = replace(read, commas=comma_numbers(source_file, read, head))
            records, names = csv_records(source_file, read, head), [*read.theirs, OTHERS, "line", "raw_text", "refused"]
            values = read.values({name: name for name in (*read.theirs, OTHERS)})
            select = f"select {values}, line, raw_text, refused, $path as filename from lines"
        schema = pa.schema([(name, pa.int64() if name == "line" else pa.string()) for name in names])
        try:
            for batch in batches(records):
                columns = [
                    pa.array(values, kind.type) for values, kind in zip(zip(*batch, strict=True), schema, strict=True)
                ]
                connection.register("lines", pa.table(columns, schema=schema))
                connection.execute(
                    self._insert(read, dict.fromkeys(read.names, "VARCHAR"), select),
                    {"path": str(source_file.path)},
                )
                connection.unregister("lines")
        except (OSError, EOFError, zlib.error) as error:
            raise unreadable(source_file, error) from error
