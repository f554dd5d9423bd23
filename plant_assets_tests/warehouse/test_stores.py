"""One warehouse, one store: what `--accept-source` takes and what it leaves, and a source of single files."""

import datetime as dt
import multiprocessing
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

from plant_assets.cli.runs import Outcome
from plant_assets.definitions import build_defs
from plant_assets.orchestration.partitions import AS_OF
from plant_assets.sample import store as sample
from plant_assets.settings import Settings, read_settings
from plant_assets.sources.errors import SourceError
from plant_assets.warehouse.ledger.facts import StoreMismatch
from plant_assets.warehouse.open import open_warehouse
from plant_assets_tests.support.runs import END
from plant_assets_tests.support.tables import contents, rows


def test_another_zone_is_built_anew_and_the_old_warehouse_kept(
    built: Settings, tmp_path: Path, refresh: Callable[..., Outcome]
) -> None:
    moved = built.model_copy(update={"timezone": "America/New_York"})
    with pytest.raises(StoreMismatch, match="timezone UTC, not America/New_York"):
        refresh(moved)
    assert not refresh(moved, accept_source=True).failures
    fresh = moved.model_copy(update={"warehouse": tmp_path / "fresh" / "w.duckdb"})
    assert not refresh(fresh).failures
    assert contents(moved) == contents(fresh)
    assert built.warehouse_path.with_name("w.duckdb.before").exists()


def _be_killed_before_the_store_is_known(settings: Settings) -> None:
    with open_warehouse(settings, accept_source=True):
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_acceptance_keeps_the_old_warehouse(built: Settings) -> None:
    before = contents(built)
    moved = built.model_copy(update={"timezone": "America/New_York"})
    for _time in range(2):
        process = multiprocessing.get_context("fork").Process(
            target=_be_killed_before_the_store_is_known, args=(moved,)
        )
        process.start()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        assert built.warehouse_path.with_name("w.duckdb.aside").exists()
    assert contents(built) == before
    assert list(built.warehouse_path.parent.glob("*.aside*")) == []


def test_a_source_that_cannot_be_read_is_not_accepted(
    built: Settings, tmp_path: Path, refresh: Callable[..., Outcome]
) -> None:
    before = contents(built)
    with pytest.raises(SourceError, match="is not a directory"):
        refresh(built.model_copy(update={"source": str(tmp_path / "nowhere")}), accept_source=True)
    assert contents(built) == before


@pytest.fixture
def single(tmp_path: Path, small_store: Path) -> Settings:
    """A store whose products are one file."""
    source = tmp_path / "single"
    shutil.copytree(small_store, source, ignore=shutil.ignore_patterns("products"))
    shutil.copy(small_store / "products" / f"{END:%Y-%m-%dT%H-%M-%SZ}.csv", source / "products.csv")
    return read_settings(source=source, warehouse=tmp_path / "single.duckdb")


def test_a_single_products_file_is_observed_at_every_run(single: Settings, refresh: Callable[..., Outcome]) -> None:
    for hours in range(3):
        outcome = refresh(single, as_of=END + dt.timedelta(hours=hours))
        assert not outcome.failures
        assert not outcome.failed_errors
    observed = rows(single, "select observed_at from raw_observations order by 1")
    assert observed == [(END + dt.timedelta(hours=hours),) for hours in range(3)]


def test_raw_events_alone_are_materialized_on_a_new_warehouse(single: Settings, instance: dg.DagsterInstance) -> None:
    job = build_defs(single.model_copy(update={"start": dt.date(2026, 9, 21)})).resolve_job_def("refresh")
    result = job.execute_in_process(
        instance=instance, tags={"dagster/partition": "2026-10-05"}, asset_selection=[dg.AssetKey("raw_events")]
    )
    assert result.success
    assert rows(single, "select count(*) > 0 from raw_events") == [(True,)]


def test_an_observation_of_the_future_is_refused_by_name(single: Settings, refresh: Callable[..., Outcome]) -> None:
    (single.source_path / "products").mkdir()
    (single.source_path / "products.csv").rename(single.source_path / "products" / "2031-01-06.csv")
    with pytest.raises(SourceError, match=r"2031-01-06\.csv is an observation of .* which has not come yet"):
        refresh(single)


def test_a_jsonl_file_without_a_column_is_refused_by_name(single: Settings, refresh: Callable[..., Outcome]) -> None:
    (single.source_path / "products.csv").unlink()
    (single.source_path / "products.jsonl").write_text('{"product_id": "p", "name": "Fern", "price": 3}\n')
    with pytest.raises(SourceError, match=r"products lacks inventory; columns found: name, price, product_id"):
        refresh(single)


def test_after_three_weeks_without_a_run_or_an_observation_one_run_is_a_rebuild(
    tmp_path: Path, small_store: Path, refresh: Callable[..., Outcome]
) -> None:
    source = tmp_path / "store"
    shutil.copytree(small_store, source)
    settings = read_settings(source=source, warehouse=tmp_path / "w" / "w.duckdb")
    assert not refresh(settings).failures
    later = END + dt.timedelta(weeks=3, hours=12)
    sample.write(source, later)
    for path in (source / "products").iterdir():
        if END < dt.datetime.strptime(path.stem, "%Y-%m-%dT%H-%M-%SZ") < later:
            path.unlink()
    assert not refresh(settings, as_of=later).failures
    rebuilt = read_settings(source=source, warehouse=tmp_path / "rebuilt" / "w.duckdb")
    assert not refresh(rebuilt, as_of=later).failures
    assert contents(settings) == contents(rebuilt)
    assert rows(settings, "select count(distinct week_start_date) from inventory") == [(7,)]


