"""Assets that readers open: a file with the marts of one complete run, and a page per week."""

import datetime as dt
from collections.abc import Iterator

import dagster as dg

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
from plant_assets.readers.page.figures import AS_OF, EVENTS_UNTIL, OBSERVED_UNTIL
from plant_assets.readers.page.render import page_path, write_pages
from plant_assets.warehouse import publish
from plant_assets.warehouse.marts import open_marts
from plant_assets.warehouse.observations import end_of_counted
from plant_assets.warehouse.warehouse import Warehouse

MARTS = """The marts of one run in a file of their own, which readers open while runs write; one file per run.

A run replaces the file once every blocking check has passed. A run of a part of the assets leaves it as it is.
"""
REPORT = """The weekly page, a file that opens without a server; one file per week.

It is made from the published marts. The last week with figures is also `latest.html`. A run over the weeks that are
due writes the last 8 of them, any other run all of its weeks.
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
    path = publish.publish_marts(warehouse.connection, warehouse.settings.marts_path, f"run {context.run.run_id}")
    yield dg.MaterializeResult(asset_key="marts", metadata={"path": dg.MetadataValue.path(path)})


def _instants(context: dg.AssetExecutionContext, warehouse: Warehouse) -> dict[str, str]:
    """Return what the marts are as of, and their last event and observation, as ISO instants."""
    found: dict[str, dt.datetime | None] = {
        AS_OF: as_of(context),
        EVENTS_UNTIL: _last(context, warehouse, "raw_events"),
        OBSERVED_UNTIL: _last(context, warehouse, "raw_observations"),
    }
    return {name: instant.isoformat() if instant else "" for name, instant in found.items()}


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
    weeks = run_weeks(context, settings).weeks()
    if is_only_changed(context.run):
        weeks = weeks[-MOST_WEEKS:]
    with open_marts(settings) as marts:
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
