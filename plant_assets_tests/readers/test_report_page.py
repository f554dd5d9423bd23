"""The weekly page in a real browser: opened from its file, offline, in the dark, on paper and on a phone.

PLANT_TEST_SHOTS names a folder for screenshots.
"""

import base64
import datetime as dt
import json
import os
import shutil
import time
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

from plant_assets.readers.page.render import CheckResult, page_path, show_banner, write_pages
from plant_assets.settings import Settings, read_settings
from plant_assets.text import FORMULA
from plant_assets.warehouse.marts import open_marts
from plant_assets_tests.support.browser import CHROMIUM, DRIVER, QUIET
from plant_assets_tests.support.machine import need
from plant_assets_tests.support.pages import (
    FORMULAS,
    HARMLESS,
    NASTY_NAMES,
    RUNNING,
    WHOLE,
    csv_rows,
    marts_for_writing,
    rename,
    tables_of,
    write_large_marts,
)

CHECKS = [CheckResult("raw_events_are_fresh", False, False, "2026-10-12 08:55:36"), CheckResult("good", True, True)]
WIDTHS = {"wide": 1200, "phone": 390}


class Browser:
    """Chromium on files, that notes what it is asked for and what goes wrong."""

    def __init__(self, downloads: Path) -> None:
        options = Options()
        options.binary_location = str(CHROMIUM)
        for argument in QUIET:
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service(str(DRIVER)))
        self.downloads = downloads
        self._do("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(downloads))

    def _do(self, command: str, **parameters: Any) -> Any:
        return self.driver.execute_cdp_cmd(command, parameters)

    def emulate(self, width: str = "wide", scheme: str = "light", media: str = "") -> None:
        size = {"width": WIDTHS[width], "height": 900, "deviceScaleFactor": 1, "mobile": width == "phone"}
        self._do("Emulation.setDeviceMetricsOverride", **size)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self._do("Emulation.setEmulatedMedia", media=media, features=features)

    def open(self, path: Path) -> float:
        """Open a file and wait until its charts are drawn; the seconds that it took."""
        self.log("performance"), self.log("browser")
        start = time.monotonic()
        self.driver.get(path.as_uri())
        while not self.run("return document.documentElement.classList.contains('drawn')"):
            assert time.monotonic() - start < 30, self.log("browser")
            time.sleep(0.02)
        return time.monotonic() - start

    def run(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def log(self, kind: str) -> list[Any]:
        return self.driver.get_log(kind)

    def requests(self) -> set[str]:
        """The addresses that were asked for since the page was opened."""
        messages = [json.loads(entry["message"])["message"] for entry in self.log("performance")]
        return {
            message["params"]["request"]["url"]
            for message in messages
            if message["method"] == "Network.requestWillBeSent"
        }

    def column(self, table: str, place: int) -> list[str]:
        """The texts of a column of a table, in the order of its rows."""
        script = "return [...document.querySelectorAll(arguments[0])].map((cell) => cell.textContent)"
        return self.run(script, f"#table-{table} tbody td:nth-child({place})")

    def click(self, selector: str) -> None:
        found = self.driver.find_element(By.CSS_SELECTOR, selector)
        self.run("arguments[0].scrollIntoView({block: 'center'})", found)
        found.click()

    def download(self, table: str) -> tuple[str, str]:
        """The name and the text of a table's download, which is not kept: the next may have its name."""
        self.click(f"#table-{table} a.csv")
        for _tenth in range(100):
            for path in self.downloads.glob("*.csv"):
                # Chromium makes the name first and moves the finished file there.
                if text := path.read_bytes().decode():
                    path.unlink()
                    return path.name, text
            time.sleep(0.1)
        pytest.fail(f"no download of {table}")

    def shoot(self, name: str) -> None:
        folder = os.environ.get("PLANT_TEST_SHOTS")
        if folder:
            height = min(self.run("return document.documentElement.scrollHeight"), 8000)
            width = self.run("return innerWidth")
            clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
            shot = self._do("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)
            (Path(folder) / f"{name}.png").write_bytes(base64.b64decode(shot["data"]))

    def print(self) -> bytes:
        return base64.b64decode(self._do("Page.printToPDF", preferCSSPageSize=True)["data"])


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    need("chromium with its driver", bool(CHROMIUM and DRIVER))
    opened = Browser(tmp_path_factory.mktemp("downloads"))
    yield opened
    opened.driver.quit()


@pytest.fixture(scope="module")
def pages(built_once: Settings, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Pages of a store whose products have names that are hard to write."""
    home = tmp_path_factory.mktemp("pages") / "built"
    shutil.copytree(built_once.warehouse_path.parent, home)
    settings = read_settings(source=built_once.source, warehouse=home / "w.duckdb")
    rename(settings)
    with open_marts(settings) as marts:
        write_pages(settings, marts, [WHOLE, RUNNING], CHECKS, "run seventeen")
    return settings


@pytest.fixture(autouse=True)
def _plain(browser: Browser) -> None:
    browser.emulate()


@pytest.mark.parametrize("week", [WHOLE, RUNNING])
def test_charts_draw_without_an_error_or_a_request(browser: Browser, pages: Settings, week: dt.date) -> None:
    path = page_path(pages, week)
    browser.open(path)
    places = browser.run("return document.querySelectorAll('figure.chart').length")
    drawn = browser.run("return document.querySelectorAll('figure.chart svg .mark-group').length")
    marks = browser.run(
        "return [...document.querySelectorAll('figure.chart')].map((each) =>"
        " each.querySelectorAll('[aria-roledescription]:not([aria-roledescription=axis])').length)"
    )
    assert places >= 4
    assert drawn >= places
    assert min(marks) > 0
    assert browser.log("browser") == []
    assert browser.requests() == {path.as_uri()}
    browser.shoot(f"page-{'running' if week == RUNNING else 'whole'}")


def test_a_request_would_be_refused(browser: Browser, pages: Settings) -> None:
    browser.open(page_path(pages))
    tried = (
        "const done = arguments[0]; const image = new Image(); image.onerror = () => done('refused');"
        " image.onload = () => done('loaded'); image.src = 'http://127.0.0.1:9/x.png'"
    )
    assert browser.driver.execute_async_script(tried) == "refused"
    assert any("Content Security Policy" in entry["message"] for entry in browser.log("browser"))


def test_what_the_charts_show_are_the_tables_numbers(browser: Browser, pages: Settings) -> None:
    browser.open(page_path(pages, WHOLE))
    labels = browser.run(
        "return [...document.querySelectorAll('#chart-funnel [aria-roledescription=\"text mark\"]')]"
        ".map((each) => each.textContent)"
    )
    assert set(browser.column("funnel", 2)) <= set(labels)


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "America/Los_Angeles"])
def test_the_readers_zone_plays_no_part(browser: Browser, pages: Settings, zone: str) -> None:
    labels = "return [...document.querySelectorAll('#chart-dates svg text')].map((each) => each.textContent)"
    bars = (
        "return [...document.querySelectorAll('#chart-stockouts svg [aria-roledescription=bar]')]"
        ".map((each) => each.getAttribute('d'))"
    )
    found = []
    for each in ("UTC", zone):
        browser.driver.execute_cdp_cmd("Emulation.setTimezoneOverride", {"timezoneId": each})
        browser.open(page_path(pages, RUNNING))
        found.append([browser.run(labels), browser.run(bars)])
    browser.driver.execute_cdp_cmd("Emulation.setTimezoneOverride", {"timezoneId": ""})
    assert found[0] == found[1]
    assert all(found[0])


def test_a_click_on_a_heading_sorts(browser: Browser, pages: Settings) -> None:
    browser.open(page_path(pages, WHOLE))

    def numbers() -> list[int]:
        return [int(text.replace(",", "")) for text in browser.column("products", 2)]

    heading = "#table-products th:nth-child(2) button"
    browser.click(heading)
    assert numbers() == sorted(numbers(), reverse=True)
    browser.click(heading)
    assert numbers() == sorted(numbers())
    assert browser.run("return document.querySelector('#table-products th[aria-sort]').ariaSort") == "ascending"
    browser.click("#table-products th:nth-child(1) button")
    by_name = browser.column("products", 1)
    assert by_name != sorted(by_name, key=len)
    collated = browser.run(
        "return arguments[0].toSorted(new Intl.Collator(undefined, {numeric: true}).compare)", by_name
    )
    assert by_name == collated


def test_what_has_no_value_stands_last_either_way(browser: Browser, pages: Settings) -> None:
    browser.open(page_path(pages, RUNNING))
    for _time in range(2):
        browser.click("#table-products th:nth-child(5) button")
        views = [int(text.replace(",", "")) for text in browser.column("products", 2)]
        few = [count < 30 for count in views]
        assert few == sorted(few)


def test_names_are_shown_as_text(browser: Browser, pages: Settings) -> None:
    browser.open(page_path(pages, WHOLE))
    shown = browser.column("products", 1)
    assert set(NASTY_NAMES) <= set(shown)
    assert browser.run("return document.querySelectorAll('main b').length") == 0


@pytest.mark.parametrize(
    "table", ["funnel", "funnel_by_date", "products", "inventory_changes", "most_fluctuating", "stockouts"]
)
def test_each_table_downloads_as_it_is(browser: Browser, pages: Settings, table: str) -> None:
    path = page_path(pages, WHOLE)
    browser.open(path)
    if table not in tables_of(path):
        path = page_path(pages, RUNNING)
        browser.open(path)
    name, text = browser.download(table)
    assert name.startswith(f"{path.stem}-{table}")
    expected = [{column: value or "" for column, value in row.items()} for row in tables_of(path)[table]]
    for row in expected:
        if row.get("product_name", "").startswith("="):
            # A spreadsheet would take it for a formula.
            row["product_name"] = "'" + row["product_name"]
    assert csv_rows(text) == expected
    assert browser.requests() <= {path.as_uri(), *(url for url in browser.requests() if url.startswith("blob:"))}


def test_a_spreadsheet_runs_no_name_of_a_download(browser: Browser, tmp_path: Path) -> None:
    settings, names = read_settings(source=tmp_path, warehouse=tmp_path / "w.duckdb"), [*FORMULAS, *HARMLESS]
    write_large_marts(settings, RUNNING, products=len(names), weeks=2)
    with marts_for_writing(settings) as marts:
        marts.execute(
            "update inventory_changes set product_name = (?::varchar[])[substr(product_id, 2)::bigint + 1],"
            " inventory = previous_inventory + 1, change = 1, state = 'up'",
            [names],
        )
    with open_marts(settings) as marts:
        write_pages(settings, marts, [WHOLE], [], "a run")
    browser.open(page_path(settings, WHOLE))
    _name, text = browser.download("inventory_changes")
    found = [row["product_name"] for row in csv_rows(text)]
    assert sorted(found) == sorted(name if name in HARMLESS else "'" + name for name in names)


def test_page_and_export_know_a_formula_alike() -> None:
    assert f"/{FORMULA}/" in files("plant_assets.readers.page").joinpath("page.js").read_text(encoding="utf-8")


def test_the_dark_is_dark_and_charts_follow(browser: Browser, pages: Settings) -> None:
    browser.emulate(scheme="dark")
    browser.open(page_path(pages, WHOLE))
    ink, paper, label = browser.run(
        "const css = getComputedStyle(document.body); const text = document.querySelector('figure.chart svg text');"
        " return [css.color, css.backgroundColor, getComputedStyle(text).fill]"
    )
    assert (ink, paper) == ("rgb(230, 234, 240)", "rgb(20, 24, 30)")
    assert label == ink
    browser.shoot("page-dark")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_paper_is_white(browser: Browser, pages: Settings, scheme: str) -> None:
    browser.emulate(scheme=scheme, media="print")
    browser.open(page_path(pages, WHOLE))
    colors = browser.run("const css = getComputedStyle(document.body); return [css.color, css.backgroundColor]")
    assert colors == ["rgb(0, 0, 0)", "rgb(255, 255, 255)"]
    assert browser.run("return getComputedStyle(document.querySelector('a.csv')).display") == "none"
    assert browser.print().startswith(b"%PDF")
    browser.shoot("page-print")


def test_a_phone_scrolls_tables_and_not_the_page(browser: Browser, pages: Settings) -> None:
    browser.emulate("phone")
    browser.open(page_path(pages, WHOLE))
    assert browser.run("return document.documentElement.scrollWidth") == WIDTHS["phone"]
    browser.shoot("page-phone")


def test_the_banner_stands_on_top(browser: Browser, pages: Settings) -> None:
    ended = dt.datetime.now(dt.UTC).replace(tzinfo=None) + dt.timedelta(seconds=5)
    reason = "asset inventory, check inventory_flows_balance: 5 times: 2026-10-12 </div><script>alert(1)</script>"
    assert show_banner(pages, "run 1234 of 2026-10-14 12:00", ended, [reason])
    browser.open(page_path(pages))
    banner = browser.driver.find_element(By.CSS_SELECTOR, "[role=alert]")
    assert reason in banner.text
    assert "The figures below are those of 2026-10-14 06:00, run seventeen." in banner.text
    assert banner.location["y"] < 100
    assert browser.log("browser") == []
    browser.shoot("page-banner")


def test_a_large_store_opens_within_three_seconds(browser: Browser, tmp_path: Path) -> None:
    settings = read_settings(source=tmp_path, warehouse=tmp_path / "w.duckdb")
    write_large_marts(settings, RUNNING, products=5_000, weeks=104)
    with open_marts(settings) as marts:
        write_pages(settings, marts, [], CHECKS, "run seventeen")
    assert browser.open(page_path(settings)) < 3
    assert len(browser.column("products", 1)) == 5_000
    shown = "return [...document.querySelectorAll('#table-products tbody tr')].filter((row) => row.offsetHeight).length"
    assert browser.run(shown) == 200
    start = time.monotonic()
    browser.click("#table-products th:nth-child(1) button")
    assert browser.column("products", 1)[:3] == ["Plant 0", "Plant 1", "Plant 2"]
    assert time.monotonic() - start < 3
    assert browser.run(shown) == 200
    browser.shoot("page-large")
    browser.click("#table-products button.more")
    assert browser.run(shown) == 5_000
    assert browser.log("browser") == []
