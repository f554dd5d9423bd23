"""Observations of which each row has its instant: a table of stock, or a table of products with `observed_at`.

Each instant is an observation, and is loaded once. A part is read whole if anything in it changed; of the staged rows
only those stay whose instants are new or changed.
"""

import datetime as dt
from collections.abc import Iterable

from plant_assets.ingest.audit import has_rejected
from plant_assets.ingest.reading import Reading
from plant_assets.ingest.staging import Staged
from plant_assets.ingest.validation import Observation
from plant_assets.sources import dbt_snapshot
from plant_assets.sources.base import SourceFile
from plant_assets.sources.errors import SourceError
from plant_assets.sources.mapping import PLACE
from plant_assets.sources.tables import Holds
from plant_assets.warehouse.ledger.loads import BY_ROW, ObservedRows
from plant_assets.warehouse.observations import name_of_rows

# Equal rows count once, so that it makes no difference whether another part repeats them.
_FIND = """
    create or replace temp table stock_found as
    with counted as (
        select observed_at, file, count(*) as rows,
            list(distinct md5_number_lower(to_json([{columns}])::varchar)) as hashes
        from _staged_products where observed_at is not null and list_contains($files::varchar[], file) group by all
    )
    select observed_at, min(file) as file, sum(rows)::bigint as rows, list((file, rows) order by file) as parts,
        list_sum(list_distinct(flatten(list(hashes)))::hugeint[])::varchar as content
    from counted group by observed_at
"""
_FOUND = "select observed_at, file, content, parts from stock_found order by observed_at"
_KEEP = """
    delete from _staged_products
    where list_contains($files::varchar[], file) and observed_at is not null
        and observed_at not in (select unnest($instants::timestamp[]))
"""
_COUNT = """
    select observed_at, count(*) filter (where reason is null) from _staged_products
    where list_contains($files::varchar[], file) and observed_at <= $until group by observed_at order by observed_at
"""
_REJECT_FUTURE = """
    update _staged_products set reason = 'future', column_name = 'observed_at'
    where reason is null and observed_at > $until and list_contains($files::varchar[], file)
"""
# A product keeps the name and price that it had when its instant was loaded first.
_NAME = """
    update _staged_products as staged set name = given.name, price = given.price from (
        select stock.rowid as staged_row,
            coalesce(stored.name, names.name, stock.name {or_id}) as name,
            coalesce(stored.price, names.price, stock.price) as price
        from _staged_products as stock
        left join (
            from _staged_products
            where observed_at is null and reason is null and list_contains($names::varchar[], file)
        ) as names on names.product_id = stock.product_id
        left join raw_products as stored
            on stored.observed_at = stock.observed_at and stored.product_id = stock.product_id and $is_named
        where stock.observed_at is not null and list_contains($files::varchar[], stock.file)
    ) as given where staged.rowid = staged_row
"""
_MERGE_NAMES = """
    update _staged_products set reason = 'merged' where reason is null and list_contains($names::varchar[], file)
"""


