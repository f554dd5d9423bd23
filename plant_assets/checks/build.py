"""Build asset checks: the contract check of each table, and the facts that the other modules state.

All checks of a table are one query, in a step of its own if an asset reads the table. In a run, checks of weekly tables
look at the run's weeks and at those of open failures; in the jobs of checks alone, at everything (`evaluate.py`).
"""

from collections.abc import Collection, Iterable, Iterator
from typing import Any

import dagster as dg
import ibis
from ibis import _

from plant_assets.checks import demand, events, funnel, ids, inventory, published, raw, sales
from plant_assets.checks.base import Check, Scope, keys
from plant_assets.checks.evaluate import MOST_KEYS, results
from plant_assets.checks.published import PublishedCheck
from plant_assets.contracts import PUBLISHED, TABLES, Table
from plant_assets.orchestration.partitions import RANGE_START, as_of, run_weeks
from plant_assets.warehouse.warehouse import Warehouse

SHARED = "published_checks"
CHECKS = (
    *raw.CHECKS,
    *ids.CHECKS,
    *events.CHECKS,
    *inventory.CHECKS,
    *funnel.CHECKS,
    *sales.CHECKS,
    *demand.CHECKS,
)


def contract_offences(table: Table, scope: Scope) -> ibis.Table:
    """Return the keys of failing rows: of duplicates, and of NULLs in required columns. One column: key."""
    rows = scope.table(table.name)
    if table.is_grouped:
        return keys(rows.limit(0), *table.key)
    found = []
    if table.required:
        is_null = {name: rows[name].isnull() for name in table.required}
        which = ibis.cases(*((null, f"{name} is NULL in row") for name, null in is_null.items()))
        incomplete = rows.mutate(which=which).filter(ibis.or_(*is_null.values()))
        found.append(keys(incomplete, "which", *table.key[:2]))
    if table.key:
        if table.key_rows:
            column, values = table.key_rows
            rows = rows.filter(rows[column].isin(values))
        if len(table.key) == 1 and table.key[0] in table.ids:
            rows = _with_equal_hashes(rows, *table.key)
        twice = rows.group_by(list(table.key)).aggregate(copies=_.count()).filter(_.copies > 1)
        found.append(keys(twice, *table.key))
    if table.exact_rows is not None:
        found.append(keys(rows.aggregate(rows=_.count()).filter(_.rows != table.exact_rows), "rows"))
    return ibis.union(*found) if len(found) > 1 else found[0]


def _with_equal_hashes(rows: ibis.Table, key: str) -> ibis.Table:
    """Return the rows that may share their key with another. Hashes of many keys need less memory than the keys."""
    hashed = rows.mutate(key_hash=rows[key].hash())
    alike = hashed.group_by("key_hash").aggregate(copies=_.count()).filter(_.copies > 1)
    return hashed.semi_join(alike, "key_hash")


def _contract_check(table: Table) -> Check:
    return Check(
        table.name,
        "keeps_its_contract",
        "Columns and types are the contract's, the key is unique, required columns have no NULL.",
        lambda scope: contract_offences(table, scope),
    )


def checks_of(name: str) -> list[Check]:
    """Return the contract check of a table, then its facts."""
    return [_contract_check(TABLES[name]), *(check for check in CHECKS if check.asset == name)]


def load_checks(read: Collection[str]) -> list[dg.AssetChecksDefinition]:
    """Return the steps that evaluate checks.

    A table has a step of its own, which blocks the assets that read it. All published tables that no asset reads share
    one, which blocks publication: a step costs 0.04 CPU s. What checks of other steps read is not among them: it is
    checked before.

    Args:
        read: the tables that an asset reads.
    """
    before = _with_reads(read)
    shared = [name for name in PUBLISHED if name not in before and TABLES[name].key]
    own = [name for name in TABLES if name not in shared]
    steps = [*(_step(f"{name}_checks", checks_of(name)) for name in own), _step(SHARED, _checks_of_all(shared))]
    return [*steps, *map(_published_step, published.CHECKS)]


def _with_reads(tables: Collection[str]) -> set[str]:
    """Return tables with those that their checks read, that the checks of these read, and so on."""
    found, new = set[str](), {*tables}
    while new:
        found |= new
        new = {read for name in new if name in TABLES for check in checks_of(name) for read in check.reads} - found
    return found


def _checks_of_all(names: Iterable[str]) -> list[Check]:
    return [check for name in names for check in checks_of(name)]


def _step(name: str, checks: list[Check]) -> dg.AssetChecksDefinition:
    by_name = {check.name: check for check in checks}

    @dg.multi_asset_check(
        name=name,
        specs=[
            dg.AssetCheckSpec(
                check.name,
                asset=check.asset,
                description=check.description,
                additional_deps=check.reads,
                blocking=check.is_error and check.is_blocking,
            )
            for check in checks
        ],
        can_subset=True,
    )
    def evaluate(context: dg.AssetCheckExecutionContext, warehouse: dg.ResourceParam[Warehouse]) -> Iterator[Any]:
        weeks = run_weeks(context, warehouse.settings) if _has_weeks(context) else None
        scope = Scope(warehouse.settings, as_of(context), weeks)
        selected = [by_name[key.name] for key in context.selected_asset_check_keys]
        found = results(warehouse, selected, scope)
        yield from found if _makes_assets(context) else _that_go_on(context, found)

    return evaluate


def _published_step(check: PublishedCheck) -> dg.AssetChecksDefinition:
    spec = dg.AssetCheckSpec(check.name, asset=check.asset, description=check.description, blocking=check.is_blocking)

    @dg.multi_asset_check(name=f"{check.asset}_checks", specs=[spec])
    def evaluate(context: dg.AssetCheckExecutionContext, warehouse: dg.ResourceParam[Warehouse]) -> Iterator[Any]:
        offences = check.offences(warehouse)
        result = dg.AssetCheckResult(
            passed=not offences,
            asset_key=check.asset,
            check_name=check.name,
            description="; ".join(offences[:MOST_KEYS]) or None,
            metadata={"offending": len(offences), "keys": offences[:MOST_KEYS], "looked_at": "everything"},
        )
        yield from [result] if _makes_assets(context) else _that_go_on(context, iter([result]))

    return evaluate


def _makes_assets(context: dg.AssetCheckExecutionContext) -> bool:
    return bool(context.job_def.asset_layer.asset_graph.executable_asset_keys)


def _that_go_on(
    context: dg.AssetCheckExecutionContext, found: Iterator[dg.AssetCheckResult]
) -> Iterator[dg.Output[None] | dg.AssetCheckEvaluation]:
    """Yield results that block nothing, for a run of checks alone: no bad data can spread, and every check runs.

    Dagster has a check wait for the blocking checks of every table that it reads, and skips it if one of those fails.
    """
    for result in found:
        made = result.to_asset_check_evaluation(context.get_step_execution_context())
        yield dg.Output(None, output_name=context.job_def.asset_layer.get_op_output_name(made.asset_check_key))
        yield dg.AssetCheckEvaluation(
            asset_key=made.asset_key,
            check_name=made.check_name,
            passed=made.passed,
            metadata=made.metadata,
            target_materialization_data=made.target_materialization_data,
            severity=made.severity,
            description=made.description,
            blocking=False,
        )


def _has_weeks(context: dg.AssetCheckExecutionContext) -> bool:
    return RANGE_START in context.run.tags or "dagster/partition" in context.run.tags
