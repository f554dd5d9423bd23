"""The versions that a bug report needs."""

import importlib.metadata
import platform
import subprocess
from pathlib import Path

from plant_assets import __version__

DEPENDENCIES = ("dagster", "duckdb", "ibis-framework", "pandas")


def version() -> str:
    """Return the version of the package; in a checkout with the commit, and `.dirty` where files differ from it."""
    root = Path(__file__).parents[1]
    if not (root / ".git").exists():
        return __version__
    describe = ["git", "-C", str(root), "describe", "--always", "--dirty=.dirty", "--exclude=*"]
    try:
        done = subprocess.run(describe, capture_output=True, text=True, check=False, timeout=5)
    except (OSError, subprocess.TimeoutExpired):
        return __version__
    return f"{__version__}+g{done.stdout.strip()}" if done.returncode == 0 else __version__


def versions() -> str:
    """Return the versions of the package, of Python and the dependencies that matter most, and the platform."""
    named = [f"{name} {importlib.metadata.version(name)}" for name in DEPENDENCIES]
    return f"plant-assets {version()}, Python {platform.python_version()}, {', '.join(named)}, {platform.platform()}"
