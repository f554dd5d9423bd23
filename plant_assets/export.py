"""The published marts as files, for tools that do not read DuckDB."""

import json
import os
import shutil
from pathlib import Path

from plant_assets.contracts import MARTS, TABLES
from plant_assets.settings import UsageError
from plant_assets.sql import literal
from plant_assets.storage import Warehouse

FORMATS = {"parquet": "format parquet, compression zstd", "csv": "format csv, header"}
MANIFEST = "export.json"


def export_marts(marts: Warehouse, directory: Path, file_format: str) -> dict[str, int]:
    """Write each mart to `<directory>/<table>.<format>`, and which run they are of to `export.json`; rows per table.

    The directory changes as a whole: an earlier export is moved away when the new one is written to its end.

    Raises:
        UsageError: the format is not known, or the directory holds something else than an export.
    """
    if file_format not in FORMATS:
        raise UsageError(f"--format {file_format} is not allowed: {' or '.join(FORMATS)}")
    directory = directory.expanduser().resolve()
    fresh, before = (directory.with_name(f".{directory.name}.{state}") for state in ("new", "before"))
    if before.exists() and not directory.exists():
        # An export that was killed between its two moves.
        os.replace(before, directory)
    if directory.exists() and any(directory.iterdir()) and not (directory / MANIFEST).exists():
        raise UsageError(f"{directory} holds files that are no export: name a new directory or an empty one")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    try:
        rows = {name: _write(marts, name, fresh, file_format) for name in MARTS if marts.has(name)}
        manifest = {"published_by": marts.publisher(), "tables": rows}
        (fresh / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n")
        if directory.exists():
            shutil.rmtree(before, ignore_errors=True)
            os.replace(directory, before)
        os.replace(fresh, directory)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    shutil.rmtree(before, ignore_errors=True)
    return rows


def _write(marts: Warehouse, name: str, folder: Path, file_format: str) -> int:
    columns, key = ", ".join(TABLES[name].names), TABLES[name].key
    ordered = f" order by {', '.join(key)}" if key else ""
    path = folder / f"{name}.{file_format}"
    return int(
        marts.value(f"copy (select {columns} from {name}{ordered}) to {literal(str(path))} ({FORMATS[file_format]})")
    )
