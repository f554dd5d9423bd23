"""Events that move between weeks: a run of one of the two, as the UI asks for it, says which weeks to run together."""

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

from plant_assets.definitions import build_defs
from plant_assets.orchestration.partitions import range_tags
from plant_assets_tests.loading.stores import AS_OF, Store, event, rebuilt

EARLIER, BETWEEN, LATER = "2021-02-01", "2021-02-08", "2021-02-15"
TOGETHER = (
    f"the weeks {EARLIER} and {LATER} have to run together, since an event moved between them:"
    f" run {EARLIER}..{LATER}, or `plant-assets run --weeks {EARLIER}..{LATER}`"
)
RAW = [dg.AssetKey(name) for name in ("raw_events", "raw_products", "raw_observations", "raw_orders")]


def _run(store: Store, tags: dict[str, str]) -> str | None:
    """Run the load as the UI does; what it fails with."""
    job = build_defs(store.settings).resolve_job_def("refresh")
    with dg.DagsterInstance.ephemeral() as instance:
        result = job.execute_in_process(
            instance=instance,
            tags={**tags, "plant/as_of": AS_OF.isoformat()},
            asset_selection=RAW,
            raise_on_error=False,
        )
    failures = [each.step_failure_data.error for each in result.all_events if each.is_step_failure]
    return failures[0].cause.message if failures else None


def _week(week: str) -> dict[str, str]:
    return {"dagster/partition": week}


def _range(first: str, last: str) -> dict[str, str]:
    return range_tags(dt.date.fromisoformat(first), dt.date.fromisoformat(last))


@pytest.fixture
def store(new_either: Callable[..., Store]) -> Store:
    """Three weeks with two events each."""
    made = new_either()
    for week in (EARLIER, BETWEEN, LATER):
        made.put(f"events/{week}.csv", [event(f"{week} {hour}", f"{week} {hour}:00") for hour in (10, 11)])
    made.load()
    return made


def _move(store: Store, source: str, target: str) -> None:
    """Let the second event of a week be of another."""
    store.put(f"events/{source}.csv", [event(f"{source} 10", f"{source} 10:00")])
    staying = [event(f"{target} {hour}", f"{target} {hour}:00") for hour in (10, 11)]
    store.put(f"events/{target}.csv", [*staying, event(f"{source} 11", f"{target} 12:00")])


@pytest.mark.parametrize("alone", [EARLIER, LATER])
@pytest.mark.parametrize(("source", "target"), [(EARLIER, LATER), (LATER, EARLIER)])
def test_one_of_two_weeks_is_refused_and_both_together_are_done(
    store: Store, tmp_path: Path, source: str, target: str, alone: str
) -> None:
    before = store.contents()
    _move(store, source, target)
    assert TOGETHER in str(_run(store, _week(alone)))
    assert store.contents() == before
    assert _run(store, _range(EARLIER, LATER)) is None
    assert store.events() == rebuilt(store, tmp_path / "rebuilt").events()
    assert len(store.events()) == 6


def test_a_move_that_a_run_of_another_week_has_read_is_found(store: Store) -> None:
    _move(store, EARLIER, LATER)
    assert _run(store, _week(BETWEEN)) is None
    assert TOGETHER in str(_run(store, _week(EARLIER)))
    assert TOGETHER in str(_run(store, _week(LATER)))


def test_a_refused_event_that_returns_is_done_with_the_week_that_loses_the_other(store: Store, tmp_path: Path) -> None:
    store = store.under(max_rejected=1)
    rows = [event(f"{LATER} {hour}", f"{LATER} {hour}:00") for hour in (10, 11)]
    store.put(f"events/{LATER}.csv", [*rows, event(f"{EARLIER} 11", f"{LATER} 12:00")])
    assert _run(store, _week(LATER)) is None
    assert [reason for *_where, reason in store.refused()] == ["conflict"]
    store.put(f"events/{EARLIER}.csv", [event(f"{EARLIER} 10", f"{EARLIER} 10:00")])
    assert TOGETHER in str(_run(store, _week(EARLIER)))
    assert _run(store, _range(EARLIER, LATER)) is None
    assert store.events() == rebuilt(store, tmp_path / "rebuilt").events()


def test_a_week_that_has_nothing_to_do_with_a_move_runs_alone(store: Store) -> None:
    _move(store, EARLIER, LATER)
    assert _run(store, _week(BETWEEN)) is None


@pytest.mark.parametrize("alone", [EARLIER, LATER])
def test_the_command_line_adds_the_other_week(store: Store, tmp_path: Path, alone: str) -> None:
    _move(store, EARLIER, LATER)
    week = dt.date.fromisoformat(alone)
    store.load(weeks=(week, week))
    assert store.events() == rebuilt(store, tmp_path / "rebuilt").events()
