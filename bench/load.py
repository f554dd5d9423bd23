"""Many runs at once beside readers: `python -m bench.load --weeks 50 --processes 16`.

First queued: a run for each of that many weeks, launched at once under the daemon that `plant-assets dev` starts,
beside a tick of the schedule and a `plant-assets run`. Then not queued: as many processes of bare Dagster commands.
A reader opens the marts by path all the while. All runs must succeed, every reading must be of one run, the tables
must be those of before, and no log may speak of a lock that was not got.
"""

import argparse
import datetime as dt
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb

from bench.soak_stores import tables
from plant_assets.instance.home import environment, prepare_home
from plant_assets.sample import store as sample
from plant_assets.settings import Settings, read_settings
from plant_assets_tests.support.server import LOCATION, Server

READ_TOGETHER = ("funnel", "funnel_steps", "inventory")
LOCK_ERROR = re.compile(r"(could not|conflicting|cannot|failed to) .{0,40}lock|database is locked", re.IGNORECASE)
ENDED = {"SUCCESS", "FAILURE", "CANCELED"}


class Reader(threading.Thread):
    """Opens the marts by path, again and again, until it is stopped."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._is_stopped = threading.Event()
        self.readings = 0
        self.publishers: set[str] = set()
        self.problems: list[str] = []

    def run(self) -> None:
        while not self._is_stopped.wait(0.2):
            try:
                self.publishers.add(publisher(self._path))
                self.readings += 1
            except (duckdb.Error, ValueError) as error:
                self.problems.append(str(error))

    def __enter__(self) -> "Reader":
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._is_stopped.set()
        self.join()


def publisher(path: Path) -> str:
    """The run that all of a marts file's tables are of.

    Raises:
        ValueError: they are of several, or one is missing.
    """
    with duckdb.connect(str(path), read_only=True) as marts:
        names = [list(READ_TOGETHER)]
        found = marts.execute(
            "select table_name, comment from duckdb_tables() where list_contains(?::varchar[], table_name)", names
        ).fetchall()
        rows = marts.execute("select count(*) from analytics.funnel").fetchall()
    # A comment is a description, and the run on its last line.
    runs = {comment.rpartition("\n")[2] for _name, comment in found}
    if len(found) != len(READ_TOGETHER) or len(runs) != 1 or rows != [(1,)]:
        raise ValueError(f"{found} {rows}")
    return str(runs.pop())


def make_store(folder: Path, weeks: int) -> tuple[Settings, list[str]]:
    """A warehouse that is up to date with a store of that many weeks and few sessions; its last weeks."""
    now = dt.datetime.now(dt.UTC).replace(tzinfo=None, microsecond=0)
    sample.write(folder / "store", now, sessions=300, weeks=weeks + 1, products=4)
    settings = read_settings(source=folder / "store", warehouse=folder / "w" / "w.duckdb")
    done = _plant_assets_run(settings)
    assert done.wait() == 0
    running = settings.calendar.week_of(now)
    return settings, [str(running - dt.timedelta(weeks=ago)) for ago in range(weeks)]


def _plant_assets_run(settings: Settings) -> "subprocess.Popen[bytes]":
    options = ["--source", str(settings.source), "--warehouse", str(settings.warehouse_path)]
    return _start(settings, "command.log", "plant_assets.cli", "run", *options)


def _start(settings: Settings, log: str, *module: str, **variables: str) -> "subprocess.Popen[bytes]":
    with settings.warehouse_path.parent.parent.joinpath(log).open("ab") as file:
        command = [sys.executable, "-m", *module]
        return subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, env={**os.environ, **variables})


def queued(settings: Settings, weeks: list[str]) -> tuple[Reader, int]:
    """A run for each week, all launched at once, beside a tick and a command; the reader, and the runs that succeeded.

    Raises:
        AssertionError: a run did not succeed, or a log speaks of a lock.
    """
    before = tables(settings)
    server = Server(settings)
    try:
        server.wait()
        with Reader(settings.marts_path) as reader:
            requests = _tick(server)["runRequests"] or []
            requested = [server.launch({tag["key"]: tag["value"] for tag in each["tags"]}) for each in requests]
            assert requested
            requested += [server.launch({"dagster/partition": week}) for week in weeks]
            command = _plant_assets_run(settings)
            is_skipped = False
            while True:
                runs = server.runs(limit=len(requested) + 10)
                is_skipped = is_skipped or bool(_tick(server)["skipReason"])
                ended = [run for run in runs if run["status"] in ENDED]
                # The run that made the warehouse, the command's, those of the tick and the weeks.
                if len(ended) == len(requested) + 2 and command.poll() is not None:
                    break
                assert server.process.poll() is None, server.log.read_text()
                time.sleep(5)
        assert command.returncode == 0
        assert is_skipped, "no tick met a run that was still going"
        assert {run["status"] for run in runs} == {"SUCCESS"}, runs
    finally:
        server.stop()
    _require_sound(settings, reader, before)
    return reader, len(ended) - 1


def _tick(server: Server) -> Any:
    """What a tick of the schedule comes to now."""
    tick = server.ask(
        f'mutation {{scheduleDryRun(selectorData: {LOCATION}, scheduleName: "every_six_hours"}},'
        f" timestamp: {int(time.time())})"
        "{... on DryRunInstigationTick{evaluationResult{runRequests{tags{key value}} skipReason error{message}}}}}"
    )["scheduleDryRun"]["evaluationResult"]
    assert tick["error"] is None, tick
    return tick


def crowded(settings: Settings, weeks: list[str]) -> Reader:
    """A process of a bare Dagster command for each week, all at once; the reader.

    Raises:
        AssertionError: a run did not succeed, or a log speaks of a lock.
    """
    before = tables(settings)
    prepare_home(settings)
    with Reader(settings.marts_path) as reader:
        commands = [
            _start(
                settings,
                "crowd.log",
                *("dagster", "job", "execute", "-m", "plant_assets.definitions", "-j", "refresh"),
                *("--tags", f'{{"dagster/partition": "{week}"}}'),
                **environment(settings),
            )
            for week in weeks
        ]
        codes = [command.wait() for command in commands]
    assert set(codes) == {0}, settings.warehouse_path.parent.parent.joinpath("crowd.log").read_text()
    _require_sound(settings, reader, before)
    assert len(reader.publishers) > 1
    return reader


def _require_sound(settings: Settings, reader: Reader, before: Any) -> None:
    assert reader.problems == []
    assert reader.readings > 0
    texts = [path.read_text() for path in settings.warehouse_path.parent.parent.glob("**/*.log")]
    with dg.DagsterInstance.from_config(str(settings.dagster_home)) as records:
        for run in records.get_runs():
            texts += [str(entry) for entry in records.all_logs(run.run_id)]
    found = [text for text in texts if LOCK_ERROR.search(text)]
    assert not found, found
    assert tables(settings) == before


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weeks", type=int, default=50, help="weeks of the backfill")
    parser.add_argument("--processes", type=int, default=16, help="processes at once")
    given = parser.parse_args()
    lines = []
    with tempfile.TemporaryDirectory() as home:
        settings, weeks = make_store(Path(home), max(given.weeks, given.processes))
        since = time.monotonic()
        reader, runs = queued(settings, weeks[: given.weeks])
        name = f"{given.weeks} weeks, a tick and a command: queued"
        lines.append((name, runs, time.monotonic() - since, reader))
        since = time.monotonic()
        reader = crowded(settings, weeks[: given.processes])
        lines.append(("a week each, not queued: processes at once", given.processes, time.monotonic() - since, reader))
    print("| load | runs, all succeeded | took | readings | of runs | mixed or missing |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, runs, seconds, reader in lines:
        print(f"| {name} | {runs} | {seconds:.0f} s | {reader.readings} | {len(reader.publishers)} | 0 |")


if __name__ == "__main__":
    main()
