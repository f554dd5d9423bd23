"""What is configured, what the source holds, what is odd about it and what to do next. Nothing is written.

The source is read as a load reads it, a portion of files at a time, into an engine in memory. Of the warehouse only
what lies beside it is looked at, and the published marts: a run may be writing it.
"""

import collections
import contextlib
import datetime as dt
import shlex
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from plant_assets.alerts import is_known_address
from plant_assets.contracts import STAGES
from plant_assets.settings import PREFIX, Settings, UsageError
from plant_assets.sources import history, source_of
from plant_assets.sources.files import HISTORY, SOURCE_TABLES, Source, SourceError, SourceFile, staged_columns
from plant_assets.sources.mapping import NONE, StoreMapping, mapping_of
from plant_assets.sql import literal
from plant_assets.storage import STAGED, open_marts, store_mismatch
from plant_assets.zones import WEEK, weeks_between

PORTION_BYTES = 1 << 29
# Of a week in a database.
UNKNOWN_BYTES = PORTION_BYTES // 26
MOST_SHOWN = 10
# As the checks have it: two ticks.
FRESH_WITHIN = dt.timedelta(hours=12)
# Where DuckDB's mark stands in its files.
MAGIC = slice(8, 12)
Lines = list[tuple[str, str]]


@dataclass
class Diagnosis:
    """What was found, in sections of labels and values. With an `error`, a run would end with it."""

    sections: dict[str, Lines] = field(default_factory=dict)
    odd: list[str] = field(default_factory=list)
    next_command: str = ""
    error: SourceError | UsageError | None = None


@dataclass
class Found:
    """What the files of a table hold; `first_refusal` is file, line, column and reason, `instants` are dbt's."""

    files: int
    rows: int = 0
    refused: int = 0
    first_refusal: tuple[Any, ...] = ()
    rows_by_file: dict[str, int] = field(default_factory=dict)
    instants: list[dt.datetime] = field(default_factory=list)


@dataclass
class Events:
    """What the events of a source are."""

    first: dt.datetime | None = None
    last: dt.datetime | None = None
    sessions: int = 0
    to_come: int = 0
    types: collections.Counter[str] = field(default_factory=collections.Counter)


def diagnose(settings: Settings, as_of: dt.datetime, options: list[str]) -> Diagnosis:
    """Look at settings, source and warehouse as of an instant; `options` are what the next command needs again."""
    diagnosis = Diagnosis()
    diagnosis.sections["Configuration"] = _configuration(settings)
    last_change = None
    try:
        mapping = mapping_of(settings)
        diagnosis.sections["Configuration"] += _mapping(settings, mapping)
        if settings.is_sample and not settings.source_path.exists():
            diagnosis.sections["Source"] = [("sample store", "not written yet: the first run writes it")]
        else:
            last_change = _look_at_source(settings, mapping, as_of, diagnosis)
        for name, value in settings.store().items():
            if settings.remembered(name) not in (None, value):
                raise store_mismatch(settings, name, str(settings.remembered(name)), value)
    except (SourceError, UsageError) as error:
        diagnosis.error = error
        diagnosis.odd.append(str(error))
    is_mismatch = bool(diagnosis.error)
    if settings.alert_url and not is_known_address(settings.alert_url.get_secret_value()):
        diagnosis.odd.append("PLANT_ALERT_URL is no URL that Apprise knows, so nobody is told of failed runs")
    published = _look_at_warehouse(settings, diagnosis)
    does = "run"
    if isinstance(diagnosis.error, SourceError) or (diagnosis.error and not is_mismatch):
        does = "doctor"
    elif diagnosis.error:
        does = "run --accept-source"
    elif published and (last_change is None or last_change < published):
        does = "answers"
    diagnosis.next_command = " ".join(["plant-assets", does, *map(shlex.quote, options)])
    return diagnosis


def _configuration(settings: Settings) -> Lines:
    lines = [
        (PREFIX + name.upper(), str(getattr(settings, name)))
        for name in type(settings).model_fields
        if name in settings.model_fields_set and name not in ("source", "warehouse", "mapping")
    ]
    return [
        ("source", f"{settings.source_name}{' (the sample store)' if settings.is_sample else ''}"),
        ("warehouse", str(settings.warehouse_path)),
        *([("engine", f"{settings.warehouse}, tables in {settings.tables_path}")] if settings.spark_master else []),
        *lines,
    ]


def _mapping(settings: Settings, mapping: StoreMapping) -> Lines:
    if settings.mapping is None or settings.is_sample:
        return [("mapping", NONE)]
    return [("mapping", str(settings.mapping)), ("stages", ", ".join(mapping.stages))]


