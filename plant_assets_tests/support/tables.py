"""All that a warehouse holds, as values that compare: what a run may write anew left out."""

from typing import Any

from plant_assets.contracts import ID, TABLES
from plant_assets.settings import Settings
from plant_assets.warehouse.marts import open_marts
from plant_assets.warehouse.open import open_warehouse


def rows(settings: Settings, statement: str, parameters: Any = None) -> list[tuple[Any, ...]]:
    """The rows of a statement on the warehouse."""
    with open_warehouse(settings) as warehouse:
        return warehouse.rows(statement, parameters)


def mart_rows(settings: Settings, statement: str) -> list[tuple[Any, ...]]:
    """The rows of a statement on the published marts."""
    with open_marts(settings) as marts:
        return marts.rows(statement)


def contents(settings: Settings, without: tuple[str, ...] = ()) -> dict[str, list[tuple[Any, ...]]]:
    """Every table of the contract, its rows in order, ids as text; `rejected_at` is when, not what."""
    with open_warehouse(settings) as warehouse:
        return {
            name: warehouse.rows(
                "select "
                + ", ".join(
                    f"{column.name}::varchar" if column.type == ID else column.name
                    for column in table.columns
                    if column.name != "rejected_at"
                )
                + f" from {name} order by all"
            )
            for name, table in TABLES.items()
            if name not in without
        }
