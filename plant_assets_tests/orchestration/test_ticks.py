"""What ticks and `late_events` request: by listing and ledger, without the rows of what is large."""

import datetime as dt
import logging
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from plant_assets.ingest.listed import MOST_BYTES
from plant_assets.orchestration.jobs import plan_run
from plant_assets.orchestration.ticks import look
from plant_assets.settings import Settings, read_settings
from plant_assets.sources.errors import SourceError
from plant_assets.warehouse.open import open_warehouse
from plant_assets_tests.support.postgres import execute
from plant_assets_tests.support.small_stores import csv_text, event
from plant_assets_tests.support.tables import rows
from plant_assets_tests.support.ticking import evaluate, run, tick

LOG = logging.getLogger("test")
LATER = dt.datetime(2026, 10, 14, 12)
DAY = dt.timedelta(days=1)
OLD_WEEK = "2026-09-21"


@pytest.fixture
def records() -> Any:
    with dg.instance_for_test() as instance:
        yield instance


@pytest.fixture
def files(either_once: Settings, living: Settings) -> Settings:
    """A store of files that goes on, and rejects nothing silently."""
    return living.model_copy(update={"max_rejected": 0.0})


@pytest.mark.parametrize("either_once", ["files"], indirect=True)
def test_what_a_command_refuses_fails_a_run_with_its_sentence_once_a_state(
    files: Settings, folder: Path, records: dg.DagsterInstance
) -> None:
    [(known,)] = rows(files, "select min(event_id)::varchar from raw_events where created_at < '2026-09-28'")
    late = folder / "events" / "late.csv"
    late.write_text(csv_text([event(known, "2026-09-26 23:00"), event(known, "2026-09-26 23:30")]))
    with open_warehouse(files) as warehouse, pytest.raises(SourceError) as refused:
        plan_run(warehouse, LATER, LOG)
    [request] = evaluate(files, records).run_requests
    assert str(refused.value) in str(run(files, records, request))
    [again] = evaluate(files, records).run_requests
    assert again.run_key == request.run_key
    [ticked] = tick(files, records, LATER)
    assert str(refused.value) in str(run(files, records, ticked))
    late.write_text(csv_text([event("new", "2026-09-26 23:00")]))
    [mended] = evaluate(files, records).run_requests
    assert mended.run_key != request.run_key
    assert run(files, records, mended) is None
    assert evaluate(files, records).skip_message == "no closed week differs from what was loaded"


@pytest.mark.parametrize("either_once", ["files"], indirect=True)
def test_a_source_that_cannot_be_listed_is_requested_once(
    files: Settings, folder: Path, records: dg.DagsterInstance
) -> None:
    (folder / "events").rename(folder / "elsewhere")
    [request] = evaluate(files, records).run_requests
    assert "has no table events" in str(run(files, records, request))
    assert [each.run_key for each in evaluate(files, records).run_requests] == [request.run_key]


@pytest.mark.parametrize("either_once", ["database"], indirect=True)
def test_a_run_counts_the_weeks_of_a_database_once_a_day(living: Settings, records: dg.DagsterInstance) -> None:
    add = "insert into events (event_id, session_id, created_at, event_type) values (%s, 's', %s, 'page_view')"
    execute(str(living.source), add, ["late", "2026-09-25 12:00Z"])
    [request] = tick(living, records, LATER)
    assert (request.tags["plant/counts_weeks"], request.tags["plant/weeks"]) == ("yes", "2026-10-05..2026-10-12")
    assert run(living, records, request) is None
    assert rows(living, "select count(*) from raw_events where event_id = 'late'") == [(0,)]
    assert [each.counts_weeks for each in (look(living, LATER, LOG), look(living, LATER + DAY, LOG))] == [False, True]
    [found] = evaluate(living, records, "due_weeks").run_requests
    assert "plant/counts_weeks" in found.tags
    assert run(living, records, found) is None
    assert rows(living, "select count(*) from raw_events where event_id = 'late'") == [(1,)]
    assert evaluate(living, records, "due_weeks").skip_message == "no run noted weeks as due"
    assert evaluate(living, records).skip_message == "no closed week differs from what was loaded"


@pytest.mark.parametrize("either_once", ["files"], indirect=True)
def test_a_tick_reads_no_row_of_a_large_file(files: Settings, folder: Path) -> None:
    (folder / "events" / "large.csv").write_bytes(b"no header\n" + bytes(MOST_BYTES))
    outlook = look(files, LATER, LOG)
    assert not outlook.is_unreadable
    assert outlook.range == (dt.date(2026, 10, 5), dt.date(2026, 10, 12))


def test_the_first_tick_of_a_warehouse_begins_with_the_first_week_of_the_files(
    small_store: Path, tmp_path: Path
) -> None:
    settings = read_settings(source=small_store, warehouse=tmp_path / "w.duckdb")
    assert look(settings, LATER, LOG).range == (dt.date.fromisoformat(OLD_WEEK), dt.date(2026, 10, 12))


@pytest.mark.parametrize("either_once", ["files"], indirect=True)
def test_a_tick_knows_the_weeks_of_new_changed_and_removed_files(files: Settings, folder: Path) -> None:
    assert look(files, LATER, LOG).changed == frozenset()
    new = folder / "events" / "late.csv"
    new.write_text(csv_text([event("late", "2026-09-29 12:00")]))
    assert look(files, LATER, LOG).range == (dt.date(2026, 9, 28), dt.date(2026, 10, 12))
    new.unlink()
    first = min((folder / "events").iterdir())
    first.unlink()
    assert look(files, LATER, LOG).range[0] == dt.date.fromisoformat(OLD_WEEK)
