"""Dagster's parts as processes of their own, for a service manager: code server, daemon, web server.

The code server holds the definitions, evaluates schedule and sensors and starts the runs: it is at the warehouse. The
daemon and the web server see of the warehouse what the records say. Here too: who may listen where.
"""

import socket
import sys
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from plant_assets.atomic import write_atomically
from plant_assets.dagster_private import DAEMON
from plant_assets.instance.guard import is_loopback, parse_authority
from plant_assets.instance.home import LOCATION
from plant_assets.settings import Settings, UsageError

WORKSPACE_FILE = "workspace.yaml"
PORTS = {"code": 4000, "web": 3000}
RISKS = {"code": "run code as its user", "web": "start, stop and delete"}
PYTHON = [sys.executable, "-m"]


@dataclass(frozen=True)
class Address:
    """Where a server listens."""

    host: str
    port: int

    @property
    def options(self) -> list[str]:
        """The address as Dagster's commands take it."""
        return ["--host", self.host, "--port", str(self.port)]


def require_port(option: str, port: int) -> None:
    """Raise UsageError if an option's port is none."""
    if not 1 <= port <= 65_535:
        raise UsageError(f"{option} {port} is not allowed: a port is 1 to 65535")


def parse_address(text: str) -> Address:
    """The address that `--code` names.

    Raises:
        UsageError: it has no host or no port.
    """
    host, _colon, port = text.rpartition(":")
    if not host or not (port.isascii() and port.isdigit()):
        raise UsageError(f"--code {text} is not allowed: the code server's host and port, as 127.0.0.1:4000")
    require_port("--code: the port", int(port))
    return Address(host, int(port))


def parse_names(texts: Collection[str]) -> list[str]:
    """Return the names that `--allow-host` gives, as the web server compares them.

    Raises:
        UsageError: one is no bare name or address.
    """
    names = []
    for text in texts:
        found = parse_authority(text)
        if not found or found.port or "*" in text:
            raise UsageError(
                f"--allow-host {text} is not allowed: a name without scheme and port, as plants.example.com"
            )
        names.append(found.name)
    return names


def require_login(service: str, host: str, is_read_only: bool, has_login: bool) -> None:
    """Raise UsageError if a service without a log-in would listen to more than this machine."""
    if has_login or is_loopback(host) or (service == "web" and is_read_only):
        return
    read_only = ", give --read-only" if service == "web" else ""
    raise UsageError(
        f"--host {host} lets whoever reaches the {service} server {RISKS[service]}: listen on 127.0.0.1{read_only}, or"
        " say --i-have-a-login-in-front if only those who logged in reach it"
    )


def require_free(address: Address) -> None:
    """Raise UsageError if nobody can listen on an address, because another process does or the system forbids it."""
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
        family, kind, protocol, _name, place = found[0]
        with socket.socket(family, kind, protocol) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind(place)
            tried.listen()
    except OSError as error:
        raise UsageError(
            f"--port {address.port} of {address.host} cannot be used: {error.strerror}; end the process that uses it or"
            " name another"
        ) from None


def command_of(
    service: str,
    settings: Settings,
    listens: Address,
    asked: Address,
    names: Collection[str] = (),
    is_read_only: bool = False,
) -> list[str]:
    """Return the command that is the service; the workspace file of daemon and web server is written.

    Args:
        service: code, daemon or web.
        settings: of the warehouse.
        listens: where code server or web server listen.
        asked: where daemon and web server find the code server.
        names: by which the web server answers, besides those of loopback.
        is_read_only: whether the web server changes nothing.
    """
    if service == "code":
        return code_server(*listens.options)
    workspace = write_workspace(settings.dagster_home / WORKSPACE_FILE, host=asked.host, port=asked.port)
    return daemon(workspace) if service == "daemon" else web_server(workspace, listens, names, is_read_only)


def write_workspace(path: Path, **server: Any) -> Path:
    """Write the file that tells daemon and web server where the code server is; return its path."""
    # Under its usual name the state of schedule and sensors is that of bare Dagster commands.
    write_atomically(path, yaml.safe_dump({"load_from": [{"grpc_server": {**server, "location_name": LOCATION}}]}))
    return path


def code_server(*options: str) -> list[str]:
    """The command that is the code server."""
    return [*PYTHON, "dagster", "code-server", "start", "--module-name", LOCATION, *options]


def daemon(workspace: Path, *options: str) -> list[str]:
    """The command that is the daemon."""
    return [*PYTHON, DAEMON, "run", "--workspace", str(workspace), *options]


def web_server(workspace: Path, address: Address, names: Collection[str], is_read_only: bool = False) -> list[str]:
    """The command that is the web server, behind its guard."""
    allowed = [part for name in names for part in ("--allow-host", name)]
    read_only = ["--read-only"] if is_read_only else []
    return [*PYTHON, "plant_assets.instance.web", "--workspace", str(workspace), *address.options, *allowed, *read_only]
