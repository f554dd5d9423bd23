"""Kills runs of the real job at drawn moments, then runs to the end: `python -m bench.soak --kills 100`.

Each killed run starts from a warehouse that is behind its source. After every kill each table must be from before or
after its own write; after the last, one whole run must give the tables of a run that nothing disturbed. Prints
the kills by phase, as a table.
"""

import argparse
import collections
import datetime as dt
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import dagster as dg

from plant_assets import sample
from plant_assets.contracts import TABLES
from plant_assets.runs import run_refresh
from plant_assets.settings import Settings, read_settings
from plant_assets.storage import Warehouse
from plant_assets_tests.tables import contents

END = dt.datetime(2026, 10, 14, 6)
PHASES = ("load", "delete", "insert", "publish")


class Silence:
    """A progress display for nobody."""

    def say(self, text: str) -> None: ...
    def expect(self, steps: int) -> None: ...
    def advance(self, text: str) -> None: ...


def phase_of(statement: str) -> str | None:
    """The phase of a run that a statement belongs to."""
    text = " ".join(statement.split()).lower()
    if "marts" in text and text.startswith(("attach", "create", "detach")):
        return "publish"
    if text.startswith("delete from"):
        return "delete"
    if text.startswith("insert into") and "staging." not in text[:30]:
        return "insert"
    return "load" if "staging." in text else None


def refresh(settings: Settings) -> None:
    """One run of the whole job."""
    with dg.DagsterInstance.ephemeral() as instance:
        outcome = run_refresh(settings, instance, Silence(), as_of=END)
    assert not outcome.failures, outcome.failures


def be_killed(settings: Settings, phase: str, share: float) -> None:
    """A run that kills itself after a statement of `phase`: the first after a share of those that a run has."""
    seen = 0
    execute = Warehouse.execute

    def counted(self: Warehouse, statement: str, parameters: Any = None) -> Any:
        nonlocal seen
        result = execute(self, statement, parameters)
        if phase_of(statement) == phase:
            seen += 1
            if seen > share * MOST[phase]:
                os.kill(os.getpid(), signal.SIGKILL)
        return result

    Warehouse.execute = counted  # type: ignore[method-assign]
    refresh(settings)


# Statements of each phase in a run, at least.
MOST = {"load": 12, "delete": 30, "insert": 30, "publish": 10}


def soak(kills: int, seed: int) -> dict[str, int]:
    """Kill that many runs; the kills of each phase.

    Raises:
        AssertionError: a table is neither from before nor from after its write, or the repaired tables differ.
    """
    drawn = random.Random(seed)
    counted: collections.Counter[str] = collections.Counter()
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home)
        sample.write(folder / "store", END - dt.timedelta(days=10), sessions=800, weeks=3, products=6)
        behind = read_settings(source=folder / "store", warehouse=folder / "behind" / "w.duckdb")
        refresh(behind)
        before = contents(behind)
        sample.write(folder / "store", END)
        (folder / "store" / "events" / "bad.csv").write_text(
            "event_id,session_id,user_id,page_url,created_at,event_type,order_id,product_id\nx,,,,2026-10-10,wave,,\n"
        )
        whole = read_settings(source=folder / "store", warehouse=folder / "whole" / "w.duckdb")
        refresh(whole)
        after = contents(whole)
        for number in range(kills):
            phase = PHASES[number % len(PHASES)]
            killed = folder / f"killed{number}"
            shutil.copytree(behind.warehouse_path.parent, killed)
            settings = read_settings(source=folder / "store", warehouse=killed / "w.duckdb")
            arguments = [str(settings.source_path), str(settings.warehouse_path), phase, str(drawn.random())]
            done = subprocess.run([sys.executable, "-m", "bench.soak", "--child", *arguments], check=False)
            assert done.returncode == -signal.SIGKILL, f"not killed in {phase}"
            counted[phase] += 1
            found = contents(settings)
            # A view is not written: it shows its tables, each before or after its own write.
            tables = [name for name in before if not TABLES[name].is_view]
            mixed = [name for name in tables if found[name] not in (before[name], after[name])]
            assert not mixed, f"killed in {phase}: {mixed}"
            refresh(settings)
            assert contents(settings) == after, f"killed in {phase}: not repaired"
            shutil.rmtree(killed)
    return dict(counted)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        source, warehouse, phase, share = given.child
        be_killed(read_settings(source=source, warehouse=warehouse), phase, float(share))
        return
    counted = soak(given.kills, given.seed)
    print("| killed in | runs | each table whole | repaired by one run |\n| --- | --- | --- | --- |")
    for phase in PHASES:
        runs = counted.get(phase, 0)
        print(f"| {phase} | {runs} | {runs} | {runs} |")


if __name__ == "__main__":
    main()
