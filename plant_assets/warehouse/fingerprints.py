"""The fingerprints of the tables' definitions, kept beside the warehouse: which are in force, and where they are kept.

They are computed in `assets/fingerprints.py`. The file can be read while a run holds the warehouse: code locations load
then. It is no part of the warehouse: without it, fingerprints are computed again.
"""

import functools
import hashlib
import importlib.metadata
import json
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import plant_assets
from plant_assets.atomic import write_atomically
from plant_assets.settings import Settings

# What prints SQL, or computes what is digested.
DEPENDENCIES = ("duckdb", "ibis-framework", "pandas", "sqlglot")
# The settings that assets may use. A run has all others only to load, to check or to say something.
OF_MEANING = ("timezone", "fluctuation_weeks", "max_gap_hours", "ship_limit_days", "mapping")

# By table.
Fingerprints = Mapping[str, str]
# A process that may keep no file computes them once.
_COMPUTED: dict[str, Fingerprints] = {}


def fingerprint_of(parts: Any) -> str:
    """Return the fingerprint of what these parts make: 12 hex digits."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]


def known_fingerprints(settings: Settings) -> Fingerprints | None:
    """Return the fingerprint of each table's definition in this code and with these settings; None if not computed."""
    key = key_of(settings)
    if key not in _COMPUTED:
        try:
            kept = json.loads(_path(settings).read_text())
        except (OSError, ValueError):
            return None
        if kept.get("key") != key:
            return None
        _COMPUTED[key] = kept["fingerprints"]
    return _COMPUTED[key]


def keep_fingerprints(settings: Settings, found: Fingerprints) -> None:
    """Keep the fingerprints for this and other processes; only for this one while the warehouse has no records."""
    key = key_of(settings)
    _COMPUTED[key] = found
    if settings.dagster_home.is_dir():
        write_atomically(_path(settings), json.dumps({"key": key, "fingerprints": found}, indent=1))


def _path(settings: Settings) -> Path:
    return settings.dagster_home / "definitions.json"


def key_of(settings: Settings) -> str:
    """Return a digest of all that fingerprints depend on: the package, its dependencies and settings."""
    mapping = settings.mapping if settings.mapping and not settings.is_sample else None
    given = {name: str(getattr(settings, name)) for name in OF_MEANING} | {"mapping": _content(mapping)}
    return hashlib.sha256(json.dumps([_code(), given], sort_keys=True).encode()).hexdigest()


def _content(path: Path | None) -> str:
    try:
        return path.read_text() if path else ""
    except (OSError, ValueError) as error:
        return str(error)


@functools.cache
def _code() -> str:
    """Return a digest of the package's files and the versions of its dependencies, once per process.

    The files are read whole, which takes 3 ms: size and time of a file do not tell whether an installer that sets
    times replaced it.
    """
    digest, root = hashlib.sha256(), Path(plant_assets.__file__).parent
    for folder, folders, names in os.walk(root):
        folders.sort()
        for name in sorted(names):
            if name.endswith(".py"):
                path = Path(folder, name)
                digest.update(f"{path.relative_to(root)}\n".encode() + path.read_bytes())
    versions = [f"{name} {importlib.metadata.version(name)}" for name in DEPENDENCIES]
    digest.update("\n".join([platform.python_version(), *versions]).encode())
    return digest.hexdigest()
