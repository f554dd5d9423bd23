"""Events: each week is overwritten, or appended to where the files that it was loaded from are as they were."""

import datetime as dt
from collections.abc import Callable, Iterable
from functools import partial

from plant_assets.calendar import WEEK, Weeks
from plant_assets.ingest.audit import Replaced, account, weeks_rejected
from plant_assets.ingest.diff import weeks_as_loaded
from plant_assets.ingest.limits import RowCounts
from plant_assets.ingest.moves import has_lost_events, returning_weeks, weeks_of_moves, yielding_weeks
from plant_assets.ingest.reading import Reading
from plant_assets.ingest.strategies.base import TableLoad
from plant_assets.ingest.validation import (
    COMPARED,
    NOT_YET,
    note_stored_twins,
    reject_duplicates,
    reject_outside,
    reject_stored,
)
from plant_assets.ingest.weeks import LoadWeeks
from plant_assets.sources.base import SourceFile
from plant_assets.sources.tables import NO_WEEK
from plant_assets.warehouse.ledger.loads import LoadedWeek
from plant_assets.warehouse.observations import Ahead, leave_out

_LEAVE_OUT_KEPT = """
    delete from _staged_events
    where week in (select week from load_weeks where is_kept) and not list_contains($fresh::varchar[], file)
"""
_LATEST = """
    select date_trunc('second', max(created_at)) from _staged_events
    where created_at < $ends_at and created_at <= $until
        and (reason is null or list_contains($compared::varchar[], reason))
"""
# Rows that lie ahead of the run's clock are in the source.
_ROWS_BY_WEEK = """
    select week::varchar, count(*) from _staged_events
    where (reason is null or reason = 'future') and week is not null group by all
"""
# A row of another week is counted when that week is written; a row outside the store's weeks, under no week.
_NOTE_EVENTS_OF_RUN = """
    create or replace temp view events_of_run as
    select * exclude (week), if(week in (from run_weeks), week, null) as week from _staged_events
    where week is null or week in (from run_weeks) or week not between date '{first_week}' and date '{running_week}'
"""
# `replaced` and `added_to` are weeks; `fresh`, `staged` and `listed` are names of files, as `Staged` has them.
_OF_RUN = f"""
    list_contains($replaced::varchar[], bucket)
    or (list_contains($added_to::varchar[], bucket) and list_contains($fresh::varchar[], file))
    or (
        bucket = '{NO_WEEK}'
        and (list_contains($staged::varchar[], file) or not list_contains($listed::varchar[], file))
    )
"""


