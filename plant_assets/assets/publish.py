"""What readers open: a file with the marts of one whole run, and a page for each week."""

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
from plant_assets.warehouse.duckdb import Warehouse
from plant_assets.warehouse.marts import open_marts
from plant_assets.warehouse.observations import end_of_counted

MARTS = """The marts of one run in a file of their own, which readers open while runs write; one file per run.

It is moved in place once every blocking check before it has passed. A run of only a part of the lineage leaves
it as it is.
"""
REPORT = """The weekly page, a file that opens without a server; one file per week.

Made from the marts just published. The last week with figures is also `latest.html`. A run over the weeks that are
due writes the last 8 of them, any other run all of its weeks.
"""
MOST_WEEKS = 8


def publish_marts(
    context: dg.AssetExecutionContext, warehouse: dg.ResourceParam[Warehouse]
) -> Iterator[dg.MaterializeResult[None]]:
    """Publish, if all marts are of this run, of the run that it continues or of the backfill that it belongs to.

    A run that did not read the source itself may rest on tables that other runs have written since it was read.
    """
    asked_for = request_id(context.instance, context.run)
    others = set(warehouse.marts_of_other_runs(asked_for))
    if not reads_source(context.run):
        others.update(warehouse.written_by_others_since(asked_for))
    if others:
        context.log.warning(
            "not published: another run wrote %s; run the whole job, refresh, to publish", ", ".join(sorted(others))
        )
        return
    with warehouse.transaction():
        warehouse.remember(**_instants(context, warehouse))
    path = publish.publish_marts(warehouse, f"run {context.run.run_id}")
    yield dg.MaterializeResult(asset_key="marts", metadata={"path": dg.MetadataValue.path(path)})


def _instants(context: dg.AssetExecutionContext, warehouse: Warehouse) -> dict[str, str]:
    """The instants that the marts speak of, for their readers."""
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
    """Write the pages of the run's weeks, with what its checks have found so far."""
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
