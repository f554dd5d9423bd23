"""The code server's address, by which its own definitions have it load them again."""

import logging
import os
import threading

from plant_assets.dagster_private import reload_definitions

# The variables in which `dagster code-server start` looks for its options. Processes that it starts inherit them.
HOST, PORT, SOCKET = (f"DAGSTER_CODE_SERVER_{option}" for option in ("HOST", "PORT", "SOCKET"))
RELOAD_SECONDS = 180
LOG = logging.getLogger(__name__)


def variables_of(host: str, port: int) -> dict[str, str]:
    """Return the variables that have a code server listen at an address."""
    return {HOST: host, PORT: str(port)}


def reload() -> bool:
    """Have the code server of this process load its definitions again; return whether this process has one.

    This does not wait: the code server ends this process once another one has loaded them.
    """
    port, socket = os.environ.get(PORT), os.environ.get(SOCKET)
    if not (port or socket):
        return False
    host = os.environ.get(HOST, "localhost")
    address: dict[str, str | int] = {"port": int(port), "host": host} if port else {"socket": str(socket)}
    threading.Thread(target=_reload, args=(address,), daemon=True).start()
    return True


def _reload(address: dict[str, str | int]) -> None:
    try:
        reload_definitions(address, RELOAD_SECONDS)
    except Exception as error:  # noqa: BLE001 - the next evaluation of a sensor asks again
        LOG.warning("the code server did not load its definitions again: %s", " ".join(str(error).split()))
