"""The graph, spelled out by hand once, and what every asset says of itself."""

import datetime as dt
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest
from ibis.expr.operations import UnboundTable

from plant_assets.checks.base import Scope
from plant_assets.checks.build import SHARED, checks_of
from plant_assets.cli.runs import Outcome
from plant_assets.contracts import LOADED, TABLES, WEEKLY
from plant_assets.definitions import build_defs
from plant_assets.orchestration.partitions import AS_OF, offsets_of
from plant_assets.settings import Settings, read_settings
from plant_assets_tests.support.machine import ROOT
from plant_assets_tests.support.tables import rows

GRAPH = {
    "store/events": set(),
    "store/products": set(),
    "store/products_snapshot": set(),
    "store/orders": set(),
    "store/order_items": set(),
    "raw_events": {"store/events"},
    "raw_products": {"store/products"},
    "raw_observations": {"store/products"},
    "raw_products_snapshot": {"store/products_snapshot"},
    "raw_orders": {"store/orders"},
    "raw_order_items": {"store/order_items"},
    "rejected_rows": {
        "raw_events", "raw_products", "raw_observations", "raw_products_snapshot", "raw_orders", "raw_order_items",
    },
    "int_order_events": {"raw_events"},
    "int_orders": {"raw_orders", "raw_order_items", "int_order_events"},
    "sales_by_week": {"int_orders", "raw_order_items"},
    "sales_by_product_week": {"int_orders", "raw_order_items", "product_snapshots"},
    "customers": {"int_orders"},
    "weeks": {"raw_observations"},
    "product_snapshots": {"raw_products", "raw_observations"},
    "product_snapshot_dbt": {"product_snapshots"},
    "int_events": {"raw_events", "raw_order_items", "product_snapshots"},
    "int_sessions": {"raw_events"},
    "int_session_days": {"raw_events"},
    "products": {"product_snapshots", "raw_observations"},
    "int_stock_intervals": {"product_snapshots", "raw_observations"},
    "int_event_stock_state": {
        "int_events", "int_stock_intervals", "product_snapshots", "raw_observations", "weeks",
    },
    "int_product_demand": {
        "raw_events", "raw_order_items", "int_orders", "sales_by_product_week", "int_stock_intervals",
        "product_snapshots", "raw_observations", "weeks",
    },
    "product_demand": {"int_product_demand", "product_snapshots"},
    "stock_status": {
        "int_orders", "raw_order_items", "int_stock_intervals", "product_snapshots", "raw_observations", "weeks",
    },
    "units_change": {"int_product_demand", "int_orders", "raw_order_items", "product_snapshots", "weeks"},
    "inventory": {"product_snapshots", "raw_observations", "weeks"},
    "inventory_changes": {"inventory", "product_snapshots", "raw_observations", "weeks"},
    "inventory_fluctuations": {"product_snapshots", "raw_observations"},
    "stockouts": {"product_snapshots", "raw_observations"},
    "inventory_until_week": {"inventory", "weeks"},
    "stockouts_by_week": {"stockouts", "weeks"},
    "int_funnel_weeks": {"int_session_days"},
    "int_product_funnel_weeks": {"raw_events", "raw_order_items", "int_session_days", "product_snapshots"},
    "int_product_funnel_repeats": {"raw_events", "raw_order_items", "int_session_days", "product_snapshots"},
    "funnel": {"int_funnel_weeks"},
    "funnel_by_date": {"int_session_days"},
    "funnel_by_entry_date": {"raw_events", "int_order_events", "int_session_days"},
    "funnel_by_product": {"int_product_funnel_weeks", "product_snapshots"},
    "funnel_to_date": {"int_session_days"},
    "funnel_by_week": {"funnel_to_date"},
    "funnel_by_product_week": {"int_product_funnel_weeks", "int_product_funnel_repeats", "product_snapshots"},
    "funnel_steps": {"funnel"},
    "funnel_until_week": {"int_funnel_weeks", "weeks"},
    "funnel_steps_by_week": {"funnel_by_week", "funnel_until_week"},
    "funnel_stages_by_week": {"funnel_to_date", "funnel_until_week", "inventory", "weeks"},
    "purchase_rate_by_product_week": {"funnel_by_product_week"},
    "inventory_by_week": {"inventory_changes"},
    "marts": {
        "rejected_rows", "weeks", "sales_by_week", "sales_by_product_week", "customers", "funnel_by_entry_date",
        "products",
        "product_snapshots", "product_snapshot_dbt", "inventory", "inventory_changes",
        "inventory_fluctuations", "inventory_until_week", "stockouts", "stockouts_by_week", "funnel", "funnel_by_date",
        "funnel_by_product", "funnel_to_date", "funnel_by_week", "funnel_by_product_week", "funnel_steps",
        "funnel_until_week", "funnel_steps_by_week", "int_funnel_weeks",
        "funnel_stages_by_week", "purchase_rate_by_product_week", "inventory_by_week",
        "int_product_demand", "product_demand", "stock_status", "units_change",
    },
    "report": {"marts"},
}  # fmt: skip


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return read_settings(source=tmp_path, warehouse=tmp_path / "w.duckdb", start="2026-10-05")


