"""What readers open: a file with the marts of one whole run, and a page for each week."""

import datetime as dt
from collections.abc import Iterator

import dagster as dg

from plant_assets.partitions import as_of, is_only_changed, request_id, run_weeks
from plant_assets.report import verdicts
from plant_assets.report.figures import AS_OF, EVENTS_UNTIL, OBSERVED_UNTIL
from plant_assets.report.page import page_path, write_pages
from plant_assets.storage import Warehouse, open_marts

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
    """Publish, if all marts are of this run or of the backfill that it belongs to."""
    others = warehouse.marts_of_other_runs(request_id(context.run))
    if others:
        context.log.warning("not published: %s are of an earlier run", ", ".join(others))
        return
    with warehouse.transaction():
        warehouse.remember(**_instants(context, warehouse))
    path = warehouse.publish_marts(f"run {context.run.run_id}")
    yield dg.MaterializeResult(asset_key="marts", metadata={"path": dg.MetadataValue.path(path)})


def _instants(context: dg.AssetExecutionContext, warehouse: Warehouse) -> dict[str, str]:
    """The instants that the marts speak of, for their readers."""
    found: dict[str, dt.datetime | None] = {
        AS_OF: as_of(context),
        EVENTS_UNTIL: warehouse.value("select max(created_at) from raw_events"),
        OBSERVED_UNTIL: warehouse.value("select max(observed_at) from raw_observations"),
    }
    return {name: instant.isoformat() if instant else "" for name, instant in found.items()}


def publish_report(
    context: dg.AssetExecutionContext, warehouse: dg.ResourceParam[Warehouse]
) -> Iterator[dg.MaterializeResult[None]]:
    """Write the pages of the run's weeks, with what its checks have found so far."""
    settings = warehouse.settings
    weeks = run_weeks(context, settings).weeks()
    if is_only_changed(context.run):
        weeks = weeks[-MOST_WEEKS:]
    with open_marts(settings) as marts:
        pages = write_pages(
            settings, marts, weeks, verdicts.of_run(context.instance, context.run.run_id), f"run {context.run.run_id}"
        )
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