class EventsLoad(TableLoad):
    """The load of the events, week by week."""

    def __init__(self, reading: Reading, weeks: LoadWeeks) -> None:
        super().__init__(reading, "events")
        self._weeks, self.ahead = weeks, Ahead()
        # Rows of kept weeks that files hold which were read for other weeks.
        self._left_out = 0

    def stage(self, listed: list[SourceFile]) -> None:
        """Stage the files that are not as they were."""
        self.staged.read(self._begin(listed).to_read)
        note_stored_twins(self._warehouse)

    # Weeks

    def held_weeks(self) -> set[LoadedWeek]:
        """Return the weeks of the source's events, each with the file and its content hash."""
        unchanged = {each.name for each in self.staged.listed} - {each.name for each in self.staged.fresh}
        found = "select week, file, content_hash from found_events where week is not null"
        return set(self._warehouse.rows(found)) | self._warehouse.ledger.loads.weeks_of_files(unchanged)

    def changed_weeks(self) -> set[dt.date]:
        """Return the weeks whose source is not what was loaded of them, or that were never loaded."""
        return {week for week, _file, _content in self.held_weeks() ^ self._warehouse.ledger.loads.loaded_weeks()}

    def latest_instant(self) -> dt.datetime | None:
        """Return the second of the latest staged event that the run counts."""
        ends_at = self._warehouse.calendar.starts_at(self._reading.running_week + WEEK)
        latest: dt.datetime | None = self._warehouse.value(
            _LATEST, {"ends_at": ends_at, "until": self._reading.until, "compared": list(COMPARED)}
        )
        return latest

    def _weeks_as_loaded(self) -> set[dt.date]:
        """Return the weeks that are loaded from files that are as they were, or have only grown."""
        if self._reading.is_forced:
            return set()
        changed = self.staged.changed_buckets()
        weeks = weeks_as_loaded(
            self.held_weeks(),
            self._warehouse.ledger.loads.loaded_weeks(),
            {each.name for each in self.staged.fresh},
            set(self.staged.appended),
        )
        return {week for week in weeks if str(week) not in changed} - weeks_rejected(self._warehouse, NOT_YET)

    # Validation

    def validate(self, first_week: dt.date, known_weeks: Callable[[], Iterable[dt.date]]) -> set[dt.date]:
        """Validate the staged rows of the load's weeks; return other weeks that an event enters or leaves with them.

        Args:
            first_week: the store's first week.
            known_weeks: says which weeks the store has, by what is read so far.
        """
        self._keep(self._weeks_as_loaded() & self._weeks.chosen)
        while True:
            self._validate_rows(first_week)
            others = self._other_weeks(set(known_weeks()))
            if self._stage_others(others):
                continue
            must_change = yielding_weeks(self._warehouse) | returning_weeks(self._warehouse)
            if others:
                must_change |= weeks_of_moves(self._warehouse, self._reading.source) & others
            if not must_change & self._weeks.kept:
                return must_change - self._weeks.chosen
            # Which of their rows stay is decided among all of them.
            self._keep(self._weeks.kept - must_change)

    def _validate_rows(self, first_week: dt.date) -> None:
        warehouse = self._warehouse
        self._validate_by(
            (
                partial(reject_outside, warehouse, first_week, self._reading.as_of),
                partial(reject_duplicates, warehouse, self._source_table, "event_id", first="created_at"),
                partial(reject_stored, warehouse),
            ),
            self._leave_out_again,
        )

    def _other_weeks(self, known: set[dt.date]) -> set[dt.date]:
        """Return the weeks that are not replaced, and whose source may be other than what was loaded."""
        if self._reading.source.is_asked_for_weeks:
            return known - (self._weeks.chosen - self._weeks.kept)
        return known & self.changed_weeks() - self._weeks.chosen

    def _stage_others(self, weeks: set[dt.date]) -> bool:
        """If events would be lost, stage the known files of other weeks; return whether any were added.

        A load of other weeks has noted what these files hold.
        """
        if self._reading.source.is_asked_for_weeks or not weeks or not has_lost_events(self._warehouse):
            return False
        before = len(self.staged.files)
        self._stage_known(weeks)
        return len(self.staged.files) > before

    def _keep(self, weeks: set[dt.date]) -> None:
        """Stage what is needed if only `weeks` keep their stored rows: of these, the rows of fresh files."""
        self._weeks.keep(weeks)
        if self.staged.count_forgotten():
            self.staged.read(self.staged.fresh)
        else:
            self.staged.drop_others([each.name for each in self.staged.fresh])
        self._left_out = 0
        if weeks:
            self.staged.forget_stored(weeks)
        self._stage_known()

    def _stage_known(self, others: Iterable[dt.date] = ()) -> None:
        """Read unchanged files again that hold rows of the weeks that are replaced, or of others."""
        holding = self._warehouse.ledger.loads.files_of_weeks(others)
        missing = [each for each in self.staged.listed if each.name in holding and each.name not in self.staged.files]
        self.staged.add(missing)
        self._note_changed(missing)
        self._left_out += self._leave_out_kept()

    def _note_changed(self, files: list[SourceFile]) -> None:
        """Mark as fresh the files that were assumed unchanged and turn out to have changed."""
        known = self._warehouse.ledger.loads.known_files(self.name)
        changed = [each for each in files if each.content_hash != known[each.name][2]]
        if changed:
            self.staged.fresh += changed
            self.staged.note_found(changed)

    def _leave_out_kept(self) -> int:
        """Delete staged rows of kept weeks that do not come from fresh files; return how many."""
        if not self._weeks.kept:
            return 0
        return int(self._warehouse.value(_LEAVE_OUT_KEPT, {"fresh": [each.name for each in self.staged.fresh]}))

    def _leave_out_again(self) -> None:
        # The rows are counted already.
        self._leave_out_kept()
        self.staged.forget_stored(self._weeks.kept, counts=False)

    def rows_read_elsewhere(self) -> int:
        """Return the number of rows that were read, and are not among the staged ones."""
        return super().rows_read_elsewhere() + self._left_out

    def row_counts(self) -> list[RowCounts]:
        """Return the rows before and now of each week that this load replaces, of what the same mapping loaded."""
        loaded = self._warehouse.ledger.loads.rows_loaded([], self._weeks.chosen - self._weeks.kept)
        now = dict(self._warehouse.rows(_ROWS_BY_WEEK))
        return [
            RowCounts(self.name, dt.date.fromisoformat(week), rows, now.get(week, 0), bool(self.staged.listed))
            for _name, week, rows, digests in loaded
            if set(digests) == {self._read_by}
            if now.get(week) or not self._may_be_forgotten(week)
        ]

    def _may_be_forgotten(self, week: str) -> bool:
        """Return whether a week is settled, so that a database may have deleted it since."""
        last_settled = self._reading.running_week - WEEK * (1 + self._warehouse.settings.late_weeks)
        return any(each.is_part for each in self.staged.listed) and week <= str(last_settled)

    # Writing

    def write(self, weeks: Weeks, first_week: dt.date, run_id: str) -> int:
        """Replace the weeks' events, or add to them, with their rejected rows and accounts; return the rows written."""
        warehouse, ledger, written_weeks = self._warehouse, self._warehouse.ledger, set(weeks.weeks())
        replaced = [week for week in weeks.weeks() if week not in self._weeks.kept]
        added_to = self._weeks.kept & written_weeks
        with warehouse.transaction():
            self._weeks.begin_run(weeks.weeks())
            self._account(replaced, added_to, first_week, run_id)
            if added_to:
                added_to &= {week for (week,) in warehouse.rows("select distinct week from _staged_events")}
            warehouse.store.delete_weeks(self._table, replaced)
            leave_out(warehouse, self.ahead)
            self.ahead = Ahead()
            self._weeks.done |= written_weeks
            waiting = self._weeks.chosen - self._weeks.done - self._weeks.kept
            if waiting:
                # What moves between weeks is whole when they are all done: until then these are due.
                ledger.loads.make_due(waiting)
            if self._reading.source.mapping.makes_products:
                ledger.prices.note(replaced)
            is_all = self._weeks.chosen <= written_weeks
            written = warehouse.store.append_staged(self.name, self._table, weeks, may_become=is_all)
            ledger.due.forget(written_weeks)
            ledger.writes.record(self._table.name, run_id, sorted({*replaced, *added_to}))
        return written

    def _account(self, replaced: list[dt.date], added_to: set[dt.date], first_week: dt.date, run_id: str) -> None:
        bounds = {"first_week": first_week, "running_week": self._reading.running_week}
        self._warehouse.execute(_NOTE_EVENTS_OF_RUN.format(**bounds))
        of_run = {
            "replaced": [str(week) for week in replaced],
            "added_to": [str(week) for week in added_to],
            "fresh": [each.name for each in self.staged.fresh],
            "staged": self.staged.files,
            "listed": [each.name for each in self.staged.listed],
        }
        account(self._reading, self.staged, "events_of_run", Replaced(_OF_RUN, of_run), run_id)
