"""The look at the source: read it as a load does, some files at a time, into an engine in memory.

`oddities.py` has its oddities.
"""

import contextlib
import datetime as dt
import tempfile
from collections.abc import Iterator

import duckdb

from plant_assets.calendar import WEEK, weeks_between
from plant_assets.contracts import ORDER_STAGES
from plant_assets.doctor.found import Diagnosis, Events, Found, Lines
from plant_assets.doctor.joins import note_ids, unlike_ids
from plant_assets.doctor.oddities import oddities_of, other_names
from plant_assets.doctor.rehearsal import rehearse
from plant_assets.ingest.wording import RejectedRow
from plant_assets.settings import Settings
from plant_assets.sources import dbt_snapshot as history
from plant_assets.sources.base import Source, SourceFile, empty_files
from plant_assets.sources.errors import SourceError
from plant_assets.sources.mapping import NONE, StoreMapping
from plant_assets.sources.open import source_of
from plant_assets.sources.tables import HISTORY, SOURCE_TABLES, Holds, staged_columns
from plant_assets.sql import literal
from plant_assets.text import MOST_SHOWN, counted, some_of
from plant_assets.warehouse.store import STAGED

_COUNT_SESSIONS = """
    select count(*), count(*) filter (where visitors > 1)
    from (select count(distinct visitor) as visitors from sessions group by session)
"""
_COUNT_WORDS = """
    select word, count(*) from (
        select unnest(string_split(words, chr(31))) as word from {staged} where words is not null
    ) group by word
"""
PORTION_BYTES = 1 << 29
_STATUSES = """
    select coalesce(status, 'without one'), count(*) from _staged_orders where reason is null group by 1
    order by 2 desc, 1
"""
# The size that a week of a database is taken to have, as nobody knows it before it is read.
UNKNOWN_BYTES = PORTION_BYTES // 26


@contextlib.contextmanager
def engine(settings: Settings) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open an engine in memory, which spills to a folder that is removed at once."""
    with tempfile.TemporaryDirectory() as spilled:
        with duckdb.connect(config={"temp_directory": spilled}) as connection:
            connection.execute("set TimeZone = 'UTC'; set enable_progress_bar = false")
            connection.execute(f"set memory_limit = {literal(settings.memory_limit)}")
            yield connection


def look_at_source(
    settings: Settings, mapping: StoreMapping, as_of: dt.datetime, diagnosis: Diagnosis, lists_rejected: bool
) -> dt.datetime:
    """Report the contents and oddities of the source's tables, and return when a file last changed.

    Raises:
        SourceError: a run could not read the source, or would refuse it.
    """
    source, events = source_of(settings, as_of), Events()
    source.notes_words = True
    lines: Lines = []
    diagnosis.sections["Source"] = lines
    with contextlib.closing(source), engine(settings) as connection:
        try:
            listed = source.list_files()
            found = {name: _read(connection, source, name, listed[name], events, as_of) for name in SOURCE_TABLES}
        except SourceError:
            with contextlib.suppress(SourceError):
                diagnosis.odd += other_names(connection, source)
            raise
        diagnosis.odd += [*empty_files(listed), *source.oddities(), *unlike_ids(connection)]
        events.sessions, events.shared = connection.execute(_COUNT_SESSIONS).fetchall()[0]
    for name, table in found.items():
        if name == HISTORY and not table.files:
            continue
        stem = mapping.table(name)
        called = f" ({stem})" if stem not in (name, None) else ""
        refused = f", {table.refused} of them refused" if table.refused else ""
        held = "table" if settings.database else counted(table.files, "file")
        is_there = f"{held}, {counted(table.rows, 'row')}{refused}"
        lines.append((name + called, is_there if table.files else NONE))
    lines += _events_in_words(settings, events)
    lines += _statuses_in_words(mapping, found["orders"])
    lines += _history_in_words(found[HISTORY])
    lines += _observations_in_words(settings, mapping, listed["products"], found["products"])
    diagnosis.odd += oddities_of(settings, mapping, found, events, listed["products"], as_of)
    rehearse(settings, as_of, diagnosis, lists_rejected)
    changes = [each.modified_ns for files in listed.values() for each in files]
    changes += [settings.mapping.stat().st_mtime_ns] if settings.mapping and mapping.digest else []
    return dt.datetime.fromtimestamp(max(changes) / 1e9, dt.UTC)


def _read(
    connection: duckdb.DuckDBPyConnection,
    source: Source,
    name: str,
    files: list[SourceFile],
    events: Events,
    as_of: dt.datetime,
) -> Found:
    """Read a table's files as a load does, and return counts and bounds."""
    table, found, staged = SOURCE_TABLES[name], Found(len(files)), STAGED + name
    connection.execute("create table if not exists sessions (session ubigint, visitor ubigint)")
    # The meaning of a row of dbt's history may depend on any other row.
    for portion in [files] if name == HISTORY and files else _portions(files):
        connection.execute(f"create or replace table {staged} ({staged_columns(table, source.mapping)})")
        source.read(connection, portion)
        counts = connection.execute(f"select file, count(*), count(reason) from {staged} group by file").fetchall()
        for file, rows, refused in counts:
            found.rows_by_file[file] = rows
            found.rows, found.refused = found.rows + rows, found.refused + refused
        if found.refused and not found.first_refusal:
            first = connection.execute(
                f"select file, line, column_name, reason, found_text from {staged} where reason is not null"
                " order by file, line limit 1"
            ).fetchall()[0]
            found.first_refusal = RejectedRow(*first)
        note_ids(connection, name)
        found.words.update(dict(connection.execute(_COUNT_WORDS.format(staged=staged)).fetchall()))
        if name == "events":
            _read_events(connection, events, as_of)
        if name == "orders":
            found.statuses.update(dict(connection.execute(_STATUSES).fetchall()))
        if name == HISTORY:
            history.note_intervals(connection, f"{staged} where reason is null", as_of + dt.timedelta(days=1))
            found.instants = [at for at, _content in history.observations(connection)]
        if any(each.holds == Holds.STOCK for each in portion):
            rows = connection.execute(f"select distinct observed_at from {staged} where observed_at is not null")
            found.instants = sorted({*found.instants, *(at for (at,) in rows.fetchall())})
        connection.execute(f"drop table {staged}")
    return found


