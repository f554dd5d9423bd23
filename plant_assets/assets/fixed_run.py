"""One fixed run of nothing, which asset functions are called in to know their expressions without a store's data.

Its warehouse is in memory. Everything is written once, and then some weeks and observations once more, so that a run
over what changed has a bound. Only the settings of meaning are the store's.
"""

import contextlib
import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pandas as pd

from plant_assets.contracts import COUNT, DATE, FLAG, ID, INSTANT, LOADED, PRICE, TABLES, TEXT, WEEKLY, Table
from plant_assets.contracts.types import FRACTION, PERCENT
from plant_assets.orchestration.partitions import AS_OF, ONLY_CHANGED, range_tags
from plant_assets.settings import Settings
from plant_assets.sources.mapping_file import mapping_of
from plant_assets.sql import identifier
from plant_assets.warehouse.duckdb import DuckDBEngine
from plant_assets.warehouse.fingerprints import OF_MEANING
from plant_assets.warehouse.open import open_empty
from plant_assets.warehouse.warehouse import Warehouse

# Clocks change on 10 and 31 March.
FIRST, LAST = dt.date(2024, 1, 1), dt.date(2024, 4, 1)
CHANGED = dt.date(2024, 3, 4)
RUN_AS_OF = dt.datetime(2024, 4, 3, 6)
OBSERVED = (dt.datetime(2024, 1, 3), dt.datetime(2024, 2, 7), dt.datetime(2024, 3, 6))
# Rows of a frame that an asset is given: with zeros, ties and, if allowed, NULLs. `i` is the row, `n` the column.
_ROWS = 12
_VALUES = {
    COUNT: "((i * i * 7 + {n} * 5) % 9)::bigint",
    DATE: "date '2024-01-01' + (7 * i)::integer",
    FLAG: "(i + {n}) % 2 = 0",
    FRACTION: "((i * 7 + {n} * 3) % 11) / 8.0",
    ID: "'t' || i",
    INSTANT: "timestamp '2024-01-01' + to_hours(((i * 37 + {n}) % 1000)::integer)",
    PERCENT: "((i * 31 + {n} * 17) % 101)::integer",
    PRICE: "((i * 7 + {n}) % 13)::decimal(18, 4)",
    TEXT: "'t' || i",
}


@dataclass(frozen=True)
class FixedContext:
    """What asset functions use of Dagster's context."""

    run: dg.DagsterRun
    partition_key_range: dg.PartitionKeyRange
    # The run's tags say when it is as of, so that no records are asked.
    instance: None = None


class _InPortions(DuckDBEngine):
    """The engine for rows that are too many to group at once."""

    def portions(self, name: str) -> int:
        """Return the fewest portions that are not all rows."""
        return 2


def context_of(only_changed: bool) -> FixedContext:
    """Return the context of the run: over everything, or over what changed."""
    tags = {**range_tags(FIRST, LAST), AS_OF: RUN_AS_OF.isoformat()} | ({ONLY_CHANGED: "yes"} if only_changed else {})
    return FixedContext(
        dg.DagsterRun(job_name="fixed", run_id="fixed", tags=tags),
        dg.PartitionKeyRange(FIRST.isoformat(), LAST.isoformat()),
    )


@contextlib.contextmanager
def fixed_warehouse(settings: Settings) -> Iterator[Warehouse]:
    """Open the warehouse of the run.

    Raises:
        SourceError: the mapping cannot be used.
    """
    others = {name: field.default for name, field in Settings.model_fields.items() if name not in OF_MEANING}
    source = None if settings.is_sample else "fixed"
    fixed = others | {"source": source, "warehouse": Path("/fixed/w.duckdb"), "start": FIRST}
    with open_empty(settings.model_copy(update=fixed)) as warehouse:
        warehouse.ledger.facts.remember(stages=",".join(mapping_of(settings).stages))
        warehouse.engine = _InPortions(warehouse.connection, warehouse.settings)
        with warehouse.transaction():
            _fill(warehouse)
        yield warehouse


def frame_of(warehouse: Warehouse, table: Table) -> pd.DataFrame:
    """Return fixed rows of a table, as a frame of the warehouse."""
    columns = []
    for number, column in enumerate(table.columns):
        value = _VALUES[column.type].format(n=number)
        if not column.required and column.name not in table.key:
            value = f"if((i + {number}) % 5 = 4, null, {value})"
        columns.append(f"{value} as {identifier(column.name)}")
    return warehouse.execute(f"select {', '.join(columns)} from range({_ROWS}) as rows(i)").df()


def _fill(warehouse: Warehouse) -> None:
    *before, last = OBSERVED
    for at in before:
        _observe(warehouse, at)
    for name in TABLES:
        warehouse.ledger.writes.record(name, "fixed", [FIRST, CHANGED, LAST] if name in WEEKLY else None)
    for name in {*WEEKLY, *LOADED}:
        warehouse.ledger.writes.record(name, "fixed", [CHANGED])
    _observe(warehouse, last)


def _observe(warehouse: Warehouse, at: dt.datetime) -> None:
    warehouse.execute("insert into raw_observations values (?, 'products/fixed.csv', 1)", [at])
    warehouse.ledger.loads.account_observation(at, "products/fixed.csv", "", 1, "fixed")
