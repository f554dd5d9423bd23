"""Assets of the source's tables, and of events with their products, dates and sessions."""

import contextlib
import datetime as dt
from collections.abc import Iterator
from typing import Any

import dagster as dg
import ibis

from plant_assets.calendar import Weeks, weeks_between
from plant_assets.contracts import TABLES
from plant_assets.ingest.due import tell_older
from plant_assets.ingest.limits import RejectedLoad
from plant_assets.ingest.load import Load
from plant_assets.orchestration.metadata import data_version, stored_metadata, week_metadata
from plant_assets.orchestration.partitions import (
    COUNTED_ON,
    COUNTS_WEEKS,
    as_of,
    first_week_of,
    is_only_changed,
    offsets_of,
    request_id,
    run_weeks,
)
from plant_assets.sources.open import source_of
from plant_assets.sources.tables import HISTORY, SOURCE_TABLES
from plant_assets.transforms import events as transforms
from plant_assets.warehouse.warehouse import Warehouse

RAW_TABLES = {
    "raw_events": "The store's click log, typed and without duplicates; one row per event.",
    "raw_products": "Every observation of the products, in any order of arrival; one row per product and observation.",
    "raw_observations": "The instants at which the products were observed; one row per observation.",
    "raw_products_snapshot": "dbt's snapshot of the products, a source of observations; one row per dbt version.",
    "raw_orders": "The store's orders; one row per order.",
    "raw_order_items": "The products of each order; one row per order and product.",
}
REJECTED_ROWS = (
    "Source rows that were rejected, each with its reason; one row per rejected source row.\n\n"
    "Each load of a raw table replaces its own rows here, in its own transaction."
)
_REFUSED = "select count(*) from rejected_rows where source_table = ?"


def load_source(
    context: dg.AssetExecutionContext, warehouse: dg.ResourceParam[Warehouse]
) -> Iterator[dg.MaterializeResult[None]]:
    """Read and validate the source's tables, then write the selected raw tables."""
    selected = {key.to_user_string() for key in context.selected_asset_keys}
    weeks = run_weeks(context, warehouse.settings) if "raw_events" in selected else None
    run_id = request_id(context.instance, context.run)
    load = staged_load(context, warehouse, selected, weeks)

    def result(name: str, written: int) -> dg.MaterializeResult[None]:
        refused = {"rejected_rows": warehouse.value(_REFUSED, [name.removeprefix("raw_")])}
        metadata = {**stored_metadata(warehouse, name, written), **refused}
        version = None if TABLES[name].week_column else data_version(warehouse, name)
        return dg.MaterializeResult(asset_key=name, metadata=metadata, data_version=version)

    if weeks:
        written = load.write_events(weeks, run_id)
        # The first weeks may have lost all that they held.
        warehouse.remember_store(load.store_weeks.first(), load.reading.source.mapping.stages)
        warehouse.show_due()
        if COUNTS_WEEKS in context.run.tags:
            warehouse.ledger.facts.remember(**{COUNTED_ON: str(as_of(context).date())})
        for key, counted in week_metadata(warehouse, "raw_events", weeks):
            context.add_asset_metadata(counted, asset_key="raw_events", partition_key=key)
        yield result("raw_events", written)
    if "raw_products_snapshot" in selected:
        yield result("raw_products_snapshot", load.write(HISTORY, run_id))
    if selected & {"raw_products", "raw_observations"}:
        added = load.write("products", run_id)
        for name in ("raw_products", "raw_observations"):
            if name in selected:
                yield result(name, added if name == "raw_products" else load.observations.accepted)
    for name in ("orders", "order_items"):
        if SOURCE_TABLES[name].target in selected:
            yield result(SOURCE_TABLES[name].target, load.write(name, run_id))
    _observe(context, load)
    _observe_rejected(context, warehouse)


def store_key(raw_table: str) -> dg.AssetKey:
    """Return the asset of the store's own table that a raw table is loaded from."""
    from_products = "raw_products" if raw_table == "raw_observations" else raw_table
    return dg.AssetKey(["store", from_products.removeprefix("raw_")])


def _observe(context: dg.AssetExecutionContext, load: Load) -> None:
    """Record how the load found each of the store's tables that it read."""
    for name, table in load.tables.items():
        if not table.staged.is_read:
            continue
        target, loads = TABLES[SOURCE_TABLES[name].target], load.reading.warehouse.ledger.loads
        found: dict[str, Any] = {"parts": len(table.staged.listed), "rows": loads.rows_read(name)}
        if target.instant:
            latest = load.reading.warehouse.value(f"select max({target.instant}) from {target.name}")
            found |= {"latest_instant": str(latest)} if latest else {}
        context.log_event(dg.AssetObservation(store_key(target.name), metadata=found))


def _observe_rejected(context: dg.AssetExecutionContext, warehouse: Warehouse) -> None:
    """Record how many rejected rows there are now, by source table."""
    counts = dict(warehouse.rows("select source_table, count(*) from rejected_rows group by all order by all"))
    context.log_event(dg.AssetObservation("rejected_rows", metadata={"rows": sum(counts.values()), **counts}))


