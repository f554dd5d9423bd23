"""Assets that readers open: a file with the marts of one complete run, and a page per week."""

import datetime as dt
import inspect
from collections.abc import Iterator

import dagster as dg

from plant_assets.assets import events, funnel, inventory, sales
from plant_assets.contracts import TABLES
from plant_assets.orchestration.partitions import (
    as_of,
    continued_runs,
    is_only_changed,
    reads_source,
    request_id,
    run_weeks,
)
from plant_assets.readers.page import verdicts
from plant_assets.readers.page.render import page_path, write_pages
from plant_assets.readers.weeks import AS_OF, EVENTS_UNTIL, LATEST_WEEK, OBSERVED_UNTIL, weeks_with_figures
from plant_assets.warehouse import publish
from plant_assets.warehouse.marts import open_marts
from plant_assets.warehouse.observations import end_of_counted, has_own_date
from plant_assets.warehouse.warehouse import Warehouse

MARTS = """The marts of one run in a file of their own, which readers open while runs write; one file per run.

A run replaces the file once every blocking check has passed. A run of a part of the assets leaves it as it is.
"""
REPORT = """The weekly page, a file that opens without a server; one file per week.

It is made from the published marts. The latest week is also `latest.html`. A run over the weeks that are due writes
the last 8 of them that have figures, any other run all of its weeks.
"""
MOST_WEEKS = 8


def publish_marts(
    context: dg.AssetExecutionContext, warehouse: dg.ResourceParam[Warehouse]
) -> Iterator[dg.MaterializeResult[None]]:
    """Publish the marts if one request wrote them all: this run, the run that it continues, or its backfill.

    A run that does not read the source is not published either if other runs wrote tables since the source was read.
    """
    asked_for = request_id(context.instance, context.run)
    others = set(warehouse.ledger.writes.marts_of_other_runs(asked_for))
    if not reads_source(context.run):
        others.update(warehouse.ledger.writes.written_by_others_since(asked_for))
    if others:
        context.log.warning(
            "not published: another run wrote %s; run the whole job, refresh, to publish", ", ".join(sorted(others))
        )
        return
    with warehouse.transaction():
        warehouse.ledger.facts.remember(**_instants(context, warehouse))
    path = publish.publish_marts(
        warehouse.connection, warehouse.settings.marts_path, f"run {context.run.run_id}", descriptions=_descriptions()
    )
    yield dg.MaterializeResult(asset_key="marts", metadata={"path": dg.MetadataValue.path(path)})


def _descriptions() -> dict[str, str]:
    """Return what each table is, as the UI shows it, in one line."""
    bodies = (body for module in (events, sales, inventory, funnel) for body in module.ASSETS)
    described = {body.__name__: inspect.getdoc(body) or "" for body in bodies}
    described |= {"rejected_rows": events.REJECTED_ROWS}
    return {name: " ".join(text.split()) for name, text in described.items()}


def _instants(context: dg.AssetExecutionContext, warehouse: Warehouse) -> dict[str, str]:
    """Return what the marts are as of, their last event and observation, as ISO instants, and their latest week."""
    found: dict[str, dt.datetime | None] = {
        AS_OF: as_of(context),
        EVENTS_UNTIL: _last(context, warehouse, "raw_events"),
        OBSERVED_UNTIL: _last(context, warehouse, "raw_observations"),
    }
    facts = {name: instant.isoformat() if instant else "" for name, instant in found.items()}
    return facts | {LATEST_WEEK: _latest_week(context, warehouse, found[EVENTS_UNTIL], found[OBSERVED_UNTIL])}


def _latest_week(
    context: dg.AssetExecutionContext,
    warehouse: Warehouse,
    last_event: dt.datetime | None,
    last_observed: dt.datetime | None,
) -> str:
    """Return the Monday of the last week that has an event, or an observation with a date of its own.

    Products that are observed at the moment of a run count only where the store has neither: otherwise each run would
    move the answers to a week about which the store says nothing.
    """
    end = end_of_counted(TABLES["raw_observations"], warehouse.calendar, as_of(context))
    observed = warehouse.rows("select observed_at, file from raw_observations where observed_at < ?", [end])
    dated = (at for at, file in observed if has_own_date(file))
    latest = max((at for at in (last_event, *dated) if at), default=last_observed)
    return str(warehouse.calendar.week_of(latest)) if latest else ""


def _last(context: dg.AssetExecutionContext, warehouse: Warehouse, name: str) -> dt.datetime | None:
    table = TABLES[name]
    end = end_of_counted(table, warehouse.calendar, as_of(context))
    last: dt.datetime | None = warehouse.value(
        f"select max({table.instant}) from {name} where {table.instant} < ?", [end]
    )
    return last


def publish_report(
    context: dg.AssetExecutionContext, warehouse: dg.ResourceParam[Warehouse]
) -> Iterator[dg.MaterializeResult[None]]:
    """Write the pages of the run's weeks, with the results of its checks so far."""
    settings = warehouse.settings
    of_run = run_weeks(context, settings)
    with open_marts(settings) as marts:
        weeks = [week for week in weeks_with_figures(marts) if of_run.first <= week <= of_run.last]
        if is_only_changed(context.run):
            weeks = weeks[-MOST_WEEKS:]
        found = verdicts.of_runs(context.instance, continued_runs(context.instance, context.run))
        pages = write_pages(settings, marts, weeks, found, f"run {context.run.run_id}")
    latest = page_path(settings)
    yield dg.MaterializeResult(
        asset_key="report",
        metadata={
            "path": dg.MetadataValue.path(latest),
            "page": dg.MetadataValue.url(latest.as_uri()),
            "pages": len(pages),
            "weeks": ", ".join(str(week) for week in pages),
        },
    )
