"""Tables without weeks: orders, their items, dbt's history. A load replaces one, or appends rows of new keys to it."""

import datetime as dt
from functools import partial

from plant_assets.ingest.audit import Replaced, account, has_rejected
from plant_assets.ingest.diff import FileDiff
from plant_assets.ingest.limits import RowCounts
from plant_assets.ingest.strategies.base import Listing, UnpartitionedLoad
from plant_assets.ingest.validation import (
    add_quantities,
    drop_deleted_copies,
    merge_lines,
    reject_duplicates,
    reject_intervals,
    reject_overlaps,
)
from plant_assets.sources.base import SourceFile

_OF_STAGED_FILES = "list_contains($files::varchar[], file)"


class ReplaceOrAppendLoad(UnpartitionedLoad):
    """The load of a table that is replaced, unless what is read only adds keys that are not stored."""

    appends = False

    def stage(self, listed: list[SourceFile]) -> None:
        """Stage the files that are not as they were; all, if what they say of a key may change."""
        diff = self._begin(listed)
        if self._must_replace(diff):
            self.staged.read(diff.listed)
            return
        self.staged.read(diff.to_read)
        self.appends = self.staged.only_adds()
        if not self.appends and len(diff.to_read) < len(diff.listed):
            # What one file says may depend on what another says of the same key.
            self.staged.read(diff.listed)

    def _must_replace(self, diff: FileDiff) -> bool:
        """Return whether rows that are stored may have to go."""
        return self._reading.is_forced or bool(diff.changed or diff.removed)

    def validate(self) -> None:
        """Reject all rows of a key but one."""
        self._validate_by([self._reject_duplicates], self._leave_out_again)

    def _reject_duplicates(self) -> None:
        key = self._source_table.key
        reject_duplicates(self._warehouse, self._source_table, key[0] if len(key) == 1 else None)

    def _leave_out_again(self) -> None:
        if self.appends:
            self.staged.forget_stored(counts=False)

    def row_counts(self) -> list[RowCounts]:
        """Return the rows before and now of a table that is replaced, if the same mapping loaded it."""
        if self.appends:
            return []
        now = self._warehouse.value(f"select count(*) from {self.staged.rows} where reason is null")
        return [
            RowCounts(self.name, None, rows, int(now), bool(self.staged.listed))
            for _name, _bucket, rows, digests in self._warehouse.ledger.loads.rows_loaded([self.name], [])
            if set(digests) == {self._read_by}
        ]

    def write(self, run_id: str) -> int:
        """Write the table in one transaction; return the number of rows written, 0 the second time."""
        if self.is_written:
            return 0
        warehouse, table, writes = self._warehouse, self._table, self._warehouse.ledger.writes
        with warehouse.transaction():
            replaced = Replaced(_OF_STAGED_FILES, {"files": self.staged.files}) if self.appends else Replaced()
            account(self._reading, self.staged, self.staged.rows, replaced, run_id)
            if not self.appends:
                warehouse.store.delete(table)
            changed_since = self._first_changed_event()
            written = warehouse.store.append_staged(self.name, table)
            writes.record(table.name, run_id)
            if changed_since:
                writes.record(table.name, run_id, [warehouse.calendar.week_of(changed_since)])
        self.is_written = True
        return written

    def _first_changed_event(self) -> dt.datetime | None:
        """Return the instant of the earliest stored event that the new rows bear on; None if there is none."""
        return None


class OrderItemsLoad(ReplaceOrAppendLoad):
    """The load of the products of orders, which say which products an event is about."""

    def validate(self) -> None:
        """Merge the lines of one product in an order."""
        self._validate_by([partial(merge_lines, self._warehouse)], self._leave_out_again)
        add_quantities(self._warehouse)

    def _first_changed_event(self) -> dt.datetime | None:
        """Return the instant of the earliest stored event whose products the new order items may change."""
        of_orders = f"semi join {self.staged.rows} using (order_id)" if self.appends else ""
        first: dt.datetime | None = self._warehouse.value(f"select min(created_at) from raw_events {of_orders}")
        return first


class HistoryLoad(ReplaceOrAppendLoad):
    """The load of dbt's history of the products."""

    def is_missed(self, listed: Listing) -> bool:
        """Return False: a store need not have a history."""
        return False

    def _must_replace(self, diff: FileDiff) -> bool:
        # What stands in one row may depend on any other of the product.
        return (
            not diff.listed
            or bool(diff.to_read)
            or super()._must_replace(diff)
            or has_rejected(self._warehouse, self.name, "future")
        )

    def validate(self) -> None:
        """Reject versions that end before they begin, that have not begun, or that overlap another one."""
        self._validate_by(
            (
                partial(reject_intervals, self._warehouse, self._reading.until),
                partial(drop_deleted_copies, self._warehouse),
                partial(reject_duplicates, self._warehouse, self._source_table, "product_id"),
                partial(reject_overlaps, self._warehouse),
            ),
            self._leave_out_again,
        )

    def row_counts(self) -> list[RowCounts]:
        """Return nothing: dbt may shorten its history."""
        return []

    @property
    def versions(self) -> str:
        """Return what comes after `from` to read all versions that can be loaded."""
        return self._table.name if self.appends else f"{self.staged.rows} where reason is null"
