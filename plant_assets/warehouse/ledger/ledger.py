"""The ledger of an open warehouse."""

from dataclasses import dataclass

import duckdb

from plant_assets.calendar import Calendar
from plant_assets.warehouse.fingerprints import Fingerprints
from plant_assets.warehouse.ledger.checks import Checks
from plant_assets.warehouse.ledger.definitions import Definitions
from plant_assets.warehouse.ledger.due import Due
from plant_assets.warehouse.ledger.facts import Facts
from plant_assets.warehouse.ledger.loads import Loads
from plant_assets.warehouse.ledger.prices import Prices
from plant_assets.warehouse.ledger.writes import Writes


@dataclass(frozen=True)
class Ledger:
    """All bookkeeping of a warehouse, by what it is about."""

    checks: Checks
    definitions: Definitions
    due: Due
    facts: Facts
    loads: Loads
    prices: Prices
    writes: Writes


def open_ledger(connection: duckdb.DuckDBPyConnection, calendar: Calendar, fingerprints: Fingerprints | None) -> Ledger:
    """Return the ledger of the warehouse that a connection uses; `fingerprints` are those in force, if known."""
    definitions = Definitions(connection, fingerprints)
    return Ledger(
        Checks(connection),
        definitions,
        Due(connection),
        Facts(connection),
        Loads(connection),
        Prices(connection),
        Writes(connection, calendar, definitions),
    )
