"""The weeks of events that a load does, and those of one run of it. Which weeks are due is in `due.py`."""

import datetime as dt
from collections.abc import Iterable

from plant_assets.calendar import WEEK
from plant_assets.warehouse.warehouse import Warehouse

_NOTE_WEEKS = """
    create or replace temp table load_weeks as
    select unnest($weeks::date[]) as week, unnest($starts::timestamp[]) as starts_at,
        unnest($ends::timestamp[]) as ends_at, false as is_kept
"""


class LoadWeeks:
    """The weeks that a load does; in `kept` ones stored rows stay and new ones are added, the others are replaced.

    The temp table `load_weeks` has the chosen and the kept ones, `run_weeks` those that a run writes now. Weeks are
    `done` once they are written.
    """

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse
        self.chosen: set[dt.date] = set()
        self.kept: set[dt.date] = set()
        self.done: set[dt.date] = set()

    def choose(self, weeks: Iterable[dt.date]) -> None:
        """Let these be the weeks of the load, all of them replaced."""
        calendar, ordered = self._warehouse.calendar, sorted(set(weeks))
        self.chosen, self.kept = set(ordered), set()
        bounds = {
            "weeks": ordered,
            "starts": [calendar.starts_at(week) for week in ordered],
            "ends": [calendar.starts_at(week + WEEK) for week in ordered],
        }
        self._warehouse.execute(_NOTE_WEEKS, bounds)

    def keep(self, weeks: set[dt.date]) -> None:
        """Let the stored rows of these weeks stay, and no others."""
        self.kept = weeks
        self._warehouse.execute(
            "update load_weeks set is_kept = list_contains($weeks::date[], week)", {"weeks": sorted(weeks)}
        )

    def begin_run(self, weeks: Iterable[dt.date]) -> None:
        """Let these be the weeks that a run writes now."""
        self._warehouse.execute(
            "create or replace temp table run_weeks as select unnest($weeks::date[]) as week", {"weeks": list(weeks)}
        )
