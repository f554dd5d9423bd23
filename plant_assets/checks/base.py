"""The type of a check: a fact about an asset, and an expression of the keys of failing rows."""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass

import dagster as dg
import ibis
from ibis import _

from plant_assets.calendar import WEEK, Weeks
from plant_assets.contracts import TABLES
from plant_assets.settings import Settings
from plant_assets.warehouse.observations import before, end_of_counted


@dataclass(frozen=True)
class Scope:
    """The rows that a check reads: the weeks of its run, or everything without weeks."""

    settings: Settings
    as_of: dt.datetime
    weeks: Weeks | None

    def table(self, name: str) -> ibis.Table:
        """Return the rows in scope of a table with weeks, or all rows of another table."""
        table = TABLES[name]
        return table.rows_of(self.weeks) if self.weeks and table.partition else table.unbound()

    def of_events(self, rows: ibis.Table) -> ibis.Table:
        """Return the rows of the orders that events in scope name; all rows if everything is in scope."""
        if not self.weeks:
            return rows
        named = self.table("raw_events").filter(_.order_id.notnull()).select("order_id").distinct()
        return rows.semi_join(named, "order_id")

    def offsets(self) -> list[tuple[dt.datetime | None, dt.timedelta]]:
        """Return the zone's offsets from a day before the scope, for `local_date`."""
        calendar, first, day = self.settings.calendar, self.settings.first_week, dt.timedelta(days=1)
        if self.weeks:
            return calendar.offsets(self.weeks.starts_at - day, self.weeks.ends_at)
        starts_at = calendar.starts_at(first) if first else dt.datetime(1970, 1, 2)
        return calendar.offsets(starts_at - day, self.as_of + 2 * WEEK)

    def whole(self, name: str) -> ibis.Table:
        """Return all rows of a table."""
        return TABLES[name].unbound()

    def counted(self, name: str) -> ibis.Table:
        """Return all rows of a raw table that are not ahead of the run's clock."""
        table = TABLES[name]
        return before(table.unbound(), table, end_of_counted(table, self.settings.calendar, self.as_of))


@dataclass(frozen=True)
class Check:
    """A fact about an asset.

    Attributes:
        asset: the asset.
        fact: the fact in words, the second part of the check's name.
        description: the fact as a sentence.
        offending: returns the failing rows: one row per violation, with a text column `key`.
        reads: the other tables of the expression, which are written first: upstream or unrelated ones. A downstream
            table, as `rejected_rows` is of the raw tables, would be a cycle. Declared here because building all
            expressions takes 0.15 CPU s of every command; a test compares them.
        is_error: whether a violation is an error, or only a warning.
        is_blocking: whether an error stops the run.
        evidence: returns what is said in the place of the failing keys, in the same form. It is asked only after a
            violation, so that it may cost more than `offending`.
    """

    asset: str
    fact: str
    description: str
    offending: Callable[[Scope], ibis.Table]
    reads: tuple[str, ...] = ()
    is_error: bool = True
    is_blocking: bool = True
    evidence: Callable[[Scope], ibis.Table] | None = None

    @property
    def name(self) -> str:
        """The name of the check, which is unique."""
        return f"{self.asset}_{self.fact}"

    @property
    def severity(self) -> dg.AssetCheckSeverity:
        """Dagster's severity of a violation."""
        return dg.AssetCheckSeverity.ERROR if self.is_error else dg.AssetCheckSeverity.WARN


def keys(table: ibis.Table, *parts: ibis.Value | str) -> ibis.Table:
    """Return the key of each row of `table` as one text. One row per row of `table`: key."""
    texts = [(table[part] if isinstance(part, str) else part).cast("string").fill_null("NULL") for part in parts]
    key = texts[0]
    for text in texts[1:]:
        key = key.concat(" ", text)
    return table.select(key=key)
