"""The staged rows of a source table: reading them, reading them by line, and forgetting those that are stored already.

The tables are dropped when the warehouse closes. `validation.py` decides which rows can be loaded.
"""

import datetime as dt
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial

from plant_assets.contracts import TABLES
from plant_assets.ingest.diff import FileDiff
from plant_assets.ingest.limits import require_one_unit, units_of
from plant_assets.ingest.reading import Reading
from plant_assets.ingest.validation import NOT_REJECTED, reject_stray_numbers
from plant_assets.sources.base import SourceFile
from plant_assets.sources.conform import require_uuids
from plant_assets.sources.errors import NotUuids
from plant_assets.sources.files.source import FileSource
from plant_assets.sources.tables import SourceTable, staged_columns, staged_uuids
from plant_assets.sql import literal
from plant_assets.warehouse.store import STAGED

_NOTE_FOUND = """
    insert into found_{name}
    select $source_table, file, size, modified_ns, content_hash, week, coalesce(rows_read, 0)
    from (
        select unnest($files::varchar[]) as file, unnest($sizes::bigint[]) as size,
            unnest($modified::bigint[]) as modified_ns, unnest($hashes::varchar[]) as content_hash
    ) left join (select file, week, count(*) as rows_read from {rows} group by all) using (file)
"""
_NOTE_STORED_AGAIN = """
    create or replace temp view stored_again_{name} as
    select staged.rowid as staged_row, file, week
    from {rows} as staged join {target} as stored on {same}
    where reason is null and file in ({appended}) {nearby}
"""
_NEARBY = """
    and stored.{at} >= (select min({at}) from {rows}) and stored.{at} <= (select max({at}) from {rows})
"""
_NOTE_FORGOTTEN = """
    create or replace temp table forgotten as
    from stored_again_{name} where week is null or week in (select unnest($weeks::date[]))
"""
# Rejected rows, and merged ones of which another has a name or price of its own: their line says which is first.
_WITHOUT_LINE = """
    select distinct file from {rows} as staged where line is null and (reason not in {not_rejected} {or_named})
"""
_OR_NAMED = """
    or reason = 'merged' and exists (
        from {rows} as other where other.observed_at = staged.observed_at and other.product_id = staged.product_id
            and (other.name, other.price) is distinct from (staged.name, staged.price)
    )
"""
_COUNT_FORGOTTEN = "insert into {still_stored} select file, week, count(*) from forgotten group by all"
_FORGET = "delete from {rows} where rowid in (select staged_row from forgotten)"


