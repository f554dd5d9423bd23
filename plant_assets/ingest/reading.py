"""What all parts of a load know: the source, the warehouse, the run's clock, and what the run may replace."""

import datetime as dt
import logging
from dataclasses import dataclass

from plant_assets.calendar import FAR_FUTURE
from plant_assets.sources.base import Source
from plant_assets.warehouse.warehouse import Warehouse


@dataclass(frozen=True)
class Reading:
    """One reading of a source for a warehouse, as of an instant.

    With `is_forced` the run replaces what it loads, even where the files are as they were. With `accepts_changes` an
    observation may differ from what was loaded of its instant.
    """

    warehouse: Warehouse
    source: Source
    as_of: dt.datetime
    log: logging.Logger
    accepts_changes: bool = False
    is_forced: bool = False

    @property
    def until(self) -> dt.datetime:
        """Return the last instant that the run counts."""
        return self.as_of + FAR_FUTURE

    @property
    def running_week(self) -> dt.date:
        """Return the week that holds the run's instant."""
        return self.warehouse.calendar.week_of(self.as_of)
