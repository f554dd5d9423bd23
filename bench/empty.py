"""Dagster alone: this project's graph and checks with empty bodies: `python -m bench.empty STORE WAREHOUSE`.

What a run costs that does no work: the interpreter, imports, steps, and the records of them.
"""

import datetime as dt
import sys
from collections.abc import Iterator
from typing import Any

import dagster as dg

from plant_assets.checks.build import checks_of
from plant_assets.contracts import TABLES
from plant_assets.definitions import build_defs
from plant_assets.instance.home import prepare_home
from plant_assets.orchestration.partitions import first_week_of, range_tags, weekly_partitions
from plant_assets.settings import read_settings

# The real store's.
FIRST_WEEK, LAST_WEEK = dt.date(2021, 2, 8), dt.date(2021, 3, 1)


class Nowhere(dg.IOManager):
    """Writes and reads nothing."""

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        context.add_output_metadata({"dagster/row_count": 0})

    def load_input(self, context: dg.InputContext) -> None:
        return None


def empty_assets(whole: dg.Definitions, weeks: dg.PartitionsDefinition) -> Iterator[dg.AssetsDefinition]:
    """A step for each of the project's that materializes the same assets."""
    one_run = dg.BackfillPolicy.single_run()
    for steps in whole.resolve_asset_graph().assets_defs:
        if not steps.is_executable or steps.check_keys:
            continue
        specs = [
            dg.AssetSpec(spec.key, deps=spec.deps, partitions_def=weeks if spec.partitions_def else None)
            for spec in steps.specs
        ]

        @dg.multi_asset(specs=specs, name=steps.node_def.name, backfill_policy=one_run)
        def nothing(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[None]]:
            for key in sorted(context.selected_asset_keys):
                yield dg.MaterializeResult(asset_key=key, metadata={"dagster/row_count": 0})

        yield nothing


def empty_checks() -> Iterator[dg.AssetChecksDefinition]:
    """A step for each table that passes all of its checks."""
    for table in TABLES:
        specs = [
            dg.AssetCheckSpec(check.name, asset=table, blocking=check.is_error and check.is_blocking)
            for check in checks_of(table)
        ]

        @dg.multi_asset_check(specs=specs, name=f"{table}_checks")
        def pass_all(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
            for key in sorted(context.selected_asset_check_keys):
                yield dg.AssetCheckResult(
                    passed=True, asset_key=key.asset_key, check_name=key.name, metadata={"offending": 0, "keys": []}
                )

        yield pass_all


def main(store: str, warehouse: str) -> None:
    """One run of the empty graph, recorded where the project's would be."""
    settings = read_settings(source=store, warehouse=warehouse, start=FIRST_WEEK)
    prepare_home(settings)
    weeks = weekly_partitions(settings, first_week_of(settings))
    definitions = dg.Definitions(
        assets=list(empty_assets(build_defs(settings), weeks)),
        asset_checks=list(empty_checks()),
        resources={"io_manager": Nowhere()},
        executor=dg.in_process_executor,
    )
    job = definitions.resolve_implicit_global_asset_job_def()
    with dg.DagsterInstance.get() as instance:
        result = job.execute_in_process(
            instance=instance,
            tags=range_tags(FIRST_WEEK, LAST_WEEK),
            run_config={"loggers": {"console": {"config": {"log_level": "ERROR"}}}},
        )
    sys.exit(not result.success)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
