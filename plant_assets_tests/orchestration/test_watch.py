"""Runs that hang: the daemon's are ended, a command's is named in an alert, and so is what ticks wait for."""

import datetime as dt
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pytest

from plant_assets.definitions import build_defs
from plant_assets.instance.home import prepare_home
from plant_assets.instance.liveness import hold_run, live_runs
from plant_assets.orchestration.watch import end_long_runs
from plant_assets.readers.page.render import page_path
from plant_assets.settings import Settings, UsageError, read_settings
from plant_assets.warehouse.open import open_warehouse
from plant_assets_tests.support.runs import END
from plant_assets_tests.support.server import Server
from plant_assets_tests.support.tables import rows

LOG = logging.getLogger("test")
TICK = dt.timedelta(hours=6)
# A few seconds.
SHORT = 0.001
Messages = list[dict[str, str]]


def _await(found: Callable[[], Any], what: object = "") -> Any:
    """What is found, once it is there."""
    until = time.monotonic() + 180
    while time.monotonic() < until:
        if answer := found():
            return answer
        time.sleep(0.2)
    pytest.fail(f"not within three minutes: {what}")


@dataclass
class Hung:
    """A command whose run hangs in the step that writes the pages."""

    settings: Settings
    instance: dg.DagsterInstance
    process: subprocess.Popen[bytes]
    run_id: str

    def tick(self, at: dt.datetime) -> str | None:
        """Let the schedule skip its tick; why it does."""
        defs = build_defs(self.settings)
        context = dg.build_schedule_context(
            instance=self.instance,
            scheduled_execution_time=at.replace(tzinfo=dt.UTC),
            repository_def=defs.get_repository_def(),
        )
        return defs.resolve_schedule_def("every_six_hours").evaluate_tick(context).skip_message


@pytest.fixture
def hung(
    built: Settings, webhook: tuple[str, Messages], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Hung]:
    """The page is written to a pipe that nobody reads: the run waits for a reader, as it would for a lost mount."""
    for name in ("DAGSTER_HOME", "PYTHONWARNINGS"):
        monkeypatch.setenv(name, "")
    settings = built.model_copy(
        update={"max_run_hours": SHORT, "alert_url": read_settings(alert_url=webhook[0]).alert_url}
    )
    page = page_path(settings)
    os.mkfifo(page.with_name(page.name + ".new"))
    command = [sys.executable, "-m", "plant_assets.cli", "run", "--source", str(built.source)]
    with (tmp_path / "run.log").open("w") as log:
        process = subprocess.Popen([*command, "--warehouse", str(built.warehouse)], stdout=log, stderr=log)
    try:
        [run_id] = _await(lambda: list(live_runs(settings)), (tmp_path / "run.log").read_text())
        prepare_home(settings)
        with dg.DagsterInstance.get() as instance:
            started = dg.DagsterEventType.STEP_START
            _await(
                lambda: "publish_report" in {each.step_key for each in instance.all_logs(run_id, of_type=started)},
                (tmp_path / "run.log").read_text(),
            )
            yield Hung(settings, instance, process, run_id)
    finally:
        process.kill()
        process.wait()


def test_a_commands_run_is_named_once_and_left_alone(hung: Hung, webhook: tuple[str, Messages]) -> None:
    time.sleep(SHORT * 3600)
    assert end_long_runs(hung.settings, hung.instance, LOG) == [hung.run_id]
    assert end_long_runs(hung.settings, hung.instance, LOG) == []
    [message] = webhook[1]
    assert message["title"] == "plant_assets: a run hangs"
    assert f"Run {hung.run_id} of refresh takes longer than PLANT_MAX_RUN_HOURS=0.001 allows" in message["message"]
    assert "in the step publish_report since" in message["message"]
    assert f"process {hung.process.pid}" in message["message"]
    assert hung.process.poll() is None
    never = hung.settings.model_copy(update={"max_run_hours": 0})
    hung.instance.add_run_tags(hung.run_id, {"plant/named_in_alert": ""})
    assert end_long_runs(never, hung.instance, LOG) == []


def test_the_second_tick_that_is_skipped_in_a_row_names_the_run_and_its_step_once(
    hung: Hung, webhook: tuple[str, Messages]
) -> None:
    reason = f"run {hung.run_id} is still going"
    assert hung.tick(END) == reason
    assert webhook[1] == []
    for number in (1, 2, 3):
        assert hung.tick(END + number * TICK) == reason
    [message] = webhook[1]
    assert f"2 ticks in a row were skipped: {reason}, in the step publish_report since" in message["message"]


