"""The answers as of a week are those that a run at that week's end gave; on a terminal they are tables."""

import dataclasses
import datetime as dt
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest
from rich.console import Console

from plant_assets.cli.runs import Outcome
from plant_assets.contracts import STAGES
from plant_assets.readers.answers import Answers, Change, EmptyShelf, ShortCover, read_answers
from plant_assets.readers.answers_text import MOST_ROWS, STOCKOUT_WEEKS, in_json, in_lines, in_tables
from plant_assets.settings import Settings, UsageError, read_settings
from plant_assets.transforms.weekly import OUT_WEEKS
from plant_assets.warehouse.marts import open_marts
from plant_assets_tests.support.pages import marts_for_writing

WEEK, RUNNING_WEEK = dt.date(2026, 10, 5), dt.date(2026, 10, 12)
WEEKS_END = dt.datetime(2026, 10, 11, 23, 59, 59)


def answers(settings: Settings, week: dt.date | None = None) -> Answers:
    with open_marts(settings) as marts:
        return read_answers(marts, week)


def as_json(found: Answers) -> dict[str, Any]:
    return json.loads(in_json(found))


def shown(found: Answers, most: int | None = MOST_ROWS) -> str:
    console = Console(width=100)
    with console.capture() as captured:
        console.print(in_tables(found, most))
    return captured.get()


def test_a_past_week_has_the_answers_of_then(
    built_once: Settings, small_store: Path, tmp_path: Path, refresh: Callable[..., Outcome]
) -> None:
    shutil.copytree(small_store, tmp_path / "then")
    for path in (tmp_path / "then").glob("*/*"):
        if path.stem[:10] >= str(RUNNING_WEEK):
            path.unlink()
    then = read_settings(source=tmp_path / "then", warehouse=tmp_path / "then.duckdb")
    assert not refresh(then, as_of=WEEKS_END).failures
    past, latest = as_json(answers(built_once, WEEK)), as_json(answers(then))
    # What lasts under a week is known of now alone.
    assert (past.pop("lasts_under_a_week"), latest.pop("lasts_under_a_week")) == (None, [])
    assert past == latest != as_json(answers(built_once))


def test_the_latest_week_has_the_answers_without_a_week(built_once: Settings) -> None:
    latest, given = answers(built_once), answers(built_once, RUNNING_WEEK)
    assert as_json(given) == as_json(latest)
    before = answers(built_once, WEEK).funnel
    assert given.funnel_change == latest.funnel_change == {name: latest.funnel[name] - before[name] for name in before}


def test_answers_import_nothing_that_makes_tables(built_once: Settings) -> None:
    # These take most of a second to import.
    heavy = ("dagster", "ibis", "numpy", "pandas", "pyarrow", "sqlalchemy", "sqlglot")
    script = (
        "import sys; from plant_assets.cli import main; main(sys.argv[1:], standalone_mode=False);"
        f"print(sorted(set(sys.modules) & set({heavy})), file=sys.stderr)"
    )
    for options in ([], ["--json"], ["--week", str(WEEK)]):
        command = ["answers", "--source", built_once.source, "--warehouse", str(built_once.warehouse), *options]
        done = subprocess.run([sys.executable, "-c", script, *command], capture_output=True, text=True, check=True)
        assert str(RUNNING_WEEK if "--week" not in options else WEEK) in done.stdout
        assert done.stderr == "[]\n"


def test_out_of_stock_lately_means_the_weeks_that_answers_name() -> None:
    assert STOCKOUT_WEEKS == OUT_WEEKS


def test_marts_cannot_be_written_to(built_once: Settings) -> None:
    with open_marts(built_once) as marts, pytest.raises(duckdb.InvalidInputException, match="read-only"):
        marts.rows("delete from funnel")


def test_marts_of_an_earlier_version_are_to_be_published_anew(built: Settings) -> None:
    with marts_for_writing(built) as marts:
        marts.execute("drop view inventory_until_week")
    with pytest.raises(UsageError, match=r"inventory_until_week.*: publish it anew with `plant-assets run`"):
        answers(built)


def test_a_week_without_figures_is_refused(built_once: Settings) -> None:
    with pytest.raises(UsageError, match=r"no figures of the week 2026-08-03: there are 2026-09-21 to 2026-10-12"):
        answers(built_once, dt.date(2026, 8, 3))


def test_a_terminal_sees_what_changed_and_by_how_much(built_once: Settings) -> None:
    found = answers(built_once, WEEK)
    text = shown(found)
    assert text.splitlines()[0] == "Week 2026-10-05 to 2026-10-11 against the week of 2026-09-28"
    rows: dict[str, list[str]] = {}
    for line in text.splitlines():
        # A product that changed may fluctuate most, too.
        rows.setdefault(line.split("  ")[0].strip(), line.split())
    assert found.inventory_changed
    for each in found.inventory_changed:
        assert f"{each.change:+,}" in rows[each.name]
    assert f"{found.funnel_week['page_view']:,}" in rows["page_view"]
    before = answers(built_once, WEEK - dt.timedelta(days=7))
    assert f"{found.funnel_week['page_view'] - before.funnel_week['page_view']:+,}" in rows["page_view"]
    assert f"+{found.funnel['page_view'] - before.funnel['page_view']:,}" in text
    assert f"{found.sales.orders:,}" in text.partition("Sales of the week")[2]
    assert str(found.largest_drop_offs[0]["lost"]) in text.replace(",", "")


