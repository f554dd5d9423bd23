"""Faults against runs of the real job and operations, with what became of them: `python -m bench.soak --kills 100`.

Each fault meets a copy of a warehouse that is behind its source. Afterwards every table must be from before or after
its own write, and so must what readers see; one more run must give the tables of one that nothing disturbed.
"""

import argparse
import subprocess
import tempfile
from pathlib import Path

from bench import operation_faults
from bench.clocks import JUMPS, jump_clocks
from bench.crashes import crash, crash_midway
from bench.definition_faults import falsify_weeks, kill_changes
from bench.faults import SPOILT, fill_disks, limit_files, spoil_sources
from bench.kills import PHASES, START, kill_runs
from bench.load import make_store
from bench.mutants import MUTANTS, meet
from bench.operations import MOVING, make_base, make_catalog
from bench.soak_stores import Stores, make_stores

CRASHES = {
    "`kill -9` of a run's worker that waits, then of its retry with daemon and web server": crash,
    "`kill -9` of a run's worker that has written some tables": crash_midway,
}
SHARES = [(number + 0.5) / 4 for number in range(4)]


KILLED = ("compact", "restore", "back_up", "prune", "publish")


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--kills", type=int, default=100, help="runs killed at drawn moments; of each operation a tenth"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=PARTS, help="one part; default: all")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        stores = make_stores(Path(home))
        for part in [given.only] if given.only else PARTS:
            PARTS[part](stores, given.kills, given.seed)
            print()


def soak_runs(stores: Stores, kills: int, seed: int) -> None:
    """Disturb runs of the whole job, and print what became of them."""
    lines: list[tuple[str, int, str]] = []
    runs, failed = spoil_sources(stores, SHARES, SPOILT)
    end = f"{failed} ended with one sentence and exit 2, the warehouse as it was; {runs - failed} had read the file"
    lines.append(("a source file cut off, removed or made a folder while a run reads", runs, end))
    lines.append(("a limit to the size of files", limit_files(stores, SHARES), "one sentence, exit 1 or 2"))
    for name, with_records in (("", True), (", Dagster's records on another", False)):
        try:
            runs = fill_disks(stores, SHARES, with_records)
            lines.append((f"a full file system{name}", runs, "one sentence, exit 1 or 2"))
        except subprocess.CalledProcessError as error:
            lines.append((f"a full file system{name}", 0, _not_tried(error)))
    (stores.folder / "crashed").mkdir()
    settings, weeks = make_store(stores.folder / "crashed", 2)
    for name, fault in CRASHES.items():
        lines.append((name, 1, f"run and retries: {', '.join(fault(settings, weeks[0])).lower()}"))
    killed = kill_runs(stores, kills, least=kills // 10, seed=seed)
    for phase in (START, *PHASES):
        lines.append((f"`kill -9` in the phase {phase}", killed.get(phase, 0), "each table whole"))
    print("| fault | runs | what happened | repaired by one run |\n| --- | --- | --- | --- |")
    for fault, runs, end in lines:
        print(f"| {fault} | {runs} | {end} | {runs} |")


def fill_under_operations(stores: Stores, _kills: int, _seed: int) -> None:
    """Let operations on the warehouse meet a full disk, and print what became of them."""
    base, catalog = make_base(stores), make_catalog(stores)
    print("| operation | disk | sizes | done, read alone | one sentence, exit 1, all as it was, then done |")
    print("| --- | --- | --- | --- | --- |")
    for of, each in (("", base), (" of Spark's catalog", catalog)):
        for name in MOVING:
            for disk, is_disk in (("a limit to the size of files", False), ("a full file system", True)):
                try:
                    done, failed = operation_faults.fill_disks(each, name, operation_faults.SHARES, is_disk)
                    print(f"| {name}{of} | {disk} | {done + failed} | {done} | {failed} |", flush=True)
                except subprocess.CalledProcessError as error:
                    print(f"| {name}{of} | {disk} | 0 | {_not_tried(error)} | |")


def kill_operations(stores: Stores, kills: int, seed: int) -> None:
    """Kill operations on the warehouse, and print what became of them."""
    base = make_base(stores)
    print("| killed | kills | all whole; all operations and one run worked then |\n| --- | --- | --- |")
    for name in KILLED:
        killed = operation_faults.kill_operation(stores, base, name, kills // 10, seed)
        print(f"| {name} | {killed} | {killed} |", flush=True)


def turn_clocks(stores: Stores, _kills: int, _seed: int) -> None:
    """Let runs have a wrong clock, and print what became of what they left."""
    print("| a clock that was wrong for one run | runs | what it left, in the runs after it |\n| --- | --- | --- |")
    for direction, jumps in JUMPS.items():
        for days in jumps:
            end = {"ahead": "counted nowhere after raw_products; gone once forgotten", "behind": "gone once forgotten"}
            runs = jump_clocks(stores, days, direction)
            print(f"| {direction} by {days} days | {runs} | {end[direction]} |", flush=True)


def falsify(stores: Stores, rounds: int, seed: int) -> None:
    """Falsify closed weeks, and print what became of them."""
    done = falsify_weeks(stores, rounds, seed)
    print("| fault | rounds | what happened | mended by a run of the week |\n| --- | --- | --- | --- |")
    print(f"| a week is falsified, `check`, then a run and a tick | {done} | all failed, none published | {done} |")


def change_definitions(stores: Stores, kills: int, seed: int) -> None:
    """Kill runs that make again what another definition wrote, and print what became of them."""
    done = kill_changes(stores, kills // 2, seed)
    print("| fault | kills | finished by the next run |\n| --- | --- | --- |")
    print(f"| `kill -9` between two tables of a change of definition | {done} | {done} |")


def change_transforms(stores: Stores, _kills: int, _seed: int) -> None:
    """Run each mutant on a warehouse, and print whether a check failed or all tables were rebuilt."""
    print("| mutant of | what it changed | found by a check, or all tables made again |\n| --- | --- | --- |")
    for number, mutant in enumerate(MUTANTS):
        end = meet(stores.behind, mutant, stores.folder / f"mutant-{number}")
        print(f"| {mutant[0]} | `{mutant[1]}` | {end} |", flush=True)


def _not_tried(error: subprocess.CalledProcessError) -> str:
    return f"not tried: {error.stderr.decode().strip()}"


PARTS = {
    "runs": soak_runs,
    "full-disks": fill_under_operations,
    "killed-operations": kill_operations,
    "clocks": turn_clocks,
    "falsified": falsify,
    "definitions": change_definitions,
    "mutants": change_transforms,
}

if __name__ == "__main__":
    main()
