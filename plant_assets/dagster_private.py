"""Every private name of Dagster that the project uses. Nothing else imports one.

`test_dagster_private.py` says for each name what to do when it goes.
Nothing of ours is here. Names that only the web server needs are imported inside a function: they cost a run 0.1 s.
"""

from typing import TYPE_CHECKING

from dagster import DagsterInstance
from dagster._core.definitions.unresolved_asset_job_definition import (
    UnresolvedAssetJobDefinition as UnresolvedAssetJobDefinition,
)
from dagster._core.execution.context.system import StepExecutionContext as StepExecutionContext
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
