"""The short versions of `make soak`, `make load` and `bench.walk`: kills, full disks, spoilt sources, random steps."""

import shutil
import sys
from pathlib import Path

import pytest

from bench import operation_faults
from bench.clocks import jump_clocks
from bench.definition_faults import falsify_weeks, kill_changes
from bench.faults import SPOILT, limit_files, spoil_sources
from bench.kills import PHASES, START, kill_runs, phase_of
from bench.load import crowded, make_store
from bench.operations import MOVING, Base, make_base, make_catalog
from bench.soak_stores import Stores, make_stores
from bench.walk import walk
from plant_assets_tests.support.machine import need


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Stores:
    return make_stores(tmp_path_factory.mktemp("soak"))


def test_kills_at_any_moment_are_repaired_by_the_next_run(stores: Stores) -> None:
    need("Linux, whose clocks tell how far a run is,", sys.platform == "linux")
    kills = kill_runs(stores, kills=2, least=1, seed=7)
    assert set(kills) - {START} == set(PHASES)
    assert min(kills[phase] for phase in PHASES) >= 1


def test_phases_are_told_by_their_statements() -> None:
    assert phase_of("delete from raw_events where created_at >= ?") == "delete"
    assert phase_of("insert into funnel by name select 1") == "insert"
    assert phase_of("attach 'x' as marts") == "publish"
    assert phase_of("comment on table marts.analytics.funnel is 'run x'") == "publish"
    assert phase_of("insert into _staged_events by name select 1") == "load"
    assert phase_of("delete from _staged_events where true") == "load"
    assert phase_of("insert into raw_events by name select 1 from _staged_events") == "insert"
    assert phase_of("alter table _staged_events drop column week") == "insert"
    assert phase_of("select 1") is None


def test_a_full_disk_ends_with_one_sentence_and_is_repaired_by_the_next_run(stores: Stores) -> None:
    assert limit_files(stores, [0.3]) == 1


@pytest.mark.parametrize("direction", ["ahead", "behind"])
def test_what_a_wrong_clock_left_is_left_out_and_forgotten(stores: Stores, direction: str) -> None:
    assert jump_clocks(stores, 2, direction) == 4


def test_a_source_that_becomes_unreadable_leaves_the_warehouse_as_it_was(stores: Stores) -> None:
    spoilt = {name: SPOILT[name] for name in ("events/2026-10-12.csv.gz", "events/2026-10-13.csv")}
    assert spoil_sources(stores, [0], spoilt) == (2, 2)


def test_a_falsified_week_fails_until_it_is_mended(stores: Stores) -> None:
    assert falsify_weeks(stores, rounds=1, seed=1) == 1


def test_a_change_of_definition_that_was_cut_off_is_finished_by_the_next_run(stores: Stores) -> None:
    assert kill_changes(stores, kills=1, seed=1) == 1


@pytest.fixture(scope="module")
def base(stores: Stores) -> Base:
    return make_base(stores)


@pytest.mark.parametrize("name", MOVING)
def test_an_operation_without_space_is_done_truly_or_leaves_all_as_it_was(base: Base, name: str) -> None:
    assert operation_faults.fill_disks(base, name, [0.4, 3], is_disk=False) == (1, 1)


def test_the_catalog_of_spark_is_moved_with_all_of_it(stores: Stores) -> None:
    need("java", shutil.which("java") is not None)
    catalog = make_catalog(stores)
    for name in ("compact", "back_up", "restore"):
        assert operation_faults.fill_disks(catalog, name, [0.4, 3], is_disk=False) == (1, 1)


@pytest.mark.parametrize("name", ["compact", "restore"])
def test_a_killed_operation_is_in_no_ones_way(stores: Stores, base: Base, name: str) -> None:
    need("Linux, whose clocks tell how far an operation is,", sys.platform == "linux")
    assert operation_faults.kill_operation(stores, base, name, kills=1, seed=7) == 1


def test_each_step_of_a_random_walk_ends_with_the_tables_of_a_build_from_nothing(tmp_path: Path) -> None:
    done = walk(tmp_path, steps=10, seed=1)
    assert done["by ticks"] == done["by a command"] + done["by a command over weeks"] == 10


def test_processes_at_once_wait_for_one_another_and_readers_see_one_run(tmp_path: Path) -> None:
    settings, weeks = make_store(tmp_path, 4)
    reader = crowded(settings, weeks)
    assert reader.problems == []
    assert len(reader.publishers) > 1
