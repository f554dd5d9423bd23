"""Code server, daemon and web server as services: the files of docs/deploy, and their commands on a real PostgreSQL."""

import configparser
import contextlib
import functools
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from plant_assets.instance.services import Address, command_of, parse_address, parse_names, require_login
from plant_assets.orchestration.partitions import RANGE_END, RANGE_START
from plant_assets.settings import PREFIX, Settings, UsageError, read_settings
from plant_assets_tests.support import postgres
from plant_assets_tests.support.commands import one_sentence, plant_assets
from plant_assets_tests.support.machine import ROOT, need
from plant_assets_tests.support.server import LOCATION, Web, free_port, is_listening

README, DEPLOY = ROOT / "README.md", ROOT / "docs" / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES = ("code", "daemon", "web")
PROGRAMS = Path(sys.executable).parent
MOST_EXPOSED = 25
FIRST, LAST = "2026-09-21", "2026-10-12"


def _unit(name: str) -> configparser.ConfigParser:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.read(DEPLOY / f"plant-assets-{name}.service")
    return unit


def _command(name: str) -> list[str]:
    return shlex.split(_unit(name)["Service"]["ExecStart"])


def _variables() -> dict[str, str]:
    lines = (DEPLOY / "plant-assets.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if not line.startswith("#"))


def _until(is_so: Callable[[], bool], seconds: int, what: Callable[[], str]) -> None:
    ends = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < ends, what()
        time.sleep(0.5)


class Team:
    """The services of a warehouse, as the units start them."""

    def __init__(self, folder: Path, source: Path, database: str) -> None:
        self.settings = read_settings(source=source, warehouse=folder / "w.duckdb", records=database)
        self.database, self.folder = database, folder
        self.code, self.web = free_port(), Web(free_port())
        known = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
        given = {
            "PLANT_SOURCE": str(source),
            "PLANT_WAREHOUSE": str(self.settings.warehouse_path),
            "PLANT_RECORDS": database,
        }
        self.environment = {**known, **_variables(), **given, "PATH": f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}"}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str) -> None:
        ports = {"code": ["--port", self.code], "web": ["--port", self.web.port]}.get(name, [])
        beside = [] if name == "code" else ["--code", f"127.0.0.1:{self.code}"]
        program, *arguments = _command(name)
        assert program == "/opt/plant-assets/bin/plant-assets"
        with (self.folder / f"{name}.log").open("a") as log:
            self._processes[name] = subprocess.Popen(
                [sys.executable, "-m", "plant_assets.cli", *arguments, *map(str, ports), *beside],
                env=self.environment,
                cwd=self.folder,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def log(self) -> str:
        return "\n".join((self.folder / f"{name}.log").read_text() for name in self._processes)

    def kill(self) -> None:
        """As a machine does that stops, with all their processes."""
        for process in self._processes.values():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def start_all(self) -> None:
        """In the order of the compose file."""
        self.start("code")
        _until(lambda: is_listening(self.code), 60, self.log)
        _until(lambda: self.is_healthy("code"), 60, self.log)
        self.start("daemon")
        self.start("web")
        _until(lambda: is_listening(self.web.port), 60, self.log)
        _until(self.knows_the_job, 60, self.log)

    def is_healthy(self, name: str) -> bool:
        """Whether the health check of the compose file says so."""
        kind, *test = COMPOSE["services"][name]["healthcheck"]["test"]
        command = ["sh", "-c", test[0].replace("$$", "$")] if kind == "CMD-SHELL" else test
        ours = [part.replace("3000", str(self.web.port)).replace("4000", str(self.code)) for part in command]
        return subprocess.run(ours, env=self.environment, cwd=self.folder, capture_output=True).returncode == 0

    def knows_the_job(self) -> bool:
        job = LOCATION + ', pipelineName: "refresh"}'
        found = self.web.ask("{pipelineOrError(params: " + job + "){__typename}}")
        return bool(found["pipelineOrError"]["__typename"] == "Pipeline")

    def wait_for(self, run_id: str) -> dict[str, Any]:
        """The run, once it has ended."""
        query = f'{{runOrError(runId: "{run_id}"){{... on Run{{status tags{{key value}}}}}}}}'
        ended = ("SUCCESS", "FAILURE", "CANCELED")
        _until(lambda: self.web.ask(query)["runOrError"]["status"] in ended, 120, self.log)
        return dict(self.web.ask(query)["runOrError"])

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        return postgres.execute(self.database, statement)


@pytest.fixture(scope="module")
def team(small_store: Path, postgres_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    """The three services, started before there is a warehouse."""
    with postgres.database(postgres_server) as database:
        started = Team(tmp_path_factory.mktemp("team"), small_store, database)
        try:
            started.start_all()
            yield started
        finally:
            started.kill()


def test_a_run_that_the_web_server_queued_is_in_the_database(team: Team) -> None:
    run_id = team.web.launch({RANGE_START: FIRST, RANGE_END: LAST})
    assert team.wait_for(run_id)["status"] == "SUCCESS", team.log()
    assert team.rows(f"select status, pipeline_name from runs where run_id = '{run_id}'") == [("SUCCESS", "refresh")]
    [(events,)] = team.rows(f"select count(*) from event_logs where run_id = '{run_id}'")
    assert events > 300
    assert team.settings.marts_path.exists()


def test_nothing_of_the_records_is_beside_the_warehouse(team: Team) -> None:
    names = {path.name for path in team.settings.dagster_home.rglob("*")}
    assert {"dagster.yaml", "records.json", "store.json", "workspace.yaml"} <= names
    assert [name for name in names if name.endswith(".db")] == []
    texts = [path.read_text() for path in team.settings.dagster_home.iterdir() if path.is_file()]
    assert texts
    assert postgres.PASSWORD not in "".join(texts) + team.log()


def test_schedule_and_sensors_tick(team: Team) -> None:
    def ticks() -> list[tuple[Any, ...]]:
        return team.rows("select status from job_ticks where tick_body like '%dead_runs%'")

    _until(lambda: ("SKIPPED",) in ticks(), 60, team.log)
    schedule = LOCATION + ', scheduleName: "every_six_hours"}'
    result = "{... on DryRunInstigationTick{evaluationResult{skipReason error{message} runRequests{runKey}}}}"
    asked = f"mutation {{scheduleDryRun(selectorData: {schedule}, timestamp: {time.time()}){result}}}"
    tick = team.web.ask(asked)["scheduleDryRun"]["evaluationResult"]
    assert tick["error"] is None
    assert tick["runRequests"] or tick["skipReason"]


def test_each_service_is_healthy(team: Team) -> None:
    # The code server's was asked before the others started.
    for name in ("daemon", "web"):
        _until(functools.partial(team.is_healthy, name), 60, team.log)
    assert not Team(team.folder, Path(team.settings.source_path), team.database).is_healthy("web")


def test_a_run_of_the_command_line_is_seen_in_the_ui(team: Team) -> None:
    done = subprocess.run(
        [PROGRAMS / "plant-assets", "run", "--weeks", LAST], env=team.environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    weeks = [{tag["key"]: tag["value"] for tag in run["tags"]}.get(RANGE_START) for run in team.web.runs()]
    assert LAST in weeks


def test_killed_services_start_again_with_their_records(team: Team) -> None:
    before = {run["runId"]: run["status"] for run in team.web.runs()}
    [(beat,)] = team.rows("select max(timestamp) from daemon_heartbeats")
    team.kill()
    team.start_all()
    after = {run["runId"]: run["status"] for run in team.web.runs()}
    assert before.items() <= after.items()
    _until(lambda: team.rows("select max(timestamp) from daemon_heartbeats") > [(beat,)], 60, team.log)


def test_records_are_migrated_as_operations_says(team: Team) -> None:
    done = subprocess.run(
        ["sh", "-ec", 'eval "$(plant-assets env)"; dagster instance migrate'],
        env=team.environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_unit_and_container_run_the_same_command() -> None:
    for name in SERVICES:
        _program, *command = _command(name)
        assert COMPOSE["services"][name]["command"][:2] == command[:2] == ["serve", name]


def test_an_open_host_is_in_a_container_only_whose_port_others_do_not_reach() -> None:
    assert {name for name in SERVICES if any("--host" in part for part in _command(name))} == set()
    containers = {name: COMPOSE["services"][name] for name in SERVICES}
    open_ones = {name for name, each in containers.items() if "0.0.0.0" in " ".join(each["command"])}
    assert open_ones == {name for name, each in containers.items() if "--i-have-a-login-in-front" in each["command"]}
    ports = [port for each in containers.values() for port in each.get("ports", [])]
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


def test_the_proxys_name_is_allowed_where_the_ui_is_served() -> None:
    host = _variables()["PLANT_UI_URL"].removeprefix("https://")
    assert f"--allow-host={host}" in _command("web")
    assert "--allow-host=${UI_HOST:-localhost}" in COMPOSE["services"]["web"]["command"]
    [proxy] = re.findall(r"```nginx\n(.*?)```", README.read_text(), re.DOTALL)
    assert "proxy_set_header Host $http_host;" in proxy
    assert f"server_name {host};" in proxy
    assert f"--allow-host {host}" in README.read_text()


def test_daemon_and_web_server_are_pointed_to_the_code_server(tmp_path: Path) -> None:
    settings = read_settings(warehouse=tmp_path / "w.duckdb")
    asked, listens = parse_address("code.internal:4001"), Address("127.0.0.1", 3001)
    command = command_of("web", settings, listens, asked, parse_names(["Plants.example.com"]), is_read_only=True)
    at = ["--host", "127.0.0.1", "--port", "3001"]
    assert command[-7:] == [*at, "--allow-host", "plants.example.com", "--read-only"]
    workspace = Path(command[command.index("--workspace") + 1])
    server = {"host": "code.internal", "port": 4001, "location_name": "plant_assets.definitions"}
    assert yaml.safe_load(workspace.read_text()) == {"load_from": [{"grpc_server": server}]}


@pytest.mark.parametrize("text", ["nowhere", ":4000", "host:http", "host:\u0664"])
def test_an_address_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=f"--code {text} is not allowed: the code server's host and port"):
        parse_address(text)


def test_a_code_servers_port_is_one() -> None:
    with pytest.raises(UsageError, match="--code: the port 70000 is not allowed: a port is 1 to 65535"):
        parse_address("host:70000")


@pytest.mark.parametrize("text", ["https://plants.example.com", "plants.example.com:443", "*", "*.example.com", ""])
def test_a_name_to_allow_is_a_bare_one(text: str) -> None:
    with pytest.raises(UsageError, match=f"--allow-host {re.escape(text)} is not allowed: a name without scheme"):
        parse_names([text])


@pytest.mark.parametrize(
    ("arguments", "risk"),
    [
        (["web", "--host", "0.0.0.0"], "start, stop and delete: listen on 127.0.0.1, give --read-only, or add"),
        (["web", "--host", "::"], "start, stop and delete"),
        (["web", "--host", ""], "start, stop and delete"),
        (["code", "--host", "0.0.0.0"], "run code as its user: listen on 127.0.0.1, or add --i-have-a-login-in-front"),
        (["code", "--host", "0.0.0.0", "--read-only"], "run code as its user"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_an_open_host_is_refused_without_a_login(arguments: list[str], risk: str, tmp_path: Path) -> None:
    done = plant_assets("serve", *arguments, "--port", free_port(), PLANT_HOME=str(tmp_path))
    assert (done.returncode, list(tmp_path.iterdir())) == (2, [])
    assert risk in one_sentence(done)


@pytest.mark.parametrize(
    ("service", "host", "is_read_only", "has_login"),
    [
        ("web", "0.0.0.0", True, False),
        ("web", "0.0.0.0", False, True),
        ("code", "0.0.0.0", False, True),
        ("web", "127.0.0.1", False, False),
        ("code", "localhost", False, False),
        ("code", "::1", False, False),
    ],
)
def test_a_host_is_open_to_readers_behind_a_login_or_on_this_machine(
    service: str, host: str, is_read_only: bool, has_login: bool
) -> None:
    require_login(service, host, is_read_only, has_login)


def test_the_services_environment_is_of_settings() -> None:
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    in_container = set(COMPOSE["x-part"]["environment"])
    assert {"PLANT_SOURCE", "PLANT_WAREHOUSE", "PLANT_RECORDS"} <= set(_variables()) & in_container
    assert set(_variables()) | in_container <= known


def test_systemd_takes_the_units(tmp_path: Path) -> None:
    need("systemd-analyze", shutil.which("systemd-analyze") is not None)
    for name in SERVICES:
        file = tmp_path / f"plant-assets-{name}.service"
        file.write_text((DEPLOY / file.name).read_text().replace("/opt/plant-assets/bin", str(PROGRAMS)))
    units = sorted(map(str, tmp_path.iterdir()))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True)
    assert (done.returncode, [line for line in done.stderr.splitlines() if "plant-assets" in line]) == (0, [])
    limit = ["--offline=true", f"--threshold={MOST_EXPOSED}"]
    done = subprocess.run(["systemd-analyze", "security", *limit, *units], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_compose_takes_its_file() -> None:
    found = [["docker", "compose"], ["docker-compose"]]
    commands = [each for each in found if shutil.which(each[0]) and _runs([*each, "version"])]
    need("docker compose", bool(commands))
    environment = {**os.environ, "PLANT_STORE": "/srv/store", "PLANT_RECORDS_PASSWORD": "apple"}
    done = subprocess.run(
        [*commands[0], "--file", DEPLOY / "compose.yaml", "config"], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    shown = yaml.safe_load(done.stdout)["services"]
    assert shown["daemon"]["environment"]["PLANT_RECORDS"] == "postgresql://plants:apple@postgres:5432/plants"
    assert {name for name in shown if shown[name].get("ports")} == {"web"}
    assert {shown[name]["image"] for name in SERVICES} == {"plant-assets"}
    assert [name for name in shown if "build" in shown[name]] == ["code"]


def _runs(command: list[str]) -> bool:
    return subprocess.run(command, capture_output=True).returncode == 0
