"""Kills runs of the real job: at drawn moments over the whole run, then in the phases that had too few.

A phase lasts from its first statement to that of another phase: time between statements, in Dagster or in Python,
counts to the phase before.
"""

import collections
import contextlib
import math
import multiprocessing
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

from bench.soak_stores import Stores, refresh
from bench.watched import watch
from plant_assets.settings import Settings

PHASES = ("load", "delete", "insert", "publish")
START = "start"
# A child of the fork server begins with everything imported, so that a run's time is that of its work.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["bench.kills"])
# Statements of each phase in a run, at least.
MOST = {"load": 12, "delete": 30, "insert": 30, "publish": 10}


def phase_of(statement: str) -> str | None:
    """The phase of a run that a statement belongs to."""
    text = " ".join(statement.split()).lower()
    if "marts" in text and text.startswith(("attach", "create", "comment", "detach")):
        return "publish"
    is_of_staging = any(name in text[:45] for name in ("_staged_", "found_", "still_", "seen_twice"))
    if text.startswith("delete from") and not is_of_staging:
        return "delete"
    if text.startswith(("insert into", "alter table")) and (not is_of_staging or text.startswith("alter")):
        return "insert"
    return "load" if "_staged_" in text else None


def watched_run(settings: Settings, phase_file: Path, kill_in: str | None, share: float) -> None:
    """A run that notes its phase in a file, and kills itself in `kill_in` after a share of its statements."""
    noted, seen = START, 0
    with phase_file.open("w", buffering=1) as notes:
        notes.write(f"{START}\n")

        def note(statement: str) -> None:
            nonlocal noted
            phase = phase_of(statement)
            if phase and phase != noted:
                noted = phase
                notes.write(f"{phase}\n")

        def kill(statement: str) -> None:
            nonlocal seen
            if kill_in and phase_of(statement) == kill_in:
                seen += 1
                if seen > share * MOST[kill_in]:
                    os.kill(os.getpid(), signal.SIGKILL)

        watch(note, kill)
        refresh(settings)


def _start(settings: Settings, kill_in: str | None = None, share: float = 0) -> tuple[Any, Path]:
    """A watched run that has begun, and the file with its phases."""
    phase_file = settings.warehouse_path.with_name("phases")
    phase_file.touch()
    process = PROCESSES.Process(target=watched_run, args=(settings, phase_file, kill_in, share))
    process.start()
    while not phase_file.read_text():
        assert process.is_alive()
        time.sleep(0.001)
    return process, phase_file


def worked(process: Any) -> float:
    """The seconds that a process has worked: on a busy machine the time that passed does not say how far a run is.

    Raises:
        OSError: it has ended.
    """
    # Linux's clock of another process, as clock_getcpuclockid(3) makes it.
    return time.clock_gettime((~process.pid << 3) | 2)


def kill_at(settings: Settings, seconds: float) -> tuple[str | None, float]:
    """Kill a run after so much work; the phase it was in, None where it had ended, and the work it had done."""
    process, phases = _start(settings)
    has_worked = 0.0
    while has_worked < seconds and process.is_alive():
        time.sleep(0.005)
        with contextlib.suppress(OSError):
            has_worked = worked(process)
    process.kill()
    process.join()
    if process.exitcode == 0:
        return None, has_worked
    assert process.exitcode == -signal.SIGKILL
    return phases.read_text().split()[-1], has_worked


def kill_in(settings: Settings, phase: str, share: float) -> str:
    """Kill a run after a statement of a phase: the first after a share of those that a run has."""
    process, _phases = _start(settings, phase, share)
    process.join()
    assert process.exitcode == -signal.SIGKILL, f"not killed in {phase}"
    return phase


def kill_runs(stores: Stores, kills: int, least: int, seed: int) -> dict[str, int]:
    """Kill that many runs by time, then more until each phase has `least`; the kills of each phase.

    Raises:
        AssertionError: a table is neither from before nor from after its write, or the repaired tables differ.
    """
    drawn = random.Random(seed)
    counted: collections.Counter[str] = collections.Counter(dict.fromkeys(PHASES, 0))
    with stores.copy("undisturbed") as settings:
        _phase, usual = kill_at(settings, math.inf)
        stores.require_repaired(settings, "undisturbed")
    while counted.total() < kills or min(counted[phase] for phase in PHASES) < least:
        with stores.copy("killed") as settings:
            if counted.total() < kills:
                phase, _worked_for = kill_at(settings, drawn.random() * usual)
            else:
                wanted = next(phase for phase in PHASES if counted[phase] < least)
                phase = kill_in(settings, wanted, drawn.random())
            if phase is None:
                continue
            counted[phase] += 1
            stores.require_whole(settings, f"killed in {phase}")
            refresh(settings)
            stores.require_repaired(settings, f"killed in {phase}")
    return dict(counted)