@pytest.fixture
def defs(settings: Settings) -> dg.Definitions:
    return build_defs(settings)


def test_loads(defs: dg.Definitions) -> None:
    dg.Definitions.validate_loadable(defs)
    assert {job.name for job in defs.resolve_all_job_defs()} >= {"refresh", "check"}


def test_graph(defs: dg.Definitions) -> None:
    nodes = defs.resolve_asset_graph().asset_nodes
    found = {node.key.to_user_string(): {key.to_user_string() for key in node.parent_keys} for node in nodes}
    assert found == GRAPH


def test_weekly_assets_have_mondays_and_one_run_for_a_range(defs: dg.Definitions) -> None:
    nodes = defs.resolve_asset_graph().asset_nodes
    weekly = {node.key.to_user_string(): node for node in nodes if node.partitions_def}
    assert set(WEEKLY) == {"raw_events", "int_session_days", "inventory", "inventory_changes"}
    assert set(weekly) == {*WEEKLY, "report"}
    for node in weekly.values():
        keys = node.partitions_def.get_partition_keys()
        assert keys[0] == "2026-10-05"
        assert node.backfill_policy == dg.BackfillPolicy.single_run()


def test_the_running_week_is_a_partition(defs: dg.Definitions) -> None:
    node = defs.resolve_asset_graph().get(dg.AssetKey("inventory"))
    with dg.partition_loading_context(effective_dt=_utc("2026-11-18T05:00:00")):
        assert node.partitions_def.get_partition_keys()[-1] == "2026-11-16"


def _utc(text: str):
    import datetime as dt

    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


@pytest.mark.parametrize("name", sorted(set(GRAPH)))
def test_every_asset_says_what_it_is(name: str, defs: dg.Definitions) -> None:
    node = defs.resolve_asset_graph().get(dg.AssetKey.from_user_string(name))
    first_line = node.description.splitlines()[0]
    assert "; one " in first_line
    assert " per " in first_line
    assert node.owners == ["team:analytics"]
    assert ("source" if name.startswith("store/") else "duckdb") in node.kinds
    assert node.group_name in {"store", "raw", "events", "sales", "inventory", "funnel", "demand", "publish"}


def test_what_ticks_renew_has_a_freshness_policy(defs: dg.Definitions) -> None:
    graph = defs.resolve_asset_graph()
    policies = {node.key.to_user_string(): node.freshness_policy for node in graph.asset_nodes}
    fresh = {name: policy for name, policy in policies.items() if policy}
    assert fresh.keys() == {*LOADED, "marts", "report"} - {"rejected_rows"}
    hours = {"warn_window": dt.timedelta(hours=7), "fail_window": dt.timedelta(hours=13)}
    assert set(fresh.values()) == {dg.FreshnessPolicy.time_window(**hours)}


def test_each_load_observes_the_stores_tables_and_the_rejected_rows(
    built: Settings, instance: dg.DagsterInstance, refresh: Callable[..., Outcome]
) -> None:
    refresh(built)

    def observed(key: dg.AssetKey) -> dict[str, object]:
        [record] = instance.fetch_observations(key, limit=1).records
        return {name: value.value for name, value in record.asset_observation.metadata.items()}

    events = observed(dg.AssetKey(["store", "events"]))
    [(rows_read, parts)] = rows(
        built, "select sum(rows_read), count(distinct file) from _files where source_table = 'events'"
    )
    assert (events["rows"], events["parts"]) == (rows_read, parts)
    assert str(events["latest_instant"]).startswith("2026-10-1")
    assert observed(dg.AssetKey("rejected_rows")) == {"rows": 0}


@pytest.mark.parametrize("name", sorted(TABLES))
def test_every_table_shows_its_columns(name: str, defs: dg.Definitions) -> None:
    node = defs.resolve_asset_graph().get(dg.AssetKey(name))
    shown = node.metadata["dagster/column_schema"].columns
    assert [column.name for column in shown] == TABLES[name].names
    assert all(column.description for column in shown)


@pytest.mark.parametrize("name", sorted(TABLES))
def test_every_table_shows_its_key(name: str, defs: dg.Definitions) -> None:
    schema = defs.resolve_asset_graph().get(dg.AssetKey(name)).metadata["dagster/column_schema"]
    unique = tuple(column.name for column in schema.columns if column.constraints.unique)
    composite = [f"unique: {', '.join(TABLES[name].key)}"] if len(TABLES[name].key) > 1 else []
    assert schema.constraints.other == composite
    assert unique == (() if composite else TABLES[name].key)


