"""Weeks that are falsified, and changes of definition that are cut off: what checks and the next runs make of them."""

import random
from typing import Any

import dagster as dg

from bench.kills import kill_in
from bench.soak_stores import END, Silence, Stores, refresh
from plant_assets.calendar import WEEK
from plant_assets.cli.runs import Outcome, run_checks, run_refresh
from plant_assets.definitions import build_defs
from plant_assets.settings import Settings
from plant_assets.warehouse.marts import open_marts
from plant_assets.warehouse.open import open_warehouse
from plant_assets_tests.support.ticking import tick

# A statement each that falsifies the week $week of a table, and is found by a check.
FALSE = (
    "update inventory set closing_inventory = closing_inventory + 1000 where week_start_date = $week",
    "update inventory_changes set inventory = inventory + 1 where week_start_date = $week",
    "update int_session_days set events = events + 1 where date_trunc('week', event_date) = $week",
    "insert into raw_events from raw_events where date_trunc('week', created_at) = $week limit 1",
)
# What another definition may have left: its fingerprint, and rows by another rule.
_ANOTHER = """
    update _writes set definition = 'another' where not starts_with(table_name, 'raw_');
    update inventory set hours_out_of_stock = 2 * hours_out_of_stock;
    update int_funnel_weeks set page_view = page_view + 1;
    update product_snapshots set changed_after = null;
"""


def falsify_weeks(stores: Stores, rounds: int, seed: int) -> int:
    """Falsify a closed week, check, run and tick, mend it; return how often.

    Raises:
        AssertionError: a run between the check and the mending passed, or published.
    """
    drawn = random.Random(seed)
    for number in range(rounds):
        with stores.copy("falsified") as settings:
            week = stores.behind.calendar.week_of(END) - WEEK * drawn.choice([3, 4])
            with open_warehouse(settings) as warehouse:
                warehouse.execute(drawn.choice(FALSE), {"week": week})
            publisher = _publisher(settings)
            assert _check(settings).failed_errors
            for act in drawn.sample([_run, _tick], k=2):
                assert not act(settings), f"round {number}: {act.__name__} passed"
                assert _publisher(settings) == publisher, f"round {number}: {act.__name__} published"
            mended = _refresh(settings, weeks=(week, week))
            assert not mended.has_stopped, f"round {number}: {mended.problems}"
            refresh(settings)
            stores.require_repaired(settings, f"round {number}")
    return rounds


def kill_changes(stores: Stores, kills: int, seed: int) -> int:
    """Kill runs between the tables of a change of definition; return how often the next run finished it.

    Raises:
        AssertionError: it did not.
    """
    drawn = random.Random(seed)
    for number in range(kills):
        with stores.copy("changed") as settings:
            with open_warehouse(settings) as warehouse:
                warehouse.execute(_ANOTHER)
            kill_in(settings, drawn.choice(["delete", "insert"]), drawn.random())
            refresh(settings)
            stores.require_repaired(settings, f"kill {number}")
    return kills


def _publisher(settings: Settings) -> str | None:
    with open_marts(settings) as marts:
        return marts.publisher()


def _check(settings: Settings) -> Outcome:
    with dg.DagsterInstance.ephemeral() as records:
        return run_checks(settings, records, Silence(), as_of=END)


def _refresh(settings: Settings, **how: Any) -> Outcome:
    with dg.DagsterInstance.ephemeral() as records:
        return run_refresh(settings, records, Silence(), as_of=END, **how)


def _run(settings: Settings) -> bool:
    """Run as a command does; return whether it passed."""
    outcome = _refresh(settings)
    return not (outcome.has_stopped or outcome.failed_errors)


def _tick(settings: Settings) -> bool:
    """Run what a tick requests; return whether it passed."""
    with dg.instance_for_test() as records:
        [request] = tick(settings, records, END)
        job = build_defs(settings).resolve_job_def("refresh")
        done: Any = job.execute_in_process(instance=records, tags=request.tags, raise_on_error=False)
    return bool(done.success)
