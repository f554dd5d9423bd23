"""Rules on rows: each is a function that gives the staged rows that it rejects their reason.

Reasons that need only the row itself, like a value of the wrong type, are in `sources/conform.py`; rules on whole loads
are in `limits.py`.
"""

import bisect
import datetime as dt
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from plant_assets.calendar import FAR_FUTURE, WEEK
from plant_assets.sources.mapping import PLACE
from plant_assets.sources.tables import HISTORY, SourceTable
from plant_assets.warehouse.store import STAGED
from plant_assets.warehouse.warehouse import Warehouse

ENDS_BEFORE = "ends before it begins"
# Reasons that compare a row with others or with the clock: each load gives them again.
COMPARED = ("duplicate", "merged", "conflict", "future", "before_start", "too_few_products", ENDS_BEFORE)
# Rows with these reasons are accounted for apart: their content is loaded.
NOT_REJECTED = "('duplicate', 'merged')"
# Reasons that say nothing about the source's quality: later runs look at these rows again.
NOT_YET = ("future", "before_start", "too_few_products")
KEYS_AT_ONCE = 60_000_000

_HASHED_TWICE = """
    insert into hashed_twice
    select key_hash from (
        select hash({key}) as key_hash from {staged}
        where reason is null and (week is null or week in (select week from load_weeks))
    ) {of_portion} group by key_hash having count(*) > 1
"""
_SEEN_TWICE = """
    create or replace temp table seen_twice as
    select {key} from {staged}
    where reason is null and (week is null or week in (select week from load_weeks))
        and hash({key}) in (from hashed_twice)
    group by {key} having count(*) > 1
"""
_REJECT_COPIES = """
    update {staged} set reason = found, column_name = $column from (
        select staged_row, if(copy > 1, 'duplicate', 'conflict') as found from (
            select rowid as staged_row,
                row_number() over (partition by {key} order by {first}, file, line, rowid) as place,
                row_number() over (partition by {key}, {columns} order by file, line, rowid) as copy
            from {staged}
            where reason is null and (week is null or week in (select week from load_weeks))
                and ({key}) in (select ({key}) from seen_twice)
        ) where place > 1
    ) as copies where rowid = staged_row
"""
_MERGE_LINES = f"""
    update {STAGED}order_items set reason = found from (
        with lines as (
            select order_id, product_id, file, list_sort(list(quantity)) as quantities from {STAGED}order_items
            where reason is null and (order_id, product_id) in (select (order_id, product_id) from seen_twice)
            group by all
        ), firsts as (
            select order_id, product_id, min(file) as first_file, arg_min(quantities, file) as first_quantities
            from lines group by all
        )
        select staged.rowid as staged_row, case
                when file <> first_file
                    then if(quantities is not distinct from first_quantities, 'duplicate', 'conflict')
                when row_number() over (partition by order_id, product_id, file order by line, staged.rowid) > 1
                    then 'merged'
            end as found
        from {STAGED}order_items as staged join lines using (order_id, product_id, file)
            join firsts using (order_id, product_id)
        where reason is null
    ) as merged where {STAGED}order_items.rowid = staged_row
"""
_ADD_QUANTITIES = f"""
    update {STAGED}order_items as staged set quantity = total from (
        select order_id, product_id, file, try_cast(sum(quantity) as bigint) as total from {STAGED}order_items
        where reason is null or reason = 'merged' group by all having count(*) > 1
    ) as lines
    where reason is null and staged.order_id = lines.order_id and staged.product_id = lines.product_id
        and staged.file = lines.file
"""
_MERGE_PLACES = f"""
    update {STAGED}products set reason = 'merged' from (
        select rowid as staged_row,
            row_number() over (
                partition by observed_at, product_id order by file, line, name, price, {PLACE}, rowid
            ) as place_number
        from {STAGED}products where reason is null and observed_at is not null
    ) as places where {STAGED}products.rowid = staged_row and place_number > 1
"""
_ADD_INVENTORIES = f"""
    update {STAGED}products as staged set inventory = total from (
        select observed_at, product_id, try_cast(sum(inventory) as bigint) as total from {STAGED}products
        where reason is null or reason = 'merged' group by all having count(*) > 1
    ) as places
    where reason is null and staged.observed_at = places.observed_at and staged.product_id = places.product_id
"""
_REJECT_OUTSIDE = """
    update _staged_events
    set column_name = 'created_at', reason = if(created_at < $starts_at, 'before_start', 'future'),
        found_text = created_at::varchar
    where reason is null and (created_at < $starts_at or created_at >= $ends_at or created_at > $until)
"""
_NOTE_STORED_TWINS = """
    create or replace temp view stored_twins as
    select _staged_events.rowid as staged_row, _staged_events.created_at as staged_at,
        raw_events.created_at as stored_at
    from _staged_events join raw_events using (event_id)
    where reason is null and week in (select week from load_weeks)
        and not exists (
            select 1 from load_weeks
            where raw_events.created_at >= starts_at and raw_events.created_at < ends_at and not is_kept
        )
"""
_REJECT_STORED = """
    update _staged_events set reason = 'conflict', column_name = 'event_id', found_text = event_id::varchar
    from stored_twins where _staged_events.rowid = staged_row and stored_at < created_at
"""
_REJECT_INTERVALS = f"""
    update {STAGED}{HISTORY}
    set reason = if(dbt_valid_from > $until, 'future', '{ENDS_BEFORE}'),
        column_name = if(dbt_valid_from > $until, 'dbt_valid_from', 'dbt_valid_to'),
        found_text = if(dbt_valid_from > $until, dbt_valid_from, dbt_valid_to)::varchar
    where reason is null and (dbt_valid_from > $until or dbt_valid_to < dbt_valid_from)
"""
_DROP_DELETED_COPIES = f"""
    update {STAGED}{HISTORY} set reason = 'duplicate' from (
        select rowid as staged_row, row_number() over (
            partition by product_id, dbt_valid_from
            order by dbt_valid_to desc nulls first, name, price, inventory, file, line, rowid
        ) as copy
        from {STAGED}{HISTORY} where reason is null and dbt_is_deleted
    ) as copies where {STAGED}{HISTORY}.rowid = staged_row and copy > 1
"""
_REJECT_OVERLAPS = f"""
    update {STAGED}{HISTORY} set reason = 'conflict', column_name = 'dbt_valid_to',
        found_text = coalesce(ends_at::varchar, 'no end') from (
        select rowid as staged_row, dbt_valid_to as ends_at,
            if(
                dbt_is_deleted,
                min(dbt_valid_from) filter (not coalesce(dbt_is_deleted, false)) over later,
                min(dbt_valid_from) over later
            ) as next_at
        from {STAGED}{HISTORY} where reason is null
        window later as (
            partition by product_id order by dbt_valid_from rows between 1 following and unbounded following
        )
    ) as versions where {STAGED}{HISTORY}.rowid = staged_row and next_at < coalesce(ends_at, 'infinity')
"""
_REJECT_STRAY_NUMBERS = """
    update {staged} set created_at = null, week = null, epoch_unit = null,
        reason = coalesce(reason, 'not a timestamp'), column_name = coalesce(column_name, 'created_at')
    where epoch_unit is not null
        and file in (select file from {staged} where epoch_unit is null and created_at is not null)
"""


