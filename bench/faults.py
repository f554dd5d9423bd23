"""A full disk and a source that becomes unreadable, under the command `plant-assets run`.

The command has to end with one sentence, and the tables to be whole; once there is space, or the source is as it was,
one more command has to give the tables of a run that nothing disturbed.
"""

import os
import resource
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.kills import MOST, PROCESSES, phase_of
from bench.soak_stores import END, Stores, tables
from bench.watched import watch
from plant_assets import cli
from plant_assets.settings import Settings, read_settings

FAILED, WRONG_USE = 1, 2


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it printed."""

    code: int
    printed: str

    def require_one_sentence(self, codes: Iterable[int], when: str) -> None:
        """It failed with one of the codes, saying why in one sentence at the end.

        Raises:
            AssertionError: it did not.
        """
        lines = self.printed.strip().splitlines()
        sentences = [line for line in lines if line.startswith("plant-assets: ")]
        is_so = self.code in codes and "Traceback" not in self.printed and sentences == lines[-1:]
        assert is_so, f"{when}: exit {self.code}\n{self.printed}"


def _command(settings: Settings, log: Path, most_bytes: int | None, disturb: "Disturbance | None") -> None:
    with log.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    if most_bytes is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))
    if disturb:
        disturb.prepare()
    where = ["--source", str(settings.source), "--warehouse", str(settings.warehouse_path)]
    cli.main(["run", *where, "--as-of", END.isoformat()])


def run_command(
    stores: Stores, settings: Settings, most_bytes: int | None = None, disturb: "Disturbance | None" = None
) -> Ended:
    """`plant-assets run` in a process of its own, that can write files of `most_bytes` at most."""
    log = stores.folder / "command.log"
    process = PROCESSES.Process(target=_command, args=(settings, log, most_bytes, disturb))
    process.start()
    process.join()
    return Ended(process.exitcode, log.read_text())


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[None]:
    """A file system of that size at `folder`.

    Raises:
        CalledProcessError: this user may not mount one.
    """
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs", str(folder)]
    subprocess.run(mount, check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)
        folder.rmdir()


def fill_disks(stores: Stores, shares: Sequence[float], with_records: bool) -> int:
    """Let runs meet a file system that is full after that share of what they write anew; how many runs.

    Dagster's records are on the same disk, or on another one: they grow all the time and would always be the first to
    fail.

    Raises:
        AssertionError: a run went wrong otherwise, or was not repaired by the next.
        CalledProcessError: this user may not mount a file system.
    """
    disk, elsewhere = stores.folder / "disk", stores.folder / "elsewhere"
    for share in shares:
        with small_disk(disk, _size(stores.behind.warehouse_path.parent) + int(share * _largest(stores))):
            shutil.copytree(stores.behind.warehouse_path.parent, disk, dirs_exist_ok=True)
            settings = read_settings(source=stores.source, warehouse=disk / "w.duckdb")
            if not with_records:
                shutil.move(settings.dagster_home, elsewhere)
                settings.dagster_home.symlink_to(elsewhere)
            when = f"disk full after {share:.2f}"
            run_command(stores, settings).require_one_sentence((FAILED, WRONG_USE), when)
            subprocess.run(["mount", "-o", "remount,size=1g", str(disk)], check=True)
            _require_recovery(stores, settings, when)
        shutil.rmtree(elsewhere, ignore_errors=True)
    return len(shares)


def limit_files(stores: Stores, shares: Sequence[float]) -> int:
    """Let runs meet a limit to the size of a file, at that share of the largest they write anew; how many runs.

    Raises:
        AssertionError: a run went wrong otherwise, or was not repaired by the next.
    """
    for share in shares:
        with stores.copy("limited") as settings:
            when = f"files limited to {share:.2f}"
            ended = run_command(stores, settings, most_bytes=int(share * _largest(stores)))
            ended.require_one_sentence((FAILED, WRONG_USE), when)
            _require_recovery(stores, settings, when)
    return len(shares)


def _size(path: Path) -> int:
    return sum(each.stat().st_size for each in path.rglob("*") if each.is_file())


def _largest(stores: Stores) -> int:
    """The marts: what every run writes whole."""
    return stores.behind.marts_path.stat().st_size


def _require_recovery(stores: Stores, settings: Settings, when: str) -> None:
    stores.require_whole(settings, when)
    again = run_command(stores, settings)
    assert again.code == 0, f"{when}: {again.printed}"
    stores.require_repaired(settings, when)


@dataclass(frozen=True)
class Disturbance:
    """What happens to a file of the source after a share of the statements that load it."""

    file: Path
    kind: str
    aside: Path
    share: float

    def prepare(self) -> None:
        """Have it happen in this process."""
        seen = 0

        def happen_in_time(statement: str) -> None:
            nonlocal seen
            if phase_of(statement) == "load":
                seen += 1
                if seen == 1 + int(self.share * MOST["load"]):
                    self.happen()

        watch(happen_in_time)

    def happen(self) -> None:
        """Damage the file."""
        os.rename(self.file, self.aside)
        if self.kind == "cut off":
            content = self.aside.read_bytes()
            self.file.write_bytes(content[: len(content) // 2])
        elif self.kind == "a folder instead":
            self.file.mkdir()

    def mend(self) -> None:
        """The file is as it was, to its time."""
        if self.file.is_dir():
            self.file.rmdir()
        os.replace(self.aside, self.file)


SPOILT = {
    "events/2026-10-12.csv.gz": "cut off",
    "order_items/2026-10-12.parquet": "cut off",
    "events/2026-10-13.csv": "removed",
    "products/2026-10-14T00-00-00Z.csv": "a folder instead",
}


def spoil_sources(stores: Stores, shares: Sequence[float], files: Mapping[str, str]) -> tuple[int, int]:
    """Let files become unreadable in the middle of runs: how many runs there were, and how many of them failed.

    Raises:
        AssertionError: a run went wrong otherwise, or was not repaired by the next.
    """
    runs = failed = 0
    for share in shares:
        for name, kind in files.items():
            when = f"{name} {kind} after {share:.2f}"
            disturbance = Disturbance(stores.source / name, kind, stores.folder / "aside", share)
            with stores.copy("spoilt") as settings:
                ended = run_command(stores, settings, disturb=disturbance)
                runs += 1
                if ended.code:
                    failed += 1
                    ended.require_one_sentence((WRONG_USE,), when)
                    assert tables(settings) == stores.before, f"{when}: the warehouse is not as it was"
                else:
                    stores.require_repaired(settings, when)
                disturbance.mend()
                again = run_command(stores, settings)
                assert again.code == 0, f"{when}: {again.printed}"
                stores.require_repaired(settings, when)
    return runs, failed
