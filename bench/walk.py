"""Changes a store at random and compares two warehouses with a rebuild: `python -m bench.walk --steps 200 --seed 1`.

Each step changes the source, may run some weeks or tables as the UI does, and ends in one warehouse by ticks and in the
other by a command. Then all raw and weekly tables of both must be those of a warehouse built from nothing; every tenth
step makes and compares all tables, and what readers see. Checks and pages are left out: they write no table and take
most of the time. The seed draws the same steps again, counted from the present week.
"""

import argparse
import datetime as dt
import logging
import multiprocessing
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg

from bench.soak_stores import Rows, published
from bench.walk_source import CHANGES, Shop
from plant_assets.calendar import weeks_between
from plant_assets.cli.runs import now
from plant_assets.contracts import TABLES
from plant_assets.definitions import build_defs
from plant_assets.orchestration.jobs import REFRESH, plan_run
from plant_assets.orchestration.partitions import AS_OF, ONLY_CHANGED, range_tags
from plant_assets.settings import Settings, read_settings
from plant_assets.sources.errors import SourceError
from plant_assets.warehouse.ledger.due import due_path
from plant_assets.warehouse.open import open_warehouse
from plant_assets.warehouse.warehouse import Warehouse
from plant_assets_tests.support.tables import contents
from plant_assets_tests.support.ticking import evaluate, tick

LOG = logging.getLogger(__name__)
TOGETHER, CORRECTED = "have to run together", "changed after it was loaded"
# Runs after which ticks have to be done with a state of the source.
MOST_RUNS = 6
# The tables whose weeks decide what is run. All others follow from them.
WEEKLY_LINEAGE = (
    *(name for name in TABLES if name.startswith("raw_")),
    "product_snapshots",
    "weeks",
    "int_session_days",
    "inventory",
    "inventory_changes",
)
EVERYTHING: tuple[str, ...] = ()
WHOLE_EVERY = 10
TABLES_ALONE = (
    ("raw_events",),
    ("product_snapshots", "inventory", "inventory_changes"),
    ("funnel", "int_session_days"),
)


def refresh(
    settings: Settings, tags: Mapping[str, str], tables: tuple[str, ...], opened: Warehouse | None = None
) -> str | None:
    """Run tables, or everything, without checks; return what the run fails with."""
    defs = build_defs(settings, opened)
    job = dg.define_asset_job(REFRESH, selection=dg.AssetSelection.all() - dg.AssetSelection.assets("report"))
    alone = dg.Definitions(
        assets=defs.assets, jobs=[job], resources=defs.resources, executor=defs.executor, loggers=defs.loggers
    )
    with dg.DagsterInstance.ephemeral() as instance:
        result = alone.resolve_job_def(REFRESH).execute_in_process(
            instance=instance,
            tags=dict(tags),
            asset_selection=[dg.AssetKey(name) for name in tables] or None,
            raise_on_error=False,
        )
    failures = [each.step_failure_data.error for each in result.all_events if each.is_step_failure]
    assert failures or result.success, result.all_events[-1].message
    return (failures[0].cause or failures[0]).message if failures else None


def _be_quiet() -> None:
    logging.disable(logging.ERROR)


def command(
    settings: Settings,
    tables: tuple[str, ...],
    weeks: tuple[dt.date, dt.date] | None = None,
    every_week: bool = False,
) -> None:
    """Do what `plant-assets run` does, without checks."""
    at = now()
    with open_warehouse(settings, LOG) as warehouse:
        planned = plan_run(warehouse, at, LOG, weeks, every_week)
        warehouse.remember_store(planned.first_week, planned.stages)
        warehouse.staged = planned.load
        for first, last in planned.ranges:
            only = {} if planned.load.reading.is_forced else {ONLY_CHANGED: "yes"}
            tags = {**range_tags(first, last), AS_OF: at.isoformat(), **only}
            failure = refresh(settings, tags, tables, warehouse)
            assert failure is None, failure


