"""Where observations of the products are read: in dated files or a live table, and in dbt's history.

Which of them are accepted is decided later. Those of which each row has its instant are in `stock.py`.
"""

import datetime as dt
import itertools
from collections.abc import Mapping
from pathlib import Path

from plant_assets.ingest.reading import Reading
from plant_assets.ingest.staging import Staged
from plant_assets.ingest.strategies.whole import HistoryLoad
from plant_assets.sources import dbt_snapshot
from plant_assets.sources.base import SourceFile
from plant_assets.sources.errors import SourceError
from plant_assets.sources.tables import HISTORY, Holds


class FileObservations:
    """Files that are named by their instants, or a file or table that is observed by every run."""

    def __init__(self, reading: Reading, staged: Staged) -> None:
        self._reading, self._staged = reading, staged

    def to_read(self) -> list[SourceFile]:
        """Return each dated file once, those that were rejected again, and an undated one always.

        Raises:
            SourceError: an observation is not what was loaded of its instant, and that is not accepted.
        """
        observed = self._reading.warehouse.ledger.loads.observed_files()
        accepted = {at: content for at, (file, content) in observed.items() if not dbt_snapshot.is_of_history(file)}
        to_read = []
        for each in self._staged.listed:
            if each.holds != Holds.OBSERVATION:
                continue
            if each.observed_at is None:
                each.observed_at = self._reading.as_of.replace(microsecond=0)
                to_read.append(each)
            elif self._is_to_read(each, each.observed_at, accepted):
                to_read.append(each)
        return to_read

    def _is_to_read(self, file: SourceFile, at: dt.datetime, accepted: Mapping[dt.datetime, str]) -> bool:
        """Return whether a dated file is read; it takes the place of what dbt's history told of the instant.

        Raises:
            SourceError: the observation has not come yet, or changed after it was loaded.
        """
        if at > self._reading.until:
            if at in accepted:
                return False
            raise SourceError(f"{file.path} is an observation of {at}Z, which has not come yet: mend its name")
        if at not in accepted:
            return True
        if file.name in self._staged.unchanged or file.content_hash == accepted[at]:
            return False
        if not self._reading.accepts_changes and not file.has_content_of(accepted[at]):
            raise SourceError(
                f"{file.path} changed after it was loaded as the observation of {at}Z:"
                " restore it, or accept it with `plant-assets run --weeks all`"
            )
        return True


class HistoryObservations:
    """The instants at which dbt's history changed, once it is validated."""

    def __init__(self, reading: Reading, staged: Staged, history: HistoryLoad) -> None:
        self._reading, self._staged, self._history = reading, staged, history

    def stage(self) -> None:
        """Stage the instants that no file observes and that are not loaded, each as a file of the products.

        Raises:
            SourceError: an observation is not what was loaded of its instant, and that is not accepted.
        """
        if not self._history.staged.is_read:
            return
        connection = self._reading.warehouse.connection
        accepted = self._reading.warehouse.ledger.loads.observed_files()
        dbt_snapshot.note_intervals(connection, self._history.versions, self._reading.until)
        in_files = {each.observed_at for each in self._staged.listed}
        added = [
            (observed_at, content)
            for observed_at, content in dbt_snapshot.observations(connection)
            if observed_at not in in_files
            and self._is_to_add(observed_at, content, *accepted.get(observed_at, ("", "")))
        ]
        if added:
            dbt_snapshot.stage(connection, [observed_at for observed_at, _content in added])
            self._staged.take_up(list(itertools.starmap(_file_of, added)))

    def _is_to_add(self, observed_at: dt.datetime, content: str, file: str, loaded: str) -> bool:
        """Return whether to load an instant: it is not loaded yet, or the history now differs from what was loaded.

        Args:
            observed_at: the instant.
            content: what tells its products apart from others.
            file: what was loaded as the observation of the instant, if anything.
            loaded: the content of that.

        Raises:
            SourceError: the history differs from what was loaded of the instant.
        """
        if not file:
            return True
        if not dbt_snapshot.is_of_history(file) or content == loaded:
            return False
        if not self._reading.accepts_changes:
            raise SourceError(
                f"{self._reading.source.name}: the table {HISTORY} says otherwise of {observed_at}Z than when it was"
                " loaded: restore it, or accept it with `plant-assets run --weeks all`"
            )
        return True


def _file_of(observed_at: dt.datetime, content: str) -> SourceFile:
    """Return what stands for the file of an instant that dbt's history tells of."""
    name = dbt_snapshot.name_of(observed_at)
    return SourceFile("products", name, Path(name), "", 0, 0, observed_at, _hash=content)
