"""The report of `doctor`: configuration, source, warehouse, oddities, and the next command.

`source.py` and `warehouse.py` look at the source and the warehouse.
"""

import datetime as dt
import shlex

from plant_assets.assets.fingerprints import fingerprints
from plant_assets.doctor.found import Diagnosis, Lines
from plant_assets.doctor.source import look_at_source
from plant_assets.doctor.warehouse import look_at_warehouse
from plant_assets.orchestration.alerts import is_known_address
from plant_assets.settings import PREFIX, Settings, UsageError
from plant_assets.sources.errors import SourceError
from plant_assets.sources.mapping import NONE, StoreMapping
from plant_assets.sources.mapping_file import mapping_of, require_mapped_source
from plant_assets.version import versions
from plant_assets.warehouse.ledger.facts import require_same_store

# What comes next where no command helps.
NAME_SOURCE = "name the source that PLANT_MAPPING maps as --source or PLANT_SOURCE, or do not set PLANT_MAPPING"
CORRECT = "correct this in the source, or in what PLANT_MAPPING says of it (docs/your-own-store.md)"


def diagnose(settings: Settings, as_of: dt.datetime, options: list[str], lists_rejected: bool = False) -> Diagnosis:
    """Look at settings, source and warehouse as of an instant; the next command repeats `options`.

    With `lists_rejected`, the rejected rows are a section.
    """
    diagnosis = Diagnosis()
    diagnosis.sections["Configuration"] = _configuration(settings)
    last_change = None
    try:
        require_mapped_source(settings)
        mapping = mapping_of(settings)
        diagnosis.sections["Configuration"] += _mapping(settings, mapping)
        if settings.is_sample and not settings.source_path.exists():
            diagnosis.sections["Source"] = [("sample store", "not written yet: the first run writes it")]
        else:
            last_change = look_at_source(settings, mapping, as_of, diagnosis, lists_rejected)
        require_same_store(settings, settings.remembered)
    except (SourceError, UsageError) as error:
        diagnosis.error = error
        diagnosis.odd.append(str(error))
    is_mismatch = bool(diagnosis.error)
    if lists_rejected:
        diagnosis.sections["Rejected"] = diagnosis.rejected or [("-", "nothing")]
    if settings.alert_url and not is_known_address(settings.alert_url.get_secret_value()):
        diagnosis.odd.append("PLANT_ALERT_URL is not a URL that Apprise supports, so nobody is told of failed runs")
    published = look_at_warehouse(settings, diagnosis, fingerprints(settings))
    does = "run"
    if isinstance(diagnosis.error, SourceError) or (diagnosis.error and not is_mismatch):
        does = "" if lists_rejected or not diagnosis.rejected else "doctor --rejected"
    elif diagnosis.error:
        does = "run --accept-source"
    elif published and (last_change is None or last_change < published):
        does = "answers"
    correct = NAME_SOURCE if settings.mapping and settings.is_sample else CORRECT
    diagnosis.next_command = " ".join(["plant-assets", does, *map(shlex.quote, options)]) if does else correct
    return diagnosis


def _configuration(settings: Settings) -> Lines:
    lines = [
        (PREFIX + name.upper(), str(getattr(settings, name)))
        for name in type(settings).model_fields
        if name in settings.model_fields_set and name not in ("source", "warehouse", "mapping")
    ]
    return [
        ("versions", versions()),
        ("source", f"{settings.source_name}{' (the sample store)' if settings.is_sample else ''}"),
        ("warehouse", str(settings.warehouse_path)),
        *([("engine", f"{settings.warehouse}, tables in {settings.tables_path}")] if settings.spark_master else []),
        *lines,
    ]


def _mapping(settings: Settings, mapping: StoreMapping) -> Lines:
    if settings.mapping is None or settings.is_sample:
        return [("mapping", NONE)]
    return [("mapping", str(settings.mapping)), ("stages", ", ".join(mapping.stages))]
