"""The short version of `make soak`: a kill in each phase of a run, each repaired by the next run."""

from bench.soak import PHASES, phase_of, soak


def test_a_kill_in_each_phase_is_repaired_by_the_next_run() -> None:
    assert soak(kills=len(PHASES), seed=7) == dict.fromkeys(PHASES, 1)


def test_phases_are_told_by_their_statements() -> None:
    assert phase_of("delete from raw_events where created_at >= ?") == "delete"
    assert phase_of("insert into funnel by name select 1") == "insert"
    assert phase_of("attach 'x' as marts") == "publish"
    assert phase_of("insert into _staged_events by name select 1") == "load"
    assert phase_of("select 1") is None
