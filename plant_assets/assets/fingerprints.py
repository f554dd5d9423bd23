"""The fingerprint of each table's definition: a digest of all that makes its rows, apart from the rows of its inputs.

It has the contract, the function's expressions as DuckDB's SQL for one fixed run (`fixed_run.py`), whatever the engine,
and the inputs' fingerprints. A function that makes a frame has its result over fixed rows instead. Loaded tables have
the number of their loader, and the mapping. `warehouse/fingerprints.py` keeps the fingerprints.
"""

import functools
import inspect
import json
from collections.abc import Callable, Mapping
from typing import Any

import ibis
import pandas as pd

from plant_assets.assets.build import GROUPS
from plant_assets.assets.fixed_run import RUN_AS_OF, FixedContext, context_of, fixed_warehouse, frame_of
from plant_assets.contracts import LOADED, TABLES, Table
from plant_assets.orchestration.partitions import run_weeks
from plant_assets.settings import Settings
from plant_assets.sources.errors import SourceError
from plant_assets.sources.mapping import StoreMapping
from plant_assets.sources.mapping_file import mapping_of
from plant_assets.sources.tables import SOURCE_TABLES
from plant_assets.warehouse.compiled import Statements
from plant_assets.warehouse.expressions import to_sql
from plant_assets.warehouse.fingerprints import (
    Fingerprints,
    fingerprint_of,
    keep_fingerprints,
    key_of,
    known_fingerprints,
)
from plant_assets.warehouse.observations import before, end_of_counted
from plant_assets.warehouse.store import Since
from plant_assets.warehouse.warehouse import Warehouse

Body = Callable[..., Any]
BODIES: Mapping[str, Body] = {body.__name__: body for module in GROUPS.values() for body in module.ASSETS}


def fingerprints(settings: Settings) -> Fingerprints:
    """Return the fingerprint of each table's definition; none if the mapping cannot be used, which a run will say.

    For a warehouse that has none of its own they are in the user's cache: to compute them takes 1 s.
    """
    known = known_fingerprints(settings)
    if known is None:
        try:
            text = Statements.of_user().kept(key_of(settings).encode(), lambda: json.dumps(compute(settings)))
        except SourceError:
            return {}
        known = json.loads(text)
        keep_fingerprints(settings, known)
    return known


def compute(settings: Settings) -> Fingerprints:
    """Compute the fingerprint of each table's definition.

    Raises:
        SourceError: the mapping cannot be used.
    """
    mapping = mapping_of(settings)
    with fixed_warehouse(settings) as warehouse:

        @functools.cache
        def fingerprint(name: str) -> str:
            table = TABLES[name]
            if name in LOADED:
                made, inputs = _loader(table, mapping), list[str]()
            else:
                made, inputs = _made(warehouse, BODIES[name]), _inputs(BODIES[name])
            return fingerprint_of([_contract(table), settings.timezone, made, [fingerprint(each) for each in inputs]])

        return {name: fingerprint(name) for name in TABLES}


def _contract(table: Table) -> list[Any]:
    columns = [(column.name, column.type, column.required) for column in table.columns]
    partition = table.partition and (table.partition.column, table.partition.is_written)
    return [table.name, table.kind, table.key, columns, partition]


def _loader(table: Table, mapping: StoreMapping) -> list[str]:
    """Return by which rules the rows of a loaded table are made; those of all loaders where it has none of its own."""
    observed = "raw_products" if table.name == "raw_observations" else table.name
    own = [source for source in SOURCE_TABLES.values() if source.target == observed]
    return [source.read_by(mapping) for source in own or SOURCE_TABLES.values()]


def _inputs(body: Body) -> list[str]:
    return sorted(inspect.signature(body).parameters.keys() & TABLES.keys())


def _made(warehouse: Warehouse, body: Body) -> list[str]:
    """Return what a function makes in a run over everything, and in one over what changed if it tells them apart."""
    whole = _call(warehouse, body, context_of(only_changed=False))
    changed = _call(warehouse, body, context_of(only_changed=True)) if isinstance(whole, Since) else None
    return [_text(made) for made in (whole, changed) if made is not None]


def _call(warehouse: Warehouse, body: Body, context: FixedContext) -> Any:
    """Call a function with the inputs that the IO manager would give it, where no row is stored."""
    given: dict[str, Any] = {"context": context, "warehouse": warehouse}
    parameters = inspect.signature(body).parameters
    weeks = run_weeks(context, warehouse.settings)
    for name in _inputs(body):
        table, reader = TABLES[name], TABLES[body.__name__]
        if parameters[name].annotation is pd.DataFrame:
            given[name] = frame_of(warehouse, table)
        elif table.week_column and reader.week_column:
            given[name] = table.rows_of(weeks)
        else:
            end = end_of_counted(table, warehouse.calendar, RUN_AS_OF)
            given[name] = before(table.unbound(), table, end) if table.instant else table.unbound()
    return body(**{name: given[name] for name in parameters})


def _text(made: ibis.Table | Since | pd.DataFrame) -> str:
    if isinstance(made, Since):
        return f"since {made.column}: {to_sql(made.rows)}"
    return str(made.to_csv(index=False)) if isinstance(made, pd.DataFrame) else to_sql(made)
