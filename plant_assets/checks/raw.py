"""Facts about loads: every row that was read is accounted for, and every file of the source was read."""

import datetime as dt
from collections.abc import Callable

import ibis
from ibis import _

from plant_assets.calendar import FAR_FUTURE
from plant_assets.checks.base import Check, Scope, keys
from plant_assets.contracts import STAGES, TABLES, Table
from plant_assets.sources.mapping_file import mapping_of
from plant_assets.sources.tables import NO_WEEK, SOURCE_TABLES
from plant_assets.transforms.events import local_date, monday
from plant_assets.warehouse.ledger import tables as ledger
from plant_assets.warehouse.ledger.loads import BY_ROW

# Two ticks of the 6-hour schedule: one may be under way.
FRESH_WITHIN = dt.timedelta(hours=12)


def _unaccounted(source_table: str, target: Table, stored_by_bucket: Callable[[Scope], ibis.Table]) -> Check:
    def offending(scope: Scope) -> ibis.Table:
        loads = ledger.loads().filter(_.source_table == source_table)
        if scope.weeks and target.week_column:
            loads = loads.filter(_.bucket.isin([str(week) for week in scope.weeks.weeks()]))
        sums = loads.group_by("bucket").aggregate(
            read=_.rows_read.sum(),
            loaded=_.rows_loaded.sum(),
            # Accounts of earlier versions have no merged rows.
            merged=_.rows_merged.sum().coalesce(0),
            dropped=_.rows_dropped.sum(),
            rejected=_.rows_rejected.sum(),
        )
        stored = stored_by_bucket(scope)
        refused = _rejected_buckets(source_table, target)
        both = sums.left_join(stored, "bucket").left_join(refused, sums.bucket == refused.rejected_bucket)
        rows, refusals = both.stored.coalesce(0), both.refused.coalesce(0)
        wrong = both.filter(
            (both.read != both.loaded + both.merged + both.dropped + both.rejected)
            | ((both.bucket != NO_WEEK) & (both.loaded != rows))
            | (both.rejected != refusals)
        )
        unread = _unread_files(source_table, target, scope)
        not_in_loads = stored.filter(_.stored > 0).anti_join(loads, "bucket")
        without_reason = _refused(source_table).filter(_.reason.isnull() | _.rejected_at.isnull())
        return ibis.union(
            keys(wrong, "bucket"),
            keys(unread, "file"),
            keys(not_in_loads, "bucket"),
            keys(without_reason, "file", "line"),
        )

    return Check(
        target.name,
        "rows_are_accounted_for",
        "Rows read = rows loaded + merged + identical duplicates dropped + rows in rejected_rows, in each week or"
        " observation and in the files; the rows loaded are the rows stored; each refused one has its reason.",
        offending,
    )


def _unread_files(source_table: str, target: Table, scope: Scope) -> ibis.Table:
    """Return files whose weeks are all loaded, and whose rows are not all accounted for."""
    loads = ledger.loads().filter(_.source_table == source_table)
    if target.is_observed:
        # A single file is observed at every run: the ledger keeps what was last found in it.
        last = loads.write_number.max().over(group_by="file")
        loads = loads.mutate(last=last).filter((_.write_number == _.last) | _.content_hash.startswith(BY_ROW))
    loaded = loads.group_by("file").aggregate(accounted=_.rows_read.sum())
    files = ledger.files().filter(_.source_table == source_table)
    found = files.group_by("file").aggregate(found=_.rows_read.sum())
    if target.week_column:
        weeks = (
            ledger.loads().filter(_.source_table == source_table).select("file", "bucket", "content_hash").distinct()
        )
        running = scope.settings.calendar.week_of(scope.as_of)
        by_week = files.filter(_.week.notnull() & (_.week <= running))
        not_loaded = by_week.anti_join(
            weeks,
            [
                by_week.file == weeks.file,
                by_week.content_hash == weeks.content_hash,
                by_week.week.cast("string") == weeks.bucket,
            ],
        )
        found = found.anti_join(not_loaded, "file")
    both = found.left_join(loaded, "file")
    return both.filter(both.found != both.accounted.coalesce(0))


def _refused(source_table: str) -> ibis.Table:
    return TABLES["rejected_rows"].unbound().filter(_.source_table == source_table)


def _rejected_buckets(source_table: str, target: Table) -> ibis.Table:
    # An observation without products is rejected as a whole, without the text of a row.
    refused, bucket = _refused(source_table).filter(_.raw_text.notnull()), ibis.literal("all")
    if target.week_column:
        bucket = refused.week_start_date.cast("string").fill_null(NO_WEEK)
    elif target.is_observed:
        bucket = _instant_text(refused.observed_at).fill_null(NO_WEEK)
    return refused.mutate(rejected_bucket=bucket).group_by("rejected_bucket").aggregate(refused=_.count())


def _instant_text(instant: ibis.Value) -> ibis.Value:
    return instant.strftime("%Y-%m-%d %H:%M:%S")


def _events_by_week(scope: Scope) -> ibis.Table:
    events = scope.table("raw_events")
    dates = events.group_by(event_date=local_date(events.created_at, scope.offsets())).aggregate(rows=_.count())
    return dates.group_by(bucket=monday(dates.event_date).strftime("%Y-%m-%d")).aggregate(stored=_.rows.sum())


