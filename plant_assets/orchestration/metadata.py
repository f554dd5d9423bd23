"""Metadata of a table for the UI: columns and row counts. Numbers and charts are in `readers/pictures.py`."""

from collections.abc import Iterator, Mapping
from typing import Any

from dagster import (
    DataVersion,
    TableColumn,
    TableColumnConstraints,
    TableConstraints,
    TableSchema,
)

from plant_assets.calendar import Weeks
from plant_assets.contracts import TABLES, Table
from plant_assets.orchestration.partitions import KEY_FORMAT
from plant_assets.warehouse.warehouse import Warehouse

# Only the last weeks of a run get metadata, because each week is an event of its own.
MOST_WEEKS = 8


def column_schema(table: Table) -> TableSchema:
    """Return the table's columns for the UI; a key of several columns becomes a constraint of the table."""
    is_composite = len(table.key) > 1
    return TableSchema(
        constraints=TableConstraints(other=[f"unique: {', '.join(table.key)}"]) if is_composite else None,
        columns=[
            TableColumn(
                name=column.name,
                type=column.sql_type,
                description=column.description,
                constraints=TableColumnConstraints(nullable=not column.required, unique=table.key == (column.name,)),
            )
            for column in table.columns
        ],
    )


def stored_metadata(warehouse: Warehouse, name: str, written: int | None) -> Mapping[str, Any]:
    """Return the metadata of a materialization: the table's name, its definition, its rows, and the rows written.

    Without `written` nothing is counted: counting the rows of a view would compute it over all of history.
    """
    found = {
        "dagster/table_name": f"{warehouse.settings.warehouse_path.stem}.analytics.{name}",
        "definition": warehouse.ledger.definitions.current.get(name, "unknown"),
    }
    if written is None:
        return found
    return {**found, "dagster/row_count": warehouse.engine.count_rows(name), "rows_written": written}


def data_version(warehouse: Warehouse, name: str) -> DataVersion:
    """Return the version of a table's rows: their definition, and the number of the write that made them."""
    definition = warehouse.ledger.definitions.current.get(name, "unknown")
    return DataVersion(f"{definition}.{warehouse.ledger.writes.number(name) or 0}")


def week_metadata(warehouse: Warehouse, name: str, weeks: Weeks) -> Iterator[tuple[str, Mapping[str, int]]]:
    """Yield the partition keys of a run's last weeks, each with its stored rows, counted in one scan."""
    table, noted = TABLES[name], weeks.weeks()[-MOST_WEEKS:]
    if not noted:
        return
    inside = f"{table.week_column} >= ? and {table.week_column} < ?"
    bounds = [bound for week in noted for bound in table.bounds(Weeks(weeks.calendar, week, week))]
    counts = ", ".join(f"count(*) filter (where {inside})" for _week in noted)
    [found] = warehouse.rows(f"select {counts} from {name} where {inside}", [*bounds, bounds[0], bounds[-1]])
    for week, count in zip(noted, found, strict=True):
        yield week.strftime(KEY_FORMAT), {"dagster/partition_row_count": count}
