"""What checks leave behind: the failures that are open, and when each check last looked at everything."""

import datetime as dt
from collections.abc import Collection, Iterable
from dataclasses import dataclass

import duckdb

from plant_assets.warehouse.ledger.tables import rows_of

_OPEN = """
    insert into _open_checks
    select $asset, $name, week, $since, $number, $definition, $is_blocking
    from (select unnest($weeks::date[]) as week)
    where not exists (from _open_checks as known where known.name = $name and known.week is not distinct from week)
"""
_FAILURES = """
    select name, list(week order by week), bool_or(week is null), min(since), max(write_number), any_value(definition)
    from _open_checks group by name
"""
_BLOCKING = """
    select distinct name from _open_checks
    where is_blocking and asset in (select table_name from _writes) order by all
"""


@dataclass(frozen=True)
class Failure:
    """An open failure of a check.

    Attributes:
        weeks: the weeks that it is open for.
        is_whole: whether it is open for everything, because no weeks could be told.
        since: when it was found first.
        write_number: the last write of a table that the check reads, when it was found last.
        definition: the fingerprint of the check that found it.
    """

    weeks: frozenset[dt.date]
    is_whole: bool
    since: dt.datetime
    write_number: int
    definition: str


@dataclass(frozen=True)
class LookedWhole:
    """When the checks last looked at everything, the one that did so first of them, and which failed then."""

    at: dt.datetime
    failed: tuple[str, ...]


class Checks:
    """The open failures of error checks, and the last look of each check at everything."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    def failures(self) -> dict[str, Failure]:
        """Return the open failure of each check that has one, by its name."""
        found = {}
        for name, weeks, is_whole, since, number, definition in rows_of(self._connection, _FAILURES):
            known = frozenset(week for week in weeks if week)
            found[name] = Failure(known, is_whole, since, number, definition)
        return found

    def open(
        self,
        asset: str,
        name: str,
        weeks: Iterable[dt.date] | None,
        since: dt.datetime,
        number: int,
        definition: str,
        is_blocking: bool,
    ) -> None:
        """Open a failure of a check for weeks, or for everything; weeks that are open already stay as they are."""
        given = {"asset": asset, "name": name, "since": since, "definition": definition, "is_blocking": is_blocking}
        opened = [None] if weeks is None else list(weeks)
        self._connection.execute(_OPEN, {**given, "number": number, "weeks": opened})

    def close(self, name: str, weeks: Collection[dt.date] | None = None) -> None:
        """Close the failure of a check: for these weeks, or as a whole."""
        self._connection.execute(
            "delete from _open_checks where name = $name and ($weeks is null or list_contains($weeks::date[], week))",
            {"name": name, "weeks": None if weeks is None else list(weeks)},
        )

    def blocking(self) -> list[str]:
        """Return the open blocking checks of tables that runs write, in order."""
        return [name for (name,) in rows_of(self._connection, _BLOCKING)]

    def note_whole(self, name: str, at: dt.datetime, passed: bool) -> None:
        """Note that a check looked at everything, and with which result."""
        self._connection.execute("delete from _looked_whole where name = $name", {"name": name})
        self._connection.execute("insert into _looked_whole values (?, ?, ?)", [name, at, passed])

    def last_whole(self) -> LookedWhole | None:
        """Return when all checks had looked at everything; None if they never did."""
        found = rows_of(self._connection, "select name, looked_at, passed from _looked_whole order by name")
        if not found:
            return None
        return LookedWhole(
            min(at for _name, at, _ok in found), tuple(name for name, _at, passed in found if not passed)
        )
