"""Private names of Dagster may go with any release: each has a test that says what to do then."""

import inspect
import re
import sys
from importlib.util import find_spec
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster._cli.code_server import start_command
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster_duckdb_pandas import DuckDBPandasTypeHandler
from dagster_webserver.webserver import DagsterWebserver

import plant_assets
from plant_assets import dagster_private
from plant_assets.instance import reload
from plant_assets.instance.compute_logs import ComputeLogs
from plant_assets.instance.home import CAPTURE

PACKAGE = Path(plant_assets.__file__).parent


def test_one_module_imports_private_names() -> None:
    files = {path for path in PACKAGE.rglob("*") if path.suffix in (".py", ".yaml", ".j2")}
    private = {path.name for path in files if re.search(r"dagster[a-z_]*\._", path.read_text(encoding="utf-8"))}
    assert private == {"dagster_private.py"}


def test_the_event_log_has_the_methods_that_are_overridden() -> None:
    """If they go, drop `instance/event_log.py` and name the stock storage in `storage-sqlite.yaml`; runs are slower."""
    stock = dagster_private.SqliteEventLogStorage
    assert list(inspect.signature(stock._connect).parameters) == ["self", "shard"]
    for name in ("_initdb", "conn_string_for_shard", "dispose", "from_config_value"):
        assert callable(getattr(stock, name)), name
    assert {"_db_lock", "_initialized_dbs"} <= set(stock.__init__.__code__.co_names)


def test_sqlite_has_a_timeout() -> None:
    """If it goes, write the number into `instance/event_log.py`."""
    assert dagster_private.SQLITE_BUSY_TIMEOUT_SECONDS > 0


def test_a_storage_is_made_from_the_data_of_its_class() -> None:
    """If it goes, look up what `from_config_value` of `dagster_postgres` is annotated with."""
    inst_data = inspect.signature(dagster_private.SqliteEventLogStorage.from_config_value).parameters["inst_data"]
    assert dagster_private.ConfigurableClassData.__name__ in str(inst_data.annotation)


def test_a_job_of_assets_is_unresolved() -> None:
    """If it goes, annotate `jobs` with what `dg.define_asset_job` returns then."""
    job = dg.define_asset_job("all_assets")
    assert isinstance(job, dagster_private.UnresolvedAssetJobDefinition)


def test_steps_know_their_run_and_instance() -> None:
    """If it goes, annotate the IO manager's contexts with what `OutputContext.step_context` returns then."""
    for name in ("dagster_run", "instance", "add_asset_metadata"):
        assert hasattr(dagster_private.StepExecutionContext, name), name
    annotation = inspect.signature(dg.OutputContext.step_context.fget).return_annotation
    assert "StepExecutionContext" in str(annotation)


def test_frames_are_written_and_read_by_slice() -> None:
    """If it goes, write and read frames in the IO manager with DuckDB alone, and drop dagster-duckdb-pandas."""
    taken = inspect.signature(DuckDBPandasTypeHandler.load_input).parameters["table_slice"]
    assert "TableSlice" in str(taken.annotation)
    made = dagster_private.TableSlice(table="frame", schema="memory", columns=["id"])
    assert (made.table, made.schema, made.columns) == ("frame", "memory", ["id"])


def test_the_web_server_is_made_of_a_workspace(tmp_path: Path) -> None:
    """If it goes, see what `dagster-webserver` is made of then (`dagster_webserver/cli.py`), or start that command."""
    path = tmp_path / "workspace.yaml"
    path.write_text(yaml.safe_dump({"load_from": []}), encoding="utf-8")
    dagster_private.log_warnings()
    with (
        dg.instance_for_test(temp_dir=str(tmp_path)) as instance,
        dagster_private.open_workspace(instance, str(path), "1", read_only=True) as context,
    ):
        assert DagsterWebserver(context).create_asgi_app().routes


def test_the_daemon_is_a_module() -> None:
    """If it goes, start the command `dagster-daemon run` instead."""
    assert find_spec(f"{dagster_private.DAEMON}.__main__")


def test_a_run_in_this_process_belongs_to_a_code_location() -> None:
    """If it goes, see what `JobDefinition.execute_in_process` makes a run with (`core_execute_in_process`).

    Without an origin a command's run is on neither the timeline nor the page of its job.
    """

    @dg.op
    def nothing() -> None: ...

    job = dg.GraphDefinition(name="nothing_job", node_defs=[nothing]).to_job()
    with dg.DagsterInstance.ephemeral() as instance:
        with dagster_private.runs_of_location(instance, "here", "nothing_job"):
            within = job.execute_in_process(instance=instance).run_id
        after = job.execute_in_process(instance=instance).run_id
        origin = instance.get_run_by_id(within).remote_job_origin
        assert (origin.location_name, origin.job_name) == ("here", "nothing_job")
        assert instance.get_runs(dg.RunsFilter(tags={".dagster/repository": "__repository__@here"}))[0].run_id == within
        assert instance.get_run_by_id(after).remote_job_origin is None


@pytest.mark.parametrize("is_service", [False, True], ids=["command", "service"])
def test_output_of_runs_is_kept_for_services(is_service: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If it goes, see `compute_logs` in Dagster's docs, and name its manager that keeps nothing in `dagster.yaml`."""
    if is_service:
        monkeypatch.setenv(CAPTURE, "yes")
    manager = ComputeLogs.from_config_value(None, {"base_dir": str(tmp_path)})
    with manager.capture_logs(["run", "compute_logs", "steps"]):
        print("a line", file=sys.stderr, flush=True)
    with manager.open_log_stream(["sensor", "tick"], None) as stream:
        assert stream is None
    kept = [path.read_text() for path in tmp_path.rglob("*.err")]
    assert kept == (["a line\n"] if is_service else [])


def test_a_code_server_loads_its_definitions_again(tmp_path: Path) -> None:
    """If it goes, see what the UI's button "Reload" calls (`GrpcServerCodeLocation`), or what starts a new process.

    Its options are in the environment under the names that `instance/reload.py` has.
    """
    options = {each.envvar for each in start_command.params}
    assert {reload.HOST, reload.PORT, reload.SOCKET} <= options
    with pytest.raises(DagsterUserCodeUnreachableError):
        dagster_private.reload_definitions({"socket": str(tmp_path / "nobody")}, 1)
