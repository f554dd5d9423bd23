"""Rules of the code's rooms that the import rules cannot say."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import plant_assets
from plant_assets.contracts import TABLES
from plant_assets.sources.tables import SOURCE_TABLES
from plant_assets.warehouse.ledger.tables import DDL

ROOT = Path(plant_assets.__file__).parent
MOST_LINES_OF_MODULE, MOST_LINES_OF_CLASS = 300, 200
BOOKKEEPING = re.findall(r"create table if not exists (\w+)", DDL)


def _modules(*rooms: str) -> list[Path]:
    return sorted(path for room in rooms for path in (ROOT / room).rglob("*.py"))


def _parsed(*rooms: str) -> list[tuple[Path, ast.Module]]:
    return [(path, ast.parse(path.read_text())) for path in _modules(*rooms)]


def _comparisons(tree: ast.AST) -> Iterator[ast.AST]:
    """Return what code compares with: both sides of comparisons, prefixes, patterns."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            yield from (node.left, *node.comparators)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "startswith":
            yield from node.args
        elif isinstance(node, ast.MatchValue):
            yield node.value


def _texts(node: ast.AST) -> set[str]:
    return {each.value for each in ast.walk(node) if isinstance(each, ast.Constant) and isinstance(each.value, str)}


def test_the_ledger_has_tables() -> None:
    of_loads = {"_files", "_loads", "_event_prices", "_due"}
    assert set(BOOKKEEPING) == {"_meta", "_writes", "_open_checks", "_looked_whole"} | of_loads


def test_only_the_ledger_has_sql_on_its_tables() -> None:
    named = re.compile(rf"(?<![\w.])({'|'.join(BOOKKEEPING)})\b|\banalytics\.({'|'.join(BOOKKEEPING)})\b")
    naming = {
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path, tree in _parsed(".")
        if path.parent != ROOT / "warehouse/ledger"
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and named.search(node.value)
    }
    assert naming == set()


def test_no_table_is_told_by_its_name() -> None:
    names = TABLES.keys() | SOURCE_TABLES.keys() | {"raw_", "int_"}
    told = {
        str(path.relative_to(ROOT)): sorted(names & {text for node in _comparisons(tree) for text in _texts(node)})
        for path, tree in _parsed("checks", "warehouse", "readers")
    }
    assert {path: found for path, found in told.items() if found} == {}


def test_modules_and_classes_stay_small() -> None:
    lines = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in _modules(".")}
    classes = {
        f"{path.relative_to(ROOT)}:{node.name}": (node.end_lineno or 0) - node.lineno + 1
        for path, tree in _parsed(".")
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    }
    assert {path: count for path, count in lines.items() if count > MOST_LINES_OF_MODULE} == {}
    assert {name: count for name, count in classes.items() if count > MOST_LINES_OF_CLASS} == {}


def test_readers_compute_no_figure() -> None:
    # These two divide paths and count checks.
    others = {"render.py", "export.py"}
    computing = {
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path, tree in _parsed("readers")
        if path.name not in others
        for node in ast.walk(tree)
        if (isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div | ast.FloorDiv))
        or (isinstance(node, ast.Call) and _called(node) in {"sum", "mean", "median", "sqrt"})
    }
    assert computing == set()


def _called(call: ast.Call) -> str:
    return getattr(call.func, "id", "") or getattr(call.func, "attr", "")


def test_tests_and_benches_import_no_tests() -> None:
    importing = {
        f"{path.relative_to(ROOT.parent)}: {node.module}"
        for folder in ("plant_assets_tests", "bench")
        for path in (ROOT.parent / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and re.search(r"(^|\.)(test_\w+|conftest)$", node.module or "")
    }
    assert importing == set()
