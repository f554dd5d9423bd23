"""`plant-assets dev`: it says when it is ready, runs once for a warehouse, and ends whole however it ends."""

import contextlib
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import duckdb
import psutil
import pytest

from plant_assets.instance.home import service_environment
from plant_assets.settings import Settings, read_settings
from plant_assets_tests.support.commands import one_sentence, plant_assets
from plant_assets_tests.support.machine import ROOT
from plant_assets_tests.support.server import Server, await_listening, free_port

END_SECONDS = 90


@contextlib.contextmanager
def _running(settings: Settings) -> Iterator[Server]:
    """A `dev` of the warehouse; what is left of it is killed."""
    started = Server(settings)
    try:
        started.wait()
        yield started
    finally:
        if started.process.poll() is None:
            started.kill()


@pytest.fixture(scope="module")
def server(built_once: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One for the tests up to its end by Ctrl-C."""
    home = tmp_path_factory.mktemp("dev") / "home"
    shutil.copytree(built_once.warehouse_path.parent, home)
    with _running(read_settings(source=built_once.source, warehouse=home / "w.duckdb")) as started:
        yield started


def _end(server: Server, processes: list[psutil.Process]) -> int:
    """How it ends, once all its processes have."""
    code = server.process.wait(END_SECONDS)
    _ended, alive = psutil.wait_procs(processes, timeout=END_SECONDS)
    assert alive == []
    return code


def _started_run(server: Server) -> str:
    run_id = server.launch({"dagster/partition": "2026-10-05"})
    ends = time.monotonic() + END_SECONDS
    while {run["runId"]: run["status"] for run in server.runs()}[run_id] != "STARTED":
        assert time.monotonic() < ends, server.log.read_text()
        time.sleep(0.2)
    return run_id


def test_a_second_one_is_told_where_the_first_is(server: Server) -> None:
    settings = server.settings
    done = plant_assets(
        "dev", "--source", settings.source, "--warehouse", settings.warehouse_path, "--port", free_port()
    )
    assert done.returncode == 2
    assert one_sentence(done).startswith(f"plant-assets dev already runs at http://127.0.0.1:{server.port}")


def test_no_process_listens_beside_the_web_server(server: Server) -> None:
    ports = {
        each.laddr.port
        for process in server.processes()
        for each in process.net_connections("inet")
        if each.status == psutil.CONN_LISTEN
    }
    assert ports == {server.port}


def test_definitions_are_loaded_anew(server: Server) -> None:
    reload = 'mutation {reloadRepositoryLocation(repositoryLocationName: "plant_assets.definitions"){__typename}}'
    before = {process.pid for process in server.processes()}
    assert server.ask(reload)["reloadRepositoryLocation"]["__typename"] == "WorkspaceLocationEntry"
    # The code server has another process for the definitions.
    assert {process.pid for process in server.processes()} - before


def test_ctrl_c_ends_all_with_the_run_that_is_going(server: Server) -> None:
    settings = server.settings
    # Held up by a foreign process, the run cannot end by itself.
    with duckdb.connect(str(settings.warehouse_path)):
        run_id, processes = _started_run(server), server.processes()
        server.process.send_signal(signal.SIGINT)
        assert _end(server, processes[1:]) == 0
    with dg.DagsterInstance.from_config(str(settings.dagster_home)) as instance:
        run = instance.get_run_by_id(run_id)
    assert run is not None
    assert run.status == dg.DagsterRunStatus.FAILURE
    said = server.log.read_text()
    assert f"ready: http://127.0.0.1:{server.port} (Ctrl-C ends)" in said
    assert [line for line in said.splitlines() if "INFO" in line or "DEBUG" in line or "Traceback" in line] == []


def test_ctrl_c_before_it_is_ready_shows_no_traceback(built: Settings) -> None:
    server = Server(built)
    try:
        ends = time.monotonic() + END_SECONDS
        # The daemon and the web server load their modules then.
        while len(psutil.Process(server.process.pid).children()) < 3:
            assert time.monotonic() < ends, server.log.read_text()
            time.sleep(0.1)
        # Python ignores an interrupt in the moment of a fork.
        time.sleep(0.5)
        processes = server.processes()[1:]
        server.process.send_signal(signal.SIGINT)
        assert _end(server, processes) == 0
    finally:
        if server.process.poll() is None:
            server.kill()
    assert "Traceback" not in server.log.read_text()


def test_one_that_dies_ends_all_with_one_sentence(built: Settings) -> None:
    with _running(built) as server:
        processes = server.processes()[1:]
        [web] = [process for process in processes if "plant_assets.instance.web" in process.cmdline()]
        web.kill()
        assert _end(server, processes) == 1
    last = server.log.read_text().splitlines()[-1]
    assert last.startswith("plant-assets: the web server ended with -9, so the other services were ended")


def test_killed_it_leaves_no_process_and_its_place_to_the_next(built: Settings) -> None:
    with _running(built) as server:
        processes = server.processes()[1:]
        server.process.kill()
        _end(server, processes)
    with _running(built) as following:
        processes = following.processes()[1:]
        following.process.terminate()
        assert _end(following, processes) == 0


def test_a_service_in_the_background_of_a_shell_ends_when_told(built: Settings) -> None:
    arguments = ["--source", str(built.source), "--warehouse", str(built.warehouse_path)]
    log, port = built.warehouse_path.with_name("code.log"), free_port()
    with log.open("wb") as output:
        started = subprocess.Popen(
            [sys.executable, "-m", "plant_assets.cli", "serve", "code", *arguments, "--port", str(port)],
            stdout=output,
            stderr=output,
            # As a shell starts what is followed by &.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
        )
    children: list[psutil.Process] = []
    try:
        await_listening(port, started, log)
        children = psutil.Process(started.pid).children(recursive=True)
        started.terminate()
        started.wait(END_SECONDS)
        _ended, alive = psutil.wait_procs(children, timeout=END_SECONDS)
        assert alive == []
    finally:
        started.kill()
        started.wait()
        for child in children:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()


@pytest.mark.parametrize("port", [0, -1, 65_536, 70_000])
@pytest.mark.parametrize("command", [["dev"], ["serve", "web"], ["serve", "code"]], ids=" ".join)
def test_a_port_that_is_none_is_refused(command: list[str], port: int, tmp_path: Path) -> None:
    done = plant_assets(*command, "--port", port, PLANT_HOME=str(tmp_path))
    assert (done.returncode, list(tmp_path.iterdir())) == (2, [])
    assert one_sentence(done) == f"--port {port} is not allowed: a port is 1 to 65535"


@pytest.mark.parametrize("command", [["dev"], ["serve", "web"], ["serve", "code"]], ids=" ".join)
def test_a_busy_port_is_refused_before_anything_starts(command: list[str], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = plant_assets(*command, "--port", port, PLANT_HOME=str(tmp_path))
    assert done.returncode == 2
    assert one_sentence(done).startswith(f"--port {port} of 127.0.0.1 cannot be used: Address already in use; end")
    assert not (tmp_path / "sample").exists()


def test_environment_of_services_is_not_that_of_other_commands(tmp_path: Path) -> None:
    settings = read_settings(home=tmp_path)
    shown = plant_assets("env", PLANT_HOME=str(tmp_path)).stdout
    names = {line.removeprefix("export ").partition("=")[0] for line in shown.splitlines()}
    assert names == {*settings.environment(), "DAGSTER_HOME"}
    assert set(service_environment(settings)) == names | {"PYTHONWARNINGS", "PLANT_CAPTURE_LOGS"}


def test_make_takes_a_port() -> None:
    done = subprocess.run(["make", "-n", "dev", "PORT=3001"], cwd=ROOT, capture_output=True, text=True)
    assert "plant-assets dev --port 3001\n" in done.stdout
