"""Captures what the steps of a run print, for the UI: in runs that a service starts, not in those of commands.

One `dagster.yaml` serves both. A command's output is not captured, because that would hide its progress.
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
    """Captures the output of runs in `printed` below `base_dir`, if CAPTURE is in the environment."""

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> "ComputeLogs":
        """Return the manager for the `base_dir` of Dagster's configuration."""
        return cls(str(Path(config_value["base_dir"], FOLDER)), inst_data=inst_data)

    @contextlib.contextmanager
    def capture_logs(self, log_key: Sequence[str]) -> Iterator[CapturedLogContext]:
        """Capture what the body prints, or let it through."""
        kept = super().capture_logs(log_key) if CAPTURE in os.environ else None
        with kept or contextlib.nullcontext(CapturedLogContext(log_key)) as context:
            yield context

    @contextlib.contextmanager
    def open_log_stream(self, *_of_a_tick: object) -> Iterator[None]:
        """Capture nothing of ticks: a sensor would write a file every 30 seconds."""
        yield None
