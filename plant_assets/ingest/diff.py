"""How a source's files differ from what was read of them before. No SQL is here.

A file is opened only if its size and time of modification do not tell whether it changed.
"""

import collections
import datetime as dt
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from plant_assets.sources.base import SourceFile
from plant_assets.warehouse.ledger.loads import Known, LoadedWeek


@dataclass(frozen=True)
class FileDiff:
    """All files of a source table, and the names of those that are new, changed, appended to or removed."""

    listed: tuple[SourceFile, ...]
    new: frozenset[str]
    changed: frozenset[str]
    appended: frozenset[str]
    removed: frozenset[str]

    @property
    def unchanged(self) -> frozenset[str]:
        """Return the names of the files that are as they were."""
        return frozenset(each.name for each in self.listed) - self.new - self.changed - self.appended

    @property
    def to_read(self) -> list[SourceFile]:
        """Return the files that are not as they were, in their order."""
        unchanged = self.unchanged
        return [each for each in self.listed if each.name not in unchanged]


def diff_files(listed: Sequence[SourceFile], known: Mapping[str, Known], finds_appended: bool = True) -> FileDiff:
    """Compare the files of a source table with what is known of those that were read.

    Args:
        listed: the files that the source has now.
        known: size, modification time and content hash of each file when it was read.
        finds_appended: whether a file that only grew by whole lines is appended to; else it is changed.
    """
    new, changed, appended = set[str](), set[str](), set[str]()
    for each in listed:
        if each.name not in known:
            new.add(each.name)
            continue
        size, modified_ns, content = known[each.name]
        if each.is_known(size, modified_ns, content):
            continue
        only_grew = finds_appended and each.begins_with(size, content)
        (appended if only_grew else changed).add(each.name)
    removed = known.keys() - {each.name for each in listed}
    return FileDiff(tuple(listed), frozenset(new), frozenset(changed), frozenset(appended), frozenset(removed))


def weeks_as_loaded(
    held: Iterable[LoadedWeek], loaded: Iterable[LoadedWeek], fresh: Collection[str], appended: Collection[str]
) -> set[dt.date]:
    """Return the loaded weeks of which every file is unchanged, or was only appended to.

    Args:
        held: week, file and content hash of what the source holds now.
        loaded: the same of what was loaded.
        fresh: the files that are not as they were.
        appended: those of them that only grew.
    """
    unchanged: dict[dt.date, set[tuple[str, str]]] = collections.defaultdict(set)
    before: dict[dt.date, set[tuple[str, str]]] = collections.defaultdict(set)
    for week, file, content in held:
        if file not in fresh:
            unchanged[week].add((file, content))
    for week, file, content in loaded:
        before[week] |= set() if file in appended else {(file, content)}
    return {week for week, files in before.items() if files == unchanged[week]}
