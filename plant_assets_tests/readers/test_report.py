"""The weekly page: its numbers, what it says of a running and of a past week, its banner, and the command."""

import datetime as dt
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

from plant_assets.cli.runs import Outcome
from plant_assets.contracts import STAGES
from plant_assets.definitions import build_defs
from plant_assets.orchestration.alerts import mark_page
from plant_assets.readers.answers import read_answers
from plant_assets.readers.answers_text import in_lines
from plant_assets.readers.page.cells import count_change, names, rate_change
from plant_assets.readers.page.headline import headline
from plant_assets.readers.page.render import CheckResult, page_path, report_folder, vega_script, write_pages
from plant_assets.readers.weeks import weeks_with_figures
from plant_assets.settings import Settings, read_settings
from plant_assets.warehouse.marts import open_marts
from plant_assets.warehouse.open import open_warehouse
from plant_assets_tests.support.clicks import new_shop
from plant_assets_tests.support.commands import one_sentence, plant_assets
from plant_assets_tests.support.pages import NASTY_NAMES, RUNNING, WHOLE, figures, marts_for_writing, rename, tables_of
from plant_assets_tests.support.runs import END
from plant_assets_tests.support.tables import mart_rows


def write(settings: Settings, *weeks: dt.date, checks: tuple[CheckResult, ...] = ()) -> None:
    with open_marts(settings) as marts:
        write_pages(settings, marts, list(weeks), list(checks), "run seventeen")


@pytest.mark.parametrize(
    ("now", "before", "said"),
    [
        (110, 100, "+10 (+10 %)"),
        (90, 100, "\N{MINUS SIGN}10 (\N{MINUS SIGN}10 %)"),
        (5, 0, "new"),
        (0, 0, "none, as before"),
        (7, 7, "as before"),
        # 57.5 %, where 100 times the fraction is 57.49999999999999.
        (315, 200, "+115 (+58 %)"),
    ],
)
def test_a_count_changes_by_a_number_and_percent(now: int, before: int, said: str) -> None:
    assert count_change(now - before, (now - before) / before if before else None) == said


def test_a_rate_changes_only_where_the_interval_leaves_out_zero() -> None:
    assert rate_change(0.2, 0.0524, 0.3339) == "+20.0 points (+5.2 to +33.4)"
    assert rate_change(0.1, -0.3, 0.45) == "no clear change (\N{MINUS SIGN}30.0 to +45.0 points)"
    assert rate_change(0.1, None, None) == "+10.0 points"
    assert rate_change(None, None, None) == "no rate to compare"


def test_names_stand_in_a_row() -> None:
    assert [names([]), names(["a"]), names(["a", "b"]), names(["a", "b", "c"])] == ["", "a", "a and b", "a, b and c"]
    assert names(["a"] * 500).endswith("a, a and 480 more")


def test_a_run_writes_a_page_for_each_of_its_weeks_and_the_latest(built: Settings) -> None:
    with open_marts(built) as marts:
        weeks = weeks_with_figures(marts)
    pages = {path.name for path in report_folder(built).glob("*.html")}
    assert pages == {*(f"{week}.html" for week in weeks), "latest.html"}
    assert page_path(built).read_text() == page_path(built, RUNNING).read_text()
    assert {stat.S_IMODE(path.stat().st_mode) for path in report_folder(built).iterdir()} == {0o600}


def test_writing_twice_is_writing_once(built: Settings) -> None:
    write(built, WHOLE)
    first = page_path(built, WHOLE).read_text()
    write(built, WHOLE)
    assert page_path(built, WHOLE).read_text() == first
    assert not list(report_folder(built).glob("*.new"))


def test_vegas_script_is_bundled_once_for_all_warehouses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def script(cache: Path) -> str:
        monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
        vega_script.cache_clear()
        return vega_script()

    no_folder = tmp_path / "file"
    no_folder.write_text("in the way")
    bundled = script(no_folder)
    assert "vegaEmbed" in bundled
    assert script(tmp_path / "cache") == bundled
    (kept,) = (tmp_path / "cache" / "plant-assets").iterdir()
    assert kept.read_text(encoding="utf-8") == bundled
    kept.write_text("window.vegaEmbed=kept", encoding="utf-8")
    assert script(tmp_path / "cache") == "window.vegaEmbed=kept"
    kept.write_text("", encoding="utf-8")
    assert script(tmp_path / "cache") == bundled
    vega_script.cache_clear()