def build(settings: Settings, tables: tuple[str, ...]) -> tuple[Rows, Rows]:
    """Build a warehouse from nothing by a command; return what `state` does."""
    shutil.rmtree(settings.home, ignore_errors=True)
    command(settings, tables)
    return state(settings, tables)


def state(settings: Settings, tables: tuple[str, ...]) -> tuple[Rows, Rows]:
    """Return the rows of tables and what was rejected; of everything, also the published tables."""
    without = [name for name in TABLES if tables and name not in (*tables, "rejected_rows")]
    return contents(settings, tuple(without)), {} if tables else published(settings)


@dataclass
class Walker:
    """A warehouse of the store, which ends each step in its own way."""

    name: str
    shop: Shop
    settings: Settings
    random: random.Random
    records: dg.DagsterInstance
    keys: set[str] = field(default_factory=set)
    tables: tuple[str, ...] = EVERYTHING

    def __post_init__(self) -> None:
        command(self.settings, EVERYTHING)

    def require_equal(self, expected: Rows, expected_published: Rows) -> None:
        """Compare with a warehouse that was built from nothing.

        Raises:
            AssertionError: they differ, or a sensor finds something to do.
        """
        found, found_published = state(self.settings, self.tables)
        different = [name for name in expected if found[name] != expected[name]]
        assert not different, f"{self.name}: {_difference(different, found, expected)}"
        assert found_published == expected_published, f"{self.name}: the published marts differ"
        quiet = self._evaluate("late_events")
        assert not quiet, f"{self.name}: late_events still requests {quiet}"

    # Runs of the UI

    def week(self) -> str | None:
        """Run one week."""
        week = self.random.choice(self.shop.weeks())
        return self._ui({"dagster/partition": week.isoformat()})

    def backfill(self) -> list[str | None]:
        """Run a few weeks one by one, in any order."""
        weeks = self.random.sample(self.shop.weeks(), 2)
        return [self._ui({"dagster/partition": week.isoformat()}) for week in weeks]

    def partial(self) -> str | None:
        """Run some tables alone, over a range of weeks."""
        first, last = sorted(self.random.choices(self.shop.weeks(), k=2))
        return self._ui(range_tags(first, last), self.random.choice(TABLES_ALONE))

    def _ui(self, tags: dict[str, str], tables: tuple[str, ...] | None = None) -> str | None:
        keys = weeks_between(self.settings.first_week or self.shop.running, self.shop.running)
        if tags.get("dagster/partition", tags.get("dagster/asset_partition_range_start", "")) < str(keys[0]):
            return "a week that the code location does not know"
        failure = refresh(self.settings, {**tags, AS_OF: now().isoformat()}, tables or self.tables)
        assert failure is None or TOGETHER in failure or CORRECTED in failure, failure
        return failure

    # Ends

    def by_ticks(self) -> None:
        """Evaluate schedule and sensors, and run what they request, until nothing is requested."""
        requests = tick(self.settings, self.records, now())
        for _run in range(MOST_RUNS):
            for request in requests:
                assert isinstance(request, dg.RunRequest), request
                failure = refresh(self.settings, request.tags, self.tables)
                if failure and CORRECTED in failure:
                    command(self.settings, self.tables, every_week=True)
                else:
                    assert failure is None or TOGETHER in failure, failure
            requests = self._evaluate("due_weeks") if due_path(self.settings).exists() else []
            if not requests:
                break
        assert not due_path(self.settings).exists(), f"weeks are still due after {MOST_RUNS} runs"

    def _evaluate(self, name: str) -> list[dg.RunRequest]:
        """Return what a sensor requests that it has not requested before, as the daemon does."""
        found = evaluate(self.settings, self.records, name).run_requests or []
        new = [each for each in found if f"{name} {each.run_key}" not in self.keys]
        self.keys |= {f"{name} {each.run_key}" for each in new}
        return new

    def by_command(self) -> None:
        """Run what is due."""
        self._command()

    def by_command_over_weeks(self) -> None:
        """Run some weeks by name, then what is due."""
        first, last = sorted(self.random.choices(self.shop.weeks(), k=2))
        self._command((first, last))
        self._command()

    def _command(self, weeks: tuple[dt.date, dt.date] | None = None) -> None:
        try:
            command(self.settings, self.tables, weeks)
        except SourceError as error:
            if CORRECTED not in str(error):
                raise
            command(self.settings, self.tables, every_week=True)


