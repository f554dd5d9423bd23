"""Crashes of runs under the daemon of `plant-assets dev`: Dagster has to try each again, until it publishes."""

import contextlib
import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb

from bench.load import ENDED, publisher
from plant_assets.settings import Settings
from plant_assets_tests.support.server import Server

PATIENCE_SECONDS = 600
# The load and the first tables.
SOME_STEPS = 15


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
        _require_published(server, settings, third)
        return [_state(server, run)[0] for run in (first, second, third)]
    finally:
        server.stop()


def crash_midway(settings: Settings, week: str) -> list[str]:
    """Kill a run's worker when it has written some tables; what became of the run and its retry.

    Raises:
        AssertionError: the retry did not publish.
    """
    server = Server(settings)
    try:
        server.wait()
        status = ""
        # A run that ends before it is killed is no crash.
        while status != "FAILURE":
            run = server.launch({"dagster/partition": week})
            process = _process_of(settings, run, server.log)
            _wait(lambda run=run: _state(server, run)[1] >= SOME_STEPS, server.log)
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
            status = _wait(lambda run=run: {_state(server, run)[0]} & ENDED, server.log).pop()
        retry = _retry_of(server, run)
        _require_published(server, settings, retry)
        return [_state(server, each)[0] for each in (run, retry)]
    finally:
        server.stop()


def _require_published(server: Server, settings: Settings, run_id: str) -> None:
    status = _wait(lambda: {_state(server, run_id)[0]} & ENDED, server.log)
    assert status == {"SUCCESS"}, server.log.read_text()
    assert publisher(settings.marts_path) == f"run {run_id}"


def _wait(found: Callable[[], Any], log: Path) -> Any:
    """What is found, once it is there."""
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        if answer := found():
            return answer
        time.sleep(0.2)
    raise TimeoutError(log.read_text())


def _process_of(settings: Settings, run_id: str, log: Path) -> int:
    """The process of a run that holds the warehouse's lock."""
    held_by = settings.warehouse_path.with_name(settings.warehouse_path.name + ".locked-by")
    found = _wait(lambda: re.fullmatch(rf"run {run_id} \(process (\d+)\)", held_by.read_text()), log)
    return int(found[1])


def _retry_of(server: Server, run_id: str) -> str:
    retries = _wait(lambda: [run["runId"] for run in server.runs() if run["parentRunId"] == run_id], server.log)
    return str(retries[0])


def _state(server: Server, run_id: str) -> tuple[str, int]:
    """A run's status, and the number of its steps that succeeded."""
    fields = "status stats{... on RunStatsSnapshot{stepsSucceeded}}"
    run = server.ask(f'{{runOrError(runId: "{run_id}"){{... on Run{{{fields}}}}}}}')["runOrError"]
    return run["status"], run["stats"]["stepsSucceeded"]
