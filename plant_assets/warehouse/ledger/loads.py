"""What the files of the source held, and what became of their rows."""

import datetime as dt
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb

from plant_assets.warehouse.ledger.tables import next_write_number, rows_of

Known = tuple[int, int, str]
LoadedWeek = tuple[dt.date, str, str]
# The start of the content of an observation of which each row has its instant.
BY_ROW = "by-row "


@dataclass(frozen=True)
class ObservedRows:
    """What was loaded as an observation: its file, its content, and the number of its rows in each part."""

    file: str
    content: str
    parts: set[tuple[str, int]]


_FILES_OF_WEEKS = """
    select distinct file from _files
    where source_table = 'events'
        and (list_contains($weeks::date[], week) or week in (select week from load_weeks where not is_kept))
"""
_ROWS_BY_WEEK = """
    select week, sum(rows_read)::bigint from (
        select week, rows_read from found_events
        union all
        select week, rows_read from _files where source_table = 'events' and list_contains($unchanged::varchar[], file)
    ) where week <= $last_week group by week order by week
"""
_OBSERVATIONS = """
    select observed_at, max(write_number)
    from raw_observations join _loads on source_table = 'products' and bucket = observed_at::varchar
    where observed_at <= coalesce($until, observed_at)
    group by observed_at order by observed_at
"""
_OBSERVED_FILES = """
    select observed_at, raw_observations.file, content_hash
    from raw_observations left join _loads on source_table = 'products' and bucket = observed_at::varchar
"""
_OBSERVED_ROWS = """
    select observed_at, any_value(observed.file), any_value(content_hash), list((loaded.file, rows_read))
    from raw_observations as observed
    left join _loads as loaded on source_table = 'products' and bucket = observed_at::varchar
    group by observed_at
"""
_ROWS_LOADED = """
    select source_table, bucket, sum(rows_loaded), list(distinct split_part(content_hash, ':', 2))
    from _loads
    where rows_loaded > 0
        and (list_contains($whole::varchar[], source_table)
            or (source_table = 'events' and list_contains($weeks::varchar[], bucket)))
    group by all order by all
"""
_IMPORT_LOADS = """
    insert into _loads by name
    select * replace (dense_rank() over (order by write_number) as write_number) from other.analytics._loads
    where source_table = 'products'
        and try_cast(bucket as timestamp) in (select observed_at from raw_observations)
"""
_IMPORT_WRITES = """
    insert into _writes
    select unnest(['raw_products', 'raw_observations']), null, max(write_number), $run_id,
        (now() at time zone 'UTC')::timestamp, null, null
    from _loads
"""


