"""Asset checks: each states a fact that should hold, and returns how often it does not and where.

A check is an expression of the offending keys. All checks of a table are one step and one query. In a run, weekly
tables are looked at in the run's weeks; in the job `check`, as a whole.
"""

import datetime as dt
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import dagster as dg
import ibis
from ibis import _

from plant_assets.contracts import STAGES, TABLES, TEXT, Table
from plant_assets.partitions import as_of, week_range
from plant_assets.settings import Settings
from plant_assets.storage import Warehouse, WeekRange, to_sql
from plant_assets.transforms.snapshots import product_snapshots as rebuilt_snapshots
from plant_assets.zones import WEEK

MOST_KEYS = 10
# Two ticks of the 6-hour schedule: one may be on its way.
FRESH_WITHIN = dt.timedelta(hours=12)

LOADS = ibis.table(
    {
        "source_table": TEXT,
        "bucket": TEXT,
        "file": TEXT,
        "rows_read": "int64",
        "rows_loaded": "int64",
        "rows_dropped": "int64",
        "rows_rejected": "int64",
    },
    name="_loads",
)
FILES = ibis.table({"source_table": TEXT, "file": TEXT, "week": "date", "rows_read": "int64"}, name="_files")


@dataclass(frozen=True)
class Scope:
    """What a check looks at: the weeks of its run, or everything where there are none."""

    settings: Settings
    as_of: dt.datetime
    weeks: WeekRange | None

    def table(self, name: str) -> ibis.Table:
        """The rows in scope of a weekly table, all rows of another."""
        table = TABLES[name]
        return self.weeks.rows_of(table) if self.weeks and table.week_column else table.unbound()

    def whole(self, name: str) -> ibis.Table:
        return TABLES[name].unbound()


@dataclass(frozen=True)
class Check:
    """A fact about an asset: `offending` has one row per violation, with a text column `key`."""

    asset: str
    fact: str
    description: str
    offending: Callable[[Scope], ibis.Table]
    is_error: bool = True
    is_blocking: bool = True
    needs: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return f"{self.asset}_{self.fact}"

    @property
    def severity(self) -> dg.AssetCheckSeverity:
        return dg.AssetCheckSeverity.ERROR if self.is_error else dg.AssetCheckSeverity.WARN


def keys(table: ibis.Table, *parts: ibis.Value | str) -> ibis.Table:
    """One row per row of `table`, with its key as text."""
    texts = [
        (table[part] if isinstance(part, str) else part).cast("string").fill_null("NULL") for part in parts
    ]
    key = texts[0]
    for text in texts[1:]:
        key = key.concat(" ", text)
    return table.select(key=key)


# Contracts


def contract_offences(table: Table, scope: Scope) -> ibis.Table:
    """Keys that stand twice, and NULLs in columns that allow none."""
    rows = scope.table(table.name)
    found = [
        keys(rows.filter(rows[name].isnull()), ibis.literal(f"{name} is NULL in row"), *table.key[:2])
        for name in table.required
    ]
    if table.key:
        twice = rows.group_by(list(table.key)).aggregate(copies=_.count()).filter(_.copies > 1)
        found.append(keys(twice, *table.key))
    if table.name == "funnel":
        found.append(keys(rows.aggregate(rows=_.count()).filter(_.rows != 1), "rows"))
    return ibis.union(*found) if len(found) > 1 else found[0]


def wrong_columns(table: Table, stored: Mapping[str, str]) -> list[str]:
    """The contract's columns that are stored under another type, or not at all."""
    return [
        f"{column.name}: {stored.get(column.name, 'missing')}, not {column.sql_type}"
        for column in table.columns
        if stored.get(column.name) != column.sql_type
    ]


# Loading


