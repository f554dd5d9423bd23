"""What the steps of a run print, kept for the UI: of runs that a service starts, not of those of commands.

One `dagster.yaml` serves both. To keep a command's output would hide its progress.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from plant_assets.dagster_private import CapturedLogContext, ConfigurableClassData, LocalComputeLogManager
from plant_assets.instance.home import CAPTURE

FOLDER = "printed"


class ComputeLogs(LocalComputeLogManager):
    """Keeps the output of runs in `printed` of `base_dir`, where CAPTURE is in the environment."""

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> "ComputeLogs":
        """Return what keeps the output of this process, for Dagster's home as `base_dir`."""
        return cls(str(Path(config_value["base_dir"], FOLDER)), inst_data=inst_data)

    @contextlib.contextmanager
    def capture_logs(self, log_key: Sequence[str]) -> Iterator[CapturedLogContext]:
        """Keep what is printed in the body, or let it pass."""
        kept = super().capture_logs(log_key) if CAPTURE in os.environ else None
        with kept or contextlib.nullcontext(CapturedLogContext(log_key)) as context:
            yield context

    @contextlib.contextmanager
    def open_log_stream(self, *_of_a_tick: object) -> Iterator[None]:
        """Keep nothing of ticks: a sensor's would be a file every half minute, for ever."""
        yield None
