"""What a run left, as values that compare: rows as hashes, and statements without what is named by chance."""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

# Columns that hold the clock of the machine.
CLOCKS = {"written_at", "modified_ns"}
UUID = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b")
# A table of the engine's memory, and one that a source is read into.
TEMP = re.compile(r'create (?:or replace )?temp(?:orary)? (?:table|view|macro) (?:if not exists )?("[^"]+"|\w+)', re.I)
STAGED = re.compile(r"\b_staged_\w+")
PATTERNS = [
    (re.compile(r"'<work>[^']*'"), "<path>"),
    # As long as the path of the store is.
    (re.compile(r"\bsubstr\(filename, \d+\)"), "substr(filename, <number>)"),
    (UUID, "<id>"),
    (re.compile(r"'\d{4}-\d\d-\d\d([ T]\d\d:\d\d:\d\d(\.\d+)?Z?)?'"), "<time>"),
    (re.compile(r"\bmake_(date|timestamp)\([\d, .]+\)", re.I), "<time>"),
    (re.compile(r"\?|\$\w+"), "<parameter>"),
    (re.compile(r"\bibis_\w+_[a-z0-9]{20,}\b"), "<memtable>"),
    (re.compile(r"\s+"), " "),
]


@dataclass
class Names:
    """What is called otherwise in each place or run, and what stands for it."""

    work: Path
    runs: dict[str, str] = field(default_factory=dict)

    def without(self, text: str) -> str:
        """Return a text without paths, ids and process numbers."""
        text = UUID.sub("<id>", text.replace(str(self.work), "<work>"))
        return re.sub(r"\(process \d+\)", "(process <number>)", text)

    def label_runs(self, run_ids: Iterable[str], phase: str) -> None:
        """Name the runs that were not there before after this phase."""
        for each in run_ids:
            self.runs.setdefault(each, phase)


def dump_database(path: Path, kind: str, names: Names, phase: str) -> dict[str, Any]:
    """Return the columns, number and hash of rows of each table and view of a file; none where there is no file."""
    if not path.exists():
        return {}
    with duckdb.connect(str(path), read_only=True) as connection:
        connection.execute("set TimeZone = 'UTC'; use analytics")
        found = connection.execute(
            "select table_name, table_type from information_schema.tables where table_schema = 'analytics' order by all"
        ).fetchall()
        return {f"{kind} {name}": dump_rows(connection, name, type_, names, phase) for name, type_ in found}


def dump_export(folder: Path, names: Names) -> dict[str, Any]:
    """Return the same of the parquet files of an export."""
    with duckdb.connect() as connection:
        return {
            f"export {path.stem}": dump_rows(connection, str(path), "file", names, "")
            for path in sorted(folder.glob("*.parquet"))
        }


def dump_rows(connection: duckdb.DuckDBPyConnection, name: str, type_: str, names: Names, phase: str) -> dict[str, Any]:
    """Return the columns with their types in order, the number of rows, and a hash of them in an order of their own."""
    quoted = f"'{name}'" if type_ == "file" else f'"{name}"'
    columns = [(row[0], row[1]) for row in connection.execute(f"describe from {quoted}").fetchall()]
    kept = [column for column, _type in columns if column not in CLOCKS]
    rows = connection.execute("select " + ", ".join(f'"{each}"' for each in kept) + f" from {quoted}").fetchall()
    if "run_id" in kept:
        at = kept.index("run_id")
        names.label_runs({row[at] for row in rows if row[at]}, phase)
        rows = [(*row[:at], names.runs.get(row[at], row[at]), *row[at + 1 :]) for row in rows]
    lines = sorted(repr(row).replace(str(names.work), "<work>") for row in rows)
    hashed = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    return {
        "type": type_,
        "columns": [f"{column} {kind}" for column, kind in columns],
        "rows": len(rows),
        "hash": hashed[:20],
    }


def normalised(statements: Iterable[str], names: Names) -> list[str]:
    """Return each statement once, without the names, parameters, paths and instants that differ between runs."""
    statements = list(statements)
    made = {match.strip('"') for each in statements for match in TEMP.findall(each)}
    temp = re.compile(r'"?\b(' + "|".join([STAGED.pattern, *sorted(map(re.escape, made))]) + r')\b"?')
    return sorted({_plain(each, temp, names) for each in statements} - {""})


def _plain(statement: str, temp: re.Pattern[str], names: Names) -> str:
    numbers: dict[str, str] = {}

    def number(match: re.Match[str]) -> str:
        return numbers.setdefault(match[1], f"<temp {len(numbers) + 1}>")

    text = temp.sub(number, statement.replace(str(names.work), "<work>"))
    for pattern, instead in PATTERNS:
        text = pattern.sub(instead, text)
    return text.strip(" ;")
