"""What became of the rows that were read: loaded, merged, dropped as duplicates, or rejected with a reason.

Rows read = rows loaded + merged into another + dropped + rejected. The ledger keeps the counts, `rejected_rows` the
rejected rows. Both are replaced in the transaction that writes the table.
"""

import datetime as dt
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from plant_assets.contracts import PRUNED
from plant_assets.ingest.reading import Reading
from plant_assets.ingest.staging import Staged
from plant_assets.ingest.validation import NOT_REJECTED
from plant_assets.warehouse.warehouse import Warehouse

_IDENTITY = ("file", "line", "column_name", "reason", "row_key")
_IS_KEPT, _IS_PRUNED = (
    " and ".join(f"found.{each} is not distinct from {before}.{each}" for each in _IDENTITY)
    for before in ("kept", "pruned")
)
_NOTE_REJECTED_BEFORE = """
    create or replace temp table rejected_before as
    select file, line, column_name, reason, row_key, raw_text, min(rejected_at) as rejected_at
    from rejected_rows where source_table = $source_table group by all
"""
_NOTE_REJECTED_NOW = f"""
    create or replace temp table rejected_now as
    select
        found.* replace (
            if(kept.rejected_at is null, coalesce(pruned.raw_text, found.raw_text), found.raw_text) as raw_text
        ),
        coalesce(kept.rejected_at, pruned.rejected_at) as before_at
    from (
        select file, line, column_name, reason, coalesce(row_key, {{key}}::varchar) as row_key, observed_at,
            week as week_start_date, coalesce(raw_text, to_json(struct_pack({{columns}}))::varchar) as raw_text
        from {{rows}} where reason not in {NOT_REJECTED}
    ) as found
    left join rejected_before as kept on {_IS_KEPT} and found.raw_text is not distinct from kept.raw_text
    left join rejected_before as pruned on {_IS_PRUNED} and pruned.raw_text = '{PRUNED}'
"""
_FORGET_REJECTED = """
    delete from rejected_rows where rowid in (
        select stored_row from (
            select rowid as stored_row, file, {bucket} as bucket from rejected_rows where source_table = $source_table
        ) where {is_replaced}
    )
"""
_KEEP_REJECTED = """
    insert into rejected_rows by name
    select * exclude (before_at), $source_table as source_table, coalesce(before_at, $as_of) as rejected_at
    from rejected_now
"""
_NOTE_FILES = """
    create or replace temp table staged_files as
    select unnest($files::varchar[]) as file, unnest($hashes::varchar[]) as content_hash,
        unnest($buckets::varchar[]) as bucket
"""
_COUNTS = f"""
    select coalesce(counts.bucket, staged_files.bucket) as bucket, file, content_hash,
        coalesce(rows_read, 0) as rows_read, coalesce(rows_loaded, 0) as rows_loaded,
        coalesce(rows_merged, 0) as rows_merged, coalesce(rows_dropped, 0) as rows_dropped,
        coalesce(rows_rejected, 0) as rows_rejected
    from staged_files left join (
        select *, {{bucket}} as bucket from (
            select file, week, observed_at, sum(rows) as rows_read,
                sum(rows) filter (where reason is null) as rows_loaded,
                sum(rows) filter (where reason = 'merged') as rows_merged,
                sum(rows) filter (where reason = 'duplicate') as rows_dropped,
                sum(rows) filter (where reason not in {NOT_REJECTED}) as rows_rejected
            from (
                select file, week, observed_at, reason, 1 as rows from {{rows}}
                union all
                select file, week, null, null, rows from {{still_stored}} where week is null or week in (from run_weeks)
            ) group by all
        )
    ) as counts using (file)
    where coalesce(counts.bucket, staged_files.bucket) is not null
"""
_NOTE_EMPTY = """
    insert into rejected_rows (source_table, file, reason, observed_at, rejected_at)
    select 'products', $file, 'too_few_products', $observed_at, $rejected_at
    where $file not in (select file from _staged_products)
"""
_EMPTY = """
    select observed_at, rejected_at from rejected_rows
    where source_table = 'products' and reason = 'too_few_products' and raw_text is null
"""
_WEEKS_REJECTED = "select distinct week_start_date from rejected_rows where list_contains($reasons::varchar[], reason)"


@dataclass(frozen=True)
class Replaced:
    """Whose accounts a load replaces: a condition over `bucket` and `file`, and its parameters by their `$names`."""

    condition: str = "true"
    parameters: Mapping[str, Any] = field(default_factory=dict)


def account(reading: Reading, staged: Staged, rows: str, replaced: Replaced, run_id: str) -> None:
    """Replace the rejected rows and the counts of what is loaded, in the caller's transaction.

    A row that was rejected before keeps the instant at which it first was, and stays without its text once pruned.

    Args:
        reading: whose rows they are.
        staged: the source table.
        rows: the table or view of the staged rows that this write accounts for.
        replaced: the accounts in whose place the new ones come.
        run_id: the run that writes.
    """
    _replace_rejected(reading, staged, rows, replaced)
    names = set(staged.files)
    files = [each for each in staged.listed if each.name in names]
    noted = {
        "files": [each.name for each in files],
        "hashes": [each.content_hash for each in files],
        "buckets": [each.observed_at and str(each.observed_at) for each in files],
    }
    reading.warehouse.execute(_NOTE_FILES, noted)
    counts = _COUNTS.format(bucket=staged.table.bucket, rows=rows, still_stored=staged.still_stored)
    loads = reading.warehouse.ledger.loads
    loads.replace_load(staged.name, replaced.condition, replaced.parameters, counts, run_id)
    loads.keep_found(staged.name, [each.name for each in staged.listed])


def _replace_rejected(reading: Reading, staged: Staged, rows: str, replaced: Replaced) -> None:
    execute, table = reading.warehouse.execute, staged.table
    columns = ", ".join(f"{column} := {column}" for column in table.columns)
    execute(_NOTE_REJECTED_BEFORE, {"source_table": table.name})
    execute(_NOTE_REJECTED_NOW.format(key=table.key[-1], columns=columns, rows=rows))
    bucket = table.bucket.replace("week::", "week_start_date::")
    forget = _FORGET_REJECTED.format(bucket=bucket, is_replaced=replaced.condition)
    execute(forget, {"source_table": table.name, **replaced.parameters})
    execute(_KEEP_REJECTED, {"source_table": table.name, "as_of": reading.as_of})


def weeks_rejected(warehouse: Warehouse, reasons: Collection[str]) -> set[dt.date]:
    """Return the weeks of rows that were rejected for one of these reasons."""
    return {week for (week,) in warehouse.rows(_WEEKS_REJECTED, {"reasons": list(reasons)})}


def has_rejected(warehouse: Warehouse, table: str, reason: str) -> bool:
    """Return whether a row of a source table was rejected for a reason."""
    found = "from rejected_rows where source_table = $source_table and reason = $reason"
    return bool(warehouse.value(f"select exists ({found})", {"source_table": table, "reason": reason}))


def empty_observations(warehouse: Warehouse) -> dict[dt.datetime, dt.datetime]:
    """Return the instants of observations that were rejected without any row, each with when it first was."""
    return dict(warehouse.rows(_EMPTY))


def reject_empty_observation(
    warehouse: Warehouse, file: str, observed_at: dt.datetime | None, rejected_at: dt.datetime
) -> None:
    """Note that an observation is rejected, unless its file has rows that say so."""
    noted = {"file": file, "observed_at": observed_at, "rejected_at": rejected_at}
    warehouse.execute(_NOTE_EMPTY, noted)