@dataclass(frozen=True)
class Observation:
    """One reading of all products: its instant, its file, and how many products of it can be loaded."""

    observed_at: dt.datetime
    file: str
    products: int


def reject_duplicates(warehouse: Warehouse, table: SourceTable, column: str | None, first: str | None = None) -> None:
    """Keep the first of the rows with one key; equal ones are duplicates, others are in conflict.

    Args:
        warehouse: that holds the staged rows, and in `load_weeks` the weeks whose events are validated.
        table: whose rows are validated.
        column: named with the rows that are rejected.
        first: the column whose least value is first; then all columns count, as text.
    """
    staged, key = STAGED + table.name, ", ".join(table.key)
    if not _note_seen_twice(warehouse, staged, key):
        return
    order = [*([first] if first else []), *(f"{each}::varchar nulls first" for each in table.compared)]
    names = {"staged": staged, "key": key, "columns": ", ".join(table.compared), "first": ", ".join(order)}
    warehouse.execute(_REJECT_COPIES.format(**names), {"column": column})


def _note_seen_twice(warehouse: Warehouse, staged: str, key: str) -> bool:
    """Put the keys of several staged rows in `seen_twice`; return whether there are any."""
    # Hashes of keys are grouped, in portions, as they need less memory than keys; those of equal keys are equal.
    warehouse.execute("create or replace temp table hashed_twice (key_hash ubigint)")
    portions = 1 + warehouse.value(f"select count(*) from {staged}") // KEYS_AT_ONCE
    for portion in range(portions):
        of_portion = f"where key_hash % {portions} = {portion}" if portions > 1 else ""
        warehouse.execute(_HASHED_TWICE.format(staged=staged, key=key, of_portion=of_portion))
    warehouse.execute(_SEEN_TWICE.format(staged=staged, key=key))
    return bool(warehouse.value("select exists (from seen_twice)"))


