"""A week's page as one HTML file that asks nobody for anything, and the banner that says of a run that was stopped."""

import base64
import contextlib
import datetime as dt
import hashlib
import html
import os
import re
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

from plant_assets.atomic import write_atomically
from plant_assets.calendar import WEEK, Calendar
from plant_assets.readers.page.figures import Figures, read_figures
from plant_assets.readers.weeks import weeks_until_latest, weeks_with_figures
from plant_assets.settings import Settings
from plant_assets.warehouse.marts import Marts

if TYPE_CHECKING:
    import jinja2

LATEST = "latest.html"
# What the page's own script calls.
EMBEDDED = "window.vegaEmbed"
BANNER = ("<!-- banner -->", "<!-- end of banner -->")


@dataclass(frozen=True)
class CheckResult:
    """What a check found."""

    name: str
    passed: bool
    is_error: bool
    found: str = ""


def report_folder(settings: Settings) -> Path:
    """The folder of the warehouse's pages."""
    return settings.warehouse_path.with_name(settings.warehouse_path.name + ".report")


def page_path(settings: Settings, week: dt.date | None = None) -> Path:
    """Where a week's page is, or the latest."""
    return report_folder(settings) / (f"{week}.html" if week else LATEST)


def write_pages(
    settings: Settings,
    marts: Marts,
    weeks: list[dt.date],
    checks: list[CheckResult],
    publisher: str,
    with_latest: bool = True,
    looked_whole: str = "",
) -> dict[dt.date, Path]:
    """Write the pages of those weeks that have figures; where they are.

    With the latest, the latest week is written too, also as `latest.html`. `looked_whole` says when checks last looked
    at everything, if `checks` are those of a run over weeks.
    """
    last = weeks_until_latest(marts)[-1:] if with_latest else []
    written = {}
    for week in sorted({*weeks, *last} & set(weeks_with_figures(marts))):
        text = render(settings, read_figures(marts, week), checks, publisher, looked_whole)
        written[week] = page_path(settings, week)
        write_atomically(written[week], text)
        if week in last:
            write_atomically(page_path(settings), text)
    return written


def render(
    settings: Settings, figures: Figures, checks: list[CheckResult], publisher: str, looked_whole: str = ""
) -> str:
    """The page's text."""
    # Only who writes a page pays for the import of its charts.
    from plant_assets.readers.page import cells, headline, tables
    from plant_assets.readers.page.charts import charts

    calendar = Calendar(figures.zone)
    vega, script = vega_script(), _packaged("page.js")
    return _template().render(
        figures=figures,
        banner=BANNER,
        last_date=figures.week + WEEK - dt.timedelta(days=1),
        as_of=cells.instant(figures.as_of, calendar).text,
        events_until=cells.instant(figures.events_until, calendar).text,
        observed_until=cells.instant(figures.observed_until, calendar).text,
        headline=headline.headline(figures, calendar),
        compared_days=headline.compared_days(figures),
        big_numbers=headline.big_numbers(figures),
        funnel=tables.funnel_table(figures),
        is_odd=tables.is_open_funnel_odd(figures),
        drop_offs=tables.drop_offs(figures.steps),
        whole_drop_offs=tables.drop_offs(figures.whole_steps),
        dates=tables.dates_table(figures),
        products=tables.products_table(figures),
        changes=tables.changes_table(figures),
        fluctuations=tables.fluctuations_table(figures),
        stockouts=tables.stockouts_table(figures, calendar),
        out_lately=cells.names(figures.out_lately),
        rank_one=cells.names(figures.fluctuations.loc[figures.fluctuations["rank"] == 1, "product_name"]),
        passed=sum(check.passed for check in checks),
        warned=[check for check in checks if not check.passed and not check.is_error],
        failed=[check for check in checks if not check.passed and check.is_error],
        has_checks=bool(checks),
        looked_whole=looked_whole,
        publisher=publisher,
        specs=charts(figures, calendar),
        style=_packaged("page.css"),
        vega=vega,
        script=script,
        hashes=[_hash(vega), _hash(script)],
    )


@lru_cache(maxsize=1)
def _template() -> "jinja2.Template":
    import jinja2

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False, "sort_keys": False}
    return environment.from_string(_packaged("page.html.j2"))


def _packaged(name: str) -> str:
    return files("plant_assets.readers.page").joinpath(name).read_text(encoding="utf-8")


@lru_cache(maxsize=2)
def _hash(script: str) -> str:
    """What a content security policy knows an inline script by."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


@lru_cache(maxsize=1)
def vega_script() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script, kept in the user's cache: to bundle them takes two seconds."""
    kept = None
    # Who has no home, as a service may, bundles each time.
    with contextlib.suppress(OSError, RuntimeError, UnicodeDecodeError):
        kept = platformdirs.user_cache_path("plant-assets", appauthor=False) / f"vega-{version('vl-convert-python')}.js"
        if EMBEDDED in (found := kept.read_text(encoding="utf-8")):
            return found
    import vl_convert

    bundled = str(vl_convert.javascript_bundle(f"{EMBEDDED} = vegaEmbed;"))
    if kept:
        with contextlib.suppress(OSError):
            # Two processes may come here at once.
            own = kept.with_name(f"{kept.name}.{os.getpid()}")
            write_atomically(own, bundled)
            os.replace(own, kept)
    return bundled


def show_banner(settings: Settings, run: str, ended_at: dt.datetime, reasons: list[str]) -> Path | None:
    """Say on the latest page, which stays as it is otherwise, that a run was stopped; None without an older page."""
    path = page_path(settings)
    if not path.exists() or path.stat().st_mtime > ended_at.replace(tzinfo=dt.UTC).timestamp():
        return None
    text = path.read_text(encoding="utf-8")
    figures = re.search('<meta name="figures-of" content="([^"]*)">', text)
    said = [html.escape(f"The {run} was stopped: {'; '.join(reasons)}.")]
    if figures:
        said.append(f"The figures below are those of {figures.group(1)}.")
    block = f'{BANNER[0]}<div class="banner" role="alert">{"".join(f"<p>{each}</p>" for each in said)}</div>{BANNER[1]}'
    between = re.compile(re.escape(BANNER[0]) + ".*?" + re.escape(BANNER[1]), re.DOTALL)
    write_atomically(path, between.sub(lambda _match: block, text, count=1))
    return path
