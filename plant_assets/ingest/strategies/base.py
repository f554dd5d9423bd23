"""What the loads of all source tables have in common. In which order they stage, validate and write is in `load.py`."""

import abc
from collections.abc import Callable, Mapping, Sequence

from plant_assets.contracts import TABLES
from plant_assets.ingest.diff import FileDiff, diff_files
from plant_assets.ingest.limits import RowCounts
from plant_assets.ingest.reading import Reading
from plant_assets.ingest.staging import Staged
from plant_assets.ingest.validation import COMPARED
from plant_assets.sources.base import SourceFile
from plant_assets.sources.tables import source_table

Rule = Callable[[], None]
Listing = Mapping[str, list[SourceFile]]


class TableLoad(abc.ABC):
    """The load of one source table: it is staged, then validated, then written."""

    def __init__(self, reading: Reading, name: str) -> None:
        self._reading, self._warehouse = reading, reading.warehouse
        self._source_table = source_table(name, reading.source.mapping)
        self._table = TABLES[self._source_table.target]
        self._read_by = self._source_table.read_by(reading.source.mapping)
        self.name, self.staged = name, Staged(reading, self._source_table)

    @abc.abstractmethod
    def stage(self, listed: list[SourceFile]) -> None:
        """Stage what has to be read of the files that the source has."""

    def is_missed(self, listed: Listing) -> bool:
        """Return whether the user is told that the source does not have the table."""
        return not listed[self.name] and bool(self._reading.source.mapping.table(self.name))

    def rows_read_elsewhere(self) -> int:
        """Return the number of rows that were read, and are not among the staged ones."""
        return self.staged.count_forgotten()

    def row_counts(self) -> list[RowCounts]:
        """Return the rows before and now of what this load replaces; nothing where they are not compared."""
        return []

    def _begin(self, listed: list[SourceFile], finds_appended: bool = True) -> FileDiff:
        """Compare the files with those that were read before."""
        known = self._warehouse.ledger.loads.known_files(self.name)
        diff = diff_files(listed, known, finds_appended and not self._reading.is_forced)
        self.staged.begin(diff)
        return diff

    def _validate_by(self, rules: Sequence[Rule], leave_out: Rule = lambda: None) -> None:
        """Apply the rules; apply them again if that rejects rows whose files have to be read by line first.

        With the rows of these files those come back that were left out of them: `leave_out` removes them again.
        """
        while True:
            self.staged.clear_reasons(COMPARED)
            for rule in rules:
                rule()
            if not self.staged.read_rejected_by_line():
                return
            leave_out()


class UnpartitionedLoad(TableLoad):
    """The load of a table that is not written by week."""

    # A load writes the table once, whatever the number of its runs.
    is_written = False

    @abc.abstractmethod
    def validate(self) -> None:
        """Give each row that cannot be loaded its reason."""

    @abc.abstractmethod
    def write(self, run_id: str) -> int:
        """Write the table in one transaction; return the number of rows written, 0 the second time."""
