"""Dagster's parts as processes of their own, for a service manager: code server, daemon, web server.

The code server holds the definitions, evaluates schedule and sensors and starts the runs: it is at the warehouse. The
daemon and the web server see of the warehouse what the records say.
"""

import sys
from dataclasses import dataclass

import yaml

from plant_assets.settings import Settings, UsageError
from plant_assets.storage import write_atomically

LOCATION = "plant_assets.definitions"
WORKSPACE_FILE = "workspace.yaml"
PORTS = {"code": 4000, "web": 3000}


@dataclass(frozen=True)
class Address:
    """Where a server listens."""

    host: str
    port: int


def parse_address(text: str) -> Address:
    """The address that `--code` names.

    Raises:
        UsageError: it has no host or no port.
    """
    host, _colon, port = text.rpartition(":")
    if not host or not port.isdigit():
        raise UsageError(f"--code {text} is not allowed: the code server's host and port, as 127.0.0.1:4000")
    return Address(host, int(port))


def command_of(
    service: str, settings: Settings, listens: Address, code_server: Address, is_read_only: bool
) -> list[str]:
    """The command that is the service; the workspace file of daemon and web server is written."""
    python = [sys.executable, "-m"]
    at = ["--host", listens.host, "--port", str(listens.port)]
    if service == "code":
        return [*python, "dagster", "code-server", "start", "--module-name", LOCATION, *at]
    workspace = settings.dagster_home / WORKSPACE_FILE
    # Under its usual name the state of schedule and sensors is that of `plant-assets dev`.
    server = {"host": code_server.host, "port": code_server.port, "location_name": LOCATION}
    write_atomically(workspace, yaml.safe_dump({"load_from": [{"grpc_server": server}]}))
    if service == "daemon":
        return [*python, "dagster._daemon", "run", "--workspace", str(workspace)]
    web = [*python, "dagster_webserver", "--workspace", str(workspace), *at]
    return [*web, "--read-only"] if is_read_only else web