def test_whatever_arrives_late_the_next_run_gives_a_rebuilds_tables(
    tmp_path: Path, small_store: Path, refresh: Callable[..., Outcome]
) -> None:
    source, held = tmp_path / "store", tmp_path / "held"
    shutil.copytree(small_store, source)
    late = [
        "order_items/2026-09-26.csv",
        "events/2026-09-28.csv",
        "products/2026-10-01T12-00-00Z.csv",
        "products/2026-10-14T06-00-00Z.csv",
        "orders/2026-10-05.csv",
        "events/2026-10-14.csv",
    ]
    for name in late:
        (held / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.move(source / name, held / name)
    # Of a product that only the last observation knows.
    with (source / "events" / "2026-09-25.csv").open("a") as events:
        events.write("w1,weeder,,,2026-09-25T23:00:00Z,page_view,,weed\n")
    with (source / "events" / "2026-10-06.csv").open("a") as events:
        events.write("w2,weeder,,,2026-10-06T23:00:00Z,page_view,,weed\nw3,weeder,,,2026-10-06T23:00:01Z,checkout,,\n")
    with (held / "products" / "2026-10-14T06-00-00Z.csv").open("a") as products:
        products.write("weed,Weed,1.00,5\n")
    settings = read_settings(source=source, warehouse=tmp_path / "w" / "w.duckdb")
    assert not refresh(settings).failures
    assert rows(settings, "select page_view from funnel_by_product where product_id = 'weed'") == []
    for number, name in enumerate(late):
        shutil.move(held / name, source / name)
        assert not refresh(settings).failures
        rebuilt = read_settings(source=source, warehouse=tmp_path / str(number) / "w.duckdb")
        assert not refresh(rebuilt).failures
        assert contents(settings) == contents(rebuilt), name
    assert rows(settings, "select page_view from funnel_by_product where product_id = 'weed'") == [(1,)]


@pytest.mark.parametrize(
    ("assets", "name"),
    [(["inventory", "inventory_changes"], "inventory"), (["int_product_funnel_weeks"], "funnel_by_product")],
    ids=["stock", "funnel by product"],
)
def test_what_was_made_from_older_versions_is_made_again(
    tmp_path: Path,
    small_store: Path,
    refresh: Callable[..., Outcome],
    instance: dg.DagsterInstance,
    assets: list[str],
    name: str,
) -> None:
    source = tmp_path / "store"
    shutil.copytree(small_store, source)
    with (source / "events" / "2026-09-25.csv").open("a") as events:
        events.write("w1,weeder,,,2026-09-25T23:00:00Z,page_view,,weed\n")
    settings = read_settings(source=source, warehouse=tmp_path / "w" / "w.duckdb")
    assert not refresh(settings).failures
    late = source / "products" / "2026-09-25T00-00-00Z.csv"
    late.write_text(late.read_text() + "weed,Weed,1.00,5\n")
    late.rename(source / "products" / "2026-09-25T03-00-00Z.csv")
    job = build_defs(settings).resolve_job_def("refresh")
    for selected in (["raw_products", "raw_observations"], assets):
        done = job.execute_in_process(
            instance=instance,
            tags={"dagster/partition": "2026-10-05", AS_OF: END.isoformat()},
            asset_selection=[dg.AssetKey(each) for each in selected],
        )
        assert done.success
    before = contents(settings)[name]
    assert not refresh(settings).failures
    rebuilt = read_settings(source=source, warehouse=tmp_path / "rebuilt" / "w.duckdb")
    late.write_text((small_store / "products" / late.name).read_text())
    assert not refresh(rebuilt).failures
    assert contents(settings)[name] != before
    assert contents(settings)[name] == contents(rebuilt)[name]


def test_a_store_whose_ids_are_uuids_no_more_keeps_them_all(
    small_store: Path, tmp_path: Path, refresh: Callable[..., Outcome], check: Callable[..., Outcome]
) -> None:
    shutil.copytree(small_store, tmp_path / "store")
    settings = read_settings(source=tmp_path / "store", warehouse=tmp_path / "w.duckdb")
    assert not refresh(settings).failures
    types = "select table_name, column_name, data_type from duckdb_columns() where column_name in"
    types += " ('event_id', 'session_id') and database_name <> 'temp' and not internal order by all"
    kept = "select event_id::varchar, session_id::varchar, created_at from raw_events where page_url is not null"
    before, events = rows(settings, types), rows(settings, kept)
    assert {row[2] for row in before} == {"UUID"}
    (tmp_path / "store/events/own.csv").write_text(
        "event_id,session_id,user_id,page_url,created_at,event_type,order_id,product_id\n"
        "own-1,own,,,2026-10-13T01:00:00Z,page_view,,\nown-2,own,,,2026-10-13T02:00:00Z,page_view,,\n"
    )
    outcome = refresh(settings)
    assert not outcome.failures
    assert rows(settings, types) == [(table, column, "VARCHAR") for table, column, _type in before]
    assert sorted(rows(settings, kept)) == sorted(events)
    assert rows(settings, "select events from int_session_days where session_id = 'own'") == [(2,)]
    assert not check(settings).failures