def test_the_numbers_are_those_of_the_marts(built: Settings) -> None:
    tables = tables_of(page_path(built, WHOLE))
    [counts] = mart_rows(built, f"select {', '.join(STAGES)} from funnel_by_week where week_start_date = '{WHOLE}'")
    assert [row["sessions"] for row in tables["funnel"]] == [str(count) for count in counts]
    products = mart_rows(
        built,
        "select product_name, page_view::varchar, add_to_cart::varchar, checkout::varchar from funnel_by_product_week"
        f" where week_start_date = '{WHOLE}' order by all",
    )
    shown = [(row["product_name"], row["page_view"], row["add_to_cart"], row["checkout"]) for row in tables["products"]]
    assert sorted(shown) == products
    changes = mart_rows(
        built,
        "select product_name, change::varchar, replace(state, '_', ' ') from inventory_changes"
        f" where week_start_date = '{WHOLE}' and state <> 'same' order by all",
    )
    assert sorted((row["product_name"], row["change"], row["state"]) for row in tables["inventory_changes"]) == changes
    dates = mart_rows(
        built,
        "select event_date::varchar, page_view::varchar, purchase_rate::varchar from funnel_by_date"
        f" where event_date < date '{WHOLE}' + 7 order by event_date desc",
    )
    shown = [(row["event_date"], row["page_view"], row["purchase_rate"]) for row in tables["funnel_by_date"]]
    assert shown == dates


def test_the_latest_weeks_fluctuations_are_those_of_the_mart(built: Settings) -> None:
    found = figures(built, RUNNING).fluctuations
    expected = mart_rows(
        built, "select rank, product_name, changes, volume, range from inventory_fluctuations where changes > 0"
    )
    assert sorted(found[["rank", "product_name", "changes", "volume", "range"]].itertuples(index=False, name=None)) == (
        sorted(expected)
    )


def test_a_running_week_is_marked_and_compared_by_whole_days(built: Settings) -> None:
    running = figures(built, RUNNING)
    # It is Wednesday, 06:00.
    assert running.is_running
    views = running.whole_days["page_view"]
    assert views.until_date == dt.date(2026, 10, 13)
    for date, sessions in (("2026-10-13", views.sessions), ("2026-10-06", views.sessions_before)):
        assert mart_rows(built, f"select page_view from funnel_to_date where event_date = '{date}'") == [(sessions,)]
    text = page_path(built, RUNNING).read_text()
    assert "running week" in text
    assert "Monday to Tuesday, with the same days of the week before" in text


def test_a_whole_week_is_compared_with_the_week_before(built: Settings) -> None:
    whole = figures(built, WHOLE)
    assert not whole.is_running
    before = figures(built, WHOLE - dt.timedelta(days=7)).funnel
    for stage in STAGES:
        assert whole.whole_days[stage].sessions == whole.funnel[stage].sessions > 0
        assert whole.whole_days[stage].sessions_before == before[stage].sessions
    assert "running week</span>" not in page_path(built, WHOLE).read_text()


def test_the_first_week_is_compared_with_none(built: Settings) -> None:
    with open_marts(built) as marts:
        first = weeks_with_figures(marts)[0]
    assert figures(built, first).whole_days == {}


def test_a_past_week_speaks_as_of_its_end(built: Settings) -> None:
    with marts_for_writing(built) as marts:
        marts.execute(
            "delete from stockouts; insert into stockouts by name"
            " select 'a' as product_id, 'Over' as product_name, timestamp '2026-10-11 00:00' as out_of_stock_at,"
            " timestamp '2026-10-13 00:00' as restocked_at, 48 as hours_out, false as is_ongoing,"
            " 0 as min_inventory, 9 as restock_quantity"
            " union all by name select 'b' as product_id, 'Later' as product_name,"
            " timestamp '2026-10-12 00:00' as out_of_stock_at, 54 as hours_out, true as is_ongoing, 0 as min_inventory"
            " union all by name select 'c' as product_id, 'Long ago' as product_name,"
            " timestamp '2026-08-01 00:00' as out_of_stock_at, timestamp '2026-08-02' as restocked_at,"
            " 24 as hours_out, false as is_ongoing, 0 as min_inventory, 9 as restock_quantity"
        )
    columns = ["product_name", "hours_out", "is_out"]
    past = figures(built, WHOLE).stockouts
    assert past[columns].to_numpy().tolist() == [["Over", 24.0, True]]
    assert past["restocked_at"].isna().all()
    latest = figures(built, RUNNING).stockouts
    assert latest[columns].to_numpy().tolist() == [["Later", 54.0, True], ["Over", 48.0, False]]


