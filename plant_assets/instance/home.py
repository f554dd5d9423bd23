"""The DAGSTER_HOME of one warehouse: a folder next to it with `dagster.yaml`, and the variables that name it.

Which runs are alive is in `liveness.py`.
"""

import contextlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator, Sequence
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import filelock

from plant_assets.atomic import write_atomically
from plant_assets.postgres_url import PostgresUrl
from plant_assets.settings import Settings, UsageError
from plant_assets.sources.errors import SourceError
from plant_assets.warehouse.lock import held_by_path, lock_path

SETTINGS_FILE = "dagster.yaml"
# The code location, by the name that plain `dagster` commands give it.
LOCATION = "plant_assets.definitions"
# If the records are in a database: its URL, and the id of the warehouse there.
RECORDS_FILE = "records.json"
# The variable that makes `compute_logs.py` capture output. Services set it.
CAPTURE = "PLANT_CAPTURE_LOGS"


def prepare_home(settings: Settings, is_at_warehouse: bool = True) -> None:
    """Make the warehouse's DAGSTER_HOME, and set the variables that point this process and its children to it.

    If the records are in a database, check it first. A process `is_at_warehouse` claims an unowned database; a web
    server or daemon does not, because it may run on another machine.

    Raises:
        UsageError: the records are elsewhere than PLANT_RECORDS says, or cannot be used.
    """
    home = settings.dagster_home
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    _require_records(settings, is_at_warehouse)
    kind = "postgres" if settings.records else "sqlite"
    wanted = "\n".join(
        files("plant_assets.instance").joinpath(name).read_text() for name in (SETTINGS_FILE, f"storage-{kind}.yaml")
    )
    wanted = wanted.replace("base_dir: DAGSTER_HOME", f"base_dir: {json.dumps(str(home))}")
    if not (home / SETTINGS_FILE).exists() or (home / SETTINGS_FILE).read_text() != wanted:
        write_atomically(home / SETTINGS_FILE, wanted)
    os.environ.update(environment(settings))


@contextlib.contextmanager
def nothing_left_if_refused(settings: Settings) -> Iterator[None]:
    """Remove the files that the body made for a warehouse if it raises a UsageError or SourceError.

    Files that were there before stay. While another process holds the warehouse, all files stay.
    """
    path, lock = settings.warehouse_path, lock_path(settings)
    possible = [path, path.with_name(path.name + ".wal"), path.with_name(path.name + ".tmp"), settings.dagster_home]
    possible += [lock, held_by_path(settings), *([settings.source_path] if settings.is_sample else [])]
    made = [each for each in possible if not each.exists()]
    folders = {folder for each in made for folder in each.parents if not folder.exists()}
    try:
        yield
    except (UsageError, SourceError):
        if path.parent.exists():
            _remove_made(lock, made, sorted(folders, reverse=True))
        raise


def _remove_made(lock: Path, made: Sequence[Path], folders: Sequence[Path]) -> None:
    with contextlib.suppress(filelock.Timeout), filelock.FileLock(lock, timeout=0, mode=0o600):
        for each in made:
            if each.is_dir():
                shutil.rmtree(each)
            else:
                each.unlink(missing_ok=True)
    for folder in folders:
        # A folder stays if another command has put something into it.
        with contextlib.suppress(OSError):
            folder.rmdir()


def _require_records(settings: Settings, is_at_warehouse: bool) -> None:
    facts_path = settings.dagster_home / RECORDS_FILE
    facts = json.loads(facts_path.read_text()) if facts_path.exists() else {}
    if settings.records is None:
        if facts:
            raise UsageError(
                f"the records of {settings.warehouse_path} are in the database {facts['database']}: set PLANT_RECORDS,"
                f" or remove {facts_path} to start new records next to the warehouse"
            )
        return
    if not find_spec("dagster_postgres"):
        raise UsageError("PLANT_RECORDS needs an extra: python -m pip install 'plant-assets[postgres]'")
    from plant_assets.instance.postgres_storage import require_own

    url = PostgresUrl(settings.records.get_secret_value())
    new_id = str(uuid.uuid4()) if is_at_warehouse else None
    own_id = require_own(url, settings.warehouse_path, facts.get("id"), new_id)
    wanted = {"id": own_id, "database": url.shown}
    if own_id and facts != wanted:
        write_atomically(facts_path, json.dumps(wanted))


def environment(settings: Settings) -> dict[str, str]:
    """Return the variables that make any Dagster command use this warehouse and its records."""
    return {**settings.environment(), "DAGSTER_HOME": str(settings.dagster_home)}


def service_environment(settings: Settings) -> dict[str, str]:
    """Return the variables of `dev` and `serve`: `environment`, captured output, no warnings."""
    return {**environment(settings), CAPTURE: "yes", "PYTHONWARNINGS": "ignore"}
