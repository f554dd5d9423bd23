"""Observations and weeks ahead of a run's clock. An earlier clock was wrong, or the run's own clock is behind.

A run cannot know which. Observations more than a day after its clock, and weeks after the running one, stay in the raw
tables. Tables made from those leave them out until their time has come.
"""

import datetime as dt
import re
from collections.abc import Collection
from dataclasses import dataclass

import ibis

from plant_assets.calendar import FAR_FUTURE, WEEK, Calendar
from plant_assets.contracts import FROM_HISTORY, TABLES, WEEKLY, Table
from plant_assets.warehouse.warehouse import Warehouse

# The fact that names the first observation that the stored tables leave out, and how many there are.
LEFT_OUT = "left_out"
# The fact that names the PLANT_MAX_GAP_HOURS with which the stored tables were made.
MAX_GAP = "max_gap_hours"
MADE_BY_WEEK = tuple(name for name in WEEKLY if TABLES[name].layer != "raw")
MADE_OF_VERSIONS = tuple(name for name in WEEKLY if TABLES[name].reads_versions)


@dataclass(frozen=True)
class Ahead:
    """The observations that a run leaves out, each with its file, in order, and the weeks after the running one.

    `changed_since` is the first observation that the run treats otherwise than the stored tables do, if there is one;
    `bears_from` is the first week that it bears on.
    """

    observations: tuple[tuple[dt.datetime, str], ...] = ()
    weeks: tuple[dt.date, ...] = ()
    changed_since: dt.datetime | None = None
    bears_from: dt.date | None = None

    @property
    def fact(self) -> str:
        """Return what the ledger keeps of the observations."""
        return f"{self.observations[0][0].isoformat()} {len(self.observations)}" if self.observations else ""

    def sentence(self, as_of: dt.datetime, files: Collection[str]) -> str:
        """Say what is left out and how to remove it; `files` are those that the source has."""
        (at, file), *others = self.observations
        more = f" and {len(others)} more" if others else ""
        first = f"remove the file {file}, then run " if file in files and is_dated(file) else ""
        return (
            f"the products were observed at {at.isoformat()}Z{more}, over a day after this run's clock,"
            f" {as_of.isoformat()}Z: left out of every table after raw_products; if this clock is right, {first}"
            f"`plant-assets forget-observation {at.isoformat()}Z`"
        )


def is_dated(file: str) -> bool:
    """Tell whether an observation's file is named by its instant: such files are in a folder."""
    return "/" in file


def name_of_rows(file: str, observed_at: dt.datetime) -> str:
    """Return the name of an observation of which each row has its instant: the first file with such rows, and it."""
    return f"{file}@{observed_at.isoformat()}Z"


def is_of_rows(file: str) -> bool:
    """Tell whether an observation is named so."""
    return bool(re.search(r"@\d{4}-\d\d-\d\dT[\d:]+Z$", file))


def has_own_date(file: str) -> bool:
    """Tell whether the source dates an observation, which otherwise has the instant of the run that made it."""
    return is_dated(file) or file.startswith(FROM_HISTORY) or is_of_rows(file)


def is_in_history(warehouse: Warehouse, observed_at: dt.datetime, file: str) -> bool:
    """Tell whether a run would load an observation from dbt's history, or from rows with instants, again."""
    known = warehouse.ledger.facts.get(LEFT_OUT)
    if known and observed_at >= dt.datetime.fromisoformat(known.split()[0]):
        return False
    if is_of_rows(file) and not file.startswith(FROM_HISTORY):
        return warehouse.ledger.loads.has_rows_of(observed_at)
    return file.startswith(FROM_HISTORY) and bool(
        warehouse.value(
            "select exists (from raw_products_snapshot where date_trunc('second', dbt_valid_from) = $at"
            " or date_trunc('second', dbt_valid_to) = $at)",
            {"at": observed_at},
        )
    )


def find_ahead(warehouse: Warehouse, as_of: dt.datetime) -> Ahead:
    """Return the observations and weeks ahead of a run's clock."""
    observations = warehouse.rows(
        "select observed_at, file from raw_observations where observed_at > ? order by all", [as_of + FAR_FUTURE]
    )
    weeks = warehouse.ledger.writes.weeks(MADE_BY_WEEK, after=warehouse.calendar.week_of(as_of))
    ahead = Ahead(tuple(observations), tuple(weeks))
    known = warehouse.ledger.facts.get(LEFT_OUT) or ""
    firsts = [] if known == ahead.fact else _instants(known, ahead.fact)
    firsts += _of_another_gap(warehouse)
    if not firsts:
        return ahead
    since = min(firsts)
    return Ahead(ahead.observations, ahead.weeks, since, _bears_from(warehouse, since))


