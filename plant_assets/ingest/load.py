"""From the source to the raw tables: stage, decide the weeks, judge every row, then write.

All sources are staged and judged before the first table is written. The ledger keeps what each file was found to
hold and what became of its rows: both change in the transaction that writes the rows.
"""

import bisect
import collections
import datetime as dt
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from plant_assets.calendar import FAR_FUTURE, WEEK, Weeks, weeks_between
from plant_assets.contracts import PRUNED, TABLES, VERSIONS
from plant_assets.ingest.moves import has_lost_events, weeks_of_moves
from plant_assets.sources import dbt_snapshot as history
from plant_assets.sources.base import Source, SourceFile
from plant_assets.sources.conform import require_uuids
from plant_assets.sources.errors import NotUuids, SourceError
from plant_assets.sources.files.source import FileSource
from plant_assets.sources.tables import HISTORY, NO_WEEK, SOURCE_TABLES, staged_columns, staged_uuids
from plant_assets.warehouse.duckdb import Warehouse
from plant_assets.warehouse.observations import Ahead, find_ahead, leave_out
from plant_assets.warehouse.store import STAGED

# Verdicts that compare a row with others or with the clock: given anew by every load.
VERDICTS = ("duplicate", "conflict", "future", "before_start", "too_few_products", history.BACKWARDS)
# Refusals that say nothing about the source's quality: later runs look at them again.
NOT_YET = ("future", "before_start", "too_few_products")
MOST_ADDED_WEEKS = 20
# What stands for the file of products that are made from events.
MADE_OF_EVENTS = "(events)"
KEYS_AT_ONCE = 60_000_000
# Tables that a load replaces whole, unless it only adds to them.
WHOLE_TABLES = ("orders", "order_items")
# Below this many a fall in rows is no sign of a damaged source.
FEWEST_MISSING = 20


class RefusedLoad(SourceError):
    """Too many rows of a table are refused, or weeks would have to change that this run does not do."""


@dataclass(frozen=True)
class Observation:
    """One reading of all products: its instant, its file, and the products of it that can be loaded."""

    observed_at: dt.datetime
    file: str
    products: int


