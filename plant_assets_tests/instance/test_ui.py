"""Dagster's own UI on a warehouse, in a real browser: the graph, the schedule, a week's backfill, the checks.

PLANT_TEST_SHOTS names a folder for screenshots.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium.common.exceptions import StaleElementReferenceException, WebDriverException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from plant_assets.contracts import TABLES
from plant_assets.instance.compute_logs import FOLDER
from plant_assets.orchestration.partitions import RANGE_END, RANGE_START, STARTED_BY
from plant_assets.settings import Settings
from plant_assets_tests.support.browser import CHROMIUM, DRIVER, start_browser
from plant_assets_tests.support.machine import need
from plant_assets_tests.support.server import Server


@pytest.fixture(scope="module")
def server(built_once: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    need("chromium with its driver", bool(CHROMIUM and DRIVER))
    home = tmp_path_factory.mktemp("ui") / "home"
    shutil.copytree(built_once.warehouse_path.parent, home)
    started = Server(built_once.model_copy(update={"warehouse": home / "w.duckdb"}))
    try:
        started.wait()
        yield started
    finally:
        started.stop()


class Page:
    """A browser on the UI."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.driver = start_browser()

    def open(self, path: str) -> None:
        self.driver.get(self._server.address(path))

    def text(self) -> str:
        return self.driver.find_element(By.TAG_NAME, "body").text

    def wait_for(self, *texts: str, seconds: int = 60) -> None:
        """Until the page shows all of these texts."""
        shown = ""
        for _half in range(2 * seconds):
            try:
                shown = self.text()
            except WebDriverException:
                shown = ""
            if all(text in shown for text in texts):
                return
            time.sleep(0.5)
        self.shoot("missing")
        pytest.fail(f"{texts} not shown, but:\n{shown}")

    def click(self, text: str) -> None:
        """Click the first shown button with this text."""
        for _half in range(60):
            for button in self.driver.find_elements(By.TAG_NAME, "button"):
                try:
                    if text in button.text and button.is_displayed() and button.is_enabled():
                        button.click()
                        return
                except StaleElementReferenceException:
                    break
            time.sleep(0.5)
        self.shoot("missing")
        pytest.fail(f"no button {text}")

    def choose_weeks(self, weeks: str) -> None:
        """Type a range of partitions into the dialog that asks for them."""
        place = self.driver.find_element(By.CSS_SELECTOR, "[role=dialog] input[placeholder]")
        place.send_keys(Keys.CONTROL, "a")
        place.send_keys(weeks, Keys.TAB)
        time.sleep(1)

    def scroll_to(self, text: str) -> None:
        """Bring the last place with this text into view."""
        place = self.driver.find_elements(By.XPATH, f"//*[normalize-space(text())='{text}']")[-1]
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", place)
        time.sleep(1)

    def shoot(self, name: str) -> None:
        folder = os.environ.get("PLANT_TEST_SHOTS")
        if folder:
            self.driver.save_screenshot(str(Path(folder) / f"{name}.png"))


@pytest.fixture(scope="module")
def page(server: Server) -> Iterator[Page]:
    opened = Page(server)
    yield opened
    opened.driver.quit()


def test_the_graph_shows_its_groups(page: Page) -> None:
    page.open("/asset-groups")
    page.wait_for("Global asset lineage", "raw", "events", "inventory", "funnel", "publish")
    page.shoot("graph")


def test_the_schedules_are_on(page: Page, server: Server) -> None:
    page.open("/automation")
    page.wait_for("every_six_hours", "At 0 minutes past the hour, every 6 hours")
    page.shoot("schedule")
    states = server.ask(
        '{schedulesOrError(repositorySelector: {repositoryName: "__repository__",'
        ' repositoryLocationName: "plant_assets.definitions"})'
        "{... on Schedules{results{name scheduleState{status}}}}}"
    )["schedulesOrError"]["results"]
    is_on = {"scheduleState": {"status": "RUNNING"}}
    assert states == [{"name": "every_six_hours", **is_on}, {"name": "every_sunday", **is_on}]


def test_the_settings_in_use_are_shown(page: Page, server: Server) -> None:
    page.open("/locations/plant_assets.definitions/resources/warehouse")
    page.wait_for("max_rejected", "0.05", "PLANT_MIN_PRODUCTS", str(server.settings.source))
    page.shoot("settings")