class StockObservations:
    """The observations in rows that have instants.

    `instants` are those that are loaded, `known_rows` is the number of rows of those that are loaded already.
    """

    def __init__(self, reading: Reading, staged: Staged, read_by: str) -> None:
        self._reading, self._warehouse = reading, reading.warehouse
        self._staged, self._read_by = staged, read_by
        self._found: dict[dt.datetime, tuple[str, str]] = {}
        self.instants: list[dt.datetime] = []
        self.known_rows = 0

    def _parts(self, holds: Holds, parts: Iterable[SourceFile]) -> list[SourceFile]:
        return [each for each in parts if each.holds == holds]

    @property
    def _files(self) -> list[str]:
        """The names of the parts with instants that are read."""
        return [each.name for each in self._parts(Holds.STOCK, self._staged.fresh)]

    @property
    def _names(self) -> list[str]:
        return [each.name for each in self._parts(Holds.NAMES, self._staged.listed)]

    @property
    def unread(self) -> list[str]:
        """The names of the parts that are not read, since they are as they were."""
        read = {each.name for each in self._staged.fresh}
        held = [*self._parts(Holds.STOCK, self._staged.listed), *self._parts(Holds.NAMES, self._staged.listed)]
        return [each.name for each in held if each.name not in read]

    def to_read(self) -> list[SourceFile]:
        """Return the parts to read: all if any has changed, or if rows were rejected that may be accepted now."""
        stock, names = (self._parts(each, self._staged.listed) for each in (Holds.STOCK, Holds.NAMES))
        again = any(has_rejected(self._warehouse, "products", each) for each in ("future", "too_few_products"))
        if again or self._reading.is_forced or any(each.name not in self._staged.unchanged for each in stock):
            return [*names, *stock]
        return [each for each in names if each.name not in self._staged.unchanged]

    def find(self) -> None:
        """Find the instants in the staged rows, and keep the rows of those that are to be loaded.

        Raises:
            SourceError: an instant differs from what was loaded, and that is not accepted.
        """
        if not self._files:
            return
        columns = ["product_id", "inventory", "reason", "found_text"]
        columns += [] if self._names else ["name", "price"]
        columns += [PLACE] if self._reading.source.mapping.sum_over else []
        texts = ", ".join(f"{name}::varchar" for name in columns)
        self._warehouse.execute(_FIND.format(columns=texts), {"files": self._files})
        loaded = self._warehouse.ledger.loads.observed_rows()
        for at, file, content, parts in self._warehouse.rows(_FOUND):
            self._found[at] = file, self._content(content)
            if self._is_to_load(at, set(parts), loaded.get(at)):
                self.instants.append(at)
        rows = "select coalesce(sum(rows), 0) from stock_found where observed_at not in (select unnest(?::timestamp[]))"
        self.known_rows = int(self._warehouse.value(rows, [self.instants]))
        self.keep_new()

    def _content(self, content: str) -> str:
        return f"{BY_ROW}{content}:{self._read_by}" if self._read_by else BY_ROW + content

    def _is_to_load(self, at: dt.datetime, parts: set[tuple[str, int]], loaded: ObservedRows | None) -> bool:
        """Return whether to load an instant: it is new, or its rows are in other parts, or differ from those loaded."""
        if at > self._reading.until or loaded is None or dbt_snapshot.is_of_history(loaded.file):
            return True
        content = self._found[at][1]
        if content == loaded.content:
            return parts != loaded.parts
        if not self._reading.accepts_changes and loaded.content.partition(":")[2] == self._read_by:
            raise SourceError(
                f"{self._reading.source.name}: {self._found[at][0]} says otherwise of {at}Z than when it was loaded:"
                " restore it, or accept it with `plant-assets run --weeks all`"
            )
        return True

    def keep_new(self) -> None:
        """Keep the staged rows of the instants that are to be loaded, and those without an instant."""
        self._warehouse.execute(_KEEP, {"files": self._files, "instants": self.instants})

    def reject_future(self) -> None:
        """Reject rows of instants that have not come yet."""
        self._warehouse.execute(_REJECT_FUTURE, {"files": self._files, "until": self._reading.until})

    def observations(self) -> list[Observation]:
        """Return the observations that are to be loaded, in order."""
        if not self._files:
            return []
        found = self._warehouse.rows(_COUNT, {"files": self._files, "until": self._reading.until})
        return [Observation(at, name_of_rows(self._found[at][0], at), products) for at, products in found]

    def name_products(self) -> None:
        """Give the products of each instant their names and prices: those of the products beside the stock."""
        names, listed = self._names, self._parts(Holds.STOCK, self._staged.listed)
        if self._files and not any(each.table == self._staged.name for each in listed):
            given = {"files": self._files, "names": names, "is_named": bool(names)}
            self._warehouse.execute(_NAME.format(or_id="" if names else ", stock.product_id"), given)
        self._warehouse.execute(_MERGE_NAMES, {"names": names})

    def account(self) -> None:
        """Keep the content of each instant that is loaded, and forget in which parts those were that are gone."""
        loads = self._warehouse.ledger.loads
        loads.keep_contents({at: self._found[at][1] for at in self.instants})
        parts = [each.name for each in self._parts(Holds.STOCK, self._staged.listed)]
        loads.forget_parts(parts, list(self._found) if self._files else None)
