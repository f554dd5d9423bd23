"""`plant-assets dev`: code server, daemon and web server as children of one process, which starts and ends them."""

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import IO

import filelock

from plant_assets.instance.reload import SOCKET
from plant_assets.instance.services import WORKSPACE_FILE, Address, code_server, daemon, web_server, write_workspace
from plant_assets.settings import Settings, UsageError

LOCK_FILE, URL_FILE, LOG_FILE = "dev.lock", "dev.url", "dev.log"
QUIET = ("--log-level", "warning")
LOOK_SECONDS, END_SECONDS = 0.2, 30
# Linux signals a child when its parent ends, however it ends.
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
Children = dict[str, subprocess.Popen[bytes]]


@contextlib.contextmanager
def only_one(settings: Settings, url: str) -> Iterator[None]:
    """Hold the lock that allows one `dev` per warehouse while in the body. The system frees it if `dev` is killed.

    Raises:
        UsageError: another `dev` runs. The message has its address.
    """
    shown = settings.dagster_home / URL_FILE
    lock = filelock.FileLock(settings.dagster_home / LOCK_FILE, timeout=0, mode=0o600)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise UsageError(f"plant-assets dev already runs at {shown.read_text()}: open it, or end it first") from None
    with lock:
        shown.write_text(url)
        yield


def run_together(settings: Settings, address: Address, names: Collection[str], on_ready: Callable[[], None]) -> str:
    """Start the three services and wait until one ends by itself; then end the others.

    Args:
        settings: the settings of a warehouse whose home is prepared.
        address: where the web server listens.
        names: the host names that the web server answers to, besides those of loopback.
        on_ready: called when the web server answers.

    Returns:
        Which service ended by itself, and its exit code.

    Raises:
        KeyboardInterrupt: Ctrl-C or SIGTERM came; all services have ended.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    children: Children = {}
    # A socket that only its owner can use: a port would let every user of the machine run code.
    with tempfile.TemporaryDirectory(prefix="plant-assets-") as folder, _ended_together(children):
        log = settings.dagster_home / LOG_FILE
        code = Path(folder) / "code"
        workspace = write_workspace(Path(folder) / WORKSPACE_FILE, socket=str(code))
        # To a file: runs print each of their events here, whatever the log level.
        with log.open("wb") as output:
            children["code server"] = _start(code_server(*QUIET), output, **{SOCKET: str(code)})
        if ended := _wait(children, lambda: _is_listening(code)):
            return ended
        children["daemon"] = _start(daemon(workspace, *QUIET))
        children["web server"] = _start(web_server(workspace, address, names))
        if ended := _wait(children, lambda: _answers(address)):
            return ended
        on_ready()
        return _wait(children, lambda: False)


def _start(command: list[str], output: IO[bytes] | None = None, **variables: str) -> subprocess.Popen[bytes]:
    """Start a child in its own process group, so that Ctrl-C reaches only this process, which ends its children."""
    return subprocess.Popen(
        command,
        env={**os.environ, **variables},
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        process_group=0,
        preexec_fn=_follow_parent,
    )


def _follow_parent() -> None:
    # A shell has its background processes ignore SIGINT; Dagster would then ignore SIGTERM as well.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if LIBC:
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _wait(children: Children, has_come: Callable[[], bool]) -> str:
    """Wait until `has_come` is true; return an empty text, or which child ended before."""
    while not has_come():
        for name, child in children.items():
            if child.poll() is not None:
                return f"the {name} ended with {child.returncode}"
        time.sleep(LOOK_SECONDS)
    return ""


@contextlib.contextmanager
def _ended_together(children: Children) -> Iterator[None]:
    """End the children and their runs after the body; kill what is left after a while, or on a second interrupt."""
    try:
        yield
    finally:
        try:
            for child in children.values():
                # Not SIGINT: a child that still imports modules would print a traceback. Dagster treats both alike.
                _signal_group(child, signal.SIGTERM)
            for child in children.values():
                child.wait(END_SECONDS)
        except (KeyboardInterrupt, subprocess.TimeoutExpired):
            pass
        finally:
            for child in children.values():
                _signal_group(child, signal.SIGKILL)
                child.wait()


def _signal_group(child: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, number)


def _is_listening(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        return path.exists() and client.connect_ex(str(path)) == 0


def _answers(address: Address) -> bool:
    try:
        with urllib.request.urlopen(f"http://{address.host}:{address.port}/server_info", timeout=5):
            return True
    except OSError:
        return False