def test_a_week_without_a_session_says_so(built: Settings) -> None:
    with marts_for_writing(built) as marts:
        for name in ("funnel_by_week", "funnel_to_date", "funnel_by_product_week"):
            marts.execute(f"delete from {name} where week_start_date = '{WHOLE}'")
        marts.execute(f"update funnel_stages_by_week set sessions = 0 where week_start_date = '{WHOLE}'")
    found = figures(built, WHOLE)
    assert not found.has_events
    assert headline(found, built.calendar).startswith("No session was recorded in this week. The stock of ")
    write(built, WHOLE)
    assert "No session was recorded in this week." in page_path(built, WHOLE).read_text()


def test_a_week_that_nothing_is_known_of_gets_no_page(built: Settings) -> None:
    write(built, dt.date(2026, 11, 30))
    assert not page_path(built, dt.date(2026, 11, 30)).exists()


def test_names_are_text_wherever_they_stand(built: Settings) -> None:
    rename(built)
    write(built, RUNNING, checks=(CheckResult("a_check", False, True, "</script><i>"),))
    text = page_path(built, RUNNING).read_text()
    assert "<b>bold" not in text
    assert "</script><i>" not in text
    # Vega, ours, and the data of each chart: a name ends none of them.
    assert text.count("</script>") == 2 + text.count('<script type="application/json">')
    assert text.count("<!-- banner -->") == 1
    shown = {row["product_name"] for row in tables_of(page_path(built, RUNNING))["products"]}
    assert set(NASTY_NAMES) <= shown


def test_checks_are_counted_and_the_failing_ones_named(built: Settings) -> None:
    write(
        built,
        RUNNING,
        checks=(
            CheckResult("good", True, True),
            CheckResult("odd", False, False, "x 1"),
            CheckResult("bad", False, True),
        ),
    )
    text = page_path(built).read_text()
    assert "1 passed, 1 warned, 1 failed" in text
    assert "<strong>warned</strong> odd" in text
    assert "<strong>failed</strong> bad" in text


def test_a_run_says_what_its_checks_found(built: Settings) -> None:
    text = page_path(built).read_text()
    assert " passed, 0 warned, 0 failed" in text
    assert "none on record" not in text


@pytest.fixture
def stopped(built: Settings, instance: dg.DagsterInstance) -> dg.DagsterRun:
    """A run that a blocking check stops, after the pages were written."""
    for path in report_folder(built).glob("*.html"):
        os.utime(path, (0, 0))
    job = build_defs(built).resolve_job_def("refresh")
    run = instance.create_run_for_job(job)
    instance.report_run_failed(run, "a check </p> stopped it")
    found = instance.get_run_by_id(run.run_id)
    assert found
    return found


def test_a_stopped_run_changes_only_the_banner(
    built: Settings, instance: dg.DagsterInstance, stopped: dg.DagsterRun
) -> None:
    before, of_week = page_path(built).read_text(), page_path(built, RUNNING).read_text()
    for _time in range(2):
        os.utime(page_path(built), (0, 0))
        assert mark_page(built, instance, stopped) == page_path(built)
    after = page_path(built).read_text()
    head, _marker, rest = after.partition("<!-- banner -->")
    banner, _marker, tail = rest.partition("<!-- end of banner -->")
    assert f"run {stopped.run_id}" in banner
    assert "a check &lt;/p&gt; stopped it" in banner
    assert "The figures below are those of 2026-10-14 06:00, run " in banner
    assert f"{head}<!-- banner --><!-- end of banner -->{tail}" == before
    assert page_path(built, RUNNING).read_text() == of_week
    assert stat.S_IMODE(page_path(built).stat().st_mode) == 0o600


def test_a_page_that_is_newer_than_the_run_is_left(
    built: Settings, instance: dg.DagsterInstance, stopped: dg.DagsterRun
) -> None:
    write(built)
    os.utime(page_path(built), (4e9, 4e9))
    assert mark_page(built, instance, stopped) is None
    assert 'class="banner"' not in page_path(built).read_text()