def _products_by_observation(scope: Scope) -> ibis.Table:
    seen = scope.whole("raw_products").group_by("observed_at").aggregate(stored=_.count())
    return seen.select("stored", bucket=_instant_text(seen.observed_at))


def _all_rows(name: str) -> Callable[[Scope], ibis.Table]:
    def stored(scope: Scope) -> ibis.Table:
        rows = scope.whole(name).aggregate(stored=_.count())
        return rows.select("stored", bucket=ibis.literal("all"))

    return stored


def _rejected(source_table: str, target: Table) -> Check:
    def offending(scope: Scope) -> ibis.Table:
        refused = scope.whole("rejected_rows").filter(_.source_table == source_table)
        if scope.weeks and target.week_column:
            weeks = scope.weeks
            refused = refused.filter(_.week_start_date.isnull() | _.week_start_date.between(weeks.first, weeks.last))
        return keys(refused, "file", "line", "column_name", "reason")

    return Check(
        target.name,
        "has_no_rejected_rows",
        "No source row was refused; each refused one is in rejected_rows with its reason.",
        offending,
        is_error=False,
        is_blocking=False,
    )


def _kept_out_observations(scope: Scope) -> ibis.Table:
    refused = scope.whole("rejected_rows").filter(_.reason == "too_few_products")
    kept_out = refused.select("observed_at", "file").distinct()
    return keys(kept_out, "observed_at", "file", ibis.literal("has fewer products than PLANT_MIN_PRODUCTS allows"))


def _other_types(scope: Scope) -> ibis.Table:
    others = scope.table("raw_events").filter(~_.event_type.isin(STAGES))
    counts = others.group_by("event_type").aggregate(events=_.count())
    return keys(counts, "event_type", "events")


def _unknown_products_of_events(scope: Scope) -> ibis.Table:
    known = scope.whole("raw_products").select("product_id").distinct()
    events = scope.table("raw_events").filter(_.product_id.notnull())
    unknown = events.anti_join(known, "product_id")
    return keys(unknown, "event_id", "product_id")


def _unknown_orders_of_events(scope: Scope) -> ibis.Table:
    # Without order items no order can have any: a mapping that says so is right.
    events = scope.table("raw_events").filter(_.order_id.notnull() & mapping_of(scope.settings).has_order_items)
    known = scope.of_events(scope.whole("raw_order_items")).select("order_id").distinct()
    return keys(events.anti_join(known, "order_id"), "event_id", "order_id")


def _unknown_products_of_orders(scope: Scope) -> ibis.Table:
    known = scope.whole("raw_products").select("product_id").distinct()
    return keys(scope.whole("raw_order_items").anti_join(known, "product_id"), "order_id", "product_id")


def _observations_ahead(scope: Scope) -> ibis.Table:
    end = ibis.literal(scope.as_of + FAR_FUTURE, "timestamp(6)")
    return keys(scope.whole("raw_observations").filter(_.observed_at > end), "observed_at", "file")


def _stale(name: str, column: str) -> Callable[[Scope], ibis.Table]:
    def offending(scope: Scope) -> ibis.Table:
        latest = scope.counted(name).aggregate(latest=_[column].max())
        oldest = ibis.literal(scope.as_of - FRESH_WITHIN, "timestamp(6)")
        return keys(latest.filter(latest.latest.isnull() | (latest.latest < oldest)), "latest")

    return offending


# How stored rows are counted by bucket; all other tables have one bucket.
_STORED = {"events": _events_by_week, "products": _products_by_observation}
CHECKS: tuple[Check, ...] = (
    *(
        _unaccounted(name, TABLES[source.target], _STORED.get(name, _all_rows(source.target)))
        for name, source in SOURCE_TABLES.items()
    ),
    *(_rejected(name, TABLES[source.target]) for name, source in SOURCE_TABLES.items()),
    Check(
        "raw_products",
        "observations_are_whole",
        "No observation was kept out for too few products. A real clear-out is accepted by a lower PLANT_MIN_PRODUCTS.",
        _kept_out_observations,
        is_blocking=False,
    ),
    Check(
        "raw_events",
        "have_known_types",
        "Every event_type is a stage.",
        _other_types,
        is_error=False,
        is_blocking=False,
    ),
    Check(
        "raw_events",
        "have_known_products",
        "Every product of an event was observed.",
        _unknown_products_of_events,
        reads=("raw_products",),
        is_error=False,
        is_blocking=False,
    ),
    Check(
        "raw_events",
        "have_known_orders",
        "Every order of an event has items.",
        _unknown_orders_of_events,
        reads=("raw_order_items",),
        is_error=False,
        is_blocking=False,
    ),
    Check(
        "raw_order_items",
        "have_known_products",
        "Every product of an order was observed.",
        _unknown_products_of_orders,
        reads=("raw_products",),
        is_error=False,
        is_blocking=False,
    ),
    Check(
        "raw_events",
        "are_fresh",
        "The latest event is at most two ticks, 12 hours, old.",
        _stale("raw_events", "created_at"),
        is_error=False,
        is_blocking=False,
    ),
    Check(
        "raw_observations",
        "are_fresh",
        "The latest observation is at most two ticks, 12 hours, old.",
        _stale("raw_observations", "observed_at"),
        is_error=False,
        is_blocking=False,
    ),
    Check(
        "raw_observations",
        "are_not_ahead",
        "No observation is over a day after the run's clock: one that is counts in no table made of raw_products.",
        _observations_ahead,
        is_error=False,
        is_blocking=False,
    ),
)