class Loads:
    """What each file of the source held, and what became of its rows."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    def _rows(self, statement: str, parameters: object = None) -> list[tuple[Any, ...]]:
        return rows_of(self._connection, statement, parameters)

    # Files

    def known_files(self, table: str) -> dict[str, Known]:
        """Return size, modification time in ns and content hash of each file that was read of a source table."""
        found = self._rows(
            "select distinct file, size, modified_ns, content_hash from _files where source_table = ?", [table]
        )
        return {file: (size, modified_ns, content) for file, size, modified_ns, content in found}

    def weeks_of_files(self, files: Collection[str]) -> set[LoadedWeek]:
        """Return week, file and content hash of the events that these files were found to hold."""
        return set(
            self._rows(
                "select week, file, content_hash from _files where source_table = 'events'"
                " and week is not null and list_contains(?::varchar[], file)",
                [sorted(files)],
            )
        )

    def files_of_weeks(self, weeks: Iterable[dt.date]) -> set[str]:
        """Return the files that hold events of `weeks`, or of weeks that the load in `load_weeks` replaces."""
        return {file for (file,) in self._rows(_FILES_OF_WEEKS, {"weeks": list(weeks)})}

    def rows_read(self, table: str) -> int:
        """Return how many rows the listed files of a source table were found to hold."""
        found = self._rows("select coalesce(sum(rows_read), 0) from _files where source_table = ?", [table])
        return int(found[0][0])

    def start_found(self, table: str) -> None:
        """Make `found_<table>`, where a load notes what the files that it reads hold, as `_files` keeps it."""
        self._connection.execute(f"create or replace temp table found_{table} as from _files where false")

    def keep_found(self, table: str, listed: Sequence[str]) -> None:
        """Replace what is known of the files in `found_<table>`, and forget those that are no longer listed."""
        self._connection.execute(
            f"delete from _files where source_table = ? and (file in (select file from found_{table})"
            " or not list_contains(?::varchar[], file))",
            [table, list(listed)],
        )
        self._connection.execute(f"insert into _files from found_{table}")

    def rows_by_week(self, unchanged: Iterable[str], last_week: dt.date) -> list[tuple[dt.date, int]]:
        """Return the events of each week until `last_week`, in order: of `found_events` and of `unchanged` files."""
        return self._rows(_ROWS_BY_WEEK, {"unchanged": sorted(unchanged), "last_week": last_week})

    # Loads

    def next_write_number(self) -> int:
        """Return a number above those of all writes and loads so far."""
        return next_write_number(self._connection)

    def replace_load(
        self, table: str, is_replaced: str, parameters: Mapping[str, object], counts: str, run_id: str
    ) -> None:
        """Replace the accounts of a load by `counts`, a query of bucket, file, content hash and the row counts.

        `is_replaced` is a condition on bucket and file, with its parameters by their `$names`.
        """
        self._connection.execute(
            f"delete from _loads where source_table = $source_table and ({is_replaced})",
            {"source_table": table, **parameters},
        )
        self._connection.execute(
            "insert into _loads by name select $table as source_table, *, $number as write_number, $run_id as run_id"
            f" from ({counts})",
            {"table": table, "number": self.next_write_number(), "run_id": run_id},
        )

    def loaded_of(self, table: str, files: Sequence[str]) -> dict[tuple[str, str], tuple[int, int]]:
        """Return the rows loaded and dropped of each of the files and bucket."""
        found = self._rows(
            "select file, bucket, sum(rows_loaded), sum(rows_dropped) from _loads where source_table = ?"
            " and list_contains(?::varchar[], file) group by all",
            [table, list(files)],
        )
        return {(file, bucket): (loaded, dropped) for file, bucket, loaded, dropped in found}

    def loaded_weeks(self) -> set[LoadedWeek]:
        """Return week, file and content hash of the events that are loaded; their file may be gone."""
        found = self._rows(
            "select try_cast(bucket as date), file, content_hash from _loads where source_table = 'events'"
        )
        return {(week, file, content) for week, file, content in found if week}

    def rows_loaded(self, tables: Collection[str], weeks: Iterable[dt.date]) -> list[tuple[str, str, int, list[str]]]:
        """Return table, bucket, rows and digests of mappings, of whole source tables and of weeks of events."""
        return self._rows(_ROWS_LOADED, {"whole": list(tables), "weeks": [str(week) for week in weeks]})

    def make_due(self, weeks: Iterable[dt.date]) -> None:
        """Have the events of these weeks loaded again by the next run."""
        self._connection.execute(
            "update _loads set content_hash = '' where source_table = 'events' and list_contains(?::varchar[], bucket)",
            [[str(week) for week in weeks]],
        )

    # Observations

    def observations(self, until: dt.datetime | None = None) -> list[tuple[dt.datetime, int]]:
        """Return the instant of each stored observation, in order, with the number of the write that loaded it."""
        return self._rows(_OBSERVATIONS, {"until": until})

    def observed_files(self) -> dict[dt.datetime, tuple[str, str]]:
        """Return file and content hash of each stored observation."""
        return {observed_at: (file, content) for observed_at, file, content in self._rows(_OBSERVED_FILES)}

    def observed_rows(self) -> dict[dt.datetime, ObservedRows]:
        """Return what was loaded as each stored observation."""
        found = self._rows(_OBSERVED_ROWS)
        return {at: ObservedRows(file, content or "", set(parts)) for at, file, content, parts in found}

    def keep_contents(self, contents: Mapping[dt.datetime, str]) -> None:
        """Keep the content of observations of which each row has its instant."""
        self._connection.execute(
            "update _loads set content_hash = content from (select unnest(?::varchar[]) as observed,"
            " unnest(?::varchar[]) as content) where source_table = 'products' and bucket = observed",
            [[str(at) for at in contents], list(contents.values())],
        )

    def has_rows_of(self, observed_at: dt.datetime) -> bool:
        """Return whether parts that were listed last had rows of an observation by row."""
        found = self._rows(
            "select 1 from _loads where source_table = 'products' and bucket = ?"
            " and not ends_with(file, '@' || bucket)",
            [str(observed_at)],
        )
        return bool(found)

    def forget_parts(self, listed: Sequence[str], instants: Sequence[dt.datetime] | None) -> None:
        """Note of observations by row that their part is gone, if it is not listed or has other instants now."""
        is_gone = "not list_contains($listed::varchar[], file)"
        given: dict[str, object] = {"listed": list(listed), "by_row": BY_ROW}
        if instants is not None:
            is_gone += " or bucket not in (select unnest($instants::varchar[]))"
            given["instants"] = [str(at) for at in instants]
        self._connection.execute(
            "update _loads set file = file || '@' || bucket where source_table = 'products'"
            f" and starts_with(content_hash, $by_row) and not ends_with(file, '@' || bucket) and ({is_gone})",
            given,
        )

    def made_observations(self, file: str, digest: str) -> list[dt.datetime]:
        """Return the observations that were loaded from `file` with another content hash than `digest`."""
        found = self._rows(
            "select bucket::timestamp from _loads where source_table = 'products' and file = ? and content_hash <> ?",
            [file, digest],
        )
        return [observed_at for (observed_at,) in found]

    def forget_observations(self, instants: Iterable[dt.datetime]) -> None:
        """Remove the accounts of observations."""
        self._connection.execute(
            "delete from _loads where source_table = 'products' and list_contains(?::varchar[], bucket)",
            [[str(at) for at in instants]],
        )

    def account_observation(self, observed_at: dt.datetime, file: str, digest: str, rows: int, run_id: str) -> None:
        """Account for an observation all of whose rows are loaded."""
        self._connection.execute(
            "insert into _loads values ('products', ?, ?, ?, ?, ?, 0, 0, ?, ?, 0)",
            [str(observed_at), file, digest, rows, rows, self.next_write_number(), run_id],
        )

    def import_observations(self, run_id: str) -> None:
        """Take over from the attached warehouse `other` the accounts of the observations that are stored here.

        They keep their order, and come before all that will be written here.
        """
        self._connection.execute(_IMPORT_LOADS)
        self._connection.execute(_IMPORT_WRITES, {"run_id": run_id})
        self._connection.execute("insert into _files from other.analytics._files where source_table = 'products'")