def _instants(*facts: str) -> list[dt.datetime]:
    return [dt.datetime.fromisoformat(fact.split()[0]) for fact in facts if fact]


def _of_another_gap(warehouse: Warehouse) -> list[dt.datetime]:
    """Return the first observation if the stored tables were made with another PLANT_MAX_GAP_HOURS."""
    if warehouse.ledger.facts.get(MAX_GAP) in (None, str(warehouse.settings.max_gap_hours)):
        return []
    return [at for (at,) in warehouse.rows("select min(observed_at) from raw_observations") if at]


def leave_out(warehouse: Warehouse, ahead: Ahead) -> None:
    """Delete what is ahead, in the caller's transaction, and have the run write again what it bears on."""
    for name in MADE_BY_WEEK:
        if ahead.weeks and warehouse.catalog.has(name):
            warehouse.store.delete_weeks(TABLES[name], ahead.weeks)
    if ahead.weeks or ahead.changed_since:
        forget_writes(warehouse, ahead.weeks, ahead.bears_from)
        warehouse.ledger.facts.remember(**{LEFT_OUT: ahead.fact})
    warehouse.ledger.facts.remember(**{MAX_GAP: str(warehouse.settings.max_gap_hours)})


def forget_writes(warehouse: Warehouse, weeks: Collection[dt.date], bears_from: dt.date | None) -> None:
    """Have unpartitioned tables written again, `weeks` of weekly ones, and the stock from `bears_from` on."""
    writes = warehouse.ledger.writes
    writes.forget_whole()
    writes.forget_weeks(MADE_BY_WEEK, weeks)
    if bears_from:
        writes.forget_weeks(MADE_OF_VERSIONS, writes.weeks(MADE_OF_VERSIONS, after=bears_from - WEEK))


def forget(warehouse: Warehouse, observed_at: dt.datetime) -> None:
    """Delete an observation and its load, in one transaction; the next run rebuilds the versions from there."""
    since = _bears_from(warehouse, observed_at)
    weeks = warehouse.ledger.writes.weeks(MADE_OF_VERSIONS, after=since - WEEK)
    with warehouse.transaction():
        for name in MADE_OF_VERSIONS:
            # Without the observation the first weeks may be none of the store's, and no run would write them.
            if warehouse.catalog.has(name):
                warehouse.store.delete_weeks(TABLES[name], weeks)
        forget_writes(warehouse, [], since)
        for name in ("raw_products", "raw_observations"):
            warehouse.store.delete_observations(TABLES[name], [observed_at])
        warehouse.ledger.loads.forget_observations([observed_at])
        warehouse.execute(
            "delete from rejected_rows where source_table = 'products' and observed_at = ?", [observed_at]
        )


def _bears_from(warehouse: Warehouse, observed_at: dt.datetime) -> dt.date:
    """Return the week of the observation before, whose versions end at this one; its own week if there is none."""
    before = warehouse.value("select max(observed_at) from raw_observations where observed_at < ?", [observed_at])
    return warehouse.calendar.week_of(before or observed_at)


def counted(warehouse: Warehouse, table: Table, as_of: dt.datetime) -> ibis.Table:
    """Return the rows of a table that are not ahead of a run's clock."""
    rows = table.unbound()
    if table.instant is None:
        return rows
    end = end_of_counted(table, warehouse.calendar, as_of)
    if not warehouse.value(f"select exists (from {table.name} where {table.instant} >= ?)", [end]):
        return rows
    return before(rows, table, end)


def before(rows: ibis.Table, table: Table, end: dt.datetime) -> ibis.Table:
    """Return the rows that are earlier than an instant."""
    return rows.filter(rows[table.instant] < ibis.literal(end, "timestamp(6)"))


def end_of_counted(table: Table, calendar: Calendar, as_of: dt.datetime) -> dt.datetime:
    """Return the first instant that is ahead of a run's clock: the end of the running week in a weekly table."""
    if table.week_column:
        return calendar.starts_at(calendar.week_of(as_of) + WEEK)
    return as_of + FAR_FUTURE + dt.timedelta(microseconds=1)
