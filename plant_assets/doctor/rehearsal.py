"""The rehearsal of a run: its plan, against a copy of the warehouse or a new one, both removed at once."""

import contextlib
import datetime as dt
import logging
import shutil
import tempfile
from pathlib import Path

import duckdb

from plant_assets.doctor.found import Diagnosis
from plant_assets.doctor.warehouse import is_database
from plant_assets.ingest.wording import rejected_in_words
from plant_assets.orchestration.jobs import plan_run
from plant_assets.settings import Settings
from plant_assets.sources.errors import SourceError
from plant_assets.sources.tables import SOURCE_TABLES
from plant_assets.sql import literal
from plant_assets.warehouse.database_files import LOGS
from plant_assets.warehouse.open import open_warehouse
from plant_assets.warehouse.store import STAGED

# A run's warnings are about its warehouse.
_SILENT = logging.getLogger("plant_assets.doctor")
_SILENT.addHandler(logging.NullHandler())
_SILENT.propagate = False


def rehearse(settings: Settings, as_of: dt.datetime, diagnosis: Diagnosis, lists_rejected: bool) -> None:
    """Plan a run into a copy of the warehouse; note the rows that it rejects, or all of the source if they are listed.

    Raises:
        SourceError: a run would refuse the source.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "warehouse.duckdb"
        tried = settings.model_copy(update={"warehouse": path, "tables": None})
        why_not = _copy_warehouse(settings, path)
        if lists_rejected and path.exists():
            # A run does not read unchanged files again.
            whole = settings.model_copy(update={"warehouse": Path(folder) / "whole.duckdb", "tables": None})
            with contextlib.suppress(SourceError):
                _plan(whole, as_of, Diagnosis(), diagnosis)
        diagnosis.odd += why_not
        _plan(tried, as_of, diagnosis, diagnosis)


def _plan(settings: Settings, as_of: dt.datetime, diagnosis: Diagnosis, rejected: Diagnosis) -> None:
    with open_warehouse(settings, _SILENT) as warehouse:
        try:
            planned = plan_run(warehouse, as_of, _SILENT, extends_sample=False)
            diagnosis.odd += planned.load.store_weeks.gaps()
        finally:
            rejected.rejected = rejected.rejected or [
                (name, words)
                for name in SOURCE_TABLES
                if warehouse.catalog.has(STAGED + name)
                for words in rejected_in_words(warehouse, name)
            ]


def _copy_warehouse(settings: Settings, path: Path) -> list[str]:
    """Copy the warehouse of the same store to a path; return why it could not be copied, or nothing."""
    stored = settings.warehouse_path
    is_other = any(settings.remembered(name) not in (None, value) for name, value in settings.store().items())
    if not is_database(stored) or is_other or settings.spark_master:
        return []
    if shutil.disk_usage(path.parent).free < 2 * stored.stat().st_size:
        return [
            f"{path.parent} has no room for a copy of the warehouse: the source was not compared with what is loaded"
        ]
    with duckdb.connect() as connection:
        try:
            # While it is attached no other process writes it.
            connection.execute(f"attach {literal(str(stored))} as stored (read_only)")
        except duckdb.Error as error:
            reason = str(error).strip().splitlines()[0]
            return [f"the warehouse cannot be read, so the source was not compared with what is loaded: {reason}"]
        for suffix in ("", *LOGS):
            with contextlib.suppress(FileNotFoundError):
                shutil.copyfile(f"{stored}{suffix}", f"{path}{suffix}")
    return []
