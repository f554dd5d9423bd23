"""An open warehouse: a connection, its ledger, a store that keeps rows and an engine that answers expressions.

`open.py` chooses store and engine. What they have to do is in `store.py`.
"""

import contextlib
import datetime as dt
import json
from collections.abc import Iterable, Sequence
from typing import Any

import duckdb
import ibis

from plant_assets.atomic import write_atomically
from plant_assets.calendar import Weeks
from plant_assets.contracts import TABLES
from plant_assets.settings import Settings
from plant_assets.warehouse.catalog import Catalog
from plant_assets.warehouse.ledger.due import due_path
from plant_assets.warehouse.ledger.facts import require_same_store
from plant_assets.warehouse.ledger.ledger import Ledger
from plant_assets.warehouse.store import QueryEngine, Since, TableStore, require_shape


class Warehouse:
    """An open warehouse, held by this process alone until it is closed."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        settings: Settings,
        ledger: Ledger,
        store: TableStore,
        engine: QueryEngine,
    ) -> None:
        self.connection = connection
        self.settings = settings
        self.calendar = settings.calendar
        self.catalog = Catalog(connection)
        self.ledger = ledger
        self.store = store
        self.engine = engine
        # What a plan staged in this process, for the run that follows it.
        self.staged: object | None = None

    def execute(self, statement: str, parameters: Any = None) -> duckdb.DuckDBPyConnection:
        """Run a statement of DuckDB's."""
        return self.connection.execute(statement, parameters)

    def rows(self, statement: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        """Return the rows of a query of DuckDB's."""
        return self.execute(statement, parameters).fetchall()

    def value(self, statement: str, parameters: Any = None) -> Any:
        """Return the first value of a query of DuckDB's; None where it has no row."""
        found = self.execute(statement, parameters).fetchone()
        return found[0] if found else None

    def transaction(self) -> contextlib.AbstractContextManager[None]:
        """Keep all of the body's writes, or none."""
        return self.store.transaction()

    def write(
        self, name: str, data: ibis.Table, run_id: str, weeks: Weeks | None = None, since: Since | None = None
    ) -> int:
        """Replace a table, its rows of `weeks`, or those that `since` names, by `data`; return the rows written.

        It is one transaction, the ledger included.

        Raises:
            WrongShape: columns or types differ from the contract, or a row lies outside `weeks`.
        """
        table, written = TABLES[name], 0
        require_shape(table, data.schema())
        with self.transaction():
            if table.is_view:
                self.store.create_view(table, data)
            elif since and since.start:
                written = self.store.replace_since(table, data, since)
            else:
                written = self.store.replace(table, data, weeks)
            self.ledger.writes.record(name, run_id, weeks.weeks() if weeks else None)
        return written

    def note_due(self, weeks: Iterable[dt.date], reason: str) -> None:
        """Note weeks that a later run has to do."""
        with self.transaction():
            self.ledger.due.note(weeks, reason)
        self.show_due()

    def show_due(self) -> None:
        """Show by a file whether weeks are due, so that a sensor need not open the warehouse to know."""
        noted_at = self.ledger.due.noted_at()
        if noted_at:
            write_atomically(due_path(self.settings), noted_at.isoformat())
        else:
            due_path(self.settings).unlink(missing_ok=True)

    def require_store(self) -> None:
        """Refuse to mix two stores in one warehouse.

        Raises:
            StoreMismatch: it remembers another source or zone.
        """
        require_same_store(self.settings, self.ledger.facts.get)

    def remember_store(self, first_week: dt.date, stages: Sequence[str]) -> None:
        """Keep source, zone, first week and stages, with a copy that definitions can read while a run writes."""
        facts = self.settings.store() | {"first_week": first_week.isoformat(), "stages": ",".join(stages)}
        with self.transaction():
            self.ledger.facts.remember(**facts)
        write_atomically(self.settings.store_path, json.dumps(facts))
