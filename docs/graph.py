"""Writes docs/graph.md from the definitions: `make docs`, or `--check` to compare only."""

import sys
from pathlib import Path

import dagster as dg

from plant_assets.checks.build import checks_of
from plant_assets.contracts import TABLES
from plant_assets.definitions import build_defs
from plant_assets.settings import read_settings

PAGE = Path(__file__).with_name("graph.md")


def graph_page() -> str:
    """The page: a table and a diagram of the assets, then the columns and checks of each."""
    graph = build_defs(read_settings(start="2026-01-05", source=".", home=".")).resolve_asset_graph()
    nodes = [graph.get(key) for key in graph.toposorted_asset_keys]
    groups = list(dict.fromkeys(node.group_name for node in nodes))
    nodes.sort(key=lambda node: groups.index(node.group_name))
    lines = [
        "# The asset graph",
        "",
        "Generated from the definitions by `make docs`; the tests compare it.",
        "",
        "| asset | group | what it is | partitions |",
        "| --- | --- | --- | --- |",
    ]
    for node in nodes:
        first_line = (node.description or "").splitlines()[0].rstrip(".")
        partitions = "weeks" if node.partitions_def else ""
        lines.append(f"| `{_name(node.key)}` | {node.group_name} | {first_line} | {partitions} |")
    lines += ["", "```mermaid", "flowchart LR"]
    lines += [
        f"  {_name(parent).replace('/', '_')} --> {_name(node.key)}"
        for node in nodes
        for parent in sorted(node.parent_keys)
        if _name(node.key) not in ("marts", "rejected_rows")
    ]
    lines += ["```", "", "`marts` comes after all marts, `rejected_rows` after the raw tables."]
    for node in nodes:
        name = _name(node.key)
        if name not in TABLES:
            continue
        table = TABLES[name]
        lines += ["", f"## {name}", "", f"Key: {', '.join(table.key) or 'none'}.", ""]
        lines += ["| column | type | what it holds |", "| --- | --- | --- |"]
        for column in table.columns:
            required = "" if column.required else ", may be NULL"
            lines.append(f"| {column.name} | {column.sql_type}{required} | {column.description} |")
        lines += ["", "| check | severity | fact |", "| --- | --- | --- |"]
        lines += [f"| {check} | {severity} | {fact} |" for check, severity, fact in _checks(name)]
    return "\n".join(lines) + "\n"


def _checks(name: str) -> list[tuple[str, str, str]]:
    return [
        (
            check.name,
            "warning" if not check.is_error else "error, blocks" if check.is_blocking else "error",
            check.description,
        )
        for check in checks_of(name)
    ]


def _name(key: dg.AssetKey) -> str:
    return key.to_user_string()


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(0 if PAGE.read_text() == graph_page() else f"{PAGE} is not current: run `make docs`")
    PAGE.write_text(graph_page())
