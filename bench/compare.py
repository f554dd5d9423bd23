"""Measures this project against others: `python -m bench.compare 10_000 1_000_000 greenery inventory`.

A size is a number of events, `greenery`, or `inventory`. Contenders alternate, each as a whole process; a contender
whose funnels differ from the first one's ends everything with 1. Figures of a size are replaced as a whole, so that
ratios are of one run; those of other sizes stay. The page is docs/performance.md.
"""

import argparse
import dataclasses
import datetime as dt
import json
import os
import platform
import shutil
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import duckdb
import psutil

from bench import contenders, page
from bench.contenders import Contender
from bench.measure import ROOT, Failed, measure
from plant_assets.contracts import MARTS, RATES, STAGES, TABLES

# What all have of these marts; by product only some have one.
FUNNELS = {
    "funnel": (*STAGES, *RATES),
    "funnel_by_date": ("event_date", *STAGES, *RATES),
    "funnel_by_product": ("product_id", *STAGES, *RATES),
}
PACKAGES = ("duckdb", "dagster", "dagster-duckdb-pandas", "ibis-framework", "pandas")


class Differs(Failed):
    """Two contenders do not have the same results."""


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def results(contender: Contender, whole: bool) -> dict[str, list[tuple[Any, ...]]]:
    """The funnels that a contender made, row for row; with `whole` each mart too of which it has all columns.

    Raises:
        Differs: it has not made the funnel, or that by date.
    """
    found: dict[str, list[tuple[Any, ...]]] = {}
    with duckdb.connect(contender.warehouse, read_only=True) as connection:
        made = connection.execute(
            "select table_name, list(column_name) from duckdb_columns() where schema_name = ? group by all",
            [contender.schema],
        )
        for name, there in made.fetchall():
            compared = {name: FUNNELS.get(name, ()), f"{name}, whole": TABLES[name].names if name in MARTS else ()}
            for key, columns in compared.items():
                if set(columns) <= set(there) and columns and (whole or key in FUNNELS):
                    types = {column.name: column.sql_type for column in TABLES[name].columns}
                    typed = ", ".join(f"{column}::{types[column]}" for column in columns)
                    rows = connection.execute(f"select {typed} from {contender.schema}.{name} order by all")
                    found[key] = rows.fetchall()
    missing = {"funnel", "funnel_by_date"} - found.keys()
    if missing:
        raise Differs(f"{contender.name} has not made {', '.join(sorted(missing))}")
    return found


def require_equal(name: str, found: dict[str, Any], other: str, expected: dict[str, Any]) -> None:
    """Compare the tables that two contenders both made.

    Raises:
        Differs: a row is not the same.
    """
    for table in found.keys() & expected.keys():
        if found[table] != expected[table]:
            pairs = zip(found[table], expected[table], strict=False)
            first = next((pair for pair in pairs if pair[0] != pair[1]), (len(found[table]), len(expected[table])))
            raise Differs(f"{table}: {name} has {first[0]}, {other} has {first[1]}")


def alternate(measured: Sequence[Contender], repeats: int, whole: bool) -> dict[str, dict[str, Any]]:
    """The figures of each contender, over repeats in which each has its turn.

    Raises:
        Failed: a contender did not end well.
        Differs: one has other results than the first.
    """
    rows: dict[str, dict[str, Any]] = {each.name: {"wall": [], "cpu": [], "peak": []} for each in measured}
    expected: dict[str, dict[str, Any]] = {}
    for each in measured:
        shutil.rmtree(each.folder, ignore_errors=True)
        shutil.rmtree(_history(each), ignore_errors=True)
        if each.on_history:
            say(f"  {each.name}: history")
            _run(each)
            each.folder.rename(_history(each))
    for number in range(repeats):
        for each in measured:
            if number and each.is_heavy:
                continue
            if each.on_history:
                shutil.copytree(_history(each), each.folder)
                # A warehouse that has lain there is on the disk.
                os.sync()
            each.before()
            figures = _run(each)
            say(f"  {each.name}: {figures.wall:.1f} s, {figures.cpu:.1f} CPU s, {figures.peak / 2**20:.0f} MB")
            row, found = rows[each.name], results(each, whole) if each.makes_tables else {}
            for key, value in dataclasses.asdict(figures).items():
                row[key].append(value)
            row["stored"] = each.warehouse.stat().st_size if each.makes_tables else 0
            row["records"] = sum(path.stat().st_size for path in each.records.rglob("*") if path.is_file())
            for other, other_found in expected.items():
                require_equal(each.name, found, other, other_found)
            expected.setdefault(each.name, found)
            shutil.rmtree(each.folder)
    for each in measured:
        shutil.rmtree(_history(each), ignore_errors=True)
    return rows


