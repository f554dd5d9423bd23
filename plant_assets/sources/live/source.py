"""A database as a source: its live tables, in one snapshot, straight into the engine.

Rows come as Arrow batches. Its parts are tables, and weeks of events: the database reads only the weeks that a load
asks for, by `created_at`. Names reach SQL only as quoted names.
"""

import datetime as dt
from collections.abc import Callable, Collection
from pathlib import Path

import duckdb

from plant_assets.calendar import WEEK, Calendar
from plant_assets.sources.base import Sample, Source, SourceFile, note_instants
from plant_assets.sources.errors import SourceError
from plant_assets.sources.live.columns import ROW, SentColumns
from plant_assets.sources.live.database import Database
from plant_assets.sources.live.parts import LiveRows, LiveTable, as_ns
from plant_assets.sources.live.weeks import OTHER_WEEKS, EventWeeks, find_weeks, name_of_week
from plant_assets.sources.mapping import StoreMapping
from plant_assets.sources.tables import (
    LISTED_TABLES,
    OBSERVED_AT,
    SOURCE_TABLES,
    STOCK,
    ReadTable,
    SourceTable,
    require_columns,
    staged_uuids,
)
from plant_assets.sql import literal

MOST_SHOWN = 20


class LiveSource(Source):
    """A store's live tables in a database, as of one instant.

    A load reads events by week: the running week, the late ones, and those that were not read since they closed.

    Args:
        name: how messages call the database.
        connect: what opens it.
        calendar: the store's weeks.
        mapping: the store's names.
        as_of: when the tables are observed.
        late_weeks: the number of closed weeks that events may still enter.
        first_week: the first week that was ever loaded.
        anew: the first and last week to read again in any case.
        counts_weeks: whether to read weeks again whose number of rows changed.
    """

    def __init__(
        self,
        name: str,
        connect: Callable[[], Database],
        calendar: Calendar,
        mapping: StoreMapping,
        as_of: dt.datetime,
        late_weeks: int = 0,
        first_week: dt.date | None = None,
        anew: tuple[dt.date, dt.date] | None = None,
        counts_weeks: bool = False,
    ) -> None:
        super().__init__(name, calendar, mapping)
        self._connect, self._as_of, self._late_weeks = connect, as_of, late_weeks
        self._first_week, self._anew, self._counts_weeks = first_week, anew, counts_weeks
        self._tables: dict[str, LiveTable] = {}
        self._events = EventWeeks(LiveTable(""), mapping, calendar)
        self._opened: Database | None = None

    @property
    def _snapshot(self) -> Database:
        if self._opened is None:
            self._opened = self._connect()
        return self._opened

    def close(self) -> None:
        """End the snapshot, so that the database need not keep it."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def list_files(self) -> dict[str, list[SourceFile]]:
        """Return the tables, and the weeks of events; an absent optional table has no part.

        Raises:
            SourceError: the database cannot be read, or a needed table, or the events' created_at, is missing.
        """
        self._tables = self._snapshot.tables(self.mapping)
        if not self.names_stock and not self._dates_rows(STOCK.name):
            self._tables.pop(STOCK.name, None)
        for name in SOURCE_TABLES:
            if self._lacks(name, self._tables):
                raise self._missing(name)
        listed: dict[str, list[SourceFile]] = {
            name: [] if name not in self._tables else self._list_weeks() if name == "events" else [self._part(name)]
            for name in LISTED_TABLES
        }
        stock, dates_rows = listed.pop(STOCK.name), self._dates_rows("products")
        listed["products"] = note_instants(self.mapping, listed["products"], stock, dates_rows)
        return listed

    def _dates_rows(self, table: str) -> bool:
        """Return whether a table has a column of instants: the mapping names it, or the table has ours."""
        columns = self._tables[table].columns if table in self._tables else {}
        instants = self.mapping.instants_of(table)
        return bool(columns and instants and (instants in columns or instants != OBSERVED_AT))

    def columns_found(self, connection: duckdb.DuckDBPyConnection) -> list[tuple[str, list[str]]]:
        """Return the tables of all schemas, whatever their names, each with its columns."""
        return self._snapshot.tables_found() if self._opened else []

    def samples(self, connection: duckdb.DuckDBPyConnection) -> list[Sample]:
        """Return the first rows of the tables of all schemas, whatever their names."""
        return [
            Sample(name, tuple(columns), self._snapshot.sample(name)) for name, columns in self._snapshot.tables_found()
        ]

    def oddities(self) -> list[str]:
        """Return why the server reads all events to find those of a week, if it does."""
        table = self.mapping.table("events")
        if not self._events.weeks:
            return [f"created_at of {table} is not a timestamp: each run reads all events"]
        if self._snapshot.has_index(self._events.table, self._events.created_at):
            return []
        return [f"no index begins with created_at of {table}: to find a week's events, the server reads all of them"]

    def stage(self, connection: duckdb.DuckDBPyConnection, table: SourceTable, files: list[SourceFile]) -> None:
        """Add the rows of a table, or of weeks, to `_staged_<table>` with one statement.

        Raises:
            SourceError: the rows cannot be read to their end, or the table lacks a needed column.
        """
        if not files:
            return
        read, live = ReadTable(table, self.mapping, staged_uuids(connection, table)), self._tables[table.name]
        require_columns(read, self.name, list(live.columns))
        kinds = {name: live.columns[column] for name, column in read.theirs.items() if column in live.columns}
        if kinds.get(OBSERVED_AT) == "date":
            # As text, which tells a date from the instant at which it begins in UTC.
            kinds[OBSERVED_AT] = "text"
        columns = SentColumns(read, kinds, self._snapshot.others([*read.theirs.values()]))
        part_names = [each.name for each in files]
        names, number, where = part_names[:1], "1", ""
        other = literal(name_of_week(self.mapping, OTHER_WEEKS))
        if table.name == "events" and self._events.weeks:
            names, number = self._events.names, self._events.number
            where = f" where {self._events.condition(part_names)}"
        connection.execute(
            "create or replace temp table staged_paths as select unnest(?::varchar[]) as staged_path,"
            " unnest(?::timestamp[]) as staged_at",
            [part_names, [each.observed_at for each in files]],
        )
        self._snapshot.read(
            connection,
            table.name,
            f"select {columns.selected}, {number} as week_number from {live.relation} as {ROW}{where}",
            self._insert(
                read,
                columns.types,
                f"select {columns.values}, null::bigint as line, null as refused,"
                f" coalesce(($names::varchar[])[week_number], {other}) as filename from live_rows",
                columns.raw_text,
            ),
            {"names": names},
        )
        _note_contents(connection, read, files)

    @property
    def is_asked_for_weeks(self) -> bool:
        """Whether settled weeks are not read again; no week is settled if each load reads all events."""
        return bool(self._events.weeks) and self._events.has_ids

    def weeks_of_events(self, event_ids: Collection[str]) -> set[tuple[str, dt.date]]:
        """Return each of these events that the database has now, with its week."""
        return self._events.of_events(self._snapshot, event_ids)

    def _missing(self, name: str) -> SourceError:
        place, other = self._snapshot.place()
        found = [name for name, _columns in self._snapshot.tables_found()]
        more = f" and {len(found) - MOST_SHOWN} more" if len(found) > MOST_SHOWN else ""
        return SourceError(
            f"{self.name} has no table {name}: expected {self.mapping.table(name)} in {place}"
            f"{self._or_history(name)}; tables found:"
            f" {', '.join(found[:MOST_SHOWN]) or 'none'}{more}; name another schema"
            f" with {other}, another table with PLANT_MAPPING"
        )

    def _part(self, table: str, week: dt.date | str | None = None) -> LiveRows:
        name = name_of_week(self.mapping, week) if week else str(self.mapping.table(table))
        # The price of an event is in no stored row that could be compared.
        may_grow = table != "events" or not self.mapping.makes_products
        part = LiveRows(table, name, Path(name), "", 0, as_ns(self._as_of), may_grow=may_grow)
        part.mapping, part.is_part = LISTED_TABLES[table].read_by(self.mapping), week is not None
        if isinstance(week, dt.date):
            part.settles_at = self.calendar.starts_at(week + WEEK * (1 + self._late_weeks))
            part.is_read_anew = self._anew is not None and self._anew[0] <= week <= self._anew[1]
        return part

    def _list_weeks(self) -> list[SourceFile]:
        table = self._tables["events"]
        require_columns(ReadTable(SOURCE_TABLES["events"], self.mapping), self.name, list(table.columns))
        empty = EventWeeks(table, self.mapping, self.calendar)
        self._events = find_weeks(self._snapshot, empty, self._as_of, self._first_week)
        if not self._events.weeks:
            return [self._part("events")]
        parts = [self._part("events", week) for week in self._events.weeks]
        if self._counts_weeks:
            for part, count in zip(parts, self._events.count(self._snapshot), strict=True):
                part.counted = count
        return [*parts, self._part("events", OTHER_WEEKS)]


def _note_contents(connection: duckdb.DuckDBPyConnection, table: ReadTable, files: list[SourceFile]) -> None:
    """Note the number of rows that each part had, and the sum of their hashes."""
    # As text, so that the hash is the same whatever type the ids are stored as.
    texts = [f"{name}::varchar" if name in table.uuids else name for name in table.columns]
    columns = ", ".join([*texts, "raw_text"])
    found = connection.execute(
        f"select file, count(*), sum(hash({columns})::hugeint)::varchar from {table.table.staged}"
        " where file in (select unnest(?::varchar[])) group by file",
        [[each.name for each in files]],
    ).fetchall()
    contents = {name: (rows, f"{rows}-{total}") for name, rows, total in found}
    for each in files:
        each.size, each._hash = contents.get(each.name, (0, "0-0"))
