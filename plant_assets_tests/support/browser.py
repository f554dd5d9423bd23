"""A real browser."""

import shutil

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
QUIET = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--window-size=1500,1000",
)


def start_browser(*arguments: str) -> webdriver.Chrome:
    """A browser without a window."""
    options = Options()
    options.binary_location = str(CHROMIUM)
    for argument in (*QUIET, *arguments):
        options.add_argument(argument)
    return webdriver.Chrome(options=options, service=Service(str(DRIVER)))