def _unaccounted(source_table: str, target: str, stored_by_bucket: Callable[[Scope], ibis.Table]) -> Check:
    def offending(scope: Scope) -> ibis.Table:
        loads = LOADS.filter(_.source_table == source_table)
        if scope.weeks and source_table == "events":
            loads = loads.filter(_.bucket.isin([str(week) for week in scope.weeks.weeks()]))
        sums = loads.group_by("bucket").aggregate(
            read=_.rows_read.sum(),
            loaded=_.rows_loaded.sum(),
            dropped=_.rows_dropped.sum(),
            rejected=_.rows_rejected.sum(),
        )
        stored = stored_by_bucket(scope)
        refused = _rejected_buckets(source_table)
        both = sums.left_join(stored, "bucket").left_join(refused, sums.bucket == refused.rejected_bucket)
        rows, refusals = both.stored.coalesce(0), both.refused.coalesce(0)
        wrong = both.filter(
            (both.read != both.loaded + both.dropped + both.rejected)
            | ((both.bucket != "no week") & (both.loaded != rows))
            | (both.rejected != refusals)
        )
        unread = _unread_files(source_table, scope)
        not_in_loads = stored.anti_join(loads, "bucket")
        return ibis.union(keys(wrong, "bucket"), keys(unread, "file"), keys(not_in_loads, "bucket"))

    return Check(
        target,
        "rows_are_accounted_for",
        "Rows read = rows loaded + identical duplicates dropped + rows in rejected_rows, in each week or"
        " observation and in the files; and the rows loaded are the rows stored.",
        offending,
    )


def _unread_files(source_table: str, scope: Scope) -> ibis.Table:
    """Files of which all weeks are loaded, but not all rows are accounted for."""
    loaded = (
        LOADS.filter(_.source_table == source_table).group_by("file").aggregate(accounted=_.rows_read.sum())
    )
    files = FILES.filter(_.source_table == source_table)
    found = files.group_by("file").aggregate(found=_.rows_read.sum())
    if source_table == "events":
        weeks = LOADS.filter(_.source_table == "events").select("file", "bucket").distinct()
        running = scope.settings.calendar.week_of(scope.as_of)
        by_week = files.filter(_.week.notnull() & (_.week <= running))
        not_loaded = by_week.anti_join(
            weeks, [by_week.file == weeks.file, by_week.week.cast("string") == weeks.bucket]
        )
        found = found.anti_join(not_loaded, "file")
    both = found.left_join(loaded, "file")
    return both.filter(both.found != both.accounted.coalesce(0))


def _rejected_buckets(source_table: str) -> ibis.Table:
    refused = TABLES["rejected_rows"].unbound().filter(_.source_table == source_table)
    bucket = {
        "events": refused.week_start_date.cast("string").fill_null("no week"),
        "products": _instant_text(refused.observed_at),
    }.get(source_table, ibis.literal("all"))
    return refused.mutate(rejected_bucket=bucket).group_by("rejected_bucket").aggregate(refused=_.count())


def _instant_text(instant: ibis.Value) -> ibis.Value:
    return instant.strftime("%Y-%m-%d %H:%M:%S")


def _events_by_week(scope: Scope) -> ibis.Table:
    weeks = scope.whole("weeks")
    events = scope.table("raw_events")
    dated = events.join(weeks, [events.created_at >= weeks.starts_at, events.created_at < weeks.ends_at])
    by_week = dated.group_by("week_start_date").aggregate(stored=_.count())
    return by_week.select("stored", bucket=_.week_start_date.cast("string"))


def _products_by_observation(scope: Scope) -> ibis.Table:
    seen = scope.whole("raw_products").group_by("observed_at").aggregate(stored=_.count())
    return seen.select("stored", bucket=_instant_text(seen.observed_at))


def _all_rows(name: str) -> Callable[[Scope], ibis.Table]:
    def stored(scope: Scope) -> ibis.Table:
        rows = scope.whole(name).aggregate(stored=_.count())
        return rows.select("stored", bucket=ibis.literal("all"))

    return stored


def _rejected(source_table: str, target: str) -> Check:
    def offending(scope: Scope) -> ibis.Table:
        refused = scope.whole("rejected_rows").filter(_.source_table == source_table)
        if scope.weeks and source_table == "events":
            weeks = scope.weeks
            refused = refused.filter(
                _.week_start_date.isnull() | _.week_start_date.between(weeks.first, weeks.last)
            )
        return keys(refused, "file", "line", "column_name", "reason")

    return Check(
        target,
        "has_no_rejected_rows",
        "No source row was refused; each refused one is in rejected_rows with its reason.",
        offending,
        is_error=False,
        is_blocking=False,
    )


def _kept_out_observations(scope: Scope) -> ibis.Table:
    kept_out = scope.whole("rejected_rows").filter(_.reason == "too_few_products")
    return keys(kept_out.select("observed_at", "file").distinct(), "observed_at", "file")


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
    known = scope.whole("raw_order_items").select("order_id").distinct()
    events = scope.table("raw_events").filter(_.order_id.notnull())
    return keys(events.anti_join(known, "order_id"), "event_id", "order_id")


