"""Rules on loads: each function raises an error if a load must not be written. `validation.py` has rules on rows."""

import datetime as dt
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from plant_assets.ingest.validation import NOT_REJECTED, NOT_YET
from plant_assets.ingest.wording import RejectedRow, first_in_words
from plant_assets.sources.errors import SourceError
from plant_assets.sources.instants import EPOCHS, OTHER_UNIT
from plant_assets.sources.tables import SOURCE_TABLES
from plant_assets.warehouse.store import STAGED
from plant_assets.warehouse.warehouse import Warehouse

# If fewer rows than this are missing, that is no sign of a damaged source.
FEWEST_MISSING = 20
_COUNT_REJECTED = """
    select count(*), count(*) filter (
        where reason not in {not_rejected} and not list_contains($not_yet::varchar[], reason)
    ) from {staged}
"""
# Known rows are recognised by week and key: prune removes their text.
_NEWLY_REJECTED = """
    with staged as (
        select file, line, column_name, reason, found_text, rowid as staged_row, week,
            coalesce(row_key, {key}::varchar) as row_key,
            row_number() over (partition by week, coalesce(row_key, {key}::varchar)) as copy
        from {staged} where reason not in {not_rejected} and not list_contains($not_yet::varchar[], reason)
    ), known as (
        select week_start_date, row_key, row_number() over (partition by week_start_date, row_key) as copy
        from rejected_rows where source_table = $source_table and list_contains($parts::varchar[], file)
            and not list_contains($not_yet::varchar[], reason)
    )
    select count(*), min((file, line, column_name, reason, found_text, staged_row)) from staged where not exists (
        select 1 from known where known.week_start_date is not distinct from staged.week
            and known.row_key is not distinct from staged.row_key and known.copy = staged.copy
    )
"""
_UNITS = """
    select epoch_unit, min((file, line, 'created_at', epoch_unit, found_text)) from {staged}
    where epoch_unit is not null group by epoch_unit order by epoch_unit
"""
_UNIT_WORDS = {OTHER_UNIT: "no instant from 2000 to 2100"}


class RejectedLoad(SourceError):
    """The load must not be written: too many rows are rejected, too few are left, or other weeks must change too."""


@dataclass(frozen=True)
class RowCounts:
    """How many rows of a table, or of a week of it, were loaded before, and how many this load would leave.

    `is_listed` says whether the source has the table.
    """

    table: str
    week: dt.date | None
    before: int
    now: int
    is_listed: bool


def units_of(warehouse: Warehouse, table: str) -> dict[str, RejectedRow]:
    """Return the units of numbers that are read as instants by themselves, each with the first row that has it."""
    return {unit: RejectedRow(*first) for unit, first in warehouse.rows(_UNITS.format(staged=STAGED + table))}


def require_one_unit(warehouse: Warehouse, source: str, table: str) -> None:
    """Check that the numbers that are read as instants by themselves are in one unit.

    Raises:
        SourceError: names the units, each with the first row that has it.
    """
    units = units_of(warehouse, table)
    if len(units) > 1:
        said = " and ".join(
            f"{_UNIT_WORDS.get(unit, unit)} ({first.in_words(repr(first.found))})" for unit, first in units.items()
        )
        raise SourceError(
            f"{source}: created_at of the table {table} holds numbers as {said}: give time.format in PLANT_MAPPING,"
            f" one of {', '.join(EPOCHS)}"
        )


def require_enough_rows(source: str, least: float, counts: Iterable[RowCounts]) -> None:
    """Reject a load that leaves much less of a table, or of a week of it, than the load before.

    Raises:
        RejectedLoad: names the table, the week and both numbers.
    """
    for each in counts:
        if each.now < least * each.before and each.before - each.now >= FEWEST_MISSING:
            held = f"the week {each.week} of the table {each.table}" if each.week else f"the table {each.table}"
            found = f"has {each.now} rows" if each.is_listed else "is gone"
            raise RejectedLoad(
                f"{source}: {held} {found} where {each.before} rows were loaded before, less than"
                f" PLANT_MIN_ROWS={least} allows: restore the rows, or accept the loss for one run by"
                " `plant-assets run --accept-fewer`"
            )


def require_few_rejected(
    warehouse: Warehouse, source: str, table: str, parts: Collection[str], read_elsewhere: int
) -> None:
    """Reject a load of which too large a share of a table's rows is rejected.

    Args:
        warehouse: that holds the staged rows.
        source: the source's name.
        table: the source table's name.
        parts: files that are read again without the rest of the table; what was rejected of them before does not count.
        read_elsewhere: the rows that were read, and are no longer staged.

    Raises:
        RejectedLoad: names both numbers, and the first of the rejected rows.
    """
    most, staged = warehouse.settings.max_rejected, STAGED + table
    not_yet = {"not_yet": list(NOT_YET)}
    read, rejected = warehouse.rows(_COUNT_REJECTED.format(staged=staged, not_rejected=NOT_REJECTED), not_yet)[0]
    read += read_elsewhere
    if rejected <= most * read:
        return
    statement = _NEWLY_REJECTED.format(staged=staged, key=SOURCE_TABLES[table].key[-1], not_rejected=NOT_REJECTED)
    newly, first = warehouse.rows(statement, not_yet | {"source_table": table, "parts": list(parts)})[0]
    read -= rejected - newly
    if newly <= most * read:
        return
    raise RejectedLoad(
        f"{source}: {newly} of {read} rows of the table {table} cannot be loaded, more than"
        f" PLANT_MAX_REJECTED={most} allows; the first is {first_in_words(warehouse, table, RejectedRow(*first))}"
    )
