"""Measures a build and a tick on DuckDB and on Spark: `python -m bench.scaling 1_000_000 10_000_000`.

Both warehouses are made when the store is a day shorter, then the day is added. They must have the same marts, row for
row. The table in docs/scaling.md has a line for each build and tick; lines of other sizes stay.
"""

import argparse
import dataclasses
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import duckdb

from bench import stores
from bench.compare import count_events, say
from bench.measure import ROOT, Failed, Figures, measure
from plant_assets.contracts import MARTS

BEGIN, END = "<!-- written by bench.scaling -->", "<!-- end of what bench.scaling writes -->"
ENGINES = ("duckdb", "spark")
HEAD = """
| events | engine | what | wall s | CPU s | peak MB | tables MB | catalog MB | marts MB |
| ---: | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |
"""


def _size(*paths: Path) -> int:
    """The bytes of files, and of all in directories."""
    found = [each for path in paths for each in ([path] if path.is_file() else path.rglob("*"))]
    return sum(each.stat().st_size for each in found if each.is_file())


def _marts(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    with duckdb.connect(path, read_only=True) as connection:
        return {name: connection.execute(f"from analytics.{name} order by all").fetchall() for name in MARTS}


def measure_engine(engine: str, master: str, store: Path, whole: Path, work: Path) -> dict[str, Any]:
    """The figures of a build and of a tick, and the marts that they end with."""
    home = work / engine
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    stores.without_last_day(whole, store)
    catalog = home / ("plant-spark.duckdb" if engine == "spark" else "plant.duckdb")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PLANT_", "DAGSTER_"))}
    limit = {name: value for name, value in os.environ.items() if name == "PLANT_MEMORY_LIMIT"}
    given = {"PLANT_HOME": str(home), "PLANT_SOURCE": str(store), **limit}
    environment = {**kept, **given, **({"PLANT_WAREHOUSE": master} if engine == "spark" else {})}
    command = [sys.executable, "-m", "plant_assets.cli", "run", "--as-of", stores.END.isoformat()]
    rows: dict[str, Any] = {}
    for what in ("build", "tick"):
        if what == "tick":
            stores.add_last_day(whole, store)
        figures: Figures = measure(command, environment, work / f"{engine}.{what}.log")
        say(f"  {engine}, {what}: {figures.wall:.1f} s, {figures.cpu:.1f} CPU s, {figures.peak / 2**20:.0f} MB")
        rows[what] = dataclasses.asdict(figures) | {
            "catalog": _size(catalog),
            "tables": _size(catalog.with_name(catalog.name + ".tables")),
            "marts": _size(catalog.with_name(catalog.name + ".marts.duckdb")),
        }
    rows["found"] = _marts(catalog.with_name(catalog.name + ".marts.duckdb"))
    shutil.rmtree(home)
    return rows


def scale(size: int, master: str, home: Path, weeks: int, engines: list[str]) -> dict[str, Any]:
    """All of one size.

    Raises:
        Failed: a run failed, or the engines' marts differ.
    """
    whole = stores.event_store(home, size, weeks, "parquet")
    work = home / "work" / "scaling"
    measured: dict[str, Any] = {"events": count_events(whole)}
    expected: dict[str, Any] | None = None
    for engine in engines:
        rows = measure_engine(engine, master, work / "store", whole, work)
        found = rows.pop("found")
        expected = expected or found
        if differing := [name for name in MARTS if found[name] != expected[name]]:
            raise Failed(f"{engine} has other rows in {', '.join(differing)}")
        measured[engine] = rows
    shutil.rmtree(work)
    return measured


def table_of(measured: dict[str, dict[str, Any]]) -> str:
    """The lines of all sizes."""
    lines = []
    for _size_name, facts in sorted(measured.items(), key=lambda each: int(each[0])):
        for engine in ENGINES:
            for what in ("build", "tick"):
                if row := facts.get(engine, {}).get(what):
                    sizes = (row["peak"] / 2**20, *(row[name] / 1e6 for name in ("tables", "catalog", "marts")))
                    shown = " | ".join(f"{value:,.0f}" for value in sizes)
                    lines.append(
                        f"| {facts['events']:,} | {engine} | {what} | {row['wall']:.1f} | {row['cpu']:.1f} | {shown} |"
                    )
    return HEAD + "\n".join(lines) + "\n\n"


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", nargs="+", type=int, metavar="SIZE")
    parser.add_argument("--weeks", type=int, default=26, help="of the stores")
    parser.add_argument("--master", default="spark://local[*]", help="PLANT_WAREHOUSE of the one on Spark")
    parser.add_argument("--engine", action="append", choices=ENGINES, help="one alone; given twice, both")
    parser.add_argument("--home", type=Path, default=ROOT / ".plant" / "bench", help="of stores and raw figures")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "scaling.md")
    given = parser.parse_args()
    home = given.home.resolve()
    raw = home / "scaling.json"
    measured = json.loads(raw.read_text()) if raw.exists() else {}
    try:
        for size in given.sizes:
            say(f"{size:,}")
            fresh = scale(size, given.master, home, given.weeks, given.engine or list(ENGINES))
            measured[str(size)] = measured.get(str(size), {}) | fresh
            raw.write_text(json.dumps(measured, indent=1))
            text = given.page.read_text()
            before, after = text.split(BEGIN)[0], text.split(END)[1]
            given.page.write_text(before + BEGIN + "\n" + table_of(measured) + END + after)
    except Failed as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