def merge_lines(warehouse: Warehouse) -> None:
    """Mark the lines of one product in an order that merge into the first, and what another file says of them.

    The lines of the first file by name count. The same lines in another file are duplicates, others in conflict.
    """
    if _note_seen_twice(warehouse, f"{STAGED}order_items", "order_id, product_id"):
        warehouse.execute(_MERGE_LINES)


def add_quantities(warehouse: Warehouse) -> None:
    """Give the first of merged lines the sum of their quantities. Lines are marked again and again, added once."""
    warehouse.execute(_ADD_QUANTITIES)


def merge_places(warehouse: Warehouse) -> None:
    """Mark the rows of a product in further places, which merge into its first by file and line."""
    warehouse.execute(_MERGE_PLACES)


def add_inventories(warehouse: Warehouse) -> None:
    """Give the first of merged rows the sum of their inventories; unknown ones count as missing."""
    warehouse.execute(_ADD_INVENTORIES)


def reject_outside(warehouse: Warehouse, first_week: dt.date, as_of: dt.datetime) -> None:
    """Reject events before the store's first week, after the running week, or over a day after the run's clock."""
    calendar = warehouse.calendar
    bounds = {
        "starts_at": calendar.starts_at(first_week),
        "ends_at": calendar.starts_at(calendar.week_of(as_of) + WEEK),
        "until": as_of + FAR_FUTURE,
    }
    warehouse.execute(_REJECT_OUTSIDE, bounds)


def note_stored_twins(warehouse: Warehouse) -> None:
    """Show in `stored_twins` the staged events whose id is stored in a week that the load does not replace."""
    warehouse.execute(_NOTE_STORED_TWINS)


def reject_stored(warehouse: Warehouse) -> None:
    """Reject events whose id is stored with an earlier instant, in a week that the load does not replace."""
    warehouse.execute(_REJECT_STORED)


def reject_intervals(warehouse: Warehouse, until: dt.datetime) -> None:
    """Reject versions of dbt's history that begin after `until`, or end before they begin."""
    warehouse.execute(_REJECT_INTERVALS, {"until": until})


def drop_deleted_copies(warehouse: Warehouse) -> None:
    """Drop all but one of the rows that say from one instant on that a product is deleted, whatever else they hold."""
    warehouse.execute(_DROP_DELETED_COPIES)


def reject_overlaps(warehouse: Warehouse) -> None:
    """Reject versions that end after the product's next one begins, unless both say that it is deleted.

    The one that dbt wrote last wins.
    """
    warehouse.execute(_REJECT_OVERLAPS)


def find_too_few_products(
    stored: Collection[Observation], staged: Iterable[Observation], least: float
) -> list[Observation]:
    """Return the new observations with less than a share `least` of the products of the accepted one before.

    An observation that was accepted, and is read again because it changed, is accepted again.
    """
    staged, accepted_before = list(staged), {each.observed_at for each in stored}
    again = {each.observed_at for each in staged}
    accepted = [each for each in stored if each.observed_at not in again]
    accepted += [each for each in staged if each.observed_at in accepted_before]
    accepted.sort(key=lambda each: each.observed_at)
    rejected = []
    for each in staged:
        if each.observed_at in accepted_before:
            continue
        place = bisect.bisect_left(accepted, each.observed_at, key=lambda other: other.observed_at)
        if place and each.products < least * accepted[place - 1].products:
            rejected.append(each)
        else:
            accepted.insert(place, each)
    return rejected


def reject_stray_numbers(warehouse: Warehouse, table: str) -> None:
    """Reject numbers that were read as instants by themselves in a file whose other instants are text."""
    if warehouse.value(f"select exists (from {STAGED}{table} where epoch_unit is not null)"):
        warehouse.execute(_REJECT_STRAY_NUMBERS.format(staged=STAGED + table))
