"""Full disks and `kill -9` under the operations of `bench.operations`, each in a process of its own."""

import contextlib
import math
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bench.faults import FAILED, Ended, small_disk
from bench.kills import PROCESSES, worked
from bench.operations import MOVING, OPERATIONS, Base, kept_by, look, require_no_left_overs
from bench.soak_stores import Stores, refresh
from plant_assets.cli.errors import one_sentence
from plant_assets.settings import Settings
from plant_assets.warehouse.database_files import remove_database
from plant_assets.warehouse.open import open_warehouse

SHARES = [(number + 0.5) / 20 * 1.2 for number in range(20)]
# A process is killed before one of its first calls of these; compact has 18, restore 41.
MOST_CALLS = 18
CALLS = ("os.rename", "os.remove", "os.link", "os.chmod", "os.mkdir", "shutil.copyfile", "shutil.rmtree")


def _operate(settings: Settings, name: str, log: Path, most_bytes: int | None, kill_at_call: int | None) -> None:
    with log.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    if most_bytes is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))
    if kill_at_call is not None:
        _kill_at_call(kill_at_call)
    log.with_suffix(".begun").touch()
    with one_sentence(debug=False):
        OPERATIONS[name](settings)


def _kill_at_call(call: int) -> None:
    """Kill this process before that call to the file system, counted from zero."""
    seen = 0

    def watch(event: str, _arguments: object) -> None:
        nonlocal seen
        if event in CALLS:
            if seen == call:
                os.kill(os.getpid(), signal.SIGKILL)
            seen += 1

    sys.addaudithook(watch)


def _start(settings: Settings, name: str, most_bytes: int | None = None, kill_at_call: int | None = None) -> Any:
    log = settings.warehouse_path.parent.with_name("operation.log")
    log.with_suffix(".begun").unlink(missing_ok=True)
    process = PROCESSES.Process(target=_operate, args=(settings, name, log, most_bytes, kill_at_call))
    process.start()
    return process, log


def _run(settings: Settings, name: str, most_bytes: int | None = None) -> Ended:
    process, log = _start(settings, name, most_bytes)
    process.join()
    return Ended(process.exitcode, log.read_text())


def fill_disks(base: Base, name: str, shares: Sequence[float], is_disk: bool) -> tuple[int, int]:
    """Let an operation meet a limit to the size of files, or a full disk, at those shares of the warehouse's size.

    Returns how often it succeeded, and how often it ended with a sentence.

    Raises:
        AssertionError: it ended otherwise, the warehouse is not whole, or it does not succeed once there is space.
        CalledProcessError: this user may not mount a file system.
    """
    succeeded = 0
    for share in shares:
        when = f"{name}, {'disk full' if is_disk else 'files limited'} at {share:.2f}"
        disturbed = _on_small_disk if is_disk else _with_limit
        with disturbed(base, name, int(share * base.size)) as (settings, ended):
            if ended.code == 0:
                succeeded += 1
            else:
                ended.require_one_sentence((FAILED,), when)
                base.require_whole(settings, name, when)
                require_no_left_overs(settings, when)
                OPERATIONS[name](settings)
            base.require_done(settings, name, when)
    return succeeded, len(shares) - succeeded


Disturbed = Iterator[tuple[Settings, Ended]]


@contextlib.contextmanager
def _with_limit(base: Base, name: str, size: int) -> Disturbed:
    with base.copy() as settings:
        yield settings, _run(settings, name, size)


@contextlib.contextmanager
def _on_small_disk(base: Base, name: str, size: int) -> Disturbed:
    disk = base.home.with_name("disk")
    pages = sum(-(-each.stat().st_size // 4096) + 1 for each in base.home.rglob("*"))
    with small_disk(disk, pages * 4096 + size):
        shutil.copytree(base.home, disk, dirs_exist_ok=True)
        ended = _run(base.at(disk), name)
        subprocess.run(["mount", "-o", "remount,size=1g", str(disk)], check=True)
        yield base.at(disk), ended


def kill_operation(stores: Stores, base: Base, name: str, kills: int, seed: int) -> int:
    """Kill an operation that many times: by turns after some work, and before a call to the file system.

    Then every operation has to work, and one run has to give the tables of a run that nothing disturbed. Returns the
    kills.

    Raises:
        AssertionError: the warehouse is not whole after a kill, or something does not work.
    """
    drawn, killed = random.Random(seed), 0
    with base.copy() as settings:
        usual = _kill_after(settings, name, math.inf)
    while killed < kills:
        with base.copy() as settings:
            if killed % 2:
                process, _log = _start(settings, name, kill_at_call=drawn.randrange(MOST_CALLS))
                process.join()
                is_killed = process.exitcode != 0
            else:
                is_killed = _kill_after(settings, name, drawn.random() * usual) is None
            if is_killed:
                killed += 1
                base.require_whole(settings, name, f"{name} killed")
                _require_all_work(stores, base, settings, f"{name} killed")
    return killed


def _kill_after(settings: Settings, name: str, seconds: float) -> float | None:
    """Kill an operation after so much work; the work of one that had ended before."""
    process, log = _start(settings, name)
    while not log.with_suffix(".begun").exists():
        time.sleep(0.001)
    begun = done = 0.0
    while process.is_alive() and done - begun <= seconds:
        with contextlib.suppress(OSError):
            done = worked(process)
        begun = begun or done
        time.sleep(0.001)
    process.kill()
    process.join()
    return done - begun if process.exitcode == 0 else None


def _require_all_work(stores: Stores, base: Base, settings: Settings, when: str) -> None:
    if (kept := kept_by(settings)).exists():
        # Back to the store of before.
        remove_database(settings.warehouse_path)
        kept.rename(settings.warehouse_path)
    for name in MOVING:
        if name != "accept-source":
            OPERATIONS[name](settings)
    require_no_left_overs(settings, when)
    found = look(settings).warehouse
    assert found in [base.before.warehouse, *(after.warehouse for after in base.after.values())], f"{when}: then"
    OPERATIONS["prune"](settings)
    with open_warehouse(settings) as warehouse:
        warehouse.execute("delete from rejected_rows where source_table = 'ballast'")
    refresh(settings)
    stores.require_repaired(settings, when)