class Staged:
    """The staged rows of a source table, and the files that they were read from.

    `rows` is the table of the rows, `still_stored` that of the numbers of rows that are stored as they were read, and
    are no longer in `rows`. `listed` are the files that the source has, `fresh` those that are read because they are
    not as they were. `unchanged` and `appended` are names of files that are as they were, or only grew; `files` are the
    names of those whose rows are staged.
    """

    def __init__(self, reading: Reading, table: SourceTable) -> None:
        self.table, self.name = table, table.name
        self.rows, self.still_stored = STAGED + table.name, f"still_stored_{table.name}"
        self.listed: list[SourceFile] = []
        self.fresh: list[SourceFile] = []
        self.appended: list[str] = []
        self.unchanged: frozenset[str] = frozenset()
        self.files: list[str] = []
        self.is_read = False
        self._reading, self._warehouse = reading, reading.warehouse

    # Reading

    def begin(self, diff: FileDiff) -> None:
        """Note which files the source lists, and which are unchanged or have only grown."""
        self.listed, self.unchanged = list(diff.listed), diff.unchanged
        self.appended = [each.name for each in diff.listed if each.name in diff.appended]

    def read(self, files: Iterable[SourceFile]) -> None:
        """Stage these files, and nothing else."""
        self.fresh, self.files, self.is_read = list(files), [], True
        stored = self._warehouse.catalog.column_types(self.table.target)
        columns = staged_columns(self.table, self._reading.source.mapping, stored)
        self._warehouse.execute(f"create or replace table {self.rows} ({columns})")
        self.add(self.fresh)
        self._warehouse.ledger.loads.start_found(self.name)
        self.note_found(self.fresh)
        self._warehouse.execute(
            f"create or replace temp table {self.still_stored} as select file, week, 0 as rows from {self.rows} limit 0"
        )
        if self.appended:
            self._note_stored_again()

    def add(self, files: list[SourceFile]) -> None:
        """Stage the rows of more files."""
        connection = self._warehouse.connection
        self._with_ids(files, lambda: self._reading.source.read(connection, files))
        reject_stray_numbers(self._warehouse, self.name)
        units = units_of(self._warehouse, self.name)
        if len(units) > 1:
            named = {first.file for first in units.values() if first.line is None}
            self._read_by_line(each for each in files if each.name in named)
            require_one_unit(self._warehouse, self._reading.source.name, self.name)
        self._warehouse.engine.limit_memory(is_staged=True)
        self.files += [each.name for each in files]

    def note_found(self, files: Iterable[SourceFile]) -> None:
        """Note in `found_<table>` what files hold, as the ledger keeps it."""
        files = list(files)
        noted = {
            "source_table": self.name,
            "files": [each.name for each in files],
            "sizes": [each.size for each in files],
            "modified": [each.modified_ns for each in files],
            "hashes": [each.content_hash for each in files],
        }
        self._warehouse.execute(_NOTE_FOUND.format(name=self.name, rows=self.rows), noted)

    def take_up(self, files: list[SourceFile]) -> None:
        """Add files whose rows are staged already."""
        self.listed += files
        self.fresh += files
        self.files += [each.name for each in files]
        self.note_found(files)

    def drop_others(self, files: list[str]) -> None:
        """Keep only the rows of these files."""
        if len(self.files) > len(files):
            self._warehouse.execute(
                f"delete from {self.rows} where not list_contains($files::varchar[], file)", {"files": files}
            )
        self.files = files

    def read_rejected_by_line(self) -> bool:
        """Read files line by line if rejected rows of them have no line; return whether there were any."""
        or_named = _OR_NAMED.format(rows=self.rows) if self.name == "products" else ""
        statement = _WITHOUT_LINE.format(rows=self.rows, not_rejected=NOT_REJECTED, or_named=or_named)
        without_line = {file for (file,) in self._warehouse.rows(statement)}
        again = [each for each in self.listed if each.name in without_line]
        return self._read_by_line(again)

    def _read_by_line(self, files: Iterable[SourceFile]) -> bool:
        """Read those of the files line by line that have lines; return whether there were any."""
        again = [each for each in files if each.has_lines]
        for each in again:
            source = self._reading.source
            assert isinstance(source, FileSource)
            self._with_ids([each], partial(source.stage_line_by_line, self._warehouse.connection, each.read_as, each))
        reject_stray_numbers(self._warehouse, self.name)
        return bool(again)

    def clear_reasons(self, reasons: Collection[str]) -> None:
        """Clear these reasons."""
        self._warehouse.execute(
            f"update {self.rows} set reason = null, column_name = null"
            " where list_contains($reasons::varchar[], reason)",
            {"reasons": list(reasons)},
        )

    def _with_ids(self, files: list[SourceFile], stage: Callable[[], None]) -> None:
        """Stage files; stage them again with ids as text, as ids are stored from then on, if one is no UUID."""
        while True:
            try:
                with require_uuids():
                    return stage()
            except NotUuids as error:
                column = error.column
                if column not in staged_uuids(self._warehouse.connection, self.table):
                    raise
            self._reading.log.info("%s of %s is stored as text, since not all are UUIDs", column, self.name)
            self._warehouse.store.keep_as_text(self.name, column)
            self._warehouse.execute(
                f"delete from {self.rows} where list_contains($files::varchar[], file)",
                {"files": [each.name for each in files]},
            )

    # Rows that are stored

    def _note_stored_again(self) -> None:
        """Show the rows of appended files that are stored as they are."""
        same = " and ".join(
            f"staged.{column} {'=' if column in self.table.key else 'is not distinct from'} stored.{column}"
            for column in self.table.columns
        )
        names = {"name": self.name, "rows": self.rows, "target": self.table.target, "same": same}
        names["appended"] = ", ".join(map(literal, self.appended))
        at = TABLES[self.table.target].week_column
        # Equal rows are of one instant: where that is stored in order, few rows are looked at.
        names["nearby"] = _NEARBY.format(rows=self.rows, at=at) if at else ""
        self._warehouse.execute(_NOTE_STORED_AGAIN.format(**names))

    def changed_buckets(self) -> set[str]:
        """Return the buckets of which appended files no longer hold what was loaded of them."""
        return self._changed_buckets(self._count_stored_again())

    def _changed_buckets(self, again: Mapping[tuple[str, str], int]) -> set[str]:
        loaded_of = self._warehouse.ledger.loads.loaded_of(self.name, self.appended)
        return {
            bucket
            for (file, bucket), (loaded, dropped) in loaded_of.items()
            if dropped or again.get((file, bucket), 0) != loaded
        }

    def _count_stored_again(self) -> dict[tuple[str, str], int]:
        """Return the rows, by file and bucket, of appended files that are stored as they are."""
        if not self.appended:
            return {}
        counts = f"select file, {self.table.bucket}, count(*) from stored_again_{self.name} group by all"
        return {(file, bucket): rows for file, bucket, rows in self._warehouse.rows(counts)}

    def only_adds(self) -> bool:
        """Return whether all keys are new but those of rows that are stored as they are; then forget those rows."""
        again = self._count_stored_again()
        if self._changed_buckets(again):
            return False
        keys = ", ".join(self.table.key)
        known = f"select count(*) from {self.rows} semi join {self.table.target} using ({keys})"
        if self._warehouse.value(known) != sum(again.values()):
            return False
        self.forget_stored()
        return True

    def forget_stored(self, weeks: Iterable[dt.date] = (), counts: bool = True) -> None:
        """Forget the staged rows that are stored already, those of `weeks` or of no week, and count them."""
        if not self.appended:
            return
        self._warehouse.execute(_NOTE_FORGOTTEN.format(name=self.name), {"weeks": sorted(weeks)})
        if counts:
            self._warehouse.execute(_COUNT_FORGOTTEN.format(still_stored=self.still_stored))
        self._warehouse.execute(_FORGET.format(rows=self.rows))

    def count_forgotten(self) -> int:
        """Return the number of rows that were forgotten."""
        return int(self._warehouse.value(f"select coalesce(sum(rows), 0) from {self.still_stored}"))
