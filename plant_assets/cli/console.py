"""What commands print. A command goes on if its output cannot be written, because a reader may leave."""

import errno
import io
import logging
import os
import select
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console

from plant_assets.text import printable

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

    from plant_assets.orchestration.problems import Problem

OUTPUT, ERRORS = 1, 2
_LOST: dict[int, OSError] = {}


class _Sink(io.FileIO):
    """A standard stream that never fails, and remembers why it could not write."""

    def write(self, data: "ReadableBuffer", /) -> int:
        try:
            while (written := super().write(data)) is None:
                # The pipe is non-blocking and full.
                select.select([], [self], [])
            return written
        except OSError as error:
            _LOST[self.fileno()] = error
            return memoryview(data).nbytes


def open_streams() -> None:
    """Replace standard output and error by streams that never fail, unless they were replaced before.

    Open a closed stream (`2>&-`) on the null device. Otherwise the next file that is opened, perhaps the warehouse,
    gets its number and what is printed.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    if sys.stdout is sys.__stdout__:
        sys.stdout = _stream(OUTPUT, sys.stdout)
    if sys.stderr is sys.__stderr__:
        sys.stderr = _stream(ERRORS, sys.stderr)


def _stream(number: int, replaced: io.TextIOBase | None) -> io.TextIOWrapper:
    raw = _Sink(number, "w", closefd=False)
    encoding = replaced.encoding if replaced else "utf-8"
    is_by_line = number == ERRORS or raw.isatty()
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding, "backslashreplace", line_buffering=is_by_line)


def lost_output() -> OSError | None:
    """Return why output was lost, or None; not if the reader left, who has read enough."""
    error = _LOST.get(OUTPUT)
    return None if error is None or error.errno == errno.EPIPE else error


class Voice(Console):
    """A console for text that may come from a store."""

    def say(self, line: str) -> None:
        """Print a text as one line, without markup and control characters."""
        self.print(printable(line), markup=False)


OUT = Voice(highlight=False, soft_wrap=True, emoji=False)
ERR = Voice(stderr=True, highlight=False, soft_wrap=True, emoji=False)


class Lines(logging.Formatter):
    """Formats log messages as one line each; tracebacks keep their lines."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Return the message of a record as one line."""
        return printable(super().formatMessage(record))


class Steps:
    """The progress of a command: a bar on a terminal, else a line per step."""

    def __init__(self, title: str) -> None:
        # Commands without a bar start 20 ms sooner.
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        self._title = title
        # Asked only here, because Dagster captures the stream while a step runs.
        self._is_terminal = ERR.is_terminal
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=ERR,
            transient=True,
            disable=not self._is_terminal,
        )
        self._task = self._bar.add_task(title, total=None)

    def __enter__(self) -> "Steps":
        self._bar.start()
        self.say(self._title)
        return self

    def __exit__(self, *_error: object) -> None:
        self._bar.stop()

    def say(self, text: str) -> None:
        """Show what is being done now."""
        if self._is_terminal:
            self._bar.update(self._task, description=printable(text))
        else:
            ERR.say(text)

    def expect(self, steps: int) -> None:
        """Set the number of steps."""
        self._bar.update(self._task, total=steps, completed=0)

    def advance(self, text: str) -> None:
        """Count one more step as done."""
        self._bar.advance(self._task)
        self.say(text)


def print_section(title: str, lines: list[tuple[str, str]]) -> None:
    """Print a title, and labels with their values below."""
    OUT.say(title)
    width = max((len(label) for label, _value in lines), default=0)
    for label, value in lines:
        OUT.say(f"  {label:{width}}  {value}")


def report(problems: Sequence["Problem"]) -> None:
    """Print problems on the error stream: failed steps, failed checks, then checks that warned."""
    for problem in sorted(problems, key=lambda each: (each.check is not None, not each.is_error)):
        kind = "failed" if problem.check is None else "check failed" if problem.is_error else "check warned"
        ERR.say(f"{kind}: {_short(problem)}")


def check_lines(passed: Sequence[str], problems: Sequence["Problem"]) -> list[str]:
    """Return a line per check, by name: whether it passed, and what it found if not."""
    lines = {name: f"passed  {name}" for name in passed}
    for problem in problems:
        if problem.check:
            lines[problem.check.name] = f"{'FAILED' if problem.is_error else 'warned'}  {_short(problem)}"
    return [lines[name] for name in sorted(lines)]


def _short(problem: "Problem") -> str:
    if problem.check:
        return f"{problem.check.name}, {problem.reason}"
    return f"{problem.step or problem.where}: {problem.reason}"