@dataclass
class Load:
    """One reading of the source into the `_staged_` tables, which the run then writes from.

    A week is `kept` when the files that it was loaded from are as they were, or have grown: its stored rows stay, and
    new ones add to them. The others are replaced. With `is_forced` every week is.
    """

    warehouse: Warehouse
    source: Source
    as_of: dt.datetime
    log: logging.Logger
    accepts_changes: bool = False
    is_forced: bool = False
    listed: dict[str, list[SourceFile]] = field(default_factory=dict)
    fresh: dict[str, list[SourceFile]] = field(default_factory=dict)
    staged: dict[str, list[str]] = field(default_factory=dict)
    weeks: set[dt.date] = field(default_factory=set)
    kept: set[dt.date] = field(default_factory=set)
    grown: dict[str, list[str]] = field(default_factory=dict)
    added_to: set[str] = field(default_factory=set)
    left_out: int = 0
    done: set[dt.date] = field(default_factory=set)
    written: dict[str, int] = field(default_factory=dict)
    first_week: dt.date | None = None
    kept_out: set[str] = field(default_factory=set)
    ahead: Ahead = field(default_factory=Ahead)

    @property
    def running_week(self) -> dt.date:
        return self.warehouse.calendar.week_of(self.as_of)

    # Reading

    def read(self, tables: Iterable[str] = tuple(SOURCE_TABLES)) -> None:
        """Stage the files that are new or changed since they were last read.

        Raises:
            SourceError: a file cannot be read, or a dated observation changed after it was loaded.
        """
        self.listed = self.source.list_files()
        self.ahead = find_ahead(self.warehouse, self.as_of)
        if self.ahead.observations:
            self.log.warning("%s", self.ahead.sentence(self.as_of, {each.name for each in self.listed["products"]}))
        self.warehouse.execute("create or replace temp table run_weeks (week date)")
        for name in tables:
            if not self.listed[name] and self.source.mapping.table(name) and self._is_missed(name):
                self.log.warning("%s has no table %s: it is taken as empty", self.source.name, name)
            known = self.warehouse.ledger.loads.known_files(name)
            changed = [
                each for each in self.listed[name] if each.name not in known or not each.is_known(*known[each.name])
            ]
            if name == "products":
                changed = self._observations_to_read(changed)
            self.grown[name] = [
                each.name
                for each in changed
                if not self.is_forced and each.name in known and each.begins_with(*known[each.name][::2])
            ]
            is_whole = name in ("orders", "order_items") or (name == HISTORY and bool(self.listed[name]))
            lost = known.keys() - {each.name for each in self.listed[name]}
            lost |= {each.name for each in changed if each.name in known} - set(self.grown[name])
            if name == HISTORY and not self.is_forced and (changed or self._is_waited_for(name)):
                # What stands in one row may depend on any other of the product.
                changed, is_whole = self.listed[name], False
            elif is_whole and (self.is_forced or lost):
                changed, is_whole = self.listed[name], False
            self._read_fresh(name, changed)
            if is_whole and self._only_adds(name):
                self.added_to.add(name)
            elif is_whole and len(changed) < len(self.listed[name]):
                # What one file says may depend on what another says of the same key.
                self._read_fresh(name, self.listed[name])
        self._set_weeks([])
        for name in ("orders", "order_items"):
            if name in self.staged:
                self._judge(name, partial(self._judge_duplicates, name))
        if HISTORY in self.staged:
            self._judge(HISTORY, self._judge_history)
        if "products" in self.staged:
            self._add_history()
            self._judge("products", self._judge_products)

    def _is_missed(self, name: str) -> bool:
        """Whether a store without the table is told so."""
        return name != HISTORY and not (name == "products" and self.listed[HISTORY])

    def _is_waited_for(self, name: str) -> bool:
        """Whether a row of the table was refused as of the future."""
        refused = "from rejected_rows where source_table = ? and reason = 'future'"
        return bool(self.warehouse.value(f"select exists ({refused})", [name]))

    def _read_fresh(self, name: str, files: list[SourceFile]) -> None:
        stored = self.warehouse.column_types(SOURCE_TABLES[name].target)
        columns = staged_columns(SOURCE_TABLES[name], self.source.mapping, stored)
        self.warehouse.execute(f"create or replace table {STAGED}{name} ({columns})")
        self.fresh[name], self.staged[name] = files, []
        self._stage(name, files)
        self._record_found(name)
        self.warehouse.execute(
            f"create or replace temp table still_{name} as select file, week, 0 as rows from {STAGED}{name} limit 0"
        )

    def _stored_again(self, name: str) -> str:
        """The staged rows of grown files that are stored as they are, as SQL over the names of the files."""
        table = SOURCE_TABLES[name]
        same = " and ".join(
            f"staged.{column} {'=' if column in table.key else 'is not distinct from'} stored.{column}"
            for column in table.columns
        )
        at = "created_at" if name == "events" else None
        # Equal rows are of one instant: where that is stored in order, few rows are looked at.
        nearby = (
            f" and stored.{at} >= (select min({at}) from {STAGED}{name}) and stored.{at} <="
            f" (select max({at}) from {STAGED}{name})"
            if at
            else ""
        )
        return (
            f"select staged.rowid as staged_row, file, week from {STAGED}{name} as staged join {table.target} as stored"
            f" on {same} where reason is null and list_contains(?::varchar[], file){nearby}"
        )

    def _loaded_of_grown(self, name: str) -> dict[tuple[str, str], tuple[int, int]]:
        """The rows loaded and dropped of each grown file and bucket."""
        return self.warehouse.ledger.loads.loaded_of(name, self.grown[name])

    def _only_adds(self, name: str) -> bool:
        """Whether what new files have, and grown ones have more, is of keys that are not stored; then those stay."""
        table, same = SOURCE_TABLES[name], self._stored_again(name)
        again = dict(self.warehouse.rows(f"select file, count(*) from ({same}) group by file", [self.grown[name]]))
        for (file, _bucket), (loaded, dropped) in self._loaded_of_grown(name).items():
            if dropped or again.get(file, 0) != loaded:
                return False
        known_keys = self.warehouse.value(
            f"select count(*) from {STAGED}{name} semi join {table.target} using ({', '.join(table.key)})"
        )
        if known_keys != sum(again.values()):
            return False
        self._forget_stored(name, f"from ({same})")
        return True

    def _forget_stored(self, name: str, rows: str) -> None:
        """Leave out of what is staged the rows that are stored already, and count them."""
        execute, grown = self.warehouse.execute, [self.grown[name]]
        execute(f"create or replace temp table again as {rows}", grown)
        execute(f"insert into still_{name} select file, week, count(*) from again group by all")
        execute(f"delete from {STAGED}{name} where rowid in (select staged_row from again)")

    def _stage(self, name: str, files: list[SourceFile]) -> None:
        connection, table = self.warehouse.connection, SOURCE_TABLES[name]
        self._with_ids(name, files, lambda: self.source.stage(connection, table, files))
        self.warehouse.limit_memory(is_staged=True)
        self.staged[name] += [each.name for each in files]

    def _with_ids(self, name: str, files: list[SourceFile], stage: Callable[[], None]) -> None:
        """Stage files; again with ids as text where one of them is no UUID, as ids were stored so far."""
        while True:
            try:
                with require_uuids():
                    return stage()
            except NotUuids as error:
                column = error.column
                if column not in staged_uuids(self.warehouse.connection, SOURCE_TABLES[name]):
                    raise
            self.log.info("%s of %s is stored as text, since not all are UUIDs", column, name)
            self.warehouse.keep_as_text(name, column)
            self.warehouse.execute(
                f"delete from {STAGED}{name} where list_contains(?::varchar[], file)", [[each.name for each in files]]
            )

    def _observations_to_read(self, changed: list[SourceFile]) -> list[SourceFile]:
        """Each dated file once, those kept out before again, and a single file at every run.

        Where dbt's history was read of the same instant, the file takes its place.
        """
        observed = self.warehouse.ledger.loads.observed_files()
        accepted = {at: content for at, (file, content) in observed.items() if not history.is_of_history(file)}
        to_read = []
        for each in self.listed["products"]:
            if each.observed_at is None:
                each.observed_at = self.as_of.replace(microsecond=0)
            elif each.observed_at > self.as_of + FAR_FUTURE:
                if each.observed_at in accepted:
                    continue
                raise SourceError(
                    f"{each.path} is an observation of {each.observed_at}Z, which has not come yet: mend its name"
                )
            elif each.observed_at in accepted:
                if each not in changed or each.content_hash == accepted[each.observed_at]:
                    continue
                if not self.accepts_changes and not each.has_content_of(accepted[each.observed_at]):
                    raise SourceError(
                        f"{each.path} changed after it was loaded as the observation of {each.observed_at}Z:"
                        " restore it, or accept it with `plant-assets run --weeks all`"
                    )
            to_read.append(each)
        return to_read

    def _add_history(self) -> None:
        """Stage the instants of dbt's history that are not observed, each as a file of the products.

        Raises:
            SourceError: it says otherwise of an instant than when that was loaded.
        """
        if HISTORY not in self.staged:
            return
        is_stored = HISTORY in self.added_to
        rows = "raw_products_snapshot" if is_stored else f"{history.STAGED_HISTORY} where reason is null"
        connection, accepted = self.warehouse.connection, self.warehouse.ledger.loads.observed_files()
        history.note_intervals(connection, rows, self.as_of + FAR_FUTURE)
        observed, added = {each.observed_at for each in self.listed["products"]}, []
        for observed_at, content in history.observations(connection):
            file, loaded = accepted.get(observed_at, (None, None))
            is_changed = history.is_of_history(file) and content != loaded
            if observed_at in observed or (file and not is_changed):
                continue
            if is_changed and not self.accepts_changes:
                raise SourceError(
                    f"{self.source.name}: the table {HISTORY} says otherwise of {observed_at}Z than when it was"
                    " loaded: restore it, or accept it with `plant-assets run --weeks all`"
                )
            name = history.name_of(observed_at)
            added.append(SourceFile("products", name, Path(name), "", 0, 0, observed_at, _hash=content))
        if added:
            history.stage(connection, [each.observed_at for each in added if each.observed_at])
            self.listed["products"] += added
            self.fresh["products"] += added
            self.staged["products"] += [each.name for each in added]
            self._record_found("products")

    def _judge_history(self) -> None:
        connection = self.warehouse.connection
        history.judge_intervals(connection, self.as_of + FAR_FUTURE)
        self._judge_duplicates(HISTORY)
        history.judge_overlaps(connection)

    def _record_found(self, name: str) -> None:
        """What the fresh files hold, in `found_<table>`, as the ledger will keep it."""
        self.warehouse.ledger.loads.start_found(name)
        self._add_found(name, self.fresh[name])

    def _add_found(self, name: str, fresh: list[SourceFile]) -> None:
        self.warehouse.execute(
            f"insert into found_{name} select ?, file, size, modified_ns, content_hash, week,"
            " coalesce(rows_read, 0) from (select unnest(?::varchar[]) as file, unnest(?::bigint[]) as size,"
            " unnest(?::bigint[]) as modified_ns, unnest(?::varchar[]) as content_hash) left join"
            f" (select file, week, count(*) as rows_read from {STAGED}{name} group by all) using (file)",
            [
                name,
                [each.name for each in fresh],
                [each.size for each in fresh],
                [each.modified_ns for each in fresh],
                [each.content_hash for each in fresh],
            ],
        )

    def _find_changed(self, files: list[SourceFile]) -> None:
        """Of files of events that were taken as known and are read after all, note those that are others by now."""
        known = self.warehouse.ledger.loads.known_files("events")
        changed = [each for each in files if each.content_hash != known[each.name][2]]
        if changed:
            self.fresh["events"] += changed
            self._add_found("events", changed)

    # Weeks

    def _source_weeks(self) -> set[tuple[dt.date, str, str]]:
        """The weeks of the source's events: week, file and the file's content."""
        unchanged = {each.name for each in self.listed["events"]} - {each.name for each in self.fresh["events"]}
        return set(
            self.warehouse.rows("select week, file, content_hash from found_events where week is not null")
        ) | self.warehouse.ledger.loads.weeks_of_files(unchanged)

    def _observed(self) -> list[tuple[dt.datetime, int]]:
        """The observations that the run counts, in order, each with the number of the write that loaded it."""
        stored = self.warehouse.ledger.loads.observations(until=self.as_of + FAR_FUTURE)
        unwritten = self.warehouse.ledger.loads.next_write_number()
        fresh = {each.observed_at: unwritten for each in self._accepted_observations()}
        observed = dict(stored) | fresh
        made_at = self._products_made_at(max(observed, default=None))
        return sorted((observed | ({made_at: unwritten} if made_at else {})).items())

    def _products_made_at(self, last: dt.datetime | None) -> dt.datetime | None:
        """The instant at which this load observes products made from events; None where it makes none anew."""
        if not self.source.mapping.makes_products or not self.changed_weeks():
            return None
        latest = self.warehouse.value(
            "select date_trunc('second', max(created_at)) from _staged_events where created_at < ?"
            " and created_at <= ? and (reason is null or list_contains(?::varchar[], reason))",
            [
                self.warehouse.calendar.starts_at(self.running_week + WEEK),
                self.as_of + FAR_FUTURE,
                list(VERDICTS),
            ],
        )
        return max((at for at in (latest, last) if at), default=None)

    def find_first_week(self) -> dt.date:
        """The week that is set, else the first one that holds, or held, an event or an observation.

        Raises:
            RefusedLoad: the week that is set has not begun, or events before it are loaded.
        """
        calendar, start = self.warehouse.calendar, self.warehouse.settings.start
        loaded = {week for week, _file, _content in self.warehouse.ledger.loads.loaded_weeks()}
        latest = min([*loaded, self.running_week])
        if start and start > latest:
            why = "the first week of the warehouse" if loaded else "the running week"
            raise RefusedLoad(f"PLANT_START={start} is not allowed: at most {latest}, {why}")
        weeks = loaded | {week for week, _file, _content in self._source_weeks()}
        weeks |= {calendar.week_of(at) for at, _number in self._observed()}
        return start or min([*weeks, self.running_week])

    def known_weeks(self, first_week: dt.date) -> list[dt.date]:
        """All weeks from the first to the last one that holds, or held, an event or an observation."""
        calendar = self.warehouse.calendar
        held = self._source_weeks() | self.warehouse.ledger.loads.loaded_weeks()
        weeks = [week for week, _file, _content in held if week <= self.running_week]
        weeks += [calendar.week_of(at) for at, _number in self._observed()]
        return weeks_between(first_week, min(max([*weeks, first_week]), self.running_week))

    def changed_weeks(self) -> set[dt.date]:
        """The weeks whose source is not what was loaded of it; those never loaded too."""
        return {week for week, _file, _content in self._source_weeks() ^ self.warehouse.ledger.loads.loaded_weeks()}

    def due_weeks(self, first_week: dt.date) -> set[dt.date]:
        """The weeks that bring the warehouse up to date with the source; the last one at least."""
        warehouse = self.warehouse
        due = self.changed_weeks()
        due |= {self.running_week - WEEK * ago for ago in range(warehouse.settings.late_weeks + 1)}
        due |= {
            row[0]
            for row in warehouse.rows("select distinct week_start_date from rejected_rows where reason = 'future'")
        }
        known_weeks = self.known_weeks(first_week)
        return (due | self._weeks_behind(known_weeks)) & set(known_weeks) or {known_weeks[-1]}

    def _weeks_behind(self, weeks: list[dt.date]) -> set[dt.date]:
        """The weeks in which a weekly table was never written, or before what it is made from."""
        calendar, observed = self.warehouse.calendar, self._observed()
        # An observation bears on the week of the one before it and on all later ones.
        bearing, before = [], None
        for at, number in observed:
            bearing.append((calendar.week_of(before or at), number))
            before = at
        if self.ahead.bears_from:
            # An observation that no longer counts, or counts again, bears like a new one.
            bearing.append((self.ahead.bears_from, self.warehouse.ledger.loads.next_write_number()))
        bears = {week: max([by for since, by in bearing if since <= week], default=0) for week in weeks}
        return self.warehouse.ledger.writes.stale_weeks(weeks, bears)

    # Judging

    def judge(self, weeks: Iterable[dt.date], first_week: dt.date) -> set[dt.date]:
        """Give every staged row of `weeks` its verdict; return the other weeks that events leave or enter with it.

        Raises:
            RefusedLoad: no other week has to be loaded, and the settings do not allow as many rejected rows, or as few.
        """
        self.first_week = first_week
        self._set_weeks(weeks)
        if "events" not in self.staged:
            self.require_enough_good_rows()
            return set()
        self._keep(self._unchanged_weeks() & self.weeks)
        while True:
            self._judge("events", partial(self._judge_events, first_week))
            others = self._other_weeks(first_week)
            if self._stage_others(others):
                continue
            must_change = self.yielding_weeks() | self._returning_weeks()
            if others:
                must_change |= weeks_of_moves(self.warehouse, self.source) & others
            if not must_change & self.kept:
                break
            # Which of their rows stay is decided among all of them.
            self._keep(self.kept - must_change)
        others_to_load = must_change - self.weeks
        if not others_to_load:
            self.require_enough_good_rows()
        return others_to_load

    def require_enough_good_rows(self) -> None:
        """Refuse the load if a table has too many rejected rows, or too few rows.

        Raises:
            RefusedLoad: the settings do not allow as many, or as few.
        """
        for name in self.staged:
            self._require_few_rejected(name)
        self._require_enough_rows()

    def _require_enough_rows(self) -> None:
        """Refuse a load that leaves much less of a week, of orders or of order items than the load before it.

        Raises:
            RefusedLoad: names the table, the week and both numbers.
        """
        least = self.warehouse.settings.min_rows
        if not least:
            return
        for name, week, loaded, rows in self._rows_before_and_now():
            if rows < least * loaded and loaded - rows >= FEWEST_MISSING:
                held = f"the week {week} of the table {name}" if week else f"the table {name}"
                found = f"has {rows} rows" if self.listed[name] else "is gone"
                raise RefusedLoad(
                    f"{self.source.name}: {held} {found} where {loaded} rows were loaded before, less than"
                    f" PLANT_MIN_ROWS={least} allows: restore the rows, or accept the loss for one run by"
                    " `plant-assets run --accept-fewer`"
                )

    def _rows_before_and_now(self) -> list[tuple[str, dt.date | None, int, int]]:
        """Table, week, rows loaded before and rows to load now, of each table and week that this load replaces.

        Rows that another mapping loaded are not compared, nor a table or week of which nothing was loaded.
        """
        replaced = [name for name in WHOLE_TABLES if name in self.staged and name not in self.added_to]
        loaded = self.warehouse.ledger.loads.rows_loaded(replaced, self.weeks - self.kept)
        now = self._rows_to_load(replaced)
        return [
            (name, None if bucket == "all" else dt.date.fromisoformat(bucket), rows, now.get((name, bucket), 0))
            for name, bucket, rows, digests in loaded
            if name in self.staged and set(digests) == {self.source.mapping.digest}
            if now.get((name, bucket)) or not self._may_be_forgotten(bucket)
        ]

    def _may_be_forgotten(self, bucket: str) -> bool:
        """Whether the bucket is a week that is settled, which a database may have deleted since."""
        last_settled = self.running_week - WEEK * (1 + self.warehouse.settings.late_weeks)
        return any(each.is_part for each in self.listed["events"]) and bucket <= str(last_settled)

    def _rows_to_load(self, replaced: list[str]) -> dict[tuple[str, str], int]:
        good = "where reason is null"
        rows = {
            (name, "all"): int(self.warehouse.value(f"select count(*) from {STAGED}{name} {good}")) for name in replaced
        }
        if "events" in self.staged:
            by_week = self.warehouse.rows(
                # Rows that lie ahead of the run's clock are in the source.
                f"select week::varchar, count(*) from {STAGED}events where (reason is null or reason = 'future')"
                " and week is not null group by all"
            )
            rows |= {("events", week): count for week, count in by_week}
        return rows

    def _unchanged_weeks(self) -> set[dt.date]:
        """The weeks that are loaded from all the unchanged files that hold rows of them, and else from grown ones."""
        if self.is_forced:
            return set()
        fresh, grown = {each.name for each in self.fresh["events"]}, set(self.grown["events"])
        same = f"select file, week::varchar, count(*) from ({self._stored_again('events')}) group by all"
        again = {(file, week): rows for file, week, rows in self.warehouse.rows(same, [sorted(grown)])} if grown else {}
        changed = {
            bucket
            for (file, bucket), (loaded, dropped) in self._loaded_of_grown("events").items()
            if dropped or again.get((file, bucket), 0) != loaded
        }
        unchanged: dict[dt.date, set[tuple[str, str]]] = collections.defaultdict(set)
        loaded: dict[dt.date, set[tuple[str, str]]] = collections.defaultdict(set)
        for week, file, content in self._source_weeks():
            if file not in fresh:
                unchanged[week].add((file, content))
        for week, file, content in self.warehouse.ledger.loads.loaded_weeks():
            loaded[week] |= set() if file in grown else {(file, content)}
        looked_at_again = {
            row[0]
            for row in self.warehouse.rows(
                "select distinct week_start_date from rejected_rows where list_contains(?::varchar[], reason)",
                [list(NOT_YET)],
            )
        }
        weeks = {week for week, files in loaded.items() if files == unchanged[week] and str(week) not in changed}
        return weeks - looked_at_again

    def _keep(self, weeks: set[dt.date]) -> None:
        """Stage what is needed where only `weeks` keep their stored rows: of these, the rows of new files."""
        fresh = [each.name for each in self.fresh["events"]]
        self.kept = weeks
        self.warehouse.execute("update load_weeks set is_kept = list_contains(?::date[], week)", [sorted(weeks)])
        if self.warehouse.value("select exists (from still_events)"):
            self._read_fresh("events", self.fresh["events"])
        elif len(self.staged["events"]) > len(fresh):
            self.warehouse.execute("delete from _staged_events where not list_contains(?::varchar[], file)", [fresh])
        self.staged["events"], self.left_out = fresh, 0
        if weeks and self.grown["events"]:
            kept = "week in (select week from load_weeks where is_kept)"
            self._forget_stored("events", f"from ({self._stored_again('events')}) where {kept}")
        self._stage_known_events()

    def _set_weeks(self, weeks: Iterable[dt.date]) -> None:
        calendar, ordered = self.warehouse.calendar, sorted(set(weeks))
        self.weeks = set(ordered)
        self.warehouse.execute(
            "create or replace temp table load_weeks as select unnest(?::date[]) as week,"
            " unnest(?::timestamp[]) as starts_at, unnest(?::timestamp[]) as ends_at, false as is_kept",
            [
                ordered,
                [calendar.starts_at(week) for week in ordered],
                [calendar.starts_at(week + WEEK) for week in ordered],
            ],
        )

    def _other_weeks(self, first_week: dt.date) -> set[dt.date]:
        """Return the weeks that are not replaced, and whose source may be other than what was loaded."""
        known = set(self.known_weeks(first_week))
        if self.source.is_asked_for_weeks:
            return known - (self.weeks - self.kept)
        return known & self.changed_weeks() - self.weeks

    def _stage_others(self, weeks: set[dt.date]) -> bool:
        """Where events are lost, read the files of other weeks that are known, but not loaded; whether there were any.

        A load of other weeks has noted them.
        """
        if self.source.is_asked_for_weeks or not weeks or not has_lost_events(self.warehouse):
            return False
        before = len(self.staged["events"])
        self._stage_known_events(weeks)
        return len(self.staged["events"]) > before

    def _stage_known_events(self, others: Iterable[dt.date] = ()) -> None:
        """Read unchanged files again that hold rows of the weeks that are replaced, or of others."""
        holding = self.warehouse.ledger.loads.files_of_weeks(others)
        missing = [
            each for each in self.listed["events"] if each.name in holding and each.name not in self.staged["events"]
        ]
        self._stage("events", missing)
        self._find_changed(missing)
        self.left_out += self._leave_out_kept()

    def _leave_out_kept(self) -> int:
        """Leave out of what is staged the rows of kept weeks that files other than new ones hold; the rows."""
        if not self.kept:
            return 0
        fresh = [each.name for each in self.fresh["events"]]
        return int(
            self.warehouse.value(
                "delete from _staged_events where week in (select week from load_weeks where is_kept)"
                " and not list_contains(?::varchar[], file)",
                [fresh],
            )
        )

    def _judge(self, name: str, give_verdicts: Callable[[], None]) -> None:
        """Give verdicts; where that refuses rows whose line is unknown, read their files by line, and again."""
        while True:
            self.warehouse.execute(
                f"update {STAGED}{name} set reason = null, column_name = null"
                " where list_contains(?::varchar[], reason)",
                [list(VERDICTS)],
            )
            give_verdicts()
            without_line = {
                row[0]
                for row in self.warehouse.rows(
                    f"select distinct file from {STAGED}{name} where reason <> 'duplicate' and line is null"
                )
            }
            again = [each for each in self.listed[name] if each.name in without_line and each.has_lines]
            if not again:
                return
            assert isinstance(self.source, FileSource)
            for each in again:
                by_line = partial(self.source.stage_line_by_line, self.warehouse.connection, SOURCE_TABLES[name], each)
                self._with_ids(name, [each], by_line)
            # The rows that were left out came back; they are counted already.
            if name == "events":
                self._leave_out_kept()
            if name in self.added_to or name == "events":
                stored = f"select staged_row from ({self._stored_again(name)})"
                if name == "events":
                    stored += " where week in (select week from load_weeks where is_kept)"
                self.warehouse.execute(f"delete from {STAGED}{name} where rowid in ({stored})", [self.grown[name]])

    def _judge_events(self, first_week: dt.date) -> None:
        calendar, execute = self.warehouse.calendar, self.warehouse.execute
        execute(
            "update _staged_events set column_name = 'created_at',"
            " reason = if(created_at < ?, 'before_start', 'future')"
            " where reason is null and (created_at < ? or created_at >= ? or created_at > ?)",
            [
                calendar.starts_at(first_week),
                calendar.starts_at(first_week),
                calendar.starts_at(self.running_week + WEEK),
                self.as_of + FAR_FUTURE,
            ],
        )
        self._judge_duplicates("events")
        execute(
            "update _staged_events set reason = 'conflict', column_name = 'event_id' from"
            f" ({_STORED_TWINS}) as twins where _staged_events.rowid = staged_row and stored_at < created_at"
        )

    def _judge_duplicates(self, name: str) -> None:
        """Of the rows with one key the first stays; equal ones are dropped, the others are in conflict."""
        table = SOURCE_TABLES[name]
        key, columns = ", ".join(table.key), ", ".join(table.columns)
        first = [f"{column}::varchar nulls first" for column in table.columns]
        if name == "events":
            first.insert(0, "created_at")
        rows = f"from {STAGED}{name} where reason is null and (week is null or week in (select week from load_weeks))"
        # Hashes of keys are grouped, in portions, as they need less memory than keys; those of equal keys are equal.
        count = self.warehouse.value(f"select count(*) from {STAGED}{name}")
        self.warehouse.execute("create or replace temp table hashed_twice (key_hash ubigint)")
        portions = 1 + count // KEYS_AT_ONCE
        for portion in range(portions):
            of_portion = f"where key_hash % {portions} = {portion}" if portions > 1 else ""
            self.warehouse.execute(
                f"insert into hashed_twice select key_hash from (select hash({key}) as key_hash {rows}) {of_portion}"
                " group by key_hash having count(*) > 1"
            )
        self.warehouse.execute(
            f"create or replace temp table seen_twice as select {key} {rows}"
            f" and hash({key}) in (from hashed_twice) group by {key} having count(*) > 1"
        )
        if not self.warehouse.value("select exists (from seen_twice)"):
            return
        self.warehouse.execute(
            f"update {STAGED}{name} set reason = verdict, column_name = ? from ("
            "select staged_row, if(copy > 1, 'duplicate', 'conflict') as verdict from ("
            f"select rowid as staged_row, row_number() over (partition by {key} order by {', '.join(first)}, file,"
            f" line, rowid) as place, row_number() over (partition by {key}, {columns} order by file, line, rowid)"
            " as copy"
            f" {rows} and ({key}) in (select ({key}) from seen_twice)"
            ") where place > 1) as verdicts where rowid = staged_row",
            [table.key[-1] if name != "order_items" else None],
        )

    def yielding_weeks(self) -> set[dt.date]:
        """The stored weeks that hold, no earlier, an event of this load."""
        rows = self.warehouse.rows(f"select distinct stored_at from ({_STORED_TWINS}) where stored_at >= staged_at")
        return {self.warehouse.calendar.week_of(row[0]) for row in rows}

    def _returning_weeks(self) -> set[dt.date]:
        """The weeks with a refusal for an event that is no longer there, or that this load decides anew."""
        refused = "from rejected_rows where source_table = 'events' and reason = 'conflict'"
        if not self.warehouse.value(f"select exists ({refused})"):
            return set()
        id_type = self.warehouse.column_types("raw_events")["event_id"]
        conflicts = (
            f"select week_start_date, try_cast(row_key as {id_type}) as id {refused} and week_start_date is not null"
        )
        rows = self.warehouse.rows(
            f"with conflicts as ({conflicts}), due as (select week from load_weeks)"
            " select distinct week_start_date from conflicts"
            " where id in (select event_id from _staged_events where week in (from due))"
            " union select distinct week_start_date from conflicts"
            " where id not in (select event_id from _staged_events where reason is null and week in (from due))"
            " and not exists (select 1 from raw_events where event_id = id and not exists"
            "  (select 1 from load_weeks where created_at >= starts_at and created_at < ends_at and not is_kept))"
        )
        return {row[0] for row in rows}

    def _judge_products(self) -> None:
        """Duplicates first; then an observation with too few products is kept out, each against the one before."""
        self._judge_duplicates("products")
        self.kept_out = set()
        least = self.warehouse.settings.min_products
        stored = self._stored_observations()
        accepted_before = {each.observed_at for each in stored}
        staged = self._staged_observations()
        anew = {each.observed_at for each in staged}
        # One that was accepted, and is read again because it changed, is not judged again.
        accepted = [each for each in stored if each.observed_at not in anew]
        accepted += [each for each in staged if each.observed_at in accepted_before]
        accepted.sort(key=lambda each: each.observed_at)
        for each in staged:
            if each.observed_at in accepted_before:
                continue
            place = bisect.bisect_left(accepted, each.observed_at, key=lambda other: other.observed_at)
            neighbour = accepted[place - 1] if place else None
            if neighbour and each.products < least * neighbour.products:
                self.kept_out.add(each.file)
                if not each.products:
                    self.log.warning("%s is kept out: it holds no product, see PLANT_MIN_PRODUCTS", each.file)
                self.warehouse.execute(
                    "update _staged_products set reason = 'too_few_products' where file = ? and reason is null",
                    [each.file],
                )
            else:
                accepted.insert(place, each)

    def _stored_observations(self) -> list[Observation]:
        return [
            Observation(*row)
            for row in self.warehouse.rows(
                "select observed_at, file, products from raw_observations order by observed_at"
            )
        ]

    def _staged_observations(self) -> list[Observation]:
        if "products" not in self.staged:
            return []
        products = dict(
            self.warehouse.rows("select file, count(*) from _staged_products where reason is null group by file")
        )
        observations = [
            Observation(each.observed_at, each.name, products.get(each.name, 0))
            for each in self.fresh["products"]
            if each.observed_at
        ]
        return sorted(observations, key=lambda each: each.observed_at)

    def _accepted_observations(self) -> list[Observation]:
        return [each for each in self._staged_observations() if each.file not in self.kept_out]

    def _require_few_rejected(self, name: str) -> None:
        most = self.warehouse.settings.max_rejected
        is_refused = "reason <> 'duplicate' and not list_contains(?::varchar[], reason)"
        read, refused = self.warehouse.rows(
            f"select count(*) + (select coalesce(sum(rows), 0) from still_{name}), count(*) filter (where {is_refused})"
            f" from {STAGED}{name}",
            [list(NOT_YET)],
        )[0]
        read += self.left_out if name == "events" else 0
        if refused <= most * read:
            return
        # A part is read again without the rest of its table, so rows that were rejected before do not count again.
        parts = [each.name for each in self.listed[name] if each.is_part]
        rejected, first = self.warehouse.rows(
            _NEWLY_REJECTED.format(staged=STAGED + name, key=SOURCE_TABLES[name].key[-1]),
            {"source_table": name, "parts": parts, "not_yet": list(NOT_YET)},
        )[0]
        read -= refused - rejected
        if rejected <= most * read:
            return
        file, line, column, reason = first
        place = ", ".join(str(part) for part in (file, line and f"line {line}", column) if part)
        raise RefusedLoad(
            f"{self.source.name}: {rejected} of {read} rows of the table {name} cannot be loaded, more than"
            f" PLANT_MAX_REJECTED={most} allows; the first is {place}: {reason}"
        )

    # Writing

    def write_events(self, weeks: Weeks, run_id: str) -> int:
        """Replace the weeks' events, with their refusals and their account; the rows written."""
        replaced = [week for week in weeks.weeks() if week not in self.kept]

        table, added_to = TABLES["raw_events"], self.kept.intersection(weeks.weeks())
        with self.warehouse.transaction():
            self.warehouse.execute(
                "create or replace temp table run_weeks as select unnest(?::date[]) as week", [weeks.weeks()]
            )
            # Rows of other weeks are accounted for with theirs; those of no week of the store, as of none.
            self._account(
                "events",
                "select * exclude (week), if(week in (from run_weeks), week, null) as week from _staged_events"
                " where week is null or week in (from run_weeks)"
                f" or week not between date '{self.first_week}' and date '{self.running_week}'",
                "list_contains(?::varchar[], bucket)"
                " or (list_contains(?::varchar[], bucket) and list_contains(?::varchar[], file))"
                f" or (bucket = '{NO_WEEK}' and (list_contains(?::varchar[], file)"
                " or not list_contains(?::varchar[], file)))",
                [
                    [str(week) for week in replaced],
                    [str(week) for week in self.kept.intersection(weeks.weeks())],
                    [each.name for each in self.fresh["events"]],
                    self.staged["events"],
                    [each.name for each in self.listed["events"]],
                ],
                run_id,
            )
            if added_to:
                added_to &= {row[0] for row in self.warehouse.rows("select distinct week from _staged_events")}
            self.warehouse.delete_weeks(table, replaced)
            leave_out(self.warehouse, self.ahead)
            self.ahead = Ahead()
            self.done |= set(weeks.weeks())
            waiting = self.weeks - self.done - self.kept
            if waiting:
                # What moves between weeks is whole when they are all done: until then these are due.
                self.warehouse.ledger.loads.make_due(waiting)
            if self.source.mapping.makes_products:
                self.warehouse.ledger.prices.note(replaced)
            is_all = self.weeks <= set(weeks.weeks())
            written = self.warehouse.move_staged("events", table, weeks, may_become=is_all)
            self.warehouse.ledger.writes.record(table.name, run_id, sorted({*replaced, *added_to}))
        return written

    def write_products(self, run_id: str) -> int:
        """Add the new observations, those with too few products left out; the rows added, none the second time."""
        if "products" in self.written:
            return 0
        if self.source.mapping.makes_products:
            return self._write_made_products(run_id)
        execute, fresh = self.warehouse.execute, self.fresh["products"]
        accepted = self._accepted_observations()
        instants = [each.observed_at for each in fresh if each.observed_at]
        before = dict(self.warehouse.rows(_EMPTY_REFUSED))
        with self.warehouse.transaction():
            self._forget_made_products()
            for name in ("raw_products", "raw_observations"):
                self.warehouse.delete_observations(TABLES[name], instants)
                self.warehouse.ledger.writes.record(name, run_id)
            self.warehouse.insert_rows(
                TABLES["raw_observations"],
                "select unnest(?::timestamp[]) as observed_at, unnest(?::varchar[]) as file,"
                " unnest(?::bigint[]) as products",
                [
                    [each.observed_at for each in accepted],
                    [each.file for each in accepted],
                    [each.products for each in accepted],
                ],
            )
            self._account(
                "products",
                f"from {STAGED}products",
                # One that was kept out and is not read again is gone from the source.
                "list_contains(?::varchar[], bucket)"
                " or bucket not in (select observed_at::varchar from raw_observations)",
                [[str(at) for at in instants]],
                run_id,
            )
            for each in self._staged_observations():
                if each.file in self.kept_out and not each.products:
                    # Without a row that could be refused, the observation itself is.
                    execute(
                        "insert into rejected_rows (source_table, file, reason, observed_at, rejected_at)"
                        " select 'products', ?, 'too_few_products', ?, ?"
                        f" where ? not in (select file from {STAGED}products)",
                        [each.file, each.observed_at, before.get(each.observed_at, self.as_of), each.file],
                    )
            added = self.warehouse.move_staged("products", TABLES["raw_products"])
        self.written["products"] = added
        return added

    def _write_made_products(self, run_id: str) -> int:
        """Observe, at the instant of the latest event, the products that the loaded events name; the rows added.

        Whatever is loaded later of a time before does not make it an earlier one: what was observed last is then
        observed again.
        """
        if self.weeks - self.done:
            return 0
        execute, value, ledger = self.warehouse.execute, self.warehouse.value, self.warehouse.ledger
        until = self.as_of + FAR_FUTURE
        with self.warehouse.transaction():
            self._forget_made_products()
            observed_at = value("select max(observed_at) from raw_observations where observed_at <= ?", [until])
            latest = max((each for each in (ledger.prices.latest_event(until), observed_at) if each), default=None)
            if latest is None:
                return 0
            at = latest.replace(microsecond=0)
            execute(
                "create or replace temp table made_products as select ? as observed_at, product_id,"
                f" product_id as name, price, null::bigint as inventory from ({ledger.prices.priced_products()})",
                [at],
            )
            stored = "(from raw_products where observed_at = $at)"
            is_known = value("select count(*) from raw_observations where observed_at = ?", [at])
            if is_known and not value(
                f"select exists (from made_products except from {stored})"
                f" or exists (from {stored} except from made_products)",
                {"at": at},
            ):
                return 0
            for name in ("raw_products", "raw_observations"):
                self.warehouse.delete_observations(TABLES[name], [at])
                self.warehouse.ledger.writes.record(name, run_id)
            ledger.loads.forget_observations([at])
            self.warehouse.insert_rows(TABLES["raw_products"], "from made_products")
            products = int(value("select count(*) from made_products"))
            self.warehouse.insert_rows(
                TABLES["raw_observations"],
                "select ?::timestamp as observed_at, ?::varchar as file, ?::bigint as products",
                [at, MADE_OF_EVENTS, products],
            )
            ledger.loads.account_observation(at, MADE_OF_EVENTS, self.source.mapping.digest, products, run_id)
        self.written["products"] = products
        return products

    def _forget_made_products(self) -> None:
        """Take back the observations that another mapping made from events, and the versions that rest on them."""
        mapping = self.source.mapping
        made = self.warehouse.ledger.loads.made_observations(
            MADE_OF_EVENTS, mapping.digest if mapping.makes_products else ""
        )
        if not made:
            return
        for name in ("raw_products", "raw_observations"):
            self.warehouse.delete_observations(TABLES[name], made)
        self.warehouse.ledger.loads.forget_observations(made)
        self.warehouse.ledger.writes.forget(VERSIONS)

    def write_whole(self, name: str, run_id: str) -> int:
        """Write a table without history: all of it, or only what is new; the rows written, none the second time."""
        if name in self.written:
            return 0
        table, is_added_to = TABLES[SOURCE_TABLES[name].target], name in self.added_to
        with self.warehouse.transaction():
            of_this_load = "list_contains(?::varchar[], file)" if is_added_to else "true"
            self._account(name, f"from {STAGED}{name}", of_this_load, [self.staged[name]][:is_added_to], run_id)
            if not is_added_to:
                self.warehouse.delete_rows(table)
            changed_since = self._first_event_of_items() if name == "order_items" else None
            written = self.warehouse.move_staged(name, table)
            self.warehouse.ledger.writes.record(table.name, run_id)
            if changed_since:
                first = self.warehouse.calendar.week_of(changed_since)
                self.warehouse.ledger.writes.record(table.name, run_id, [first])
        self.written[name] = written
        return written

    def _first_event_of_items(self) -> dt.datetime | None:
        """The instant of the first stored event whose products are other ones, or may be, by what was read."""
        of_orders = f"semi join {STAGED}order_items using (order_id)" if "order_items" in self.added_to else ""
        found: dt.datetime | None = self.warehouse.value(f"select min(created_at) from raw_events {of_orders}")
        return found

    def _account(self, name: str, judged: str, of_this_load: str, parameters: list[Any], run_id: str) -> None:
        """Exchange the refusals and the account of what is loaded; `of_this_load` is over bucket and file.

        A row that was refused before keeps the instant at which it first was, and stays without its text once pruned.
        """
        execute, table = self.warehouse.execute, SOURCE_TABLES[name]
        execute(f"create or replace temp view judged as {judged}")
        same, identity = {}, ("file", "line", "column_name", "reason", "row_key")
        for before in ("kept", "pruned"):
            same[before] = " and ".join(f"refused.{each} is not distinct from {before}.{each}" for each in identity)
        execute(
            f"create or replace temp table before as select {', '.join(identity)}, raw_text, min(rejected_at) as"
            " rejected_at from rejected_rows where source_table = ? group by all",
            [name],
        )
        execute(
            "create or replace temp table refused as select refused.* replace (if(kept.rejected_at is null,"
            " coalesce(pruned.raw_text, refused.raw_text), refused.raw_text) as raw_text),"
            " coalesce(kept.rejected_at, pruned.rejected_at) as before_at from ("
            f" select file, line, column_name, reason, coalesce(row_key, {table.key[-1]}::varchar) as row_key,"
            f" observed_at, week as week_start_date, {_as_given(name)} as raw_text"
            " from judged where reason <> 'duplicate') as refused left join before as kept on"
            f" {same['kept']} and refused.raw_text is not distinct from kept.raw_text left join before as pruned on"
            f" {same['pruned']} and pruned.raw_text = '{PRUNED}'"
        )
        rejected_bucket = table.bucket.replace("week::", "week_start_date::")
        execute(
            "delete from rejected_rows where rowid in (select stored_row from (select rowid as stored_row, file,"
            f" {rejected_bucket} as bucket from rejected_rows where source_table = ?) where {of_this_load})",
            [name, *parameters],
        )
        execute(
            "insert into rejected_rows by name select * exclude (before_at), ? as source_table,"
            " coalesce(before_at, ?) as rejected_at from refused",
            [name, self.as_of],
        )
        of_load = set(self.staged[name])
        staged = [each for each in self.listed[name] if each.name in of_load]
        execute(
            "create or replace temp table contents as select unnest(?::varchar[]) as file,"
            " unnest(?::varchar[]) as content_hash, unnest(?::varchar[]) as bucket",
            [
                [each.name for each in staged],
                [each.content_hash for each in staged],
                [each.observed_at and str(each.observed_at) for each in staged],
            ],
        )
        counts = (
            "select coalesce(counts.bucket, contents.bucket), file, content_hash, coalesce(rows_read, 0),"
            " coalesce(rows_loaded, 0), coalesce(rows_dropped, 0), coalesce(rows_rejected, 0)"
            f" from contents left join (select *, {table.bucket} as bucket from"
            " (select file, week, observed_at, sum(rows) as rows_read,"
            " sum(rows) filter (where reason is null) as rows_loaded,"
            " sum(rows) filter (where reason = 'duplicate') as rows_dropped,"
            " sum(rows) filter (where reason <> 'duplicate') as rows_rejected from (select file, week, observed_at,"
            f" reason, 1 as rows from judged union all select file, week, null, null, rows from still_{name}"
            " where week is null or week in (from run_weeks)) group by all))"
            " as counts using (file) where coalesce(counts.bucket, contents.bucket) is not null"
        )
        self.warehouse.ledger.loads.replace_load(name, of_this_load, parameters, counts, run_id)
        self.warehouse.ledger.loads.keep_found(name, [each.name for each in self.listed[name]])


