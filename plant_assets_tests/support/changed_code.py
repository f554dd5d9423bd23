"""Copies of the package whose code was changed, and commands that run them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import plant_assets

ROOT = Path(plant_assets.__file__).parent


def copy_package(folder: Path, *changes: tuple[str, str, str]) -> Path:
    """Copy the package to a folder, with changes: a module's path, what it says once, and what it shall say."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT, folder / "plant_assets", ignore=ignored)
    for module, old, new in changes:
        path = folder / "plant_assets" / module
        text = path.read_text()
        assert text.count(old) == 1, (module, old, text.count(old))
        path.write_text(text.replace(old, new))
    return folder


def command(code: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the package in a folder."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PLANT_")}
    return subprocess.run(
        [sys.executable, "-m", "plant_assets.cli", *arguments],
        cwd=code,
        env=environment | {"PYTHONPATH": str(code), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