def _unknown_products_of_orders(scope: Scope) -> ibis.Table:
    known = scope.whole("raw_products").select("product_id").distinct()
    return keys(scope.whole("raw_order_items").anti_join(known, "product_id"), "order_id", "product_id")


def _stale(name: str, column: str) -> Callable[[Scope], ibis.Table]:
    def offending(scope: Scope) -> ibis.Table:
        latest = scope.whole(name).aggregate(latest=_[column].max())
        oldest = ibis.literal(scope.as_of - FRESH_WITHIN, "timestamp(6)")
        return keys(latest.filter(latest.latest.isnull() | (latest.latest < oldest)), "latest")

    return offending


# Events


def _lost_events(scope: Scope) -> ibis.Table:
    raw, events = scope.table("raw_events"), scope.whole("int_events")
    if scope.weeks:
        low, high = scope.weeks.starts_at, scope.weeks.ends_at
        events = events.filter((_.created_at >= low) & (_.created_at < high))
    return keys(raw.anti_join(events, "event_id"), "event_id")


def _lost_sessions(scope: Scope) -> ibis.Table:
    raw = scope.table("raw_events").select("session_id").distinct()
    days = scope.table("int_session_days").select("session_id").distinct()
    return ibis.union(
        keys(raw.anti_join(days, "session_id"), "session_id"),
        keys(days.anti_join(raw, "session_id"), "session_id"),
    )


# Inventory


def _overlapping_versions(scope: Scope) -> ibis.Table:
    versions = scope.whole("product_snapshots")
    following = versions.valid_from.lead().over(group_by="product_id", order_by="valid_from")
    beside = versions.mutate(following=following)
    is_wrong = (_.following.notnull() & (_.valid_to.isnull() | (_.following < _.valid_to))) | (
        _.valid_to <= _.valid_from
    )
    return keys(beside.filter(is_wrong), "product_id", "valid_from")


def _current_versions(scope: Scope) -> ibis.Table:
    """Products of the last observation without one current version, or others with any."""
    last = scope.whole("raw_observations").aggregate(observed_at=_.observed_at.max())
    seen_last = scope.whole("raw_products").semi_join(last, "observed_at").select("product_id").distinct()
    versions = scope.whole("product_snapshots")
    current = versions.filter(_.is_current).group_by("product_id").aggregate(versions=_.count())
    both = seen_last.left_join(current, "product_id")
    not_one = both.filter(both.versions.isnull() | (both.versions != 1)).select("product_id")
    gone = current.anti_join(seen_last, "product_id").select("product_id")
    mislabelled = versions.filter(_.is_current != _.valid_to.isnull()).select("product_id")
    return keys(ibis.union(not_one, gone, mislabelled), "product_id")


def _not_as_rebuilt(scope: Scope) -> ibis.Table:
    rebuilt = rebuilt_snapshots(scope.whole("raw_products"), scope.whole("raw_observations"))
    stored = scope.whole("product_snapshots")
    differing = ibis.union(rebuilt.difference(stored), stored.difference(rebuilt))
    return keys(differing, "product_id", "valid_from")


def _unbalanced(scope: Scope) -> ibis.Table:
    wrong = scope.table("inventory").filter(_.opening_inventory + _.inflow - _.outflow != _.closing_inventory)
    return keys(wrong, "week_start_date", "product_id")


def _broken_chain(scope: Scope) -> ibis.Table:
    stock = scope.whole("inventory")
    if scope.weeks:
        stock = stock.filter(_.week_start_date.between(scope.weeks.first - WEEK, scope.weeks.last + WEEK))
    following = stock.select(
        "product_id", "opening_inventory", week_start_date=_.week_start_date - ibis.interval(days=7)
    ).mutate(week_start_date=_.week_start_date.cast("date"))
    both = stock.join(following, ["week_start_date", "product_id"], rname="next_{name}")
    wrong = both.filter(~both.closing_inventory.identical_to(both.next_opening_inventory))
    return keys(wrong, "week_start_date", "product_id")