def staged_load(
    context: dg.AssetExecutionContext, warehouse: Warehouse, selected: set[str], weeks: Weeks | None
) -> Load:
    """Return the load that a plan staged in this process; without one, read the source now.

    Args:
        context: the step.
        warehouse: the warehouse.
        selected: the names of the raw tables to write.
        weeks: the weeks of raw_events to write, if it is selected.

    Raises:
        StoreMismatch: the warehouse belongs to another store.
        SourceError: the source cannot be read, too many rows are rejected, or other weeks have to run as well.
    """
    if isinstance(warehouse.staged, Load):
        return warehouse.staged
    warehouse.require_store()
    anew, counts_weeks = (weeks.first, weeks.last) if weeks else None, COUNTS_WEEKS in context.run.tags
    source = source_of(warehouse.settings, as_of(context), warehouse.ledger.facts.first_week(), anew, counts_weeks)
    with contextlib.closing(source):
        load = Load(warehouse, source, as_of(context), context.log, is_forced=not is_only_changed(context.run))
        load.read(name for name, table in SOURCE_TABLES.items() if _is_selected(name, table.target, selected))
        first_week = load.store_weeks.first() if weeks else first_week_of(warehouse.settings)
        _validate(load, weeks, first_week)
        if weeks:
            _note_rest(load, weeks, first_week, only_changed=is_only_changed(context.run))
            tell_older(warehouse, weeks.weeks(), context.log)
    warehouse.remember_store(first_week, source.mapping.stages)
    return load


def _validate(load: Load, weeks: Weeks | None, first_week: dt.date) -> None:
    """Validate the rows of the run's weeks; where other weeks have to run as well, note all of them as due.

    Raises:
        RejectedLoad: too many rows are rejected, or other weeks have to run as well.
    """
    others = load.validate(weeks.weeks() if weeks else [], first_week)
    if weeks and others:
        tied = load.store_weeks.tied(first_week)
        while more := load.validate(weeks_between(min(weeks.first, *others), max(weeks.last, *others)), first_week):
            others |= more
        reason = "the products were observed then" if others & tied else "an event moved between them"
        load.reading.warehouse.note_due({*weeks.weeks(), *others}, reason)
        raise RejectedLoad(_together(weeks, others, reason))
    load.require_enough_good_rows()


def _note_rest(load: Load, weeks: Weeks, first_week: dt.date, only_changed: bool) -> None:
    """Note as due what a run found to be due besides its weeks, which it can do without them.

    A run of chosen weeks notes only what another definition wrote: nothing is published before that is made again.
    """
    older = load.store_weeks.older(first_week) - set(weeks.weeks())
    rest = load.store_weeks.due(first_week) - set(weeks.weeks()) if only_changed else older
    if rest:
        load.reading.warehouse.note_due(rest, "an older definition made them" if older else "their source changed")
        load.reading.log.info("the weeks from %s to %s are due too: the next run does them", min(rest), max(rest))


def _together(weeks: Weeks, others: set[dt.date], reason: str) -> str:
    """Return the message about a run whose weeks cannot run without others."""
    first, last = min(weeks.first, *others), max(weeks.last, *others)
    run = str(weeks.first) if weeks.first == weeks.last else str(weeks)
    *named, final = sorted([run, *map(str, others)])
    return (
        f"the weeks {', '.join(named)} and {final} have to run together, since {reason}: the sensor due_weeks requests"
        f" {first}..{last}, or run `plant-assets run --weeks {first}..{last}`"
    )


def _is_selected(name: str, target: str, selected: set[str]) -> bool:
    if name in ("products", HISTORY) and selected & {"raw_products", "raw_observations"}:
        return True
    return target in selected


def int_events(
    context: dg.AssetExecutionContext,
    warehouse: dg.ResourceParam[Warehouse],
    raw_events: ibis.Table,
    raw_order_items: ibis.Table,
    product_snapshots: ibis.Table,
) -> ibis.Table:
    """Every event with its date, step and products; one row per event and product.

    A checkout or package_shipped event has a row per product of its order, any other event one row. An event whose
    order is unknown or has no items keeps the product that it names itself.
    """
    offsets = offsets_of(context, warehouse.settings)
    return transforms.events_with_products(raw_events, raw_order_items, product_snapshots, offsets)


def int_sessions(
    context: dg.AssetExecutionContext, warehouse: dg.ResourceParam[Warehouse], raw_events: ibis.Table
) -> ibis.Table:
    """Who each session is of, when it was, and what it reached; one row per session.

    A view for questions of your own: runs do not compute it, and it is not published.
    """
    return transforms.sessions(raw_events, offsets_of(context, warehouse.settings))


def int_session_days(
    context: dg.AssetExecutionContext, warehouse: dg.ResourceParam[Warehouse], raw_events: ibis.Table
) -> ibis.Table:
    """The stages that each session reached on each date; one row per session and date."""
    weeks = run_weeks(context, warehouse.settings)
    return transforms.session_days(raw_events, warehouse.calendar.offsets(weeks.starts_at, weeks.ends_at))


ASSETS = (int_events, int_sessions, int_session_days)