def test_a_run_that_a_check_stops_keeps_the_page_and_names_the_check(
    tmp_path: Path, small_store: Path, refresh: Callable[..., Outcome]
) -> None:
    source = tmp_path / "store"
    shutil.copytree(small_store, source)
    settings = read_settings(source=source, warehouse=tmp_path / "w" / "w.duckdb")
    assert not refresh(settings).failures
    before = page_path(settings).read_text()
    late = source / "events" / "late.csv"
    late.write_text(
        "event_id,session_id,user_id,page_url,created_at,event_type,order_id,product_id\n"
        "late,s-late,,,2026-10-13T12:00:00Z,page_view,,\n"
    )
    with open_warehouse(settings) as warehouse:
        warehouse.execute("update _loads set rows_loaded = rows_loaded - 1 where bucket = '2026-10-05'")
    outcome = refresh(settings)
    assert outcome.has_stopped
    text = page_path(settings).read_text()
    assert "check raw_events_rows_are_accounted_for" in text
    assert text.replace(text.split("<!-- banner -->")[1].split("<!-- end of banner -->")[0], "") == before
    assert not refresh(settings, every_week=True).failures
    assert 'class="banner"' not in page_path(settings).read_text()


@pytest.mark.parametrize("job_name", ["refresh", "check"])
def test_the_sensor_marks_the_page_of_a_refresh_and_of_no_other_job(
    built: Settings, stopped: dg.DagsterRun, instance: dg.DagsterInstance, job_name: str
) -> None:
    defs = build_defs(built)
    sensor = defs.resolve_sensor_def("mark_page_of_stopped_runs")
    assert sensor.default_status == dg.DefaultSensorStatus.RUNNING
    run = instance.create_run_for_job(defs.resolve_job_def(job_name))
    instance.report_run_failed(run, "it fell")
    event = next(entry for entry in instance.all_logs(run.run_id) if entry.dagster_event.is_run_failure)
    failed = instance.get_run_by_id(run.run_id)
    assert failed
    sensor(
        dg.build_run_status_sensor_context(
            sensor_name=sensor.name, dagster_event=event.dagster_event, dagster_instance=instance, dagster_run=failed
        )
    )
    assert ('class="banner"' in page_path(built).read_text()) == (job_name == "refresh")


def test_the_command_prints_where_the_page_is(built: Settings) -> None:
    before = page_path(built).stat().st_mtime_ns
    done = plant_assets("report", "--warehouse", built.warehouse_path)
    assert (done.returncode, done.stdout.strip()) == (0, str(page_path(built)))
    assert page_path(built).stat().st_mtime_ns == before


def test_the_command_makes_a_page_that_is_not_there(built: Settings) -> None:
    page_path(built, WHOLE).unlink()
    latest = page_path(built).stat().st_mtime_ns
    done = plant_assets("report", "--week", WHOLE, "--warehouse", built.warehouse_path)
    assert (done.returncode, done.stdout.strip()) == (0, str(page_path(built, WHOLE))), done.stderr
    assert tables_of(page_path(built, WHOLE))["products"]
    assert page_path(built).stat().st_mtime_ns == latest


def test_the_command_refuses_what_it_cannot_show(built: Settings, tmp_path: Path) -> None:
    for arguments, message in (
        (["--week", "2020-01-06"], "no figures of the week 2020-01-06: there are 2026-09-21 to 2026-10-12"),
        (["--week", "2026-10-13"], "2026-10-13 is not a Monday; its week begins on 2026-10-12"),
        (["--week", "soon"], "--week soon is not allowed: a Monday, like 2021-02-08"),
        (["--warehouse", str(tmp_path / "none.duckdb")], "no answers yet in"),
    ):
        given = arguments if "--warehouse" in arguments else [*arguments, "--warehouse", str(built.warehouse_path)]
        done = plant_assets("report", *given)
        assert done.returncode == 2
        assert message in one_sentence(done)


def test_the_page_is_as_old_as_its_run(built: Settings) -> None:
    assert figures(built, RUNNING).as_of == END


def test_a_stage_that_the_store_lacks_is_left_out(
    tmp_path: Path, refresh: Callable[..., Outcome], instance: dg.DagsterInstance
) -> None:
    shop = new_shop(tmp_path)
    outcome = refresh(shop.settings, as_of=dt.datetime(2021, 3, 1, 12))
    assert (outcome.failures, outcome.failed_errors) == ([], [])
    page = page_path(shop.settings).read_text()
    assert "Checked out" in page
    assert "Package shipped" not in page
    # As a type of the store's own it is named by the check that warns.
    assert page.replace("other package_shipped 1", "").count("package_shipped") == 0
    assert "No stock was observed in it" in page
    with open_marts(shop.settings) as marts:
        assert marts.rows("select page_view, checkout, package_shipped from funnel") == [(3, 1, 0)]
        found = read_answers(marts)
    assert "package_shipped" not in in_lines(found)
    assert found.funnel["package_shipped"] == 0
    metadata = instance.get_latest_materialization_event(dg.AssetKey("funnel")).asset_materialization.metadata
    assert metadata["package_shipped"].value == 0
