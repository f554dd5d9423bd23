"""The order of a load: all tables are staged, then all are validated, and only then the first is written.

How a table is staged, validated and written is in `strategies/`, one strategy for each kind of table.
"""

import datetime as dt
import logging
from collections.abc import Iterable
from functools import partial

from plant_assets.calendar import Weeks
from plant_assets.ingest.due import StoreWeeks
from plant_assets.ingest.limits import require_enough_rows, require_few_rejected
from plant_assets.ingest.reading import Reading
from plant_assets.ingest.strategies.base import TableLoad, UnpartitionedLoad
from plant_assets.ingest.strategies.events import EventsLoad
from plant_assets.ingest.strategies.made import MadeObservations
from plant_assets.ingest.strategies.observations import ObservationsLoad, ReadObservations
from plant_assets.ingest.strategies.whole import HistoryLoad, OrderItemsLoad, ReplaceOrAppendLoad
from plant_assets.ingest.weeks import LoadWeeks
from plant_assets.sources.base import Source, empty_files
from plant_assets.sources.tables import HISTORY, SOURCE_TABLES
from plant_assets.warehouse.observations import find_ahead
from plant_assets.warehouse.warehouse import Warehouse


class Load:
    """One reading of a source into a warehouse, which the runs over its weeks then write from."""

    def __init__(
        self,
        warehouse: Warehouse,
        source: Source,
        as_of: dt.datetime,
        log: logging.Logger,
        accepts_changes: bool = False,
        is_forced: bool = False,
    ) -> None:
        self.reading = Reading(warehouse, source, as_of, log, accepts_changes, is_forced)
        self.weeks = LoadWeeks(warehouse)
        self.events = EventsLoad(self.reading, self.weeks)
        history = HistoryLoad(self.reading, HISTORY)
        self.observations: ObservationsLoad = (
            MadeObservations(self.reading, self.events, self.weeks)
            if source.mapping.makes_products
            else ReadObservations(self.reading, history)
        )
        orders = ReplaceOrAppendLoad(self.reading, "orders"), OrderItemsLoad(self.reading, "order_items")
        # Observations are made of the validated history.
        self._unpartitioned: dict[str, UnpartitionedLoad] = {
            each.name: each for each in (*orders, history, self.observations)
        }
        self.tables: dict[str, TableLoad] = {each.name: each for each in (self.events, *self._unpartitioned.values())}
        self.store_weeks = StoreWeeks(self.reading, self.events, self.observations)
        self._first_week: dt.date | None = None

    # Staging

    def read(self, tables: Iterable[str] = tuple(SOURCE_TABLES)) -> None:
        """Stage what is new or changed since it was last read, and validate the rows that are of no week.

        Raises:
            SourceError: a file cannot be read, or a dated observation changed after it was loaded.
        """
        reading, warehouse, log = self.reading, self.reading.warehouse, self.reading.log
        listed = reading.source.list_files()
        self.events.ahead = ahead = find_ahead(warehouse, reading.as_of)
        if ahead.observations:
            log.warning("%s", ahead.sentence(reading.as_of, {each.name for each in listed["products"]}))
        for sentence in empty_files(listed):
            log.warning("%s", sentence)
        self.weeks.begin_run([])
        self.weeks.choose([])
        for name in tables:
            if self.tables[name].is_missed(listed):
                log.warning("%s has no table %s: it is taken as empty", reading.source.name, name)
            self.tables[name].stage(listed[name])
        for each in self._unpartitioned.values():
            if each.staged.is_read:
                each.validate()

    # Validation

    def validate(self, weeks: Iterable[dt.date], first_week: dt.date) -> set[dt.date]:
        """Validate the staged rows of `weeks`; return other weeks that have to be loaded with them.

        They are those that an event enters or leaves, and those that a late observation of the products bears on.

        Raises:
            RejectedLoad: no other week has to be loaded, and too many rows are rejected, or too few are there.
        """
        self._first_week = first_week
        self.weeks.choose(weeks)
        others = set()
        if self.events.staged.is_read:
            others = self.events.validate(first_week, partial(self.store_weeks.known, first_week))
            others |= self.store_weeks.tied(first_week) - self.weeks.chosen
        if not others:
            self.require_enough_good_rows()
        return others

    def require_enough_good_rows(self) -> None:
        """Reject the load if a table has too many rejected rows, or too few rows.

        Raises:
            RejectedLoad: the settings do not allow as many, or as few.
        """
        warehouse, source = self.reading.warehouse, self.reading.source
        read = [self.tables[name] for name in SOURCE_TABLES if self.tables[name].staged.is_read]
        for each in read:
            parts = [file.name for file in each.staged.listed if file.is_part]
            require_few_rejected(warehouse, source.name, each.name, parts, each.rows_read_elsewhere())
        least = warehouse.settings.min_rows
        if least:
            by_name = sorted(read, key=lambda each: each.name)
            require_enough_rows(source.name, least, [counts for each in by_name for counts in each.row_counts()])

    # Writing

    def write_events(self, weeks: Weeks, run_id: str) -> int:
        """Write the events of weeks that are validated, in one transaction; return the number of rows written."""
        assert self._first_week
        return self.events.write(weeks, self._first_week, run_id)

    def write(self, name: str, run_id: str) -> int:
        """Write a table that has no weeks, in one transaction; return the number of rows written, 0 the second time."""
        return self._unpartitioned[name].write(run_id)
