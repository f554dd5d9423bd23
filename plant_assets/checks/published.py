"""Facts of what is published: the marts file has what the warehouse has, and the page shows what the marts have.

They always look at everything that the last publication wrote, so no failure of theirs is kept open.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html.parser import HTMLParser

from plant_assets.contracts import STAGES
from plant_assets.readers.page.cells import STAGE_WORDS, signless
from plant_assets.readers.page.render import page_path
from plant_assets.readers.weeks import LATEST_WEEK
from plant_assets.settings import Settings
from plant_assets.warehouse.marts import open_marts
from plant_assets.warehouse.publish import differing_tables
from plant_assets.warehouse.warehouse import Warehouse


@dataclass(frozen=True)
class PublishedCheck:
    """A fact of a published asset; `offences` returns a phrase for each violation."""

    asset: str
    fact: str
    description: str
    offences: Callable[[Warehouse], list[str]]
    is_blocking: bool

    @property
    def name(self) -> str:
        """The name of the check, which is unique."""
        return f"{self.asset}_{self.fact}"


class _BigNumbers(HTMLParser):
    """Reads the labels and values of a page's big numbers."""

    def __init__(self) -> None:
        super().__init__()
        self._part = ""
        self._label = ""
        self.found: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note which part of a number begins."""
        self._part = dict(attrs).get("class") or "" if tag == "span" else ""

    def handle_endtag(self, tag: str) -> None:
        """Note that a part ended."""
        self._part = ""

    def handle_data(self, data: str) -> None:
        """Keep a label, or the value that follows it."""
        if self._part == "label":
            self._label = data
        elif self._part == "value":
            self.found[self._label] = data


def _marts_off(warehouse: Warehouse) -> list[str]:
    path = warehouse.settings.marts_path
    if not path.exists():
        return []
    return differing_tables(warehouse.connection, path, warehouse.ledger.writes)


def _page_off(warehouse: Warehouse) -> list[str]:
    return list(_wrong_numbers(warehouse.settings))


def _wrong_numbers(settings: Settings) -> Iterator[str]:
    path = page_path(settings)
    if not (path.exists() and settings.marts_path.exists()):
        return
    # Only this section is read: the page has a megabyte of script.
    section = path.read_text(encoding="utf-8").partition('aria-label="Big numbers"')[2].partition("</section>")[0]
    reader = _BigNumbers()
    reader.feed(section.partition(">")[2])
    with open_marts(settings) as marts:
        columns = ", ".join(f"coalesce(sum({stage}), 0)" for stage in STAGES)
        [counts] = marts.rows(
            f"select {columns} from funnel_by_week where week_start_date::varchar = ?", [marts.fact(LATEST_WEEK)]
        )
        for stage, count in zip(STAGES, counts, strict=True):
            shown = reader.found.get(f"{STAGE_WORDS[stage]}, sessions")
            if stage in marts.stages() and shown != signless(int(count)):
                yield f"{stage}: the page shows {shown}, the marts have {count}"


CHECKS = (
    PublishedCheck(
        "marts",
        "equal_the_warehouse",
        "Each table of the marts file that was not written since has the rows of the warehouse: their number, and the"
        " sum of their hashes.",
        _marts_off,
        is_blocking=True,
    ),
    PublishedCheck(
        "report",
        "shows_the_marts",
        "The latest page shows the sessions of each stage that the marts have.",
        _page_off,
        is_blocking=False,
    ),
)
