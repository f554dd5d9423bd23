"""Runs of the small store."""

import datetime as dt

END = dt.datetime(2026, 10, 14, 6)


class Silence:
    """A progress display for nobody."""

    def say(self, text: str) -> None: ...
    def expect(self, steps: int) -> None: ...
    def advance(self, text: str) -> None: ...