_EMPTY_REFUSED = (
    "select observed_at, rejected_at from rejected_rows"
    " where source_table = 'products' and reason = 'too_few_products' and raw_text is null"
)
# Known rows are recognised by week and key: prune removes their text.
_NEWLY_REJECTED = """
    with staged as (
        select file, line, column_name, reason, week, coalesce(row_key, {key}::varchar) as row_key,
            row_number() over (partition by week, coalesce(row_key, {key}::varchar)) as copy
        from {staged} where reason <> 'duplicate' and not list_contains($not_yet::varchar[], reason)
    ), known as (
        select week_start_date, row_key, row_number() over (partition by week_start_date, row_key) as copy
        from rejected_rows where source_table = $source_table and list_contains($parts::varchar[], file)
            and not list_contains($not_yet::varchar[], reason)
    )
    select count(*), min((file, line, column_name, reason)) from staged where not exists (
        select 1 from known where known.week_start_date is not distinct from staged.week
            and known.row_key is not distinct from staged.row_key and known.copy = staged.copy
    )
"""
_STORED_TWINS = (
    "select _staged_events.rowid as staged_row, _staged_events.created_at as staged_at,"
    " raw_events.created_at as stored_at from _staged_events join raw_events using (event_id) where reason is null"
    " and week in (select week from load_weeks) and not exists (select 1 from load_weeks"
    " where raw_events.created_at >= starts_at and raw_events.created_at < ends_at and not is_kept)"
)