def _read_events(connection: duckdb.DuckDBPyConnection, events: Events, as_of: dt.datetime) -> None:
    good = "from _staged_events where reason is null"
    first, last, to_come, without_order = connection.execute(
        "select min(created_at), max(created_at), count(*) filter (where created_at > ?),"
        f" count(*) filter (where event_type = '{ORDER_STAGES[0]}' and order_id is null) {good}",
        [as_of + dt.timedelta(days=1)],
    ).fetchall()[0]
    events.first = min((at for at in (first, events.first) if at), default=None)
    events.last = max((at for at in (last, events.last) if at), default=None)
    events.to_come += to_come
    events.without_order += without_order
    types = connection.execute(f"select event_type, count(*) as events {good} group by 1 order by 2 desc, 1 limit 1000")
    events.types.update(dict(types.fetchall()))
    visitor = "if(user_id is null, null, hash(user_id))"
    connection.execute(f"insert into sessions select distinct hash(session_id), {visitor} {good}")


def _portions(files: list[SourceFile]) -> Iterator[list[SourceFile]]:
    portion: list[SourceFile] = []
    for each in files:
        if portion and sum(other.size or UNKNOWN_BYTES for other in portion) + each.size > PORTION_BYTES:
            yield portion
            portion = []
        portion.append(each)
    if portion:
        yield portion


def _events_in_words(settings: Settings, events: Events) -> Lines:
    if not events.first or not events.last:
        return []
    weeks = weeks_between(settings.calendar.week_of(events.first), settings.calendar.week_of(events.last))
    types = [f"{name} {count}" for name, count in events.types.most_common(MOST_SHOWN)]
    return [
        ("first event", f"{events.first} UTC"),
        ("last event", f"{events.last} UTC"),
        ("weeks of events", f"{len(weeks)}, from {weeks[0]} to {weeks[-1] + WEEK - dt.timedelta(days=1)}"),
        ("sessions", str(events.sessions)),
        ("event types", some_of(types, len(events.types))),
    ]


def _statuses_in_words(mapping: StoreMapping, orders: Found) -> Lines:
    if not orders.statuses:
        return []
    shown = [
        f"{status} {count}{' (not sold)' if status in mapping.not_sold else ''}"
        for status, count in orders.statuses.most_common(MOST_SHOWN)
    ]
    return [("order statuses", some_of(shown, len(orders.statuses)))]


def _history_in_words(found: Found) -> Lines:
    if not found.instants:
        return []
    first, last = found.instants[0], found.instants[-1]
    return [("dbt's history", f"{counted(len(found.instants), 'observation')}, from {first} to {last} UTC")]


def _observations_in_words(settings: Settings, mapping: StoreMapping, files: list[SourceFile], found: Found) -> Lines:
    if mapping.makes_products:
        return [("observations", "products are made from the events, at the latest one")]
    if found.instants:
        of_rows = f"{len(found.instants)} by row, from {found.instants[0]} to {found.instants[-1]} UTC"
        return [("observations", of_rows)]
    dated = sorted((each.observed_at, each.name) for each in files if each.observed_at)
    if not files:
        return []
    if not dated:
        why = "the table is as it is then" if settings.database else "the file is not dated"
        return [("observations", f"one at each run: {why}")]
    return [
        ("observations", f"{len(dated)}, from {dated[0][0]} to {dated[-1][0]} UTC"),
        ("products", f"{found.rows_by_file.get(dated[-1][1], 0)} in the last observation"),
    ]
