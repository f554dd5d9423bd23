"""The benchmark ends with a page of what it measured, and with an error where results differ. No time is tested.

The net says what differs between two commits; it is not run here.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.compare import alternate
from bench.contenders import Contender
from bench.measure import Failed
from bench.net_dump import Names, normalised
from bench.page import BEGIN, END
from plant_assets_tests.support.machine import ROOT

STAGES = "1 as page_view, {added} as add_to_cart, 0 as checkout, 0 as package_shipped"
RATES = "100 as page_view_rate, 0 as add_to_cart_rate, 0 as purchase_rate, 0 as shipping_rate"


def makes_funnels(folder: Path, name: str, added: int) -> Contender:
    """A contender with one page view, and as many carts as are said."""
    columns = f"{STAGES.format(added=added)}, {RATES}"
    code = (
        "import duckdb; made = duckdb.connect('w.duckdb'); made.execute(\"create table funnel as select"
        f" {columns}; create table funnel_by_date as select date '2026-10-13' as event_date, {columns}\")"
    )
    command = [sys.executable, "-c", f"import os; os.chdir('{folder / name}'); {code}"]
    return Contender(name, folder / name, command)


def test_the_smallest_size_ends_with_a_page(tmp_path: Path) -> None:
    page = tmp_path / "performance.md"
    page.write_text(f"Before\n\n{BEGIN}\nold\n{END}\n\nAfter\n")
    arguments = ["2_000", "--weeks", "2", "--repeats", "1", "--only", "ours", "--only", "limit"]
    done = subprocess.run(
        [sys.executable, "-m", "bench.compare", *arguments, "--home", tmp_path / "home", "--page", page],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "home" / "results.json").read_text())["2000"]["rows"]
    assert rows.keys() == {"ours", "limit"}
    assert all(figure > 0 for row in rows.values() for key in ("wall", "cpu", "peak") for figure in row[key])
    text = page.read_text()
    assert done.stdout.strip() in text
    assert text.startswith("Before\n")
    assert text.endswith("\n\nAfter\n")
    assert "old" not in text
    assert (tmp_path / "performance.svg").exists()


def test_other_results_are_an_error(tmp_path: Path) -> None:
    same = [makes_funnels(tmp_path, "one", added=1), makes_funnels(tmp_path, "two", added=1)]
    assert alternate(same, repeats=2, whole=True).keys() == {"one", "two"}
    other = makes_funnels(tmp_path, "other", added=0)
    with pytest.raises(Failed, match=r"funnel.*: other has \(.*1, 0, 0, 0, 100.*one has \(.*1, 1, 0, 0, 100"):
        alternate([*same, other], repeats=1, whole=True)


def test_marts_are_compared_whole_where_both_have_them(tmp_path: Path) -> None:
    columns = "date '2026-10-12' as week_start_date, timestamp '2026-10-12' as starts_at, {} as ends_at"
    made = [makes_funnels(tmp_path, name, 1) for name in ("one", "other")]
    for each, ends_at in zip(made, ("2026-10-19", "2026-10-20"), strict=True):
        weeks = columns.format(f"timestamp '{ends_at}'")
        each.command[-1] += f'; made.execute("create table weeks as select {weeks}")'
    with pytest.raises(Failed, match=r"weeks, whole: other has .*20.*one has .*19"):
        alternate(made, repeats=1, whole=True)
    assert alternate(made, repeats=1, whole=False).keys() == {"one", "other"}


def test_a_contender_without_funnels_is_an_error(tmp_path: Path) -> None:
    code = (
        f"import duckdb; duckdb.connect('{tmp_path}/none/w.duckdb').execute('create table funnel as select 1 as one')"
    )
    with pytest.raises(Failed, match="none has not made funnel, funnel_by_date"):
        alternate([Contender("none", tmp_path / "none", [sys.executable, "-c", code])], repeats=1, whole=True)


def test_a_contender_that_fails_is_an_error(tmp_path: Path) -> None:
    fails = Contender("fails", tmp_path / "fails", [sys.executable, "-c", "raise SystemExit('no such thing')"])
    with pytest.raises(Failed, match="no such thing"):
        alternate([fails], repeats=1, whole=True)


def net_of(path: Path, funnel: str = "a1", statement: str = "select 1") -> Path:
    """A file as the net writes it: a store, a run, a table and a statement."""
    run = {
        "exit": {"run": 0},
        "tables": {"warehouse funnel": {"columns": ["page_view BIGINT"], "rows": 1, "hash": funnel}},
        "answers": "{}",
        "files": ["w.duckdb"],
        "said": {"run": ["done"]},
        "statements": [statement],
    }
    path.write_text(json.dumps({"stores": {"shop": {"build": run}}, "statements": {statement: statement}}))
    return path


def compared(before: Path, after: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench.net", "--compare", before, after]
    return subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT)


def test_nets_that_are_equal_differ_in_nothing(tmp_path: Path) -> None:
    done = compared(net_of(tmp_path / "before"), net_of(tmp_path / "after"))
    assert (done.returncode, done.stdout) == (0, "nothing differs\n")


def test_a_table_that_differs_is_named_and_an_error(tmp_path: Path) -> None:
    done = compared(net_of(tmp_path / "before"), net_of(tmp_path / "after", funnel="b2"))
    assert done.returncode == 1
    assert done.stdout.startswith("shop, build: tables warehouse funnel: {")
    assert '"hash": "b2"' in done.stdout


def test_statements_that_differ_are_listed_and_no_error(tmp_path: Path) -> None:
    done = compared(net_of(tmp_path / "before"), net_of(tmp_path / "after", statement="select 2"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "statements only before, in shop build:",
        "  select 1",
        "statements only after, in shop build:",
        "  select 2",
    ]


def test_temp_tables_ids_paths_and_instants_are_no_difference(tmp_path: Path) -> None:
    def plain(table: str, work: Path, rest: str) -> list[str]:
        made = f"create or replace temp table {table} as from '{work}/events.csv' where {rest}"
        return normalised([made, f"drop table {table};"], Names(work))

    one = plain("judged", tmp_path / "a", "week = ? and at > '2026-10-14 06:00:00'")
    other = plain("rows_of_load", tmp_path / "bb", "week = $first and\n at > '2026-10-15'")
    assert one == other
    assert one[1] == "drop table <temp 1>"
