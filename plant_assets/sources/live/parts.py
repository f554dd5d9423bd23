"""The parts of a database: tables, and weeks of events. Which of them a load reads is in `source.py`."""

import datetime as dt
from dataclasses import dataclass, field

from plant_assets.calendar import FAR_FUTURE
from plant_assets.sources.base import SourceFile


def as_ns(instant: dt.datetime) -> int:
    """Return the nanoseconds from 1970 to an instant, the unit of files' times."""
    return int(instant.replace(tzinfo=dt.UTC).timestamp()) * 1_000_000_000


@dataclass
class LiveRows(SourceFile):
    """The rows of a table, or of a week of events. Their size and hash are known once they are read.

    Attributes:
        settles_at: when the rows stop changing. Rows that were read at that time or later are not read again; without
            it every load reads them.
        is_read_anew: whether to read them in any case.
        counted: the number of rows that the server counted, if it was asked; another number than before is read again.
        may_grow: whether rows that were appended can be loaded without the others.
    """

    settles_at: dt.datetime | None = None
    is_read_anew: bool = False
    counted: int | None = None
    may_grow: bool = True

    @property
    def content_hash(self) -> str:
        """The number of rows, the sum of their hashes, and the mapping's digest."""
        assert self._hash, f"{self.name} is not read yet"
        return self._mapped(self._hash)

    @property
    def has_lines(self) -> bool:
        """False: no row is a line of text."""
        return False

    def is_known(self, size: int, modified_ns: int, content_hash: str) -> bool:
        """Return whether what was read at that time still holds; not if that time is over a day in the future."""
        return (
            self.settles_at is not None
            and as_ns(self.settles_at) <= min(modified_ns, self.modified_ns)
            and modified_ns <= self.modified_ns + FAR_FUTURE // dt.timedelta(microseconds=1) * 1_000
            and not self.is_read_anew
            and self.counted in (None, size)
            and self.is_read_as(content_hash)
        )

    def begins_with(self, size: int, content_hash: str) -> bool:
        """Return whether rows may only have been added. The load then compares each stored row with the source's."""
        return self.may_grow and self.is_read_as(content_hash)


@dataclass(frozen=True)
class LiveTable:
    """A table of the server: its quoted name, and its columns with the server's types."""

    relation: str
    columns: dict[str, str] = field(default_factory=dict)
