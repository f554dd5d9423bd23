"""Writes small files that readers never see half written. Database files are in `warehouse/database_files.py`."""

import os
from pathlib import Path


def write_atomically(path: Path, text: str) -> None:
    """Write a small file that only its owner can read; another reader sees the old or the new text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(text, encoding="utf-8")
    fresh.chmod(0o600)
    os.replace(fresh, path)