def test_a_weeks_backfill_started_in_the_ui_ends_green(page: Page, server: Server) -> None:
    page.open("/locations/plant_assets.definitions/jobs/refresh")
    page.click("Materialize all")
    page.wait_for("Partition selection")
    page.click("Latest")
    page.shoot("backfill")
    page.click("Launch")
    run = _ended_run(server)
    assert run["status"] == "SUCCESS"
    [printed] = (server.settings.dagster_home / FOLDER / run["runId"]).rglob("*.err")
    page.open(f"/runs/{run['runId']}?logType=stderr&logFileKey={printed.stem}")
    page.wait_for("Success", "load_source - STEP_START")
    page.shoot("run")


def test_a_backfill_of_all_weeks_is_one_run(page: Page, server: Server) -> None:
    before = {run["runId"] for run in server.runs()}
    page.open("/locations/plant_assets.definitions/jobs/refresh")
    page.click("Materialize all")
    page.wait_for("Partition selection")
    page.click("All")
    page.click("Launch backfill")
    run = _ended_run(server, before)
    assert run["status"] == "SUCCESS"
    time.sleep(5)
    assert len({each["runId"] for each in server.runs()} - before) == 1


def test_a_backfill_of_two_weeks_ends_green(page: Page, server: Server) -> None:
    before = {run["runId"] for run in server.runs()}
    page.open("/locations/plant_assets.definitions/jobs/refresh")
    page.click("Materialize all")
    page.wait_for("Partition selection")
    page.choose_weeks("[2026-09-28...2026-10-05]")
    page.shoot("two-weeks")
    page.click("Launch backfill")
    run = _ended_run(server, before)
    assert run["status"] == "SUCCESS"
    tags = {each["key"]: each["value"] for each in run["tags"]}
    assert (tags[RANGE_START], tags[RANGE_END]) == ("2026-09-28", "2026-10-05")
    page.open(f"/runs/{run['runId']}")
    page.wait_for("Success")


def _ended_run(server: Server, before: set[str] = frozenset()) -> dict[str, Any]:
    """The run that came after those, once it has ended."""
    for _second in range(180):
        new = [run for run in server.runs() if run["runId"] not in before]
        if new and new[0]["status"] in ("SUCCESS", "FAILURE", "CANCELED"):
            return new[0]
        time.sleep(1)
    pytest.fail(server.log.read_text())


def test_a_commands_run_is_on_the_timeline_and_under_its_job(page: Page, server: Server) -> None:
    settings = server.settings
    command = ["check", "--source", str(settings.source), "--warehouse", str(settings.warehouse)]
    subprocess.run([sys.executable, "-m", "plant_assets.cli", *command], capture_output=True, check=True)
    [run] = [run for run in server.runs() if {"key": STARTED_BY, "value": "plant-assets check"} in run["tags"]]
    page.open("/locations/plant_assets.definitions/jobs/check/runs")
    page.wait_for(run["runId"][:8], "Success")
    page.shoot("runs-of-job")
    page.open("/overview/activity/timeline")
    page.wait_for("refresh", "check")
    page.shoot("timeline")


def test_an_asset_shows_its_grain_columns_and_checks(page: Page) -> None:
    page.open("/assets/inventory")
    page.wait_for(
        "Stock at the bounds of each week and its moves; one row per product and week.",
        "hours_out_of_stock",
        "Row count",
        "analytics",
    )
    page.shoot("asset")


@pytest.mark.parametrize("name", ["raw_events", "inventory", "funnel"])
def test_checks_show_their_results(name: str, page: Page) -> None:
    page.open(f"/assets/{name}?view=checks")
    page.wait_for(f"{name}_keeps_its_contract", "Succeeded")
    assert name in TABLES
    page.shoot(f"checks-{name}")


def test_a_mart_shows_its_first_rows_its_chart_and_its_columns_sources(page: Page, server: Server) -> None:
    page.open("/assets/inventory_fluctuations")
    page.wait_for("first_rows", "chart", "most_changes", "Show Markdown")
    page.scroll_to("first_rows")
    page.shoot("mart")
    page.driver.find_element(By.XPATH, "//*[text()='[Show Markdown]']").click()
    width = 0
    for _half in range(40):
        images = page.driver.find_elements(By.CSS_SELECTOR, "img[alt=inventory_fluctuations]")
        width = max([image.get_property("naturalWidth") for image in images], default=0)
        if width:
            break
        time.sleep(0.5)
    page.shoot("chart")
    assert width > 300


def test_numbers_are_plotted_over_time(page: Page) -> None:
    page.open("/assets/funnel?view=overview")
    page.wait_for("page_view", "purchase_rate", "Plots")
    page.click("Plots")
    page.scroll_to("purchase_rate")
    page.shoot("plots")
    assert page.driver.find_elements(By.TAG_NAME, "canvas")