def _versions_without_inventory(scope: Scope) -> ibis.Table:
    weeks, versions = scope.whole("weeks"), scope.whole("product_snapshots")
    if scope.weeks:
        weeks = weeks.filter(_.week_start_date.between(scope.weeks.first, scope.weeks.last))
    else:
        stored = scope.whole("inventory").aggregate(
            first=_.week_start_date.min(), last=_.week_start_date.max()
        )
        weeks = (
            weeks.cross_join(stored).filter(_.week_start_date.between(_.first, _.last)).drop("first", "last")
        )
    last = scope.whole("raw_observations").aggregate(last=_.observed_at.max())
    observed = weeks.cross_join(last).filter(_.starts_at <= _.last).drop("last")
    held = versions.join(
        observed,
        [
            versions.valid_from < observed.ends_at,
            versions.valid_to.isnull() | (versions.valid_to > observed.starts_at),
        ],
    )
    expected = held.select("week_start_date", "product_id").distinct()
    return keys(
        expected.anti_join(scope.table("inventory"), ["week_start_date", "product_id"]),
        "week_start_date",
        "product_id",
    )


def _inventory_without_change(scope: Scope) -> ibis.Table:
    by = ["week_start_date", "product_id"]
    stock, changes = scope.table("inventory"), scope.table("inventory_changes")
    both = stock.left_join(changes, by)
    wrong = both.filter(both.state.isnull() | ~both.closing_inventory.identical_to(both.inventory))
    return keys(wrong, *by)


# Funnel


def _growing_stages(scope: Scope) -> ibis.Table:
    whole = scope.whole("funnel")
    return ibis.union(
        *(
            keys(
                whole.filter(whole[after] > whole[before]),
                ibis.literal(after),
                after,
                ibis.literal(before),
                before,
            )
            for before, after in zip(STAGES, STAGES[1:], strict=False)
        )
    )


def _above_whole(scope: Scope) -> ibis.Table:
    whole = scope.whole("funnel").select(**{f"whole_{stage}": _[stage] for stage in STAGES})
    dates = scope.whole("funnel_by_date").cross_join(whole)
    is_above = ibis.or_(*(dates[stage] > dates[f"whole_{stage}"] for stage in STAGES))
    return keys(dates.filter(is_above), "event_date")


def _fact(
    asset: str, fact: str, description: str, offending: Callable[[Scope], ibis.Table], **how: object
) -> Check:
    return Check(asset, fact, description, offending, **how)  # type: ignore[arg-type]


WARNING = {"is_error": False, "is_blocking": False}

CHECKS: tuple[Check, ...] = (
    _unaccounted("events", "raw_events", _events_by_week),
    _unaccounted("products", "raw_products", _products_by_observation),
    _unaccounted("orders", "raw_orders", _all_rows("raw_orders")),
    _unaccounted("order_items", "raw_order_items", _all_rows("raw_order_items")),
    _rejected("events", "raw_events"),
    _rejected("products", "raw_products"),
    _rejected("orders", "raw_orders"),
    _rejected("order_items", "raw_order_items"),
    _fact(
        "raw_products",
        "observations_are_whole",
        "No observation was kept out for too few products. A real clear-out is accepted by a lower"
        " PLANT_MIN_PRODUCTS.",
        _kept_out_observations,
        is_blocking=False,
    ),
    _fact("raw_events", "have_known_types", "Every event_type is a stage.", _other_types, **WARNING),
    _fact(
        "raw_events",
        "have_known_products",
        "Every product of an event was observed.",
        _unknown_products_of_events,
        **WARNING,
    ),
    _fact(
        "raw_events",
        "have_known_orders",
        "Every order of an event has items.",
        _unknown_orders_of_events,
        **WARNING,
    ),
    _fact(
        "raw_order_items",
        "have_known_products",
        "Every product of an order was observed.",
        _unknown_products_of_orders,
        **WARNING,
    ),
    _fact(
        "raw_events",
        "are_fresh",
        "The latest event is at most two ticks, 12 hours, old.",
        _stale("raw_events", "created_at"),
        **WARNING,
    ),
    _fact(
        "raw_observations",
        "are_fresh",
        "The latest observation is at most two ticks, 12 hours, old.",
        _stale("raw_observations", "observed_at"),
        **WARNING,
    ),
    _fact("int_events", "keep_every_event", "Every raw event is in int_events.", _lost_events),
    _fact(
        "int_session_days",
        "keep_every_session",
        "The sessions are those of the raw events.",
        _lost_sessions,
    ),
    _fact(
        "product_snapshots",
        "do_not_overlap",
        "A product has at most one version at any instant.",
        _overlapping_versions,
    ),
    _fact(
        "product_snapshots",
        "have_one_current_row",
        "Each product of the last observation has one current version, no other has any.",
        _current_versions,
    ),
    _fact(
        "product_snapshots",
        "equal_their_rebuild",
        "Versions rebuilt from all observations are the stored ones.",
        _not_as_rebuilt,
    ),
    _fact(
        "inventory",
        "flows_balance",
        "opening + inflow - outflow = closing, where opening and closing are known.",
        _unbalanced,
    ),
    _fact(
        "inventory",
        "weeks_adjoin",
        "The closing inventory of a week is the opening inventory of the next.",
        _broken_chain,
    ),
    _fact(
        "inventory",
        "has_every_product",
        "Each product with a version in a week has its row.",
        _versions_without_inventory,
    ),
    _fact(
        "inventory_changes",
        "cover_inventory",
        "Each row of inventory has its change, with the same closing inventory.",
        _inventory_without_change,
    ),
    _fact(
        "funnel",
        "stages_do_not_grow",
        "Over the whole store no stage has more sessions than the one before.",
        _growing_stages,
        **WARNING,
    ),
    _fact(
        "funnel_by_date",
        "is_at_most_the_whole",
        "No date has more sessions in a stage than the whole store.",
        _above_whole,
        needs=("funnel",),
    ),
)


