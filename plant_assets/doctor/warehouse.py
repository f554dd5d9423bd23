"""A look at the warehouse: at what lies beside it, and at the published marts. A run may be writing it."""

import datetime as dt
from pathlib import Path

from plant_assets.contracts import LOADED
from plant_assets.doctor.found import Diagnosis, Lines
from plant_assets.settings import Settings, UsageError
from plant_assets.text import counted
from plant_assets.warehouse.catalog import Catalog
from plant_assets.warehouse.fingerprints import Fingerprints
from plant_assets.warehouse.ledger.definitions import Definitions
from plant_assets.warehouse.ledger.writes import Writes
from plant_assets.warehouse.marts import open_marts

_UNKNOWN = [("definitions", "none kept yet: the next run makes again all that is made of loaded tables, once")]
# Where DuckDB's mark stands in its files.
MAGIC = slice(8, 12)
_IS_UNOBSERVED = "select sum(hours_observed) = 0 from inventory"


def look_at_warehouse(settings: Settings, diagnosis: Diagnosis, found: Fingerprints) -> dt.datetime | None:
    """Tell what is known of the warehouse without opening it; when its marts were published.

    `found` has the definitions in force.
    """
    lines: Lines = []
    diagnosis.sections["Warehouse"] = lines
    if not settings.warehouse_path.exists():
        lines.append(("file", "none yet"))
        return None
    if not is_database(settings.warehouse_path):
        lines.append(("file", "no warehouse"))
        diagnosis.error = UsageError(
            f"{settings.warehouse_path} is no warehouse, since it is no DuckDB file: name another as --warehouse"
        )
        diagnosis.odd.append(str(diagnosis.error))
        return None
    lines.append(("file", f"{settings.warehouse_path.stat().st_size / 1e6:.1f} MB"))
    for name, label in (("source", "store"), ("timezone", "time zone"), ("first_week", "first week")):
        if known := settings.remembered(name):
            lines.append((label, known))
    if not settings.marts_path.exists():
        lines.append(("published", "nothing yet"))
        return None
    published = dt.datetime.fromtimestamp(settings.marts_path.stat().st_mtime, dt.UTC)
    with open_marts(settings) as marts:
        definitions = Definitions(marts.connection, found)
        writes = Writes(marts.connection, settings.calendar, definitions)
        weeks, run_id = writes.weeks(["raw_events"]), writes.last_run()
        older = _older(definitions) if definitions.are_kept() else _UNKNOWN
        if "hours_observed" in Catalog(marts.connection).column_types("inventory") and marts.value(_IS_UNOBSERVED):
            diagnosis.odd.append(
                f"no two observations of the products are within {settings.max_gap_hours:g} hours of each other, so"
                " what happened to stock between them is not known: raise PLANT_MAX_GAP_HOURS to the time between two,"
                " or observe more often"
            )
    lines += [
        ("published", f"{published:%Y-%m-%d %H:%M:%S} UTC, {len(weeks)} weeks, the last {max(weeks, default=None)}"),
        ("last run", str(run_id)),
        *older,
    ]
    return published


def _older(definitions: Definitions) -> Lines:
    """Return what another definition wrote, a line per table."""
    weeks, loaded = definitions.older_weeks(), definitions.older_weeks(LOADED)
    made = [(name, f"{counted(len(weeks[name]), 'week')} by an older definition: due") for name in weeks]
    made += [(name, "by an older definition: due") for name in definitions.older_tables()]
    stays = "by older rules: they stay as loaded where their source is gone"
    return made + [(name, f"{counted(len(loaded[name]), 'week')} {stays}") for name in loaded]


def is_database(path: Path) -> bool:
    """Tell whether a file begins as DuckDB's files do."""
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        return stream.read(MAGIC.stop)[MAGIC] == b"DUCK"