def _as_given(name: str) -> str:
    """A refused row as it stood in its file, or as JSON, as SQL."""
    as_json = ", ".join(f"{column} := {column}" for column in SOURCE_TABLES[name].columns)
    return f"coalesce(raw_text, to_json(struct_pack({as_json}))::varchar)"


def as_ranges(weeks: Iterable[dt.date]) -> list[tuple[dt.date, dt.date]]:
    """Weeks as ranges to run one after another: one range if that adds under 20 weeks."""
    ordered = sorted(weeks)
    span = weeks_between(ordered[0], ordered[-1])
    if len(span) - len(ordered) < MOST_ADDED_WEEKS:
        return [(ordered[0], ordered[-1])]
    ranges = [(ordered[0], ordered[0])]
    for week in ordered[1:]:
        if week - ranges[-1][1] == WEEK:
            ranges[-1] = (ranges[-1][0], week)
        else:
            ranges.append((week, week))
    return ranges


@dataclass(frozen=True)
class Plan:
    """What a run has to do: the load that is staged and judged, and the ranges of weeks to write."""

    load: Load
    first_week: dt.date
    ranges: list[tuple[dt.date, dt.date]]

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages that the source has."""
        return self.load.source.mapping.stages


def plan(load: Load, weeks: Iterable[dt.date] | None = None, every_week: bool = False) -> Plan:
    """Read the source, decide the weeks (those given, all, or those that are due) and judge their rows.

    Raises:
        SourceError: the source cannot be read, or too much of it is refused.
    """
    given = None if weeks is None else set(weeks)
    load.read()
    first_week = load.find_first_week()
    due = set(load.known_weeks(first_week)) if every_week else given or load.due_weeks(first_week)
    while True:
        ranges = as_ranges(due)
        due = {week for first, last in ranges for week in weeks_between(first, last)}
        more = load.judge(due, first_week)
        if not more:
            return Plan(load, first_week, ranges)
        due |= more
