"""What a command prints, and where. What cannot be printed is dropped, and the work goes on: a reader may leave."""

import errno
import io
import logging
import os
import select
import sys
from typing import TYPE_CHECKING

from rich.console import Console

from plant_assets.text import printable

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer
from typing import TYPE_CHECKING

OUTPUT, ERRORS = 1, 2
_LOST: dict[int, OSError] = {}


class _Sink(io.FileIO):
    """A standard stream that takes everything, and remembers why it could not write."""

    def write(self, data: "ReadableBuffer", /) -> int:
        try:
            while (written := super().write(data)) is None:
                # Whoever gave us the pipe has made it one that does not wait for its reader.
                select.select([], [self], [])
            return written
        except OSError as error:
            _LOST[self.fileno()] = error
            return memoryview(data).nbytes


def open_streams() -> None:
    """Make standard output and error streams that never fail, unless someone has put others in their place.

    A stream that is closed (`2>&-`) is opened to nowhere: else its number, and what is printed, goes to the next
    file that is opened, which may be the warehouse.
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
    """Return why standard output lacks something of what was printed, unless its reader left: that one has enough."""
    error = _LOST.get(OUTPUT)
    return None if error is None or error.errno == errno.EPIPE else error


class Voice(Console):
    """A console for text that a store may have written."""

    def say(self, line: str) -> None:
        """Print a line; nothing in it is markup, a line break or a control character."""
        self.print(printable(line), markup=False)


OUT = Voice(highlight=False, soft_wrap=True, emoji=False)
ERR = Voice(stderr=True, highlight=False, soft_wrap=True, emoji=False)


class Lines(logging.Formatter):
    """Log messages of one line each; a traceback under one keeps its lines."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        return printable(super().formatMessage(record))


class Steps:
    """A progress bar on a terminal, a line per step elsewhere."""

    def __init__(self, title: str) -> None:
        # Commands without a bar start 20 ms sooner.
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        self._title = title
        # Asked once: while a step runs, Dagster captures the stream.
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
        """Say what is being done now."""
        if self._is_terminal:
            self._bar.update(self._task, description=printable(text))
        else:
            ERR.say(text)

    def expect(self, steps: int) -> None:
        """Set how many steps there are."""
        self._bar.update(self._task, total=steps, completed=0)

    def advance(self, text: str) -> None:
        """Count one more step as done."""
        self._bar.advance(self._task)
        self.say(text)


def print_section(title: str, lines: list[tuple[str, str]]) -> None:
    """A title, and labels with their values under it."""
    OUT.say(title)
    width = max((len(label) for label, _value in lines), default=0)
    for label, value in lines:
        OUT.say(f"  {label:{width}}  {value}")


def report(failures: list[str], failed_errors: list[str], warned: list[str]) -> None:
    """What failed, on the error stream."""
    for kind, lines in (("failed", failures), ("check failed", failed_errors), ("check warned", warned)):
        for line in lines:
            ERR.say(f"{kind}: {line}")
