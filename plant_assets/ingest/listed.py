"""Which weeks a run will have to do, as a tick knows them: by the ledger, a listing of the files, and small new files.

A tick writes nothing, rejects nothing and asks no database. The run that it requests reads, validates and decides.
"""

import datetime as dt
import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import duckdb

from plant_assets.calendar import FAR_FUTURE, WEEK, weeks_between
from plant_assets.ingest.audit import weeks_rejected
from plant_assets.ingest.diff import diff_files
from plant_assets.ingest.due import older_weeks, weeks_behind
from plant_assets.sources.base import Source, SourceFile
from plant_assets.sources.live.parts import as_ns
from plant_assets.sources.tables import SOURCE_TABLES, Holds, staged_columns
from plant_assets.warehouse.ledger.loads import LoadedWeek
from plant_assets.warehouse.observations import find_ahead
from plant_assets.warehouse.store import STAGED
from plant_assets.warehouse.warehouse import Warehouse

# Dagster gives a tick 60 s. Two cores read 64 MB of csv in 2 s; the run finds the weeks of more.
MOST_BYTES = 64_000_000
_EVENTS = SOURCE_TABLES["events"]


@dataclass(frozen=True)
class Outlook:
    """The weeks that a run will have to do, those of them whose events changed, and a digest of what changed.

    `is_unreadable` tells that the source could not be listed: then the weeks are those of the ledger. With
    `counts_weeks`, the run has the database count the events of closed weeks, once a day.
    """

    weeks: frozenset[dt.date]
    changed: frozenset[dt.date]
    state: str
    is_unreadable: bool = False
    counts_weeks: bool = False

    @property
    def range(self) -> tuple[dt.date, dt.date]:
        """Return the first and the last week of one run over all of them."""
        return min(self.weeks), max(self.weeks)


def look_ahead(
    warehouse: Warehouse,
    as_of: dt.datetime,
    first_week: dt.date,
    source: Source,
    listed: Mapping[str, Sequence[SourceFile]],
) -> Outlook:
    """Return what a run as of an instant will have to do.

    Args:
        warehouse: the warehouse.
        as_of: the instant of the run.
        first_week: the first partition, which counts where nothing else tells the store's first week.
        source: the source.
        listed: its files by table; empty for a database, and where they cannot be listed.
    """
    calendar, loads = warehouse.calendar, warehouse.ledger.loads
    running = calendar.week_of(as_of)
    fresh = _fresh(warehouse, "events", listed)
    unchanged = loads.known_files("events").keys() - {each.name for each in fresh}
    if "events" in listed:
        unchanged &= {each.name for each in listed["events"]}
    held = loads.weeks_of_files(unchanged) | _weeks_of(source, fresh)
    changed = held ^ loads.loaded_weeks()
    observed = _observed(warehouse, as_of, source, listed)
    noted = warehouse.ledger.due.weeks()
    holding = [*noted, *(week for week, _file, _content in held | changed)]
    holding += [calendar.week_of(at) for at, _number in observed]
    is_known = warehouse.settings.first_week is not None or not holding
    first_week = warehouse.settings.start or min([*([first_week] if is_known else []), *holding])
    last_week = max([week for week in holding if week <= running], default=running)
    known = weeks_between(first_week, max(first_week, last_week))
    due = {week for week, _file, _content in changed}
    due |= {running - WEEK * ago for ago in range(warehouse.settings.late_weeks + 1)}
    due |= weeks_rejected(warehouse, ["future"]) | _weeks_to_settle(warehouse, as_of)
    due |= noted
    due |= weeks_behind(warehouse, known, observed, find_ahead(warehouse, as_of))
    older = older_weeks(warehouse, first_week, running)
    state = sorted(map(str, changed)) + sorted(f"{each.name} {each.size}" for each in fresh)
    return Outlook(
        frozenset(due & set(known) | older or {known[-1]}),
        frozenset({week for week, _file, _content in changed} & set(known)),
        digest_of(state),
    )


def digest_of(state: Collection[str]) -> str:
    """Return a short text that is equal for equal states."""
    return hashlib.sha256("\n".join(state).encode()).hexdigest()[:16]


def _fresh(warehouse: Warehouse, table: str, listed: Mapping[str, Sequence[SourceFile]]) -> list[SourceFile]:
    """Return the parts of a table that are not as they were."""
    known = warehouse.ledger.loads.known_files(table)
    return diff_files(listed.get(table, ()), known, finds_appended=False).to_read


def _weeks_of(source: Source, fresh: Sequence[SourceFile]) -> set[LoadedWeek]:
    """Return the weeks of new and changed files; nothing where they are large."""
    if not fresh or sum(each.size for each in fresh) > MOST_BYTES:
        return set()
    # Ids as text: whether all are UUIDs does not matter here.
    as_text = dict.fromkeys(_EVENTS.columns, "varchar")
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'")
        columns = staged_columns(_EVENTS, source.mapping, as_text)
        connection.execute(f"create table {STAGED}events ({columns})")
        source.stage(connection, _EVENTS, list(fresh))
        found = connection.execute(f"select distinct week, file from {STAGED}events where week is not null").fetchall()
    contents = {each.name: each.content_hash for each in fresh}
    return {(week, file, contents[file]) for week, file in found}


def _weeks_to_settle(warehouse: Warehouse, as_of: dt.datetime) -> set[dt.date]:
    """Return the weeks of a database that were last read before late events could no longer enter them."""
    if warehouse.settings.database is None:
        return set()
    loads, settles_after = warehouse.ledger.loads, WEEK * (1 + warehouse.settings.late_weeks)
    known = loads.known_files("events")

    def settles_at(week: dt.date) -> int:
        return as_ns(warehouse.calendar.starts_at(week + settles_after))

    weeks = {(week, known[file][1]) for week, file, _content in loads.weeks_of_files(known.keys())}
    return {week for week, read_at in weeks if read_at < settles_at(week)}


def _observed(
    warehouse: Warehouse, as_of: dt.datetime, source: Source, listed: Mapping[str, Sequence[SourceFile]]
) -> list[tuple[dt.datetime, int]]:
    """Return the observations that the run will count, as far as names tell, each with the number of its write."""
    loads, until = warehouse.ledger.loads, as_of + FAR_FUTURE
    fresh = [each for each in _fresh(warehouse, "products", listed) if each.holds != Holds.NAMES]
    new = {each.observed_at or as_of for each in fresh}
    if source.mapping.table("products") in loads.known_files("products"):
        # A live table is observed by every run.
        new.add(as_of)
    numbered = {at: loads.next_write_number() for at in new if at <= until}
    return sorted((numbered | dict(loads.observations(until=until))).items())
