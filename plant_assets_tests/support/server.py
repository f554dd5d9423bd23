"""Dagster's web server and daemon as `plant-assets dev` starts them, and questions to them."""

import contextlib
import json
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import psutil

from plant_assets.settings import Settings

LOCATION = '{repositoryName: "__repository__", repositoryLocationName: "plant_assets.definitions"'


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def is_listening(port: int) -> bool:
    """Whether somebody takes connections on a port of loopback."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def await_listening(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until a process takes connections on its port."""
    ends = time.monotonic() + 120
    while not is_listening(port):
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < ends, log.read_text()
        time.sleep(0.1)


class Web:
    """A web server on a port of loopback."""

    def __init__(self, port: int) -> None:
        self.port = port

    def address(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def ask(self, query: str) -> Any:
        """The answer of the GraphQL API."""
        request = urllib.request.Request(
            self.address("/graphql"),
            data=json.dumps({"query": query}).encode(),
            headers={"content-type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["data"]

    def runs(self, limit: int = 20) -> list[dict[str, Any]]:
        """The last runs, the newest first."""
        query = (
            f"{{runsOrError(limit: {limit}){{... on Runs{{results{{runId parentRunId status tags{{key value}}}}}}}}}}"
        )
        return self.ask(query)["runsOrError"]["results"]

    def launch(self, tags: dict[str, str]) -> str:
        """Queue a run of `refresh`; its id."""
        listed = ", ".join(f'{{key: "{key}", value: "{value}"}}' for key, value in tags.items())
        launched = self.ask(
            f'mutation {{launchRun(executionParams: {{selector: {LOCATION}, jobName: "refresh"}},'
            f" executionMetadata: {{tags: [{listed}]}}}}){{__typename ... on LaunchRunSuccess{{run{{runId}}}}}}}}"
        )["launchRun"]
        assert launched["__typename"] == "LaunchRunSuccess", launched
        return str(launched["run"]["runId"])


class Server(Web):
    """A running `plant-assets dev`."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(free_port())
        self.settings = settings
        arguments = ["dev", "--source", settings.source, "--warehouse", str(settings.warehouse_path)]
        self.log = settings.warehouse_path.with_name("dev.log")
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "plant_assets.cli", *arguments, "--port", str(self.port)],
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait(self) -> None:
        for _tenth in range(1200):
            if "ready: " in self.log.read_text():
                return
            assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.1)
        raise TimeoutError(self.log.read_text())

    def processes(self) -> list[psutil.Process]:
        """All of them: its own, its services', those of runs."""
        own = psutil.Process(self.process.pid)
        return [own, *own.children(recursive=True)]

    def kill(self) -> None:
        """End it as a machine does that stops: with all its processes, those of runs too."""
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait()

    def stop(self) -> None:
        """Press Ctrl-C."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(timeout=90)
