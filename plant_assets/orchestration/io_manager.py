"""The IO manager: it writes what assets return to the warehouse, and reads their inputs from there."""

import datetime as dt

import ibis
import pandas as pd
from dagster import (
    InputContext,
    IOManager,
    OutputContext,
)
from dagster_duckdb_pandas import DuckDBPandasTypeHandler
from ibis.backends.sql.datatypes import DuckDBType

from plant_assets.calendar import Weeks
from plant_assets.contracts import TABLES, Table
from plant_assets.dagster_private import StepExecutionContext, TableSlice
from plant_assets.orchestration.lineage import column_lineage
from plant_assets.orchestration.metadata import data_version, stored_metadata, week_metadata
from plant_assets.orchestration.partitions import as_of_run, is_only_changed, request_id, run_weeks
from plant_assets.readers.pictures import pictured
from plant_assets.sql import identifier
from plant_assets.warehouse.marts import Marts
from plant_assets.warehouse.observations import counted
from plant_assets.warehouse.store import Since
from plant_assets.warehouse.warehouse import Warehouse

FRAME = "memory.frame_to_write"
NO_TYPE = '"NULL"'
# Types of frame columns, each with a contract type that holds all of its values.
_WIDENED = {
    ("INTEGER", "BIGINT"),
    ("TIMESTAMP_NS", "TIMESTAMP"),
    ("TIMESTAMP_S", "TIMESTAMP"),
    ("TIMESTAMP_MS", "TIMESTAMP"),
}


class WarehouseIOManager(IOManager):
    """Writes an asset's `ibis.Table` or frame to the table of its name, and returns inputs as unbound tables.

    A weekly asset writes and reads the weeks of the run. Every write is one transaction (`Warehouse.write`).
    """

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse
        self._stored = Marts(warehouse.connection, warehouse.settings)
        self._frames = DuckDBPandasTypeHandler()

    def handle_output(self, context: OutputContext, obj: ibis.Table | Since | pd.DataFrame) -> None:
        """Write what an asset returned, and add metadata: rows, column lineage, numbers and charts."""
        name = context.asset_key.to_user_string()
        weeks = self._weeks(context.step_context, TABLES[name]) if context.has_asset_partitions else None
        is_frame, since = isinstance(obj, pd.DataFrame), obj if isinstance(obj, Since) else None
        if isinstance(obj, pd.DataFrame):
            data = self._from_frame(context, obj)
        else:
            data = obj.rows if isinstance(obj, Since) else obj
        run_id = request_id(context.step_context.instance, context.step_context.dagster_run)
        written = self._warehouse.write(name, data, run_id, weeks, since)
        is_only_due = is_only_changed(context.step_context.dagster_run)
        is_quick = TABLES[name].is_grouped or (is_only_due and TABLES[name].is_view)
        metadata = stored_metadata(self._warehouse, name, None if is_quick else written)
        if not is_frame:
            metadata = {**metadata, "dagster/column_lineage": column_lineage(name, data)}
        # The frame handler has already added the row count.
        given = context.consume_logged_metadata() if is_frame else {}
        context.add_output_metadata({**given, **metadata, **({} if weeks else pictured(self._stored, name))})
        if weeks:
            self._note_weeks(context.step_context, name)
        else:
            context.step_context.set_data_version(context.asset_key, data_version(self._warehouse, name))

    def _note_weeks(self, context: StepExecutionContext, name: str) -> None:
        """Add each week's numbers to its partition, and the rows and chart of the last week."""
        weeks = run_weeks(context, self._warehouse.settings)
        for key, counted_rows in week_metadata(self._warehouse, name, weeks):
            week = dt.date.fromisoformat(key)
            shown = pictured(self._stored, name, week, is_drawn=week == weeks.last)
            context.add_asset_metadata({**counted_rows, **shown}, partition_key=key)

    def load_input(self, context: InputContext) -> ibis.Table | pd.DataFrame:
        """Return a frame if the asset asks for one, else an unbound table of the rows that the run may use."""
        table = TABLES[context.asset_key.to_user_string()]
        if context.dagster_type.typing_type is pd.DataFrame:
            table_slice = TableSlice(table=table.name, schema="warehouse.analytics", columns=table.names)
            return self._frames.load_input(context, table_slice, self._warehouse.connection)
        reader = TABLES.get(context.op_def.name)
        if table.week_column and reader and reader.week_column:
            return table.rows_of(self._weeks(context.step_context, reader))
        step = context.step_context
        return counted(self._warehouse, table, as_of_run(step.dagster_run, step.instance))

    def _weeks(self, context: StepExecutionContext, table: Table) -> Weeks:
        """Return the run's weeks to write; of a table made week by week, only those older than their input."""
        weeks = run_weeks(context, self._warehouse.settings)
        if table.follows and is_only_changed(context.dagster_run):
            return self._warehouse.ledger.writes.weeks_behind(table, weeks)
        return weeks

    def _from_frame(self, context: OutputContext, frame: pd.DataFrame) -> ibis.Table:
        """Return a frame as an expression, with the contract's types where the engine can widen without loss."""
        connection, table = self._warehouse.connection, TABLES[context.asset_key.to_user_string()]
        if frame.empty:
            typed = frame.astype(dict.fromkeys(frame.columns, "object"))
            return ibis.table(
                {name: table.schema.get(name, "string") for name in typed.columns}, name=table.name
            ).limit(0)
        connection.execute(f"drop table if exists {FRAME}")
        catalog, name = FRAME.split(".")
        table_slice = TableSlice(table=name, schema=catalog, columns=list(frame.columns))
        self._frames.handle_output(context, table_slice, frame, connection)
        given = {row[0]: row[1] for row in connection.execute(f"describe {FRAME}").fetchall()}
        wanted = {column.name: column.sql_type for column in table.columns}
        types = {
            name: wanted[name] if (kind, wanted.get(name)) in _WIDENED or (kind == NO_TYPE and name in wanted) else kind
            for name, kind in given.items()
        }
        casts = ", ".join(f"{identifier(name)}::{kind} as {identifier(name)}" for name, kind in types.items())
        connection.execute(f"create or replace temp view written_frame as select {casts} from {FRAME}")
        schema = {
            name: table.schema[name] if kind == wanted.get(name) else DuckDBType.from_string(kind)
            for name, kind in types.items()
        }
        return ibis.table(schema, name="written_frame")
