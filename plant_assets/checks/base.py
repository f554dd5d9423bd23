"""What a check is: a fact about an asset, and an expression of the keys that offend it."""

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
    """What a check looks at: the weeks of its run, or everything where there are none."""

    settings: Settings
    as_of: dt.datetime
    weeks: Weeks | None

    def table(self, name: str) -> ibis.Table:
        """The rows in scope of a table that is cut by weeks, all rows of another."""
        table = TABLES[name]
        return table.rows_of(self.weeks) if self.weeks and table.partition else table.unbound()

    def of_events(self, rows: ibis.Table) -> ibis.Table:
        """The rows of the orders that events in scope name; all rows where everything is in scope."""
        if not self.weeks:
            return rows
        named = self.table("raw_events").filter(_.order_id.notnull()).select("order_id").distinct()
        return rows.semi_join(named, "order_id")

    def offsets(self) -> list[tuple[dt.datetime | None, dt.timedelta]]:
        """The zone's offsets from a day before what is in scope, for `local_date`."""
        calendar, first, day = self.settings.calendar, self.settings.first_week, dt.timedelta(days=1)
        if self.weeks:
            return calendar.offsets(self.weeks.starts_at - day, self.weeks.ends_at)
        starts_at = calendar.starts_at(first) if first else dt.datetime(1970, 1, 2)
        return calendar.offsets(starts_at - day, self.as_of + 2 * WEEK)

    def whole(self, name: str) -> ibis.Table:
        return TABLES[name].unbound()

    def counted(self, name: str) -> ibis.Table:
        """All rows of a raw table that are not ahead of the run's clock."""
        table = TABLES[name]
        return before(table.unbound(), table, end_of_counted(table, self.settings.calendar, self.as_of))


@dataclass(frozen=True)
class Check:
    """A fact about an asset: `offending` has one row per violation, with a text column `key`.

    `reads` names the other tables of the expression, which are written before it is asked: those above the asset or
    beside it. To follow an asset below, as `rejected_rows` is below the raw tables, would be a circle. The names are
    not taken from the expressions here: to build those takes 0.15 CPU s of every command; a test compares them.
    """

    asset: str
    fact: str
    description: str
    offending: Callable[[Scope], ibis.Table]
    reads: tuple[str, ...] = ()
    is_error: bool = True
    is_blocking: bool = True

    @property
    def name(self) -> str:
        return f"{self.asset}_{self.fact}"

    @property
    def severity(self) -> dg.AssetCheckSeverity:
        return dg.AssetCheckSeverity.ERROR if self.is_error else dg.AssetCheckSeverity.WARN


def keys(table: ibis.Table, *parts: ibis.Value | str) -> ibis.Table:
    """One row per row of `table`, with its key as text."""
    texts = [(table[part] if isinstance(part, str) else part).cast("string").fill_null("NULL") for part in parts]
    key = texts[0]
    for text in texts[1:]:
        key = key.concat(" ", text)
    return table.select(key=key)
