"""Clocks that are wrong for one run: what that run leaves must count nowhere, and be gone once it is forgotten."""

import datetime as dt
import shutil
from pathlib import Path

import dagster as dg

from bench.soak_stores import END, Silence, Stores
from plant_assets.cli.runs import LOG, run_refresh
from plant_assets.settings import Settings, read_settings
from plant_assets.warehouse.maintenance import forget_observation
from plant_assets_tests.support.tables import contents

# Dagster knows no week after the one that really runs, so a clock cannot be ahead by more than there is since END.
JUMPS = {"ahead": (2, 9, 30), "behind": (2, 30, 300)}
INSTANTS = (END - dt.timedelta(hours=12), END - dt.timedelta(hours=6), END)
# These keep what was seen, whenever that was.
KEEPING = ("raw_products", "raw_observations")


def jump_clocks(stores: Stores, days: int, direction: str) -> int:
    """Let the second of four runs have a clock that is wrong by that many days; return the number of runs.

    Raises:
        AssertionError: a run failed, or a table differs from that of a warehouse whose clock was always right.
    """
    folder = stores.folder / f"{direction}-{days}"
    source = _live_source(stores.source, folder)
    right, wrong = (read_settings(source=source, warehouse=folder / name / "w.duckdb") for name in ("right", "wrong"))
    sign = 1 if direction == "ahead" else -1
    jumped = INSTANTS[0] + sign * dt.timedelta(days=days)
    for settings, instants in ((right, INSTANTS[:2]), (wrong, (INSTANTS[0], jumped, INSTANTS[1]))):
        for at in instants:
            _run(settings, at)
    if direction == "ahead":
        assert contents(wrong, KEEPING) == contents(right, KEEPING), f"{direction} by {days} days: not left out"
    forget_observation(wrong, LOG, jumped, "the soak")
    for settings in (right, wrong):
        _run(settings, INSTANTS[2])
    assert contents(wrong) == contents(right), f"{direction} by {days} days: not forgotten"
    shutil.rmtree(folder)
    return 4


def _live_source(source: Path, folder: Path) -> Path:
    """Return a copy of the store whose products are a table that is observed at each run."""
    live = folder / "store"
    shutil.copytree(source, live, ignore=shutil.ignore_patterns("products"))
    shutil.copy(max((source / "products").iterdir()), live / "products.csv")
    return live


def _run(settings: Settings, at: dt.datetime) -> None:
    """Run as of an instant, with a stock that this instant alone decides."""
    path = settings.source_path / "products.csv"
    header, *lines = path.read_text().splitlines()
    stock = 5 + (at.toordinal() + at.hour) % 7
    path.write_text("\n".join([header, *(f"{line.rpartition(',')[0]},{stock}" for line in lines)]) + "\n")
    with dg.DagsterInstance.ephemeral() as instance:
        outcome = run_refresh(settings, instance, Silence(), as_of=at)
    assert not outcome.failures, (at, outcome.failures)
    assert not outcome.failed_errors, (at, outcome.failed_errors)