@pytest.mark.parametrize("name", sorted(TABLES))
def test_every_table_has_one_blocking_contract_check(name: str, defs: dg.Definitions) -> None:
    graph = defs.resolve_asset_graph()
    of_contract = [key for key in graph.asset_check_keys if key.name == f"{name}_keeps_its_contract"]
    assert [key.asset_key.to_user_string() for key in of_contract] == [name]
    assert graph.get_check_spec(of_contract[0]).blocking


def test_checks_name_the_tables_above_and_beside_that_they_read(defs: dg.Definitions, settings: Settings) -> None:
    graph, scope = defs.resolve_asset_graph(), Scope(settings, dt.datetime(2026, 11, 18), None)
    for name in TABLES:
        below = {key.to_user_string() for key in dg.AssetSelection.assets(name).downstream().resolve(graph)}
        for check in checks_of(name):
            read = {table.name for table in check.offending(scope).op().find(UnboundTable)} & set(TABLES)
            assert set(check.reads) == read - below, check.name
            spec = graph.get_check_spec(dg.AssetCheckKey(dg.AssetKey(name), check.name))
            assert {dep.asset_key.to_user_string() for dep in spec.additional_deps} == set(check.reads)


def test_a_run_asks_a_check_after_all_tables_that_it_reads_are_written(defs: dg.Definitions) -> None:
    job = defs.resolve_job_def("refresh")
    waits_for = {
        node.name: {each.node for needed in inputs.values() for each in needed.get_node_dependencies()}
        for node, inputs in job.dependencies.items()
    }
    # Dagster cuts a step in parts where it would wait for itself.
    assert len(waits_for) == len(job.dependencies)
    for name in TABLES:
        for read in {read for check in checks_of(name) for read in check.reads}:
            writer = "load_source" if read.startswith("raw_") else read
            step = f"{name}_checks" if f"{name}_checks" in waits_for else SHARED
            assert writer in waits_for[step], (name, read)


def test_settings_are_a_resources_config_without_their_secrets(tmp_path: Path) -> None:
    given = {
        "source": "postgresql://reader:sesame@db/shop",
        "alert_url": "json://sesame@example.com",
        "records": "postgresql://writer:sesame@db/records",
    }
    defs = build_defs(read_settings(warehouse=tmp_path / "w.duckdb", max_rejected=0.25, **given))
    stored = dg.serialize_value(defs.resolve_job_def("refresh").get_job_snapshot())
    assert "sesame" not in stored
    config = defs.resolve_job_def("refresh").resource_defs["warehouse"].config_schema.default_value
    assert config["source"] == "postgresql://reader@db/shop"
    assert config["max_rejected"] == "0.25"
    assert config["alert_url"] == config["records"] == "**********"


def test_a_runs_config_changes_no_setting(defs: dg.Definitions, instance: dg.DagsterInstance) -> None:
    config = {"resources": {"warehouse": {"config": {"max_rejected": "1"}}}}
    job = defs.resolve_job_def("check")
    with pytest.raises(dg.DagsterResourceFunctionError) as raised:
        job.execute_in_process(run_config=config, instance=instance)
    assert "a run's config cannot change a setting" in str(raised.value.__cause__)


@pytest.mark.parametrize(
    "command",
    [
        ["dagster", "definitions", "validate", "-w", "workspace.yaml"],
        ["dg", "check", "defs"],
        ["dg", "list", "defs", "--json"],
        ["dagster", "job", "list", "-m", "plant_assets.definitions"],
    ],
    ids=" ".join,
)
def test_dagsters_own_commands_find_the_definitions(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLANT_HOME", str(tmp_path))
    program = str(Path(sys.executable).with_name(command[0]))
    root = ROOT
    done = subprocess.run([program, *command[1:]], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_code_location_opens_no_engine_when_it_loads() -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys, plant_assets.definitions as d; from plant_assets.settings import read_settings;"
            "d.build_defs(read_settings()); print('pyspark' in sys.modules, 'datafusion' in sys.modules)",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["False", "False"]


def test_the_hour_before_clocks_change_at_the_first_weeks_start_is_of_the_week_before(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    settings = read_settings(warehouse=tmp_path / "w.duckdb", timezone="Asia/Tehran", start=dt.date(2021, 3, 22))
    changes_at = settings.calendar.starts_at(dt.date(2021, 3, 22))

    @dg.asset
    def offsets(context: dg.AssetExecutionContext) -> list[tuple[dt.datetime | None, dt.timedelta]]:
        return offsets_of(context, settings)

    run = dg.materialize([offsets], tags={AS_OF: "2021-04-01T00:00:00"}, instance=instance)
    (until, offset), *_later = run.output_for_node("offsets")
    assert until == changes_at
    assert settings.calendar.date_of(changes_at - dt.timedelta(seconds=1)) == dt.date(2021, 3, 21)
    assert (changes_at - dt.timedelta(hours=1) + offset).date() == dt.date(2021, 3, 21)
