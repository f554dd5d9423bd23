"""`plant-assets` with DuckDB's log of every statement in a folder: `python -m bench.logged FOLDER run --source DIR`.

The log is the engine's own, switched on in each database that the command opens: it needs to know no module of ours.
"""

import csv
import runpy
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb

ENTRIES = "duckdb_log_entries.csv"
_connect = duckdb.connect


def read_log(folder: Path) -> Iterator[str]:
    """Yield the statements that a command executed, as it wrote them."""
    csv.field_size_limit(sys.maxsize)
    for path in sorted(folder.glob(f"*/{ENTRIES}")):
        with path.open(encoding="utf-8", newline="") as lines:
            yield from (row["message"] for row in csv.DictReader(lines))


def _connect_logged(*arguments: Any, **options: Any) -> duckdb.DuckDBPyConnection:
    connection = _connect(*arguments, **options)
    folder = LOGS / str(uuid.uuid4())
    connection.execute(f"call enable_logging('QueryLog', storage = 'file', storage_path = '{folder}')")
    return connection


if __name__ == "__main__":
    LOGS = Path(sys.argv.pop(1))
    duckdb.connect = _connect_logged
    runpy.run_module("plant_assets.cli", run_name="__main__", alter_sys=True)
