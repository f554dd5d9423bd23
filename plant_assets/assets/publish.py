"""What readers open: a file with the marts of one whole run."""

from collections.abc import Iterator

import dagster as dg

from plant_assets.partitions import request_id
from plant_assets.storage import Warehouse

MARTS = """The marts of one run in a file of their own, which readers open while runs write; one file per run.

It is moved in place once every blocking check before it has passed. A run of only a part of the lineage leaves
it as it is.
"""


def publish_marts(
    context: dg.AssetExecutionContext, warehouse: dg.ResourceParam[Warehouse]
) -> Iterator[dg.MaterializeResult[None]]:
    """Publish, if all marts are of this run or of the backfill that it belongs to."""
    others = warehouse.marts_of_other_runs(request_id(context.run))
    if others:
        context.log.warning("not published: %s are of an earlier run", ", ".join(others))
        return
    path = warehouse.publish_marts(f"run {context.run.run_id}")
    yield dg.MaterializeResult(asset_key="marts", metadata={"path": dg.MetadataValue.path(path)})
