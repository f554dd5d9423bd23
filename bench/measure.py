"""What a process cost: wall, CPU and the peak memory of it and all that it started.

CPU is what the kernel counted for the process and the children it waited for, or, where that is more, what was seen of
all of them while they lived: Spark does not wait for its Java. Memory is sampled: the sum of what is resident in the
tree, in which pages that two processes share count twice.
"""

import os
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[1]
SAMPLE_EVERY = 0.02
# Looking for new children reads all of /proc, and would take a tenth of a core at every sample.
CHILDREN_EVERY = 10


class Failed(Exception):
    """A measured command did not end with 0; the message has the end of what it said."""


@dataclass(frozen=True)
class Figures:
    """The cost of one process: seconds, seconds, bytes."""

    wall: float
    cpu: float
    peak: int


def measure(command: Sequence[str], environment: Mapping[str, str], log: Path) -> Figures:
    """Run a command to its end; what it prints goes to `log`.

    Raises:
        Failed: it ended with something else than 0.
    """
    # What copies and earlier runs left to be written is written before the clock starts.
    os.sync()
    with log.open("w") as output:
        started = time.perf_counter()
        process = subprocess.Popen(command, env=dict(environment), cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)
        sampler = _Sampler(process.pid)
        sampler.start()
        _pid, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    sampler.stop()
    if process.returncode:
        said = "\n".join(log.read_text(errors="replace").splitlines()[-20:])
        raise Failed(f"{' '.join(command)} ended with {process.returncode}:\n{said}")
    return Figures(wall, max(used.ru_utime + used.ru_stime, sum(sampler.cpu.values())), sampler.peak)


class _Sampler(threading.Thread):
    """Follows a process and its children until they are gone."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.root, self.peak, self.is_over = psutil.Process(pid), 0, threading.Event()
        self.cpu: dict[int, float] = {}

    def run(self) -> None:
        tree, number = [self.root], 0
        while not self.is_over.wait(SAMPLE_EVERY):
            try:
                if number % CHILDREN_EVERY == 0:
                    tree = [self.root, *self.root.children(recursive=True)]
                    for each in tree:
                        self.cpu[each.pid] = max(self.cpu.get(each.pid, 0), _cpu(each))
                number += 1
            except psutil.Error:
                return
            self.peak = max(self.peak, sum(map(_resident, tree)))

    def stop(self) -> None:
        self.is_over.set()
        self.join()


def _cpu(process: psutil.Process) -> float:
    try:
        return float(sum(process.cpu_times()[:2]))
    except psutil.Error:
        return 0


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0
