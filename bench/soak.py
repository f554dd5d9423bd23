"""Faults against runs of the real job, and a table of what became of them: `python -m bench.soak --kills 100`.

Each fault meets a copy of a warehouse that is behind its source. Afterwards every table must be from before or after
its own write, and so must what readers see; one more run must give the tables of one that nothing disturbed.
"""

import argparse
import subprocess
import tempfile
from pathlib import Path

from bench.crashes import crash, crash_midway
from bench.faults import SPOILT, fill_disks, limit_files, spoil_sources
from bench.kills import PHASES, START, kill_runs
from bench.load import make_store
from bench.soak_stores import make_stores

CRASHES = {
    "`kill -9` of a run's worker that waits, then of its retry with daemon and web server": crash,
    "`kill -9` of a run's worker that has written some tables": crash_midway,
}
SHARES = [(number + 0.5) / 4 for number in range(4)]


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100, help="runs killed at drawn moments")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    lines: list[tuple[str, int, str]] = []
    with tempfile.TemporaryDirectory() as home:
        stores = make_stores(Path(home))
        runs, failed = spoil_sources(stores, SHARES, SPOILT)
        end = f"{failed} ended with one sentence and exit 2, the warehouse as it was; {runs - failed} had read the file"
        lines.append(("a source file cut off, removed or made a folder while a run reads", runs, end))
        lines.append(("a limit to the size of files", limit_files(stores, SHARES), "one sentence, exit 1 or 2"))
        for name, with_records in (("", True), (", Dagster's records on another", False)):
            try:
                runs = fill_disks(stores, SHARES, with_records)
                lines.append((f"a full file system{name}", runs, "one sentence, exit 1 or 2"))
            except subprocess.CalledProcessError as error:
                lines.append((f"a full file system{name}", 0, f"not tried: {error.stderr.decode().strip()}"))
        (Path(home) / "crashed").mkdir()
        settings, weeks = make_store(Path(home) / "crashed", 2)
        for name, fault in CRASHES.items():
            lines.append((name, 1, f"run and retries: {', '.join(fault(settings, weeks[0])).lower()}"))
        kills = kill_runs(stores, given.kills, least=given.kills // 10, seed=given.seed)
    for phase in (START, *PHASES):
        lines.append((f"`kill -9` in the phase {phase}", kills.get(phase, 0), "each table whole"))
    print("| fault | runs | what happened | repaired by one run |\n| --- | --- | --- | --- |")
    for fault, runs, end in lines:
        print(f"| {fault} | {runs} | {end} | {runs} |")


if __name__ == "__main__":
    main()
