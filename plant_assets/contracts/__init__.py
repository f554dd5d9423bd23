"""One declaration per table: columns, types, key and slice, each beside those of its layer.

It feeds the warehouse's DDL, the blocking contract checks, the column schema in the UI and the docs. What a
table is for and its grain stand in its asset's docstring, not here.
"""

from plant_assets.contracts import events, funnel, inventory, raw
from plant_assets.contracts.shared import (
    FROM_HISTORY,
    ORDER_STAGES,
    PRUNED,
    RATES,
    STAGES,
    THE_WEEK,
    UNKNOWN_PRODUCT,
    UNTIL_WEEK,
)
from plant_assets.contracts.types import COUNT, DATE, FLAG, ID, INSTANT, PRICE, SQL_TYPES, TEXT, Column, Table

__all__ = [
    "COUNT",
    "DATE",
    "FLAG",
    "FROM_HISTORY",
    "ID",
    "INSTANT",
    "MARTS",
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
    "WEEKLY",
    "Column",
    "Table",
]

TABLES = {table.name: table for table in (*raw.TABLES, *events.TABLES, *inventory.TABLES, *funnel.TABLES)}
WEEKLY = tuple(name for name, table in TABLES.items() if table.week_column)
MARTS = tuple(name for name in TABLES if not name.startswith(("raw_", "int_")))
# The view funnel_until_week is made from int_funnel_weeks, which has to be there before it.
PUBLISHED = ("int_funnel_weeks", *MARTS)