def test_a_week_has_a_funnel_of_its_own_with_its_change_and_its_sales(built_once: Settings) -> None:
    found = as_json(answers(built_once, WEEK))
    stages = ", ".join(STAGES)
    with open_marts(built_once) as marts:
        counts, before = (
            marts.rows(f"select {stages} from funnel_by_week where week_start_date = ?", [week])[0]
            for week in (WEEK, WEEK - dt.timedelta(days=7))
        )
        sold = marts.rows("select orders, units, revenue, buyers from sales_by_week where week_start_date = ?", [WEEK])
    week, sales = found["funnel_week"], found["sales"]
    assert tuple(week[stage] for stage in STAGES) == counts
    changes = tuple(now - then for now, then in zip(counts, before, strict=True))
    assert tuple(week["change"][stage] for stage in STAGES) == changes
    assert (sales["orders"], sales["units"], sales["revenue"], sales["buyers"]) == tuple(map(float, sold[0]))
    assert sales["new_buyers"] + sales["returning_buyers"] == sales["buyers"]


def test_a_week_that_is_not_complete_is_compared_up_to_the_same_weekday(built_once: Settings) -> None:
    with open_marts(built_once) as marts:
        [before] = marts.rows("select page_view from funnel_to_date where event_date = '2026-10-07'")
        [now] = marts.rows("select max(event_date), max(page_view) from funnel_to_date where event_date > '2026-10-11'")
    assert now[0] == dt.date(2026, 10, 14)
    assert as_json(answers(built_once))["funnel_week"]["change"]["page_view"] == now[1] - before[0]


def test_a_week_without_a_week_before_has_no_change(built_once: Settings) -> None:
    first = answers(built_once, dt.date(2026, 9, 21))
    assert as_json(first)["funnel_week"]["change"] is None
    nothing = dataclasses.replace(first, sales=None)
    assert in_lines(nothing).splitlines()[-2:] == ["Sales of the week      none", "Buyers of the week     none"]


def test_a_long_list_says_how_many_more_there_are(built_once: Settings) -> None:
    many = [Change(f"plant {number:03}", 1, 2, 1, "up") for number in range(MOST_ROWS + 4)]
    text = shown(dataclasses.replace(answers(built_once), inventory_changed=many))
    assert "and 4 more: see --all" in text
    assert "plant 009" in text
    assert "plant 010" not in text
    assert "plant 013" in shown(dataclasses.replace(answers(built_once), inventory_changed=many), most=None)


def test_a_line_names_ten_and_says_how_many_more_there_are(built_once: Settings) -> None:
    many = [Change(f"plant {number:02}", 1, 2, 1, "up") for number in range(29)]
    found = dataclasses.replace(answers(built_once), inventory_changed=many)
    [line] = [line for line in in_lines(found).splitlines() if line.startswith("Inventory changed")]
    assert line.endswith("plant 08, plant 09 and 19 more")
    assert "plant 28" in in_lines(found, most=None)
    assert len(as_json(found)["inventory_changed"]) == 29


def test_an_empty_list_says_so(built_once: Settings) -> None:
    stock = {"inventory_changed": [], "most_fluctuating": [], "out_of_stock": []}
    nothing = dataclasses.replace(answers(built_once), **stock, empty_shelf=[], short_cover=[])
    assert shown(nothing).count("none") == 5


def test_what_met_an_empty_shelf_and_what_lasts_under_a_week_are_a_line_each(built_once: Settings) -> None:
    figures = {
        "empty_shelf": [EmptyShelf("Fern", 0.25), EmptyShelf("Moss", 1.0)],
        "short_cover": [ShortCover("Aloe", 0.26)],
    }
    found = dataclasses.replace(answers(built_once), **figures)
    lines = in_lines(found).splitlines()
    assert "Met an empty shelf     Fern 25 %, Moss 100 %" in lines
    assert "Lasts under a week     Aloe 0.3 days" in lines
    assert in_lines(found, most=1).splitlines()[4].endswith("Fern 25 % and 1 more")
    assert "0.3 days" in shown(found)
    printed = json.loads(in_json(found))
    assert printed["met_empty_shelf"] == [{"name": "Fern", "share": 0.25}, {"name": "Moss", "share": 1.0}]
    assert printed["lasts_under_a_week"] == [{"name": "Aloe", "days": 0.26}]
    unknown = json.loads(in_json(dataclasses.replace(found, empty_shelf=None, short_cover=None)))
    assert (unknown["met_empty_shelf"], unknown["lasts_under_a_week"]) == (None, None)


def test_how_long_stock_lasts_is_said_of_the_latest_week_only(built_once: Settings) -> None:
    with open_marts(built_once) as marts:
        names = marts.rows(
            "select product_name from stock_status where days_of_cover between 0.001 and 6.999 and note is null"
        )
    assert {each.name for each in answers(built_once).short_cover or []} == {name for (name,) in names}
    assert answers(built_once, WEEK).short_cover is None
    assert answers(built_once, WEEK).empty_shelf
    assert "Lasts under a week" not in in_lines(answers(built_once, WEEK))


def test_names_are_shown_as_they_are(built_once: Settings) -> None:
    name = "[bold]Fern[/bold] :seedling: \\"
    odd = dataclasses.replace(answers(built_once), inventory_changed=[Change(name, 1, 2, 1, "up")])
    assert name in shown(odd)
