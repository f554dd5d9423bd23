"""Named facts of the store."""

import datetime as dt
from collections.abc import Callable

import duckdb

from plant_assets.contracts import STAGES
from plant_assets.settings import Settings, UsageError


class StoreMismatch(UsageError):
    """The warehouse belongs to another source or time zone."""


class Facts:
    """Named facts of the store, as text."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    def get(self, name: str) -> str | None:
        """Return a fact; None where it is not known."""
        found = self._connection.execute("select value from _meta where name = ?", [name]).fetchone()
        return found[0] if found else None

    def remember(self, **values: str) -> None:
        """Keep facts, each in the place of its former value."""
        for name, value in values.items():
            self._connection.execute("delete from _meta where name = ?", [name])
            self._connection.execute("insert into _meta values (?, ?)", [name, value])

    def first_week(self) -> dt.date | None:
        """Return the first week that the store is known to have; None before the first load."""
        known = self.get("first_week")
        return dt.date.fromisoformat(known) if known else None

    def stages(self) -> tuple[str, ...]:
        """Return the funnel's stages that the store has, in order; all where nothing says otherwise."""
        known = self.get("stages")
        return STAGES if known is None else tuple(known.split(","))


def require_same_store(settings: Settings, known: Callable[[str], str | None]) -> None:
    """Refuse the warehouse of another store; `known` returns a fact that it remembers.

    Raises:
        StoreMismatch: it remembers another source or zone.
    """
    for name, given in settings.store().items():
        remembered = known(name)
        if remembered not in (None, given):
            raise StoreMismatch(
                f"{settings.warehouse_path} holds the store with {name} {remembered}, not {given}:"
                f" give that {name}, another --warehouse, or --accept-source"
            )


def store_facts(connection: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """Return what an attached warehouse remembers of its source and time zone; nothing where it is new."""
    has_facts = "select count(*) from duckdb_tables() where database_name = 'warehouse' and table_name = '_meta'"
    facts = "select name, value from warehouse.analytics._meta where name in ('source', 'timezone')"
    return dict(connection.execute(facts).fetchall()) if connection.execute(has_facts).fetchall() == [(1,)] else {}


def source_of_other(connection: duckdb.DuckDBPyConnection, catalog: str) -> str | None:
    """Return the source of the store of another attached warehouse."""
    found = connection.execute(f"select value from {catalog}.analytics._meta where name = 'source'").fetchone()
    return found[0] if found else None
