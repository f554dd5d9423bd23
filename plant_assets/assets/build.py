"""Builds the assets from their functions and contracts, and assigns each module a group."""

import datetime as dt
import warnings
from collections.abc import Callable, Iterable, Sequence
from types import ModuleType
from typing import Any

import dagster as dg

from plant_assets.assets import demand, events, funnel, inventory, publish, sales
from plant_assets.assets.events import store_key
from plant_assets.contracts import PUBLISHED, TABLES
from plant_assets.orchestration.metadata import column_schema
from plant_assets.orchestration.partitions import LOAD_STEP
from plant_assets.sources.tables import SOURCE_TABLES, SourceTable
from plant_assets.warehouse.fingerprints import Fingerprints, fingerprint_of

GROUPS: dict[str, ModuleType] = {
    "events": events,
    "sales": sales,
    "inventory": inventory,
    "funnel": funnel,
    "demand": demand,
}
Made = dg.AssetsDefinition | dg.AssetSpec
# Ticks come every six hours. After a missed one the next is in time; after two, not.
_FRESH = dg.FreshnessPolicy.time_window(warn_window=dt.timedelta(hours=7), fail_window=dt.timedelta(hours=13))
OWNERS = ["team:analytics"]
LAYER = "plant/layer"
PUBLISHED_KEY = dg.AssetKey("marts")


def load_assets(weeks: dg.PartitionsDefinition, engine: str, definitions: Fingerprints) -> Sequence[Any]:
    """Return every asset, with the metadata of its contract.

    Args:
        weeks: the partitions of weekly assets.
        engine: the name of the engine, which becomes a kind of each asset.
        definitions: the fingerprint of each table's definition, which becomes its code version.
    """
    with warnings.catch_warnings():
        # In Dagster 1.13, the backfill policy and the links to code are beta.
        warnings.simplefilter("ignore", dg.BetaWarning)
        made = _load_assets(weeks, engine)
        return dg.with_source_code_references([_with_code_versions(each, definitions) for each in made])


def tables_read(assets: Iterable[Any]) -> set[str]:
    """Return the tables that an asset reads, publication apart."""
    made = (each for each in assets if isinstance(each, dg.AssetsDefinition))
    deps = (found for each in made for key, found in each.asset_deps.items() if key != PUBLISHED_KEY)
    return {key.to_user_string() for keys in deps for key in keys}


def _load_assets(weeks: dg.PartitionsDefinition, engine: str) -> list[Made]:
    loaded: list[Made] = []
    for group, module in GROUPS.items():
        loaded += [_asset(body, group, weeks, engine) for body in module.ASSETS]
    sources = [
        _spec(name, description, "raw", engine, weeks if TABLES[name].week_column else None).replace_attributes(
            deps=[store_key(name)], freshness_policy=_FRESH
        )
        for name, description in events.RAW_TABLES.items()
    ]
    loaded += [_store_spec(source) for source in SOURCE_TABLES.values()]
    loaded.append(
        dg.multi_asset(
            specs=[spec.replace_attributes(skippable=True) for spec in sources],
            name=LOAD_STEP,
            can_subset=True,
            backfill_policy=dg.BackfillPolicy.single_run(),
        )(events.load_source)
    )
    published = dg.AssetSpec(
        PUBLISHED_KEY,
        description=publish.MARTS,
        group_name="publish",
        owners=OWNERS,
        kinds={"duckdb", "file"},
        tags={LAYER: "published"},
        deps=list(PUBLISHED),
        freshness_policy=_FRESH,
        skippable=True,
    )
    loaded.append(
        dg.multi_asset(specs=[published], name="publish_marts", backfill_policy=dg.BackfillPolicy.single_run())(
            publish.publish_marts
        )
    )
    pages = dg.AssetSpec(
        "report",
        description=publish.REPORT,
        group_name="publish",
        owners=OWNERS,
        kinds={"duckdb", "html"},
        tags={LAYER: "published"},
        deps=["marts"],
        freshness_policy=_FRESH,
        partitions_def=weeks,
    )
    # The last step by name must not be weekly, or Dagster 1.13 plans every step and check of a run once per week.
    loaded.append(
        dg.multi_asset(specs=[pages], name="publish_report", backfill_policy=dg.BackfillPolicy.single_run())(
            publish.publish_report
        )
    )
    refused = _spec("rejected_rows", events.REJECTED_ROWS, "raw", "duckdb")
    loaded.append(refused.replace_attributes(deps=[spec.key for spec in sources]))
    return loaded


def _with_code_versions(made: Made, definitions: Fingerprints) -> Made:
    """Return an asset with the fingerprint of its table as code version, or with one of all tables if it has none."""

    def versioned(spec: dg.AssetSpec) -> dg.AssetSpec:
        name = spec.key.to_user_string()
        return spec.replace_attributes(code_version=definitions.get(name) or fingerprint_of(dict(definitions)))

    if isinstance(made, dg.AssetsDefinition):
        return made.map_asset_specs(versioned)
    # The store's own tables are not made here.
    return versioned(made) if made.key.to_user_string() in TABLES else made


def _store_spec(source: SourceTable) -> dg.AssetSpec:
    return dg.AssetSpec(
        store_key(source.target),
        description=f"The store's own table {source.name}, as each load finds it; one row per row of the source.",
        group_name="store",
        owners=OWNERS,
        kinds={"source"},
        tags={LAYER: "source"},
    )


def _layer(name: str) -> dict[str, str]:
    """Return the tag of a table's layer: raw, intermediate or mart."""
    return {LAYER: TABLES[name].layer}


def _spec(
    name: str, description: str, group: str, engine: str, weeks: dg.PartitionsDefinition | None = None
) -> dg.AssetSpec:
    return dg.AssetSpec(
        name,
        description=description,
        group_name=group,
        partitions_def=weeks,
        owners=OWNERS,
        kinds={engine, "table"},
        tags=_layer(name),
        metadata={"dagster/column_schema": column_schema(TABLES[name])},
    )


def _asset(body: Callable[..., Any], group: str, weeks: dg.PartitionsDefinition, engine: str) -> dg.AssetsDefinition:
    table = TABLES[body.__name__]
    return dg.asset(
        group_name=group,
        owners=OWNERS,
        kinds={engine, table.kind},
        tags=_layer(table.name),
        metadata={"dagster/column_schema": column_schema(table)},
        partitions_def=weeks if table.week_column else None,
        deps=getattr(GROUPS[group], "AFTER", {}).get(table.name),
        backfill_policy=dg.BackfillPolicy.single_run(),
    )(body)
