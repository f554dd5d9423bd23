"""A PostgreSQL database as a source: its live tables, in one snapshot, straight into the engine.

Rows come as batches of Arrow. What stands for files are tables, and of events weeks: the server reads those that are
asked for alone, by `created_at`. Names reach SQL only as quoted names.
"""

import datetime as dt
from collections.abc import Collection, Sequence
from pathlib import Path
from zoneinfo import ZoneInfo

import duckdb

from plant_assets.calendar import WEEK, Calendar, weeks_between
from plant_assets.contracts import INSTANT
from plant_assets.postgres_url import PostgresUrl
from plant_assets.sources.base import Source, SourceFile
from plant_assets.sources.errors import SourceError
from plant_assets.sources.mapping import StoreMapping
from plant_assets.sources.postgres.catalog import columns_of_tables, find_tables
from plant_assets.sources.postgres.parts import LiveRows, LiveTable, as_ns
from plant_assets.sources.postgres.snapshot import Snapshot
from plant_assets.sources.postgres.types import TIMESTAMPS, as_given, as_read, engine_type
from plant_assets.sources.tables import SOURCE_TABLES, ReadTable, SourceTable, require_columns, staged_uuids
from plant_assets.sql import identifier, literal

MOST_SHOWN = 20
# Ids in one question.
MOST_IDS = 10_000
OTHER_WEEKS = "other"


