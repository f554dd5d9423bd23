"""What stands for files in a database: tables, and of events weeks. Which of them are read is in `source.py`."""

import datetime as dt
from dataclasses import dataclass, field

from plant_assets.calendar import FAR_FUTURE
from plant_assets.sources.base import SourceFile


def as_ns(instant: dt.datetime) -> int:
    """Return the nanoseconds from 1970 to an instant, as files have their times."""
    return int(instant.replace(tzinfo=dt.UTC).timestamp()) * 1_000_000_000


@dataclass
class LiveRows(SourceFile):
    """The rows of a table, or of a week of its events. What they hold is told once they are read.

    Read at `settles_at` or later, they are not read again, unless `is_read_anew`, or their number is another than the
    one that was `counted`. Without it they are read by every load.
    """

    settles_at: dt.datetime | None = None
    is_read_anew: bool = False
    counted: int | None = None
    may_grow: bool = True

    @property
    def content_hash(self) -> str:
        """The number of the rows and the sum of their hashes, and the mapping."""
        assert self._hash, f"{self.name} is not read yet"
        return self._mapped(self._hash)

    @property
    def has_lines(self) -> bool:
        """Whether its rows are lines: never."""
        return False

    def is_known(self, size: int, modified_ns: int, content_hash: str) -> bool:
        """Whether what was read at that time is taken for what there is; not if that time has yet to come."""
        return (
            self.settles_at is not None
            and as_ns(self.settles_at) <= min(modified_ns, self.modified_ns)
            and modified_ns <= self.modified_ns + FAR_FUTURE // dt.timedelta(microseconds=1) * 1_000
            and not self.is_read_anew
            and self.counted in (None, size)
            and self.is_read_as(content_hash)
        )

    def begins_with(self, size: int, content_hash: str) -> bool:
        """Whether rows may only have been added: the load compares each stored one with those that there are."""
        return self.may_grow and self.is_read_as(content_hash)


@dataclass(frozen=True)
class LiveTable:
    """A table as the server has it: its quoted name, and its columns with the server's types."""

    relation: str
    columns: dict[str, str] = field(default_factory=dict)