def test_ticks_that_wait_for_no_run_name_who_holds_the_warehouse(
    built: Settings, webhook: tuple[str, Messages]
) -> None:
    settings = built.model_copy(update={"alert_url": read_settings(alert_url=webhook[0]).alert_url})
    with dg.instance_for_test() as instance:
        ticking = Hung(settings, instance, None, "")  # type: ignore[arg-type]
        with open_warehouse(settings, holder="a backup"):
            ticking.tick(END)
        # It is not in a row with what comes after a tick that asks for a run.
        assert ticking.tick(END + TICK) is None
        with open_warehouse(settings, holder="a backup"):
            ticking.tick(END + 2 * TICK)
            assert webhook[1] == []
            ticking.tick(END + 3 * TICK)
    [message] = webhook[1]
    assert "2 ticks in a row were skipped: the warehouse is in use by a backup" in message["message"]


def _held(path: Path) -> duckdb.DuckDBPyConnection:
    """Open a warehouse as a notebook does, once no sensor of the daemon looks at it."""
    until = time.monotonic() + 120
    while True:
        try:
            return duckdb.connect(str(path))
        except duckdb.IOException:
            assert time.monotonic() < until
            time.sleep(0.2)


def test_the_daemon_ends_its_runs_also_one_that_ignores_it(
    built: Settings, webhook: tuple[str, Messages], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLANT_MAX_RUN_HOURS", str(SHORT))
    monkeypatch.setenv("PLANT_ALERT_URL", webhook[0])
    server = Server(built)
    try:
        server.wait()
        with _held(built.warehouse_path):
            first = server.launch({"dagster/partition": "2026-10-05"})
            _await(lambda: _status(server, first) == "FAILURE", first)
            # Dagster tries it again.
            second = _await(lambda: [run["runId"] for run in server.runs() if run["parentRunId"] == first])[0]
            process = _await(lambda: live_runs(built).get(second))
            os.kill(process, signal.SIGSTOP)
            _await(lambda: _status(server, second) == "FAILURE", second)
            _await(lambda: second not in live_runs(built), second)
            _await(lambda: webhook[1])
    finally:
        server.stop()
    texts = [message["message"] for message in webhook[1]]
    assert [text for text in texts if first in text and "PLANT_MAX_RUN_HOURS=0.001" in text]
    assert not [text for text in texts if second in text]


def test_the_daemon_sends_an_alert_of_a_commands_run(
    built: Settings, webhook: tuple[str, Messages], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLANT_ALERT_URL", webhook[0])
    rows(built, "update inventory set inflow = inflow + 1")
    server = Server(built)
    try:
        server.wait()
        options = ["--source", str(built.source), "--warehouse", str(built.warehouse)]
        command = [sys.executable, "-m", "plant_assets.cli", "check", *options]
        assert subprocess.run(command, capture_output=True, check=False).returncode == 1
        _await(lambda: webhook[1])
    finally:
        server.stop()
    assert "inventory_flows_balance" in webhook[1][0]["message"]


def _status(server: Server, run_id: str) -> str:
    return next(str(run["status"]) for run in server.runs() if run["runId"] == run_id)


def test_a_run_is_alive_with_its_process_until_it_ends(built: Settings) -> None:
    with hold_run(built, "a-run"):
        assert live_runs(built) == {"a-run": os.getpid()}
    assert live_runs(built) == {}


def test_a_run_that_was_killed_is_not_alive(built: Settings) -> None:
    code = (
        "import os; from plant_assets.instance.liveness import hold_run\n"
        "from plant_assets.settings import read_settings\n"
        f"with hold_run(read_settings(warehouse={str(built.warehouse)!r}), 'a-run'): os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code], check=False)
    assert live_runs(built) == {}


@pytest.mark.parametrize("hours", ["-1", "nan", "inf", "long"])
def test_no_hours_are_refused(monkeypatch: pytest.MonkeyPatch, hours: str) -> None:
    monkeypatch.setenv("PLANT_MAX_RUN_HOURS", hours)
    with pytest.raises(UsageError, match="PLANT_MAX_RUN_HOURS"):
        read_settings()