def _contract_check(table: Table) -> Check:
    return Check(
        table.name,
        "keeps_its_contract",
        "Columns and types are the contract's, the key is unique, required columns have no NULL.",
        lambda scope: contract_offences(table, scope),
    )


def checks_of(name: str) -> list[Check]:
    """The contract check of a table, then the domain's own."""
    return [_contract_check(TABLES[name]), *(check for check in CHECKS if check.asset == name)]


def load_checks() -> list[dg.AssetChecksDefinition]:
    """One step per table that evaluates all of its checks in one query."""
    return [_table_checks(name, checks_of(name)) for name in TABLES]


def _table_checks(table_name: str, checks: list[Check]) -> dg.AssetChecksDefinition:
    by_name = {check.name: check for check in checks}

    @dg.multi_asset_check(
        name=f"{table_name}_checks",
        specs=[
            dg.AssetCheckSpec(
                check.name,
                asset=table_name,
                description=check.description,
                blocking=check.is_error and check.is_blocking,
                additional_deps=list(check.needs),
            )
            for check in checks
        ],
        can_subset=True,
    )
    def evaluate(
        context: dg.AssetCheckExecutionContext, warehouse: dg.ResourceParam[Warehouse]
    ) -> Iterator[dg.AssetCheckResult]:
        weeks = week_range(warehouse.settings, context.partition_key_range) if _has_weeks(context) else None
        scope = Scope(warehouse.settings, as_of(context), weeks)
        selected = [by_name[key.name] for key in context.selected_asset_check_keys]
        yield from results(warehouse, sorted(selected, key=lambda check: check.name), scope)

    return evaluate


def _has_weeks(context: dg.AssetCheckExecutionContext) -> bool:
    return bool(
        context.run.tags.get("dagster/asset_partition_range_start")
        or context.run.tags.get("dagster/partition")
    )


def results(warehouse: Warehouse, checks: list[Check], scope: Scope) -> Iterator[dg.AssetCheckResult]:
    """Evaluate checks of one table: counts in one query, keys only of those that fail."""
    table = TABLES[checks[0].asset]
    misfits = wrong_columns(table, warehouse.column_types(table.name))
    if misfits:
        # Without the contract's columns no other check can be asked.
        for check in checks:
            yield _result(check, len(misfits), misfits)
        return
    statements = {check.name: to_sql(check.offending(scope)) for check in checks}
    counts = warehouse.rows(
        "select " + ", ".join(f"(select count(*) from ({body}))" for body in statements.values())
    )[0]
    for check, count in zip(checks, counts, strict=True):
        found = []
        if count:
            body = statements[check.name]
            found = [
                row[0] for row in warehouse.rows(f"select key from ({body}) order by key limit {MOST_KEYS}")
            ]
        yield _result(check, count, found)


def _result(check: Check, count: int, found: list[str]) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        passed=count == 0,
        asset_key=check.asset,
        check_name=check.name,
        severity=check.severity,
        description="; ".join(found[:MOST_KEYS]) or None,
        metadata={"offending": count, "keys": found[:MOST_KEYS]},
    )
