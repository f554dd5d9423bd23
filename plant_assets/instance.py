"""Dagster's records of one warehouse: the home beside it, with its settings."""

import os
from importlib.resources import files

from plant_assets.settings import Settings
from plant_assets.storage import write_atomically

SETTINGS_FILE = "dagster.yaml"
# A tick reads what is new in the source before it requests its run.
TICK_SECONDS = "600"


def prepare_home(settings: Settings) -> None:
    """Make the warehouse's DAGSTER_HOME and point this process and its children to it."""
    home = settings.dagster_home
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    wanted = files("plant_assets").joinpath(SETTINGS_FILE).read_text()
    if not (home / SETTINGS_FILE).exists() or (home / SETTINGS_FILE).read_text() != wanted:
        write_atomically(home / SETTINGS_FILE, wanted)
    os.environ.update(environment(settings))


def environment(settings: Settings) -> dict[str, str]:
    """The variables that make any Dagster command use this warehouse and its records."""
    return {
        **settings.environment(),
        "DAGSTER_HOME": str(settings.dagster_home),
        "DAGSTER_SCHEDULE_GRPC_TIMEOUT_SECONDS": TICK_SECONDS,
        "PYTHONWARNINGS": "ignore",
    }
