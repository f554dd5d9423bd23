"""Which definition wrote which table, or week of it, and which of these are not the definition in force."""

import datetime as dt
from collections.abc import Iterable

import duckdb

from plant_assets.contracts import LOADED, TABLES, WEEKLY
from plant_assets.warehouse.fingerprints import Fingerprints
from plant_assets.warehouse.ledger.tables import rows_of

MADE_BY_WEEK = tuple(name for name in WEEKLY if name not in LOADED)
MADE_WHOLE = tuple(name for name in TABLES if not (name in WEEKLY or name in LOADED or TABLES[name].is_view))
_OLDER = """
    select table_name, week from _writes
    where table_name in (select unnest($names::varchar[])) and (week is null) = $is_whole
        and definition is distinct from map_extract_value($current::map(varchar, varchar), table_name)
        and (definition is not null or not list_contains($loaded::varchar[], table_name))
    order by all
"""

_HAS_COLUMN = "select 1 from duckdb_columns() where table_name = '_writes' and column_name = 'definition'"


class Definitions:
    """The fingerprint that each write was made by, against those that are `current`; empty where they are not known.

    What was written before fingerprints were kept is older, but for loaded tables: their rows stay.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, current: Fingerprints | None) -> None:
        self._connection = connection
        self.current = current or {}

    def older_weeks(self, names: Iterable[str] = MADE_BY_WEEK) -> dict[str, set[dt.date]]:
        """Return the weeks of weekly tables that another definition wrote, by table; no table is without any."""
        found: dict[str, set[dt.date]] = {}
        for name, week in self._older(names, is_whole=False):
            found.setdefault(name, set()).add(week)
        return found

    def weeks_between(self, first: dt.date, last: dt.date) -> dict[str, set[dt.date]]:
        """Return `older_weeks` from the first to the last of some weeks."""
        inside = {name: {week for week in weeks if first <= week <= last} for name, weeks in self.older_weeks().items()}
        return {name: weeks for name, weeks in inside.items() if weeks}

    def are_kept(self) -> bool:
        """Tell whether the definition of any write is known. Marts of an older version have no column of it."""
        if not rows_of(self._connection, _HAS_COLUMN):
            return False
        return bool(rows_of(self._connection, "select 1 from _writes where definition is not null limit 1"))

    def older_tables(self) -> list[str]:
        """Return the tables without weeks that another definition wrote, in order. Views are made anew by every run."""
        return [name for name, _week in self._older(MADE_WHOLE, is_whole=True)]

    def _older(self, names: Iterable[str], is_whole: bool) -> list[tuple[str, dt.date]]:
        known = {name: self.current[name] for name in names if name in self.current}
        given = {"names": list(known), "current": known, "loaded": list(LOADED), "is_whole": is_whole}
        return rows_of(self._connection, _OLDER, given)