def _history(each: Contender) -> Path:
    return each.folder.with_name(each.folder.name + ".history")


def _run(each: Contender) -> Any:
    each.folder.mkdir(parents=True, exist_ok=True)
    log = each.folder.with_name(each.folder.name + ".log")
    return measure(each.command, contenders.environment_of(each), log)


def environment() -> dict[str, Any]:
    """Where and when figures are taken, and with which versions."""
    pins = dict(line.split("==") for line in (contenders.DBT / "requirements.txt").read_text().split())
    dbt = {name: pins[name] for name in ("dbt-core", "dbt-duckdb")}
    return {
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "machine": f"{os.cpu_count()} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB, {platform.system()}"
        f" {platform.machine()}",
        "versions": {"Python": platform.python_version()} | {name: version(name) for name in PACKAGES} | dbt,
    }


def count_events(store: Path) -> int:
    found = duckdb.execute("select count(*) from read_parquet(?)", [str(store / "events" / "*.parquet")]).fetchall()
    return int(found[0][0])


def count_checks() -> int:
    """The checks that a run of the project evaluates."""
    from plant_assets.checks.build import checks_of

    return sum(len(checks_of(name)) for name in TABLES)


def count_dbt_tests(target: Path) -> int:
    ran = json.loads((target / "run_results.json").read_text())["results"]
    return sum(each["unique_id"].startswith("test.") for each in ran)


def compare(size: str, home: Path, given: argparse.Namespace) -> dict[str, Any]:
    """All of one size."""
    facts: dict[str, Any] = environment()
    if size == "greenery":
        chosen = contenders.real_contenders(home, given.real_store.resolve())
    elif size == "inventory":
        chosen = contenders.inventory_contenders(home, given.days)
        facts["days"] = given.days
    else:
        store, chosen = contenders.event_contenders(home, int(size), given.weeks)
        facts["events"] = count_events(store)
    chosen = [each for each in chosen if not given.only or each.name in given.only]
    if any(each.is_dbt for each in chosen):
        contenders.install_dbt()
    # Stores of observations differ by the one that a tick adds.
    facts["rows"] = alternate(chosen, given.repeats, whole=size != "inventory")
    if size == "greenery":
        facts["checks"], facts["tests"] = count_checks(), count_dbt_tests(home / "work" / "dbt.target")
    return facts


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", nargs="+", metavar="SIZE")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--weeks", type=int, default=26, help="of the event stores")
    parser.add_argument("--days", type=int, default=3 * 365, help="of the inventory store")
    parser.add_argument("--only", action="append", default=[], metavar="CONTENDER", help="may be given again")
    parser.add_argument("--home", type=Path, default=ROOT / ".plant" / "bench", help="of stores and raw figures")
    parser.add_argument("--real-store", type=Path, default=ROOT.parent / "shared" / "greenery")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "performance.md")
    given = parser.parse_args()
    home, raw = given.home.resolve(), given.home.resolve() / "results.json"
    measured = json.loads(raw.read_text()) if raw.exists() else {}
    try:
        for size in given.sizes:
            key = size if size in ("greenery", "inventory") else str(int(size))
            if key == "greenery" and not given.real_store.is_dir():
                say(f"{key}: left out, there is no such store")
                continue
            say(f"{size}, {given.repeats} times")
            measured[key] = compare(key, home, given)
            raw.write_text(json.dumps(measured, indent=1))
            page.write(measured, given.page)
            print(page.table_of(key, measured[key]))
    except Failed as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
