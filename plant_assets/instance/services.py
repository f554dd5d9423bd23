"""Commands of Dagster's services, each a process of its own: code server, daemon and web server.

The code server loads the definitions, evaluates schedule and sensors and starts runs, so it runs where the warehouse
is. The daemon and the web server see only the records. The addresses that a service may listen on are checked here.
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
        """The address as options of Dagster's commands."""
        return ["--host", self.host, "--port", str(self.port)]


def require_port(option: str, port: int) -> None:
    """Raise a UsageError if the number of an option is not a port."""
    if not 1 <= port <= 65_535:
        raise UsageError(f"{option} {port} is not allowed: a port is 1 to 65535")


def parse_address(text: str) -> Address:
    """Return the address that `--code` gives.

    Raises:
        UsageError: the text has no host or no port.
    """
    host, _colon, port = text.rpartition(":")
    if not host or not (port.isascii() and port.isdigit()):
        raise UsageError(f"--code {text} is not allowed: the code server's host and port, like 127.0.0.1:4000")
    require_port("--code: the port", int(port))
    return Address(host, int(port))


def parse_names(texts: Collection[str]) -> list[str]:
    """Return the names that `--allow-host` gives, as the web server compares them.

    Raises:
        UsageError: one of them is not a name or address alone.
    """
    names = []
    for text in texts:
        found = parse_authority(text)
        if not found or found.port or "*" in text:
            raise UsageError(
                f"--allow-host {text} is not allowed: a name without scheme and port, like plants.example.com"
            )
        names.append(found.name)
    return names


def require_login(service: str, host: str, is_read_only: bool, has_login: bool) -> None:
    """Raise a UsageError if other machines could reach a service without a log-in."""
    if has_login or is_loopback(host) or (service == "web" and is_read_only):
        return
    read_only = ", give --read-only" if service == "web" else ""
    raise UsageError(
        f"--host {host} lets whoever reaches the {service} server {RISKS[service]}: listen on 127.0.0.1{read_only}, or"
        " add --i-have-a-login-in-front if a log-in protects it"
    )


def require_free(address: Address) -> None:
    """Raise a UsageError if another process listens on an address, or the system forbids to listen on it."""
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
    """Return the command of a service, and write the workspace file that daemon and web server read.

    Args:
        service: `code`, `daemon` or `web`.
        settings: the settings of the warehouse.
        listens: where the code server or the web server listens.
        asked: where the daemon and the web server find the code server.
        names: the host names that the web server answers to, besides those of loopback.
        is_read_only: whether the web server rejects changes.
    """
    if service == "code":
        return code_server()
    workspace = write_workspace(settings.dagster_home / WORKSPACE_FILE, host=asked.host, port=asked.port)
    return daemon(workspace) if service == "daemon" else web_server(workspace, listens, names, is_read_only)


def write_workspace(path: Path, **server: Any) -> Path:
    """Write the file that names the code server to daemon and web server; return its path."""
    # The usual name, so that plain `dagster` commands share the state of schedule and sensors.
    write_atomically(path, yaml.safe_dump({"load_from": [{"grpc_server": {**server, "location_name": LOCATION}}]}))
    return path


def code_server(*options: str) -> list[str]:
    """Return the command of the code server. Where it listens is in its environment: see `reload.py`."""
    return [*PYTHON, "dagster", "code-server", "start", "--module-name", LOCATION, *options]


def daemon(workspace: Path, *options: str) -> list[str]:
    """Return the command of the daemon."""
    return [*PYTHON, DAEMON, "run", "--workspace", str(workspace), *options]


def web_server(workspace: Path, address: Address, names: Collection[str], is_read_only: bool = False) -> list[str]:
    """Return the command of the web server with its guard."""
    allowed = [part for name in names for part in ("--allow-host", name)]
    read_only = ["--read-only"] if is_read_only else []
    return [*PYTHON, "plant_assets.instance.web", "--workspace", str(workspace), *address.options, *allowed, *read_only]
