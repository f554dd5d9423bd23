"""Which run wrote which table, or which weeks of it, in which order."""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import duckdb

from plant_assets.calendar import WEEK, Calendar, Weeks
from plant_assets.contracts import MARTS, TABLES, VERSIONS, WEEKLY, Table
from plant_assets.warehouse.ledger.definitions import Definitions
from plant_assets.warehouse.ledger.tables import next_write_number, rows_of

_HAS_NEW_PRODUCT = """
    select exists (
        from product_snapshots join _loads on source_table = 'products' and bucket = valid_from::varchar
        where changed_after is null
            and write_number > (select coalesce(max(made_with), 0) from _writes where table_name = $name)
    )
"""
_RECORD_WRITE = """
    insert into _writes
    select $name, unnest($weeks::date[]), $number, $run_id, (now() at time zone 'UTC')::timestamp,
        (select max(write_number) from _writes where table_name = $versions), $definition
"""
_WEEKS_BEHIND = """
    select min(week), max(week) from _writes as read
    where table_name = $upstream and week between $first and $last
        and (list_contains($older::date[], week) or write_number > coalesce(
            (select max(write_number) from _writes as made where table_name = $name and made.week = read.week), 0))
"""
_CHANGED_SINCE = """
    select min(week) filter (where write_number > $written), max(week) + 7
    from _writes where week is not null and list_contains($upstream::varchar[], table_name)
"""
_WRITTEN_SINCE = """
    select distinct table_name from _writes
    where run_id <> $run_id and write_number > (select min(write_number) from _writes where run_id = $run_id)
"""

# By table and week: the number of the last write, and that of the product versions with which it was made.
Written = Mapping[tuple[str, dt.date], tuple[int, int]]


def _is_behind(written: Written, table: Table, week: dt.date) -> bool:
    """Return whether a table's week was written before one of the tables that it is made from, or never."""
    number, _made_with = written.get((table.name, week), (0, 0))
    return any(number < written.get((name, week), (0, 0))[0] for name in table.upstream)


