"""Crashes of a run under the daemon: first the run's worker, then everything. Dagster has to try the run again."""

import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb

from bench.load import publisher
from plant_assets.settings import Settings
from plant_assets_tests.server import Server

PATIENCE_SECONDS = 600


def crash(settings: Settings, week: str) -> list[str]:
    """Kill a run's worker, then its retry with web server and daemon; what became of the run and its retries.

    The runs are held up by a foreign process that has the warehouse open: they are killed while they wait for it.

    Raises:
        AssertionError: the last retry did not publish.
    """
    server = Server(settings)
    try:
        server.wait()
        with duckdb.connect(str(settings.warehouse_path)):
            first = server.launch({"dagster/partition": week})
            os.kill(_process_of(settings, first, server.log), signal.SIGKILL)
            second = _retry_of(server, first)
            _process_of(settings, second, server.log)
            server.kill()
            server = Server(settings)
            server.wait()
            third = _retry_of(server, second)
        _wait(lambda: _status(server, third) == "SUCCESS", server.log)
        assert publisher(settings.marts_path) == f"run {third}"
        return [_status(server, run) for run in (first, second, third)]
    finally:
        server.stop()


def _wait(found: Callable[[], Any], log: Path) -> Any:
    """What is found, once it is there."""
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        if answer := found():
            return answer
        time.sleep(0.5)
    raise TimeoutError(log.read_text())


def _process_of(settings: Settings, run_id: str, log: Path) -> int:
    """The process of a run that holds the warehouse's lock."""
    held_by = settings.warehouse_path.with_name(settings.warehouse_path.name + ".locked-by")
    found = _wait(lambda: re.fullmatch(rf"run {run_id} \(process (\d+)\)", held_by.read_text()), log)
    return int(found[1])


def _retry_of(server: Server, run_id: str) -> str:
    retries = _wait(lambda: [run["runId"] for run in server.runs() if run["parentRunId"] == run_id], server.log)
    return str(retries[0])


def _status(server: Server, run_id: str) -> str:
    [status] = [run["status"] for run in server.runs() if run["runId"] == run_id]
    return str(status)
