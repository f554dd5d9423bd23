"""Every private name of Dagster that the project uses. Nothing else imports one.

`instance/test_dagster_private.py` says for each name what to do when it goes.
Nothing of ours is here. Names that only the web server needs are imported inside a function: they cost a run 0.1 s.
"""

import contextlib
import functools
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from dagster import DagsterInstance
from dagster._core.definitions.unresolved_asset_job_definition import (
    UnresolvedAssetJobDefinition as UnresolvedAssetJobDefinition,
)
from dagster._core.execution.context.system import StepExecutionContext as StepExecutionContext
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.storage.compute_log_manager import CapturedLogContext as CapturedLogContext
from dagster._core.storage.db_io_manager import TableSlice as TableSlice
from dagster._core.storage.event_log import SqliteEventLogStorage as SqliteEventLogStorage
from dagster._core.storage.local_compute_log_manager import LocalComputeLogManager as LocalComputeLogManager
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS as SQLITE_BUSY_TIMEOUT_SECONDS
from dagster._serdes import ConfigurableClassData as ConfigurableClassData

if TYPE_CHECKING:
    from dagster._core.workspace.context import WorkspaceProcessContext

# The module that is the daemon's command.
DAEMON = "dagster._daemon"
# What Dagster calls the definitions of a code location, and the method of an instance that makes a run's record.
REPOSITORY, CREATE_RUN = "__repository__", "create_run_for_job"


@contextlib.contextmanager
def runs_of_location(instance: DagsterInstance, location: str, job_name: str) -> Iterator[None]:
    """Have the runs that this process makes of a job belong to a code location, as those do that the UI launches.

    The UI has only such runs on its timeline and under their job. `execute_in_process` takes no origin.
    """
    repository = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin(location), REPOSITORY)
    origin = RemoteJobOrigin(repository, job_name)
    vars(instance)[CREATE_RUN] = functools.partial(getattr(instance, CREATE_RUN), remote_job_origin=origin)
    try:
        yield
    finally:
        del vars(instance)[CREATE_RUN]


def reload_definitions(address: Mapping[str, Any], timeout: int) -> None:
    """Have the code server at a host and port, or a socket, load its definitions in a new process; wait for it."""
    from dagster._grpc.client import DagsterGrpcClient

    DagsterGrpcClient(**address).reload_code(timeout)


def log_warnings() -> None:
    """Have Dagster's services log warnings, in Dagster's form."""
    from dagster._utils.log import configure_loggers

    configure_loggers(log_level="WARNING")


def open_workspace(
    instance: DagsterInstance, workspace: str, version: str, read_only: bool
) -> "WorkspaceProcessContext":
    """Return what the web server's app is made of: a workspace file's code locations on an instance."""
    from dagster._core.workspace.context import WorkspaceProcessContext
    from dagster._core.workspace.load_target import WorkspaceFileTarget

    return WorkspaceProcessContext(instance, WorkspaceFileTarget([workspace]), version, read_only)
