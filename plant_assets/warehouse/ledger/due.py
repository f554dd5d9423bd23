"""The weeks that a run found it could not do, each with when and why: a later run has to do them."""

import datetime as dt
from collections.abc import Iterable
from pathlib import Path

import duckdb

from plant_assets.settings import Settings

_NOTE = """
    insert into _due
    select week, (now() at time zone 'UTC')::timestamp, $reason
    from (select unnest($weeks::date[]) as week) where week not in (select week from _due)
"""


def due_path(settings: Settings) -> Path:
    """Return the file that is there while weeks are due, and holds when the last note was made."""
    return settings.dagster_home / "due"


class Due:
    """The weeks that a later run has to do, whatever the source and the other tables of the ledger tell."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    def note(self, weeks: Iterable[dt.date], reason: str) -> None:
        """Note weeks as due; those that are noted already stay as they are."""
        self._connection.execute(_NOTE, {"weeks": sorted(weeks), "reason": reason})

    def weeks(self) -> set[dt.date]:
        """Return the weeks that are noted as due."""
        return {week for (week,) in self._connection.execute("select week from _due").fetchall()}

    def noted_at(self) -> dt.datetime | None:
        """Return when the last note was made; None if no week is due."""
        found: tuple[dt.datetime | None] | None = self._connection.execute("select max(since) from _due").fetchone()
        return found[0] if found else None

    def forget(self, weeks: Iterable[dt.date]) -> None:
        """Forget that weeks are due: they are done."""
        self._connection.execute("delete from _due where list_contains($weeks::date[], week)", {"weeks": list(weeks)})
