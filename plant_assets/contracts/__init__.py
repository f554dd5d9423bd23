"""The contract of each table: columns, types, key and partition. A module per domain.

The warehouse's DDL, the blocking contract checks, the column schema in the UI and the docs are made from it. The
purpose and grain of a table are in the docstring of its asset.
"""

from plant_assets.contracts import demand, events, funnel, inventory, raw, sales
from plant_assets.contracts.shared import (
    FEWEST_VIEWS,
    FROM_HISTORY,
    ORDER_STAGES,
    PRUNED,
    RATES,
    STAGES,
    THE_WEEK,
    UNKNOWN_PRODUCT,
    UNTIL_WEEK,
    VERSIONS,
    WHOLE_DAYS,
)
from plant_assets.contracts.types import COUNT, DATE, FLAG, ID, INSTANT, MONEY, PRICE, SQL_TYPES, TEXT, Column, Table

__all__ = [
    "COUNT",
    "DATE",
    "FEWEST_VIEWS",
    "FLAG",
    "FROM_HISTORY",
    "ID",
    "INSTANT",
    "LOADED",
    "MARTS",
    "MONEY",
    "ORDER_STAGES",
    "PRICE",
    "PRUNED",
    "PUBLISHED",
    "RATES",
    "SQL_TYPES",
    "STAGES",
    "TABLES",
    "TEXT",
    "THE_WEEK",
    "UNKNOWN_PRODUCT",
    "UNTIL_WEEK",
    "VERSIONS",
    "WEEKLY",
    "WHOLE_DAYS",
    "Column",
    "Table",
]

TABLES = {
    table.name: table
    for table in (*raw.TABLES, *events.TABLES, *sales.TABLES, *inventory.TABLES, *funnel.TABLES, *demand.TABLES)
}
# What loads write; all other tables are assets of their own.
LOADED = tuple(table.name for table in raw.TABLES)
WEEKLY = tuple(name for name, table in TABLES.items() if table.week_column)
MARTS = tuple(name for name, table in TABLES.items() if table.layer == "mart")
# Views are made from these, which have to be there before them.
PUBLISHED = ("int_funnel_weeks", "int_product_demand", *MARTS)
