"""The published marts as files, for tools that do not read DuckDB."""

import json
import os
import shutil
from pathlib import Path

from plant_assets.contracts import MARTS, SQL_TYPES, TABLES, TEXT, Column
from plant_assets.settings import UsageError
from plant_assets.sql import literal
from plant_assets.text import guarded_cell
from plant_assets.warehouse.marts import Marts

FORMATS = {"parquet": "format parquet, compression zstd", "csv": "format csv, header"}
MANIFEST = "export.json"


def export_marts(marts: Marts, directory: Path, file_format: str) -> dict[str, int]:
    """Write each mart to `<directory>/<table>.<format>`, and which run they are of to `export.json`; rows per table.

    The directory changes as a whole: an earlier export is moved away when the new one is written to its end.

    Raises:
        UsageError: the format is not known, or the directory is none or holds something else than an export.
    """
    if file_format not in FORMATS:
        raise UsageError(f"--format {file_format} is not allowed: {' or '.join(FORMATS)}")
    directory = directory.expanduser().resolve()
    if not directory.name:
        raise UsageError(f"{directory} is no place for an export: name a directory in it")
    if directory.exists() and not directory.is_dir():
        raise UsageError(f"{directory} is a file: name a directory")
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


def _write(marts: Marts, name: str, folder: Path, file_format: str) -> int:
    table = TABLES[name]
    columns = ", ".join(_cell(column) if file_format == "csv" else column.name for column in table.columns)
    # By what the rows hold, not by what is written of it.
    ordered = f" order by {', '.join(f'{name}.{column}' for column in table.key)}" if table.key else ""
    path = folder / f"{name}.{file_format}"
    return int(
        marts.value(f"copy (select {columns} from {name}{ordered}) to {literal(str(path))} ({FORMATS[file_format]})")
    )


def _cell(column: Column) -> str:
    is_text = column.sql_type == SQL_TYPES[TEXT]
    return f"{guarded_cell(f'{column.name}::varchar')} as {column.name}" if is_text else column.name
