"""What readers open: a file with the marts of one whole run."""

import dagster as dg

from plant_assets.contracts import MARTS
from plant_assets.storage import Warehouse


def marts(context: dg.AssetExecutionContext, warehouse: dg.ResourceParam[Warehouse]) -> dg.MaterializeResult[None]:
    """The marts of one run in a file of their own, which readers open while runs write; one file per run.

    Moved in place when every blocking check before it has passed.
    """
    path = warehouse.publish_marts(context.run_id)
    return dg.MaterializeResult(metadata={"path": dg.MetadataValue.path(path)})


marts.deps = list(MARTS)  # type: ignore[attr-defined]
ASSETS = (marts,)
