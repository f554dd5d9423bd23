"""What writes have in common on every engine: shapes, staged tables, and what goes wrong. No engine is here."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

import ibis

from plant_assets.contracts import Table
from plant_assets.sql import identifier

# The prefix of the tables that a source is read into.
STAGED = "_staged_"


class WrongShape(Exception):
    """A result does not have the columns, types or weeks of its table's contract."""


class EngineFailed(Exception):
    """A distributed engine could not do what it was asked to; the message is its own, in one line."""


@dataclass(frozen=True)
class Since:
    """Rows that take the place of those whose `column` is not before `start`, or is NULL; of all without a start."""

    rows: ibis.Table
    column: str
    start: dt.date | dt.datetime | None


def create_table(table: Table, id_types: Mapping[str, str] | None = None) -> str:
    """The DDL of a table as its contract has it; `id_types` are those of ids that are not text."""
    types = {column.name: (id_types or {}).get(column.name, column.sql_type) for column in table.columns}
    columns = ", ".join(f"{identifier(name)} {kind}" for name, kind in types.items())
    return f"create table if not exists {table.name} ({columns})"


def require_shape(table: Table, schema: ibis.Schema) -> None:
    """Refuse a result whose columns or types are not its contract's.

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