@contextlib.contextmanager
def _engine(settings: Settings) -> Iterator[duckdb.DuckDBPyConnection]:
    with tempfile.TemporaryDirectory() as spilled:
        with duckdb.connect(config={"temp_directory": spilled}) as connection:
            connection.execute("set TimeZone = 'UTC'; set enable_progress_bar = false")
            connection.execute(f"set memory_limit = {literal(settings.memory_limit)}")
            yield connection


def _look_at_source(settings: Settings, mapping: StoreMapping, as_of: dt.datetime, diagnosis: Diagnosis) -> dt.datetime:
    """Tell what the source's tables hold and what is odd about it; when a file of it changed last.

    Raises:
        SourceError: a run could not read the source, or would refuse it.
    """
    source, events = source_of(settings, as_of), Events()
    lines: Lines = []
    diagnosis.sections["Source"] = lines
    with contextlib.closing(source), _engine(settings) as connection:
        try:
            listed = source.list_files()
            found = {name: _read(connection, source, name, listed[name], events, as_of) for name in SOURCE_TABLES}
        except SourceError:
            with contextlib.suppress(SourceError):
                diagnosis.odd += _other_names(connection, source)
            raise
        diagnosis.odd += source.oddities()
        events.sessions = connection.execute("select count(distinct session) from sessions").fetchall()[0][0]
    for name, table in found.items():
        if name == HISTORY and not table.files:
            continue
        stem = mapping.table(name)
        called = f" ({stem})" if stem not in (name, None) else ""
        refused = f", {table.refused} of them refused" if table.refused else ""
        held = "table" if settings.database else _counted(table.files, "file")
        is_there = f"{held}, {_counted(table.rows, 'row')}{refused}"
        lines.append((name + called, is_there if table.files else NONE))
    lines += _events_in_words(settings, events)
    lines += _history_in_words(found[HISTORY])
    lines += _observations_in_words(settings, mapping, listed["products"], found["products"])
    diagnosis.odd += _odd(settings, mapping, found, events, listed["products"], as_of)
    _require_few_refused(settings, found)
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
    """Read a table's files as a load does, and keep only what is told of them."""
    table, found, staged = SOURCE_TABLES[name], Found(len(files)), STAGED + name
    connection.execute("create table if not exists sessions (session ubigint)")
    # What a row of dbt's history says may depend on any other.
    for portion in [files] if name == HISTORY and files else _portions(files):
        connection.execute(f"create or replace table {staged} ({staged_columns(table, source.mapping)})")
        source.stage(connection, table, portion)
        counts = connection.execute(f"select file, count(*), count(reason) from {staged} group by file").fetchall()
        for file, rows, refused in counts:
            found.rows_by_file[file] = rows
            found.rows, found.refused = found.rows + rows, found.refused + refused
        if found.refused and not found.first_refusal:
            found.first_refusal = connection.execute(
                f"select file, line, column_name, reason from {staged} where reason is not null"
                " order by file, line limit 1"
            ).fetchall()[0]
        if name == "events":
            _read_events(connection, events, as_of)
        if name == HISTORY:
            history.note_intervals(connection, f"{staged} where reason is null", as_of + dt.timedelta(days=1))
            found.instants = [at for at, _content in history.observations(connection)]
        connection.execute(f"drop table {staged}")
    return found


def _read_events(connection: duckdb.DuckDBPyConnection, events: Events, as_of: dt.datetime) -> None:
    good = "from _staged_events where reason is null"
    first, last, to_come = connection.execute(
        f"select min(created_at), max(created_at), count(*) filter (where created_at > ?) {good}",
        [as_of + dt.timedelta(days=1)],
    ).fetchall()[0]
    events.first = min((at for at in (first, events.first) if at), default=None)
    events.last = max((at for at in (last, events.last) if at), default=None)
    events.to_come += to_come
    types = connection.execute(f"select event_type, count(*) as events {good} group by 1 order by 2 desc, 1 limit 1000")
    events.types.update(dict(types.fetchall()))
    connection.execute(f"insert into sessions select distinct hash(session_id) {good}")


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
        ("event types", _some(types, len(events.types))),
    ]


def _history_in_words(found: Found) -> Lines:
    if not found.instants:
        return []
    first, last = found.instants[0], found.instants[-1]
    return [("dbt's history", f"{_counted(len(found.instants), 'observation')}, from {first} to {last} UTC")]


def _observations_in_words(settings: Settings, mapping: StoreMapping, files: list[SourceFile], found: Found) -> Lines:
    if mapping.makes_products:
        return [("observations", "products are made from the events, at the latest one")]
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