class PostgresSource(Source):
    """A store's live tables in a PostgreSQL database, as of one instant.

    Events are read by week: the running one, the late ones, and those that were never read since they closed.
    `first_week` is the first that was ever loaded; the weeks of `anew` are read again. With `counts_weeks` those whose
    number of rows is another than it was are, too.
    """

    def __init__(
        self,
        url: PostgresUrl,
        calendar: Calendar,
        mapping: StoreMapping,
        as_of: dt.datetime,
        late_weeks: int = 0,
        first_week: dt.date | None = None,
        anew: tuple[dt.date, dt.date] | None = None,
        counts_weeks: bool = False,
    ) -> None:
        super().__init__(url.shown, calendar, mapping)
        self._url, self._as_of, self._late_weeks = url, as_of, late_weeks
        self._first_week, self._anew, self._counts_weeks = first_week, anew, counts_weeks
        self._weeks: list[dt.date] = []
        self._tables: dict[str, LiveTable] = {}
        self._opened: Snapshot | None = None

    @property
    def _snapshot(self) -> Snapshot:
        if self._opened is None:
            self._opened = Snapshot(self._url)
        return self._opened

    def close(self) -> None:
        """End the snapshot, so that the server need not keep it."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def list_files(self) -> dict[str, list[SourceFile]]:
        """The tables, of events the weeks; an absent optional table has none.

        Raises:
            SourceError: the database cannot be read, or a needed table, or the events' created_at, is missing.
        """
        self._tables = find_tables(self._snapshot, self.mapping)
        for name in SOURCE_TABLES:
            if self._lacks(name, self._tables):
                raise self._missing(name)
        return {
            name: [] if name not in self._tables else self._list_weeks() if name == "events" else [self._part(name)]
            for name in SOURCE_TABLES
        }

    def columns_found(self, connection: duckdb.DuckDBPyConnection) -> list[tuple[str, list[str]]]:
        """The tables of all schemas, whatever their names, each with its columns."""
        if self._opened is None:
            return []
        return columns_of_tables(self._snapshot)

    def oddities(self) -> list[str]:
        """That the server reads all events to find those of a week, or that they cannot be told by week at all."""
        table, relation = self.mapping.table("events"), literal(self._tables["events"].relation)
        if not self._weeks:
            return [f"created_at of {table} is no timestamp: all events are read by each run"]
        column = ReadTable(SOURCE_TABLES["events"], self.mapping).theirs["created_at"]
        found = self._snapshot.rows(
            f"select 1 from pg_class where oid = to_regclass({relation}) and relkind in ('r', 'p', 'm') and not exists"
            " (select from pg_index join pg_attribute on attrelid = indrelid and attnum = indkey[0]"
            f" where indrelid = pg_class.oid and indisvalid and attname = {literal(column)})"
        )
        slow = f"no index begins with created_at of {table}: to find a week's events, the server reads all of them"
        return [slow] * len(found)

    def stage(self, connection: duckdb.DuckDBPyConnection, table: SourceTable, files: list[SourceFile]) -> None:
        """Add the rows of tables, or of weeks, to `_staged_<table>` by one statement.

        Raises:
            SourceError: they cannot be read to their end, or the table lacks a needed column.
        """
        if not files:
            return
        read, live = ReadTable(table, self.mapping, staged_uuids(connection, table)), self._tables[table.name]
        require_columns(read, self.name, list(live.columns))
        kinds = {name: live.columns[column] for name, column in read.theirs.items() if column in live.columns}
        selected = [
            f"{as_read(identifier(read.theirs[name]), kind)} as {identifier(name)}" for name, kind in kinds.items()
        ]
        clamped = [name for name, kind in kinds.items() if read.columns[name] == INSTANT and kind in TIMESTAMPS]
        selected += [f"{as_given(identifier(read.theirs[name]))} as given_{name}" for name in clamped]
        names = [files[0].name]
        if table.name == "events" and self._weeks:
            names = [self._name_of(week) for week in self._weeks]
            selected.append(f"width_bucket({self._created_at}, array[{', '.join(self._bounds())}]) as week_number")
        else:
            selected.append("1 as week_number")
        values = ", ".join(f"{name} := coalesce(given_{name}, {name}::varchar)" for name in clamped)
        others = ", ".join(f"{name} := {name}" for name in kinds if name not in clamped)
        connection.execute(
            "create or replace temp table staged_paths as select unnest(?::varchar[]) as staged_path,"
            " unnest(?::timestamp[]) as staged_at",
            [[each.name for each in files], [each.observed_at for each in files]],
        )
        columns = [read.values({name: name for name in kinds}), *(f"given_{name}" for name in clamped)]
        self._snapshot.read(
            connection,
            table.name,
            f"select {', '.join(selected)} from {live.relation}{self._where(files)}",
            self._insert(
                read,
                {name: engine_type(kinds[name]) if name in kinds else "VARCHAR" for name in read.columns},
                f"select {', '.join(columns)}, null::bigint as line, null as refused,"
                f" coalesce((?::varchar[])[week_number], {literal(self._name_of(OTHER_WEEKS))}) as filename"
                " from live_rows",
                f"to_json(struct_pack({', '.join(filter(None, [values, others]))}))::varchar",
            ),
            [names],
        )
        _note_contents(connection, read, files)

    def _missing(self, name: str) -> SourceError:
        schemas = self._snapshot.rows("select array_to_string(current_schemas(false), ', ')")[0][0]
        found = [name for name, _columns in columns_of_tables(self._snapshot)]
        more = f" and {len(found) - MOST_SHOWN} more" if len(found) > MOST_SHOWN else ""
        return SourceError(
            f"{self.name} has no table {name}: expected {self.mapping.table(name)} in the search_path"
            f" ({schemas or 'empty'}){self._or_history(name)}; tables found:"
            f" {', '.join(found[:MOST_SHOWN]) or 'none'}{more}; another schema is"
            " named by ?options=-csearch_path%3Dname in PLANT_SOURCE, another table by PLANT_MAPPING"
        )

    def _part(self, table: str, week: dt.date | str | None = None) -> LiveRows:
        name = self._name_of(week) if week else str(self.mapping.table(table))
        # The price of an event is in no stored row that could be compared.
        may_grow = table != "events" or not self.mapping.makes_products
        part = LiveRows(table, name, Path(name), "", 0, as_ns(self._as_of), may_grow=may_grow)
        part.mapping, part.is_part = self.mapping.digest, week is not None
        if isinstance(week, dt.date):
            part.settles_at = self.calendar.starts_at(week + WEEK * (1 + self._late_weeks))
            part.is_read_anew = self._anew is not None and self._anew[0] <= week <= self._anew[1]
        return part

    # Weeks of events

    def _name_of(self, week: dt.date | str) -> str:
        return f"{self.mapping.table('events')}/{week}"

    @property
    def _created_at(self) -> str:
        return identifier(ReadTable(SOURCE_TABLES["events"], self.mapping).theirs["created_at"])

    def _list_weeks(self) -> list[SourceFile]:
        """The weeks from the first with an event, or the first that was loaded, to the running one, and all others."""
        table, read = self._tables["events"], ReadTable(SOURCE_TABLES["events"], self.mapping)
        require_columns(read, self.name, list(table.columns))
        self._weeks = []
        kind = table.columns[read.theirs["created_at"]] if "created_at" in read.theirs else ""
        if kind not in TIMESTAMPS:
            # Weeks cannot be told by the server: all events are read by each load.
            return [self._part("events")]
        running = self.calendar.week_of(self._as_of)
        low, high = self._bound(dt.datetime(1970, 1, 2)), self._bound(self.calendar.starts_at(running + WEEK))
        at = self._snapshot.rows(
            f"select min({self._created_at})::timestamp from {table.relation}"
            f" where {self._created_at} >= {low} and {self._created_at} < {high}",
            "the table events cannot be read",
        )[0][0]
        known = [running, *([self._first_week] if self._first_week else [])]
        if at is not None:
            instant = at if kind.endswith("with time zone") else _instant(at, self.mapping.time.zone)
            known.append(self.calendar.week_of(instant))
        self._weeks = weeks_between(min(known), running)
        parts = [self._part("events", week) for week in self._weeks]
        if self._counts_weeks:
            self._count(table, parts)
        return [*parts, self._part("events", OTHER_WEEKS)]

    @property
    def is_asked_for_weeks(self) -> bool:
        """Whether weeks that have settled are not read again: where all events are read by each load, none are."""
        return bool(self._weeks) and "event_id" in ReadTable(SOURCE_TABLES["events"], self.mapping).theirs

    def weeks_of_events(self, event_ids: Collection[str]) -> set[tuple[str, dt.date]]:
        """Return each of the events that the database has now, with its week."""
        column = identifier(ReadTable(SOURCE_TABLES["events"], self.mapping).theirs["event_id"])
        week = f"width_bucket({self._created_at}, array[{', '.join(self._bounds())}])"
        found: set[tuple[str, dt.date]] = set()
        ordered = sorted(event_ids)
        for start in range(0, len(ordered), MOST_IDS):
            ids = ", ".join(map(literal, ordered[start : start + MOST_IDS]))
            rows = self._snapshot.rows(
                f"select {column}::text, {week} from {self._tables['events'].relation} where {column} in ({ids})"
            )
            found |= {(event_id, self._weeks[week - 1]) for event_id, week in rows if 0 < week <= len(self._weeks)}
        return found

    def _count(self, table: LiveTable, parts: Sequence[LiveRows]) -> None:
        bounds = self._bounds()
        rows = self._snapshot.rows(
            f"select width_bucket({self._created_at}, array[{', '.join(bounds)}]), count(*) from {table.relation}"
            f" where {self._created_at} >= {bounds[0]} and {self._created_at} < {bounds[-1]} group by 1",
            "the table events cannot be counted",
        )
        counts = dict(rows)
        for number, part in enumerate(parts, 1):
            part.counted = counts.get(number, 0)

    def _bounds(self) -> list[str]:
        """The first instants of the weeks, and the one after the last."""
        return [self._bound(self.calendar.starts_at(week)) for week in [*self._weeks, self._weeks[-1] + WEEK]]

    def _bound(self, instant: dt.datetime) -> str:
        """An instant as the server's column has it."""
        read = ReadTable(SOURCE_TABLES["events"], self.mapping)
        if self._tables["events"].columns[read.theirs["created_at"]].endswith("with time zone"):
            return f"timestamptz '{instant}+00'"
        clock = instant.replace(tzinfo=dt.UTC).astimezone(ZoneInfo(self.mapping.time.zone))
        return f"timestamp '{clock.replace(tzinfo=None)}'"

    def _where(self, files: list[SourceFile]) -> str:
        """The condition that leaves the rows of these files, those of weeks in a row as one range."""
        if files[0].table != "events" or not self._weeks:
            return ""
        names = {each.name for each in files}
        numbers = [number for number, week in enumerate(self._weeks) if self._name_of(week) in names]
        bounds, conditions = self._bounds(), []
        if self._name_of(OTHER_WEEKS) in names:
            conditions.append(f"{self._created_at} is null")
            numbers = [-1, *numbers, len(self._weeks)]
        there = set(numbers)
        firsts = [number for number in numbers if number - 1 not in there]
        lasts = [number for number in numbers if number + 1 not in there]
        for first, last in zip(firsts, lasts, strict=True):
            ends = [f"{self._created_at} >= {bounds[first]}"] if first >= 0 else []
            ends += [f"{self._created_at} < {bounds[last + 1]}"] if last + 1 < len(bounds) else []
            conditions.append(" and ".join(ends) or "true")
        return " where " + " or ".join(f"({each})" for each in conditions)


def _instant(clock: dt.datetime, zone: str) -> dt.datetime:
    return clock.replace(tzinfo=ZoneInfo(zone)).astimezone(dt.UTC).replace(tzinfo=None)


def _note_contents(connection: duckdb.DuckDBPyConnection, table: ReadTable, files: list[SourceFile]) -> None:
    """Tell what was read of each file, by the number of its rows and the sum of their hashes."""
    # As text, so that it is the same whatever the ids are stored as.
    texts = [f"{name}::varchar" if name in table.uuids else name for name in table.columns]
    columns = ", ".join([*texts, "raw_text"])
    found = connection.execute(
        f"select file, count(*), sum(hash({columns})::hugeint)::varchar from _staged_{table.name}"
        " where file in (select unnest(?::varchar[])) group by file",
        [[each.name for each in files]],
    ).fetchall()
    contents = {name: (rows, f"{rows}-{total}") for name, rows, total in found}
    for each in files:
        each.size, each._hash = contents.get(each.name, (0, "0-0"))
