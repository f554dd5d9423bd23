"""Statements that are kept are those that would be compiled, whatever happened to their file."""

import datetime as dt
import os
import subprocess
import sys
from pathlib import Path

import ibis
import pytest

from plant_assets.contracts import TABLES
from plant_assets.warehouse import compiled
from plant_assets.warehouse.compiled import Statements
from plant_assets.warehouse.expressions import to_sql

EVENTS = TABLES["int_events"].unbound()


def since(when: dt.datetime) -> ibis.Table:
    return EVENTS.filter(EVENTS.created_at >= ibis.literal(when)).group_by("session_id").agg(events=ibis._.count())


MARCH = since(dt.datetime(2021, 3, 1))


class Compiler:
    """Compiles, and counts."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self, expression: ibis.Expr) -> str:
        self.times += 1
        return f"{ibis.to_sql(expression, dialect='duckdb')} -- \N{GREEK SMALL LETTER ALPHA} \\n"


@pytest.fixture
def compiler() -> Compiler:
    return Compiler()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "statements"


def test_a_statement_is_compiled_once_for_all_processes(path: Path, compiler: Compiler) -> None:
    first = Statements(path).of(MARCH, "", compiler)
    # The same, built anew.
    again = Statements(path).of(since(dt.datetime(2021, 3, 1)), "", compiler)
    assert (again, compiler.times) == (first, 1)
    assert "2021, 3, 1" in first


@pytest.mark.parametrize(
    ("other", "compiled_by"),
    [
        (since(dt.datetime(2021, 3, 2)), ""),
        (MARCH.order_by("session_id"), ""),
        (MARCH.rename(visits="events"), ""),
        (MARCH.distinct(), ""),
        (MARCH, "another compiler"),
    ],
    ids=["literal", "order", "name", "shape", "compiler"],
)
def test_what_differs_is_compiled(path: Path, compiler: Compiler, other: ibis.Table, compiled_by: str) -> None:
    Statements(path).of(MARCH, "", compiler)
    assert Statements(path).of(other, compiled_by, compiler) == Compiler()(other)
    assert compiler.times == 2


def test_the_type_of_a_column_makes_another_statement(path: Path, compiler: Compiler) -> None:
    for kind in ("int64", "string"):
        Statements(path).of(ibis.table({"a": kind}, name="t"), "", compiler)
    assert compiler.times == 2


def test_rows_within_an_expression_are_not_kept(path: Path, compiler: Compiler) -> None:
    for value in (1, 2):
        assert str(value) in Statements(path).of(ibis.memtable({"a": [value]}).a.max() + value, "", compiler)
    assert compiler.times == 2
    assert not path.exists()


@pytest.mark.parametrize("cut", [1, 20, 70, 200])
def test_a_torn_line_is_compiled_again_and_the_next_is_whole(path: Path, compiler: Compiler, cut: int) -> None:
    whole = Statements(path).of(MARCH, "", compiler)
    path.write_bytes(path.read_bytes()[:-cut])
    assert Statements(path).of(MARCH, "", compiler) == whole
    other = since(dt.datetime(2021, 4, 1))
    assert Statements(path).of(other, "", compiler) == Compiler()(other)


def test_a_changed_byte_is_noticed(path: Path, compiler: Compiler) -> None:
    whole = Statements(path).of(MARCH, "", compiler)
    path.write_bytes(path.read_bytes().replace(b"2021", b"2011"))
    assert (Statements(path).of(MARCH, "", compiler), compiler.times) == (whole, 2)


def test_a_large_file_begins_anew(path: Path, compiler: Compiler, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "MOST_BYTES", 10)
    Statements(path).of(MARCH, "", compiler)
    Statements(path).of(since(dt.datetime(2021, 4, 1)), "", compiler)
    assert len(path.read_bytes().splitlines()) == 1


@pytest.mark.parametrize("home", ["/dev/null/none", "/proc/none"])
def test_who_has_no_home_compiles(home: str) -> None:
    code = "from plant_assets_tests.warehouse.test_compiled import MARCH, to_sql; print(to_sql(MARCH), end='')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "XDG_CACHE_HOME": home, "HOME": home},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == to_sql(MARCH)