def _odd(
    settings: Settings,
    mapping: StoreMapping,
    found: dict[str, Found],
    events: Events,
    products: list[SourceFile],
    as_of: dt.datetime,
) -> list[str]:
    odd = []
    if mapping.has_order_items and not found["order_items"].files:
        odd.append("there is no order_items: checkout and package_shipped count for no product")
    others = {name: count for name, count in events.types.items() if name not in STAGES}
    if others:
        named = _some([f"{name} ({count})" for name, count in list(others.items())[:MOST_SHOWN]], len(others))
        odd.append(f"no stage, and in no funnel: {named}; event_types of PLANT_MAPPING makes stages of them")
    unseen = [stage for stage in mapping.stages if not events.types[stage]]
    if unseen:
        odd.append(
            f"no event is of the stage {' or '.join(unseen)}: its counts are 0; event_types of PLANT_MAPPING says"
            " which stages there are"
        )
    if products and not products[0].observed_at and not found[HISTORY].instants:
        odd.append(f"{products[0].name} is not dated: stock has a history from the first run on, as fine as the runs")
    if events.last is None:
        odd.append("there is no event")
    elif events.last < as_of - FRESH_WITHIN:
        odd.append(f"the last event is of {events.last} UTC: raw_events_are_fresh warns from 12 hours on")
    if events.to_come:
        odd.append(f"{_counted(events.to_come, 'event')} over a day ahead: refused until then")
    for name, table in found.items():
        if table.refused:
            odd.append(f"{table.refused} of {_counted(table.rows, 'row')} of {name} refused, first {_place(table)}")
    if settings.start and events.first and events.first < settings.calendar.starts_at(settings.start):
        odd.append(f"there are events before PLANT_START={settings.start}: they are refused")
    return odd


def _require_few_refused(settings: Settings, found: dict[str, Found]) -> None:
    for name, table in found.items():
        if table.refused > settings.max_rejected * table.rows:
            raise SourceError(
                f"{settings.source_name}: {table.refused} of {table.rows} rows of the table {name} cannot be loaded,"
                f" more than PLANT_MAX_REJECTED={settings.max_rejected} allows; the first is {_place(table)}"
            )


def _other_names(connection: duckdb.DuckDBPyConnection, source: Source) -> list[str]:
    """The columns of what the source has, which may be a store's that has other names."""
    named = [f"{place} has the columns {', '.join(names)}" for place, names in source.columns_found(connection)]
    if not named:
        return []
    wanted = [f"{name} has the columns {', '.join(table.columns)}" for name, table in SOURCE_TABLES.items()]
    return [*named[:MOST_SHOWN], "a store with other names is read by PLANT_MAPPING, which makes of them: " + wanted[0]]


def _look_at_warehouse(settings: Settings, diagnosis: Diagnosis) -> dt.datetime | None:
    """Tell what is known of the warehouse without opening it; when its marts were published."""
    lines: Lines = []
    diagnosis.sections["Warehouse"] = lines
    if not settings.warehouse_path.exists():
        lines.append(("file", "none yet"))
        return None
    if not is_database(settings.warehouse_path):
        lines.append(("file", "no warehouse"))
        diagnosis.error = UsageError(
            f"{settings.warehouse_path} is no warehouse, since it is no DuckDB file: name another as --warehouse"
        )
        diagnosis.odd.append(str(diagnosis.error))
        return None
    lines.append(("file", f"{settings.warehouse_path.stat().st_size / 1e6:.1f} MB"))
    for name, label in (("source", "store"), ("timezone", "time zone"), ("first_week", "first week")):
        if known := settings.remembered(name):
            lines.append((label, known))
    if not settings.marts_path.exists():
        lines.append(("published", "nothing yet"))
        return None
    published = dt.datetime.fromtimestamp(settings.marts_path.stat().st_mtime, dt.UTC)
    with open_marts(settings) as marts:
        weeks, last_week = marts.rows(
            "select count(distinct week), max(week) from _writes where table_name = 'raw_events' and week is not null"
        )[0]
        run_id = marts.value("select run_id from _writes order by write_number desc limit 1")
    lines += [
        ("published", f"{published:%Y-%m-%d %H:%M:%S} UTC, {weeks} weeks, the last {last_week}"),
        ("last run", str(run_id)),
    ]
    return published


def is_database(path: Path) -> bool:
    """Tell whether a file begins as DuckDB's files do."""
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        return stream.read(MAGIC.stop)[MAGIC] == b"DUCK"


def _place(table: Found) -> str:
    file, line, column, reason = table.first_refusal
    return f"{', '.join(str(part) for part in (file, line and f'line {line}', column) if part)}: {reason}"


def _some(shown: list[str], count: int) -> str:
    return ", ".join(shown) + (f" and {count - len(shown)} more" if count > len(shown) else "")


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