BEFORE: tuple[Callable[[Walker], object], ...] = (Walker.week, Walker.backfill, Walker.partial)
COMMANDS: tuple[Callable[[Walker], None], ...] = (Walker.by_command, Walker.by_command_over_weeks)


@dataclass
class Walk:
    """A store, a warehouse that ticks keep and one that commands keep, and what was done to them so far."""

    folder: Path
    random: random.Random
    records: dg.DagsterInstance
    builder: Executor
    done: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.shop = Shop(self.folder / "store", self.random)
        self.ticked, self.commanded = (
            Walker(name, self.shop, self._settings(name), self.random, self.records) for name in ("ticked", "commanded")
        )

    def step(self, tables: tuple[str, ...] = EVERYTHING) -> list[str]:
        """Change the source and bring tables up to date; return what was done.

        Raises:
            AssertionError: the tables differ from those that are built from nothing.
        """
        change = self.random.choice([*CHANGES, None])
        did = [change(self.shop) if change else "nothing changed"]
        before = self.random.choice([None] * 5 + [*BEFORE])
        commands = self.random.choices(COMMANDS, [3, 1])[0]
        rebuild = self.builder.submit(build, self._settings("rebuilt"), tables)
        try:
            for walker, end in ((self.ticked, Walker.by_ticks), (self.commanded, commands)):
                walker.tables = tables
                if before:
                    did += [before.__name__, str(before(walker))]
                did.append(_words(end))
                end(walker)
                walker.require_equal(*rebuild.result())
        except Exception as error:
            # The walk ends with this error, whatever it is. Only the drawn actions say how to get there again.
            error.add_note("; ".join(did))
            raise
        ran = [before.__name__] if before else []
        self.done.update([did[0].partition(" ")[0], "by ticks", _words(commands), *ran])
        return did

    def _settings(self, name: str) -> Settings:
        home = self.folder / name
        return read_settings(
            source=self.shop.folder, warehouse=home / "w.duckdb", home=home, min_rows=0, min_products=0, max_rejected=1
        )


def _words(end: Callable[[Walker], None]) -> str:
    return end.__name__.replace("_", " ").replace("by command", "by a command")


def _difference(names: list[str], found: Rows, expected: Rows) -> str:
    """Return the rows of tables that only one of two warehouses has."""
    lines = []
    for name in names:
        walked, rebuilt = set(found[name]), set(expected[name])
        lines += [f"{name}, only walked: {sorted(map(str, walked - rebuilt))[:5]}"]
        lines += [f"{name}, only rebuilt: {sorted(map(str, rebuilt - walked))[:5]}"]
    return "\n".join(lines)


def walk(folder: Path, steps: int, seed: int, shows: bool = False) -> Counter[str]:
    """Do steps that a seed draws; return how often each kind of change, run and end came.

    Raises:
        AssertionError: after a step the tables differ from those that are built from nothing.
    """
    context = multiprocessing.get_context("spawn")
    # Another process builds from nothing at the same time.
    with dg.instance_for_test() as records, ProcessPoolExecutor(1, context, _be_quiet) as builder:
        walked = Walk(folder, random.Random(seed), records, builder)
        for number in range(1, steps + 1):
            did = walked.step(WEEKLY_LINEAGE if number % WHOLE_EVERY else EVERYTHING)
            if shows:
                print(f"{number}. {'; '.join(did)}", flush=True)
    return walked.done


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    _be_quiet()
    with tempfile.TemporaryDirectory() as folder:
        done = walk(Path(folder), given.steps, given.seed, shows=True)
    print("| kind | steps |\n| --- | --- |")
    for kind, steps in done.most_common():
        print(f"| {kind} | {steps} |")


if __name__ == "__main__":
    main()
