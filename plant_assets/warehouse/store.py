"""What an engine has to implement, and what writes have in common on every one. No engine is here.

`TableStore` is how rows are kept, `QueryEngine` how expressions are answered.
"""

import contextlib
import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import ibis

from plant_assets.calendar import Weeks
from plant_assets.contracts import Table
from plant_assets.sql import identifier

# The prefix of the tables that a source is read into.
STAGED = "_staged_"


class WrongShape(Exception):
    """A result does not have the columns, types or weeks of its table's contract."""


class EngineFailed(Exception):
    """A distributed engine failed; the message is its own, in one line."""


@dataclass(frozen=True)
class Since:
    """Rows that replace those whose `column` is not before `start`, or is NULL; all rows if there is no `start`."""

    rows: ibis.Table
    column: str
    start: dt.date | dt.datetime | None


class TableStore(Protocol):
    """How the rows of tables are kept. All but `transaction` and `prepare` write in the caller's transaction."""

    def prepare(self) -> None:
        """Make what loads and runs expect to find, and what a warehouse of an older version lacks."""

    def transaction(self) -> contextlib.AbstractContextManager[None]:
        """Keep all of the body's writes, or none."""

    def create_view(self, table: Table, data: ibis.Table) -> None:
        """Make or replace a view."""

    def replace(self, table: Table, data: ibis.Table, weeks: Weeks | None) -> int:
        """Replace all rows, or those of `weeks`, and return how many there are now.

        Raises:
            WrongShape: a row lies outside `weeks`.
        """

    def replace_since(self, table: Table, data: ibis.Table, since: Since) -> int:
        """Replace the rows that are not before `since.start`, and return how many were written.

        Raises:
            WrongShape: a row of `data` is before it.
        """

    def append(self, table: Table, query: str, parameters: Any = None) -> None:
        """Add the rows of a query of DuckDB's, by name."""

    def append_staged(self, source_name: str, table: Table, weeks: Weeks | None = None, may_become: bool = True) -> int:
        """Add the accepted rows that were staged, of these weeks, and return how many there were.

        Where the table is empty, the staged one becomes it, if it may: nothing is copied.
        """

    def delete(self, table: Table) -> None:
        """Delete all rows."""

    def delete_weeks(self, table: Table, weeks: Iterable[dt.date]) -> None:
        """Delete the rows of these weeks."""

    def delete_observations(self, table: Table, instants: Sequence[dt.datetime]) -> None:
        """Delete the rows of these observations."""

    def keep_as_text(self, source_name: str, column: str) -> None:
        """Store an id as text from now on, where it is staged too."""


class QueryEngine(Protocol):
    """How expressions over the tables are answered, and with which means."""

    def require(self) -> None:
        """Refuse, before a run begins, an engine that does not answer.

        Raises:
            UsageError: it does not.
        """

    def close(self) -> None:
        """Let go of what was held for this warehouse alone."""

    def limit_memory(self, is_staged: bool = False) -> None:
        """Limit the engine's memory to what the stored, or staged, rows need, up to the allowed maximum."""

    def portions(self, name: str) -> int:
        """Return in how many portions to group a table's sessions and products, to need less memory."""

    def scalar(self, expression: ibis.Table) -> Any:
        """Return the value of an expression of one row and column."""

    def count_rows(self, name: str) -> int:
        """Return how many rows a table or view has."""

    def counts(self, expressions: Sequence[ibis.Table]) -> list[int]:
        """Return how many rows each expression has, asked for in one query."""

    def sample_keys(self, expression: ibis.Table, most: int) -> list[str]:
        """Return the first rows, in order, of an expression of one text column."""


def create_table(table: Table, id_types: Mapping[str, str] | None = None) -> str:
    """Return the DDL of a table by its contract; `id_types` are the types of ids that are not text."""
    types = {column.name: (id_types or {}).get(column.name, column.sql_type) for column in table.columns}
    columns = ", ".join(f"{identifier(name)} {kind}" for name, kind in types.items())
    return f"create table if not exists {table.name} ({columns})"


def require_shape(table: Table, schema: ibis.Schema) -> None:
    """Check the columns and types of a result against the contract.

    Raises:
        WrongShape: names what is missing, too many or of another type.
    """
    wanted = {name: str(dtype) for name, dtype in table.schema.items()}
    given = {name: str(dtype.copy(nullable=True)) for name, dtype in schema.items()}
    problems = [f"column {name} is missing" for name in wanted if name not in given]
    problems += [f"column {name} is not in its contract" for name in given if name not in wanted]
    problems += [
        f"column {name} is {given[name]}, not {wanted[name]}"
        for name in wanted
        if name in given and given[name] != wanted[name]
    ]
    if problems:
        raise WrongShape(f"{table.name}: {'; '.join(problems)}")
