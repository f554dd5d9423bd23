"""Events that move between weeks: a run of one of the two, as the UI asks for it, says which weeks to run together."""

import datetime as dt
from collections.abc import Callable, Sequence
from pathlib import Path

import dagster as dg
import pytest

from plant_assets.definitions import build_defs
from plant_assets.orchestration.partitions import range_tags
from plant_assets_tests.support.small_stores import AS_OF, Store, event, new_store, product, rebuilt
from plant_assets_tests.support.ticking import evaluate, tick

EARLIER, BETWEEN, LATER = "2021-02-01", "2021-02-08", "2021-02-15"
TOGETHER = (
    f"the weeks {EARLIER} and {LATER} have to run together, since an event moved between them:"
    f" the sensor due_weeks requests {EARLIER}..{LATER}, or run `plant-assets run --weeks {EARLIER}..{LATER}`"
)
RAW = tuple(dg.AssetKey(name) for name in ("raw_events", "raw_products", "raw_observations", "raw_orders"))


def _run(store: Store, tags: dict[str, str], tables: Sequence[dg.AssetKey] = RAW) -> str | None:
    """Run the load as the UI does; what it fails with."""
    job = build_defs(store.settings).resolve_job_def("refresh")
    with dg.DagsterInstance.ephemeral() as instance:
        result = job.execute_in_process(
            instance=instance,
            tags={**tags, "plant/as_of": AS_OF.isoformat()},
            asset_selection=list(tables),
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
    """Three weeks with two events each, in files or in a database."""
    return three_weeks(new_either())


def three_weeks(made: Store) -> Store:
    """Load three weeks with two events each."""
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


def test_weeks_that_a_run_could_not_do_alone_are_requested_once_and_done(tmp_path: Path) -> None:
    store = three_weeks(new_store(tmp_path))
    _move(store, EARLIER, LATER)
    with dg.instance_for_test() as records:
        assert evaluate(store.settings, records, "due_weeks").skip_message == "no run noted weeks as due"
        assert TOGETHER in str(_run(store, _week(LATER)))
        before = store.contents()
        [request] = evaluate(store.settings, records, "due_weeks").run_requests
        assert (request.tags["plant/weeks"], request.tags["plant/only_changed"]) == (f"{EARLIER}..{LATER}", "yes")
        # A second run of one of the weeks notes nothing new: the request is the same.
        assert TOGETHER in str(_run(store, _week(EARLIER)))
        assert [each.run_key for each in evaluate(store.settings, records, "due_weeks").run_requests] == [
            request.run_key
        ]
        assert store.contents() == before
        assert _run(store, request.tags) is None
        assert evaluate(store.settings, records, "due_weeks").skip_message == "no run noted weeks as due"
    assert store.events() == rebuilt(store, tmp_path / "rebuilt").events()


def test_an_event_that_comes_again_half_a_year_earlier_is_done_after_a_tick(tmp_path: Path) -> None:
    store = three_weeks(new_store(tmp_path, max_rejected=1))
    store.put("events/first.csv", [event("first", "2020-06-01")])
    store.load()
    store.put("events/again.csv", [event(f"{LATER} 10", "2020-06-09")])
    with dg.instance_for_test() as records:
        [request] = tick(store.settings, records, AS_OF)
        assert request.tags["plant/weeks"] == "2020-06-08..2020-06-08"
        before = store.contents()
        assert f"the weeks 2020-06-08 and {LATER} have to run together" in str(_run(store, request.tags))
        assert store.contents() == before
        [request] = evaluate(store.settings, records, "due_weeks").run_requests
        assert _run(store, request.tags) is None
    assert store.events() == rebuilt(store, tmp_path / "rebuilt").events()
    assert store.events()[f"{LATER} 10"] == "2020-06-09"


def test_a_week_that_a_late_observation_bears_on_is_not_run_without_the_others(tmp_path: Path) -> None:
    store = three_weeks(new_store(tmp_path, products="products/2021-02-02.csv"))
    store.put("products/2021-02-18.csv", [product("p1", inventory="4"), product("p2")])
    store.load()
    store.put("products/2021-02-09.csv", [product("p1", inventory="7"), product("p2")])
    refused = str(_run(store, _week(BETWEEN)))
    assert f"{EARLIER}, {BETWEEN} and {LATER} have to run together, since the products were observed then" in refused
    week = dt.date.fromisoformat(BETWEEN)
    planned = store.plan(weeks=(week, week))
    assert planned.ranges == [(dt.date.fromisoformat(EARLIER), dt.date.fromisoformat(LATER))]


def test_a_late_observation_that_a_run_of_its_table_has_stored_binds_the_weeks(tmp_path: Path) -> None:
    store = three_weeks(new_store(tmp_path, products="products/2021-02-02.csv"))
    store.put("products/2021-02-18.csv", [product("p1", inventory="4"), product("p2")])
    store.load()
    store.put("products/2021-02-09.csv", [product("p1", inventory="7"), product("p2")])
    assert _run(store, _week(LATER), [dg.AssetKey("raw_products"), dg.AssetKey("raw_observations")]) is None
    refused = str(_run(store, _week(BETWEEN)))
    assert f"{EARLIER}, {BETWEEN} and {LATER} have to run together, since the products were observed then" in refused
    assert _run(store, _range(EARLIER, LATER)) is None


def test_a_store_that_loses_its_first_week_begins_with_the_next(tmp_path: Path) -> None:
    store = three_weeks(new_store(tmp_path))
    store.remove(f"events/{EARLIER}.csv")
    assert store.settings.remembered("first_week") == EARLIER
    with dg.instance_for_test() as records:
        [request] = tick(store.settings, records, AS_OF)
    assert request.tags["plant/weeks"].startswith(f"{EARLIER}..")
    assert _run(store, request.tags) is None
    assert store.settings.remembered("first_week") == BETWEEN


@pytest.mark.parametrize("alone", [EARLIER, LATER])
def test_the_command_line_adds_the_other_week(store: Store, tmp_path: Path, alone: str) -> None:
    _move(store, EARLIER, LATER)
    week = dt.date.fromisoformat(alone)
    store.load(weeks=(week, week))
    assert store.events() == rebuilt(store, tmp_path / "rebuilt").events()