class Writes:
    """The last write of each table, or week of it, with its number, run and definition, and the versions it used."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, calendar: Calendar, definitions: Definitions) -> None:
        self._connection = connection
        self._calendar = calendar
        self._definitions = definitions

    def _rows(self, statement: str, parameters: object = None) -> list[tuple[Any, ...]]:
        return rows_of(self._connection, statement, parameters)

    def record(self, name: str, run_id: str, weeks: Iterable[dt.date] | None = None) -> None:
        """Note which run wrote a table, or weeks of it, after all writes before, by which definition and versions."""
        number, written = next_write_number(self._connection), [None] if weeks is None else list(weeks)
        self._connection.execute(
            "delete from _writes where table_name = ? and (week is null or list_contains(?::date[], week))",
            [name, written],
        )
        given = {"name": name, "weeks": written, "number": number, "run_id": run_id, "versions": VERSIONS}
        self._connection.execute(_RECORD_WRITE, given | {"definition": self._definitions.current.get(name)})

    def last(self, name: str) -> int | None:
        """Return the number of the last write of a table; None if it never was, or by another definition."""
        return None if name in self._definitions.older_tables() else self.number(name)

    def number(self, name: str) -> int | None:
        """Return the number of the last write of a table, whatever the definition."""
        found: int | None = self._rows("select max(write_number) from _writes where table_name = ?", [name])[0][0]
        return found

    def numbers(self) -> dict[str, int]:
        """Return the number of the last write of each table."""
        return dict(self._rows("select table_name, max(write_number) from _writes group by table_name"))

    def weeks(self, names: Sequence[str], after: dt.date = dt.date.min) -> list[dt.date]:
        """Return the weeks after a week that are written of any of the tables, in order."""
        found = self._rows(
            "select distinct week from _writes where week > ? and list_contains(?::varchar[], table_name) order by all",
            [after, list(names)],
        )
        return [week for (week,) in found]

    def stale_weeks(self, weeks: Iterable[dt.date], bears: Mapping[dt.date, int]) -> set[dt.date]:
        """Return weeks of which a weekly table was never written, or is older than an input or than its definition.

        Args:
            weeks: the weeks to look at.
            bears: per week, the number of the last write of an observation that bears on it. A table that reads product
                versions is stale if it was made with older ones.
        """
        written, older = self._written(), self._definitions.older_weeks()

        def is_stale(table: Table, week: dt.date) -> bool:
            number, made_with = written.get((table.name, week), (0, 0))
            if table.reads_versions and made_with < bears.get(week, 0):
                return True
            return not number or week in older.get(table.name, ()) or _is_behind(written, table, week)

        weekly = [TABLES[name] for name in WEEKLY]
        return {week for week in weeks if any(is_stale(table, week) for table in weekly)}

    def weeks_cut_off(self) -> set[dt.date]:
        """Return weeks of which a weekly table is older than one that it is made from: a run was stopped between."""
        written = self._written()
        ever = {name for name, _week in written}
        weekly = [TABLES[name] for name in WEEKLY if name in ever]
        return {week for _name, week in written if any(_is_behind(written, table, week) for table in weekly)}

    def _written(self) -> Written:
        rows = "select table_name, week, write_number, coalesce(made_with, 0) from _writes where week is not null"
        return {(name, week): (number, made_with) for name, week, number, made_with in self._rows(rows)}

    def weeks_behind(self, table: Table, weeks: Weeks) -> Weeks:
        """Return the weeks from the first to the last of `weeks` in which a table is older than its upstream table.

        Weeks that another definition wrote are behind too.
        """
        assert table.follows, f"{table.name} follows no table"
        given = {"upstream": table.follows, "first": weeks.first, "last": weeks.last, "name": table.name}
        older = self._definitions.older_weeks([table.name]).get(table.name, set())
        first, last = self._rows(_WEEKS_BEHIND, given | {"older": list(older)})[0]
        return Weeks(self._calendar, first or weeks.first, last or weeks.first - WEEK)

    def changed_since(self, name: str, *upstream: str) -> dt.date | None:
        """Return the first week of `upstream` tables written after `name` was last written.

        None if it never was, or by another definition. Where no week was, return the week after all that were ever
        written.
        """
        written = self.last(name)
        first, after = self._rows(_CHANGED_SINCE, {"written": written, "upstream": list(upstream)})[0]
        return (first or after) if written else None

    def has_new_product(self, name: str) -> bool:
        """Tell whether a product was first observed after the versions that a table was made with."""
        return bool(self._rows(_HAS_NEW_PRODUCT, {"name": name})[0][0])

    def marts_of_other_runs(self, run_id: str) -> list[str]:
        """Return the unpartitioned marts that another run wrote last."""
        found = self._rows(
            "select distinct table_name from _writes where list_contains(?::varchar[], table_name)"
            " and week is null and run_id <> ?",
            [list(MARTS), run_id],
        )
        return sorted(name for (name,) in found)

    def written_by_others_since(self, run_id: str) -> list[str]:
        """Return the tables that other runs wrote after the first write that stands of a run."""
        return sorted(name for (name,) in self._rows(_WRITTEN_SINCE, {"run_id": run_id}))

    def published_as_they_are(self, catalog: str) -> set[str]:
        """Return the tables whose last write is the same in an attached database that was copied from this one."""
        last = "select table_name, max(write_number) from {}.analytics._writes group by table_name"
        found = self._rows(f"{last.format('warehouse')} intersect {last.format(catalog)}")
        return {name for name, _number in found}

    def last_run(self) -> str | None:
        """Return the run that wrote last."""
        found = self._rows("select run_id from _writes order by write_number desc limit 1")
        return found[0][0] if found else None

    def forget(self, *names: str) -> None:
        """Have tables made again from nothing, all weeks of them."""
        self._connection.execute("delete from _writes where list_contains(?::varchar[], table_name)", [list(names)])

    def forget_weeks(self, names: Sequence[str], weeks: Iterable[dt.date]) -> None:
        """Have weeks of weekly tables made again."""
        self._connection.execute(
            "delete from _writes where list_contains(?::varchar[], table_name) and list_contains(?::date[], week)",
            [list(names), list(weeks)],
        )

    def forget_whole(self) -> None:
        """Have all tables without weeks made again from nothing, but for the raw ones."""
        self._connection.execute(
            "update _writes set write_number = 0 where week is null and not starts_with(table_name, 'raw_')"
        )
