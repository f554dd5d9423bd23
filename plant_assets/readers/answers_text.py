"""The answers as they are written: JSON for programs, lines for files, tables for a terminal.

Nothing is read here, and `rich` is imported for a terminal only.
"""

import datetime as dt
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeVar

from plant_assets.contracts import RATES, STAGES
from plant_assets.readers.answers import Answers, EmptyShelf, Funnel, Sales, ShortCover
from plant_assets.text import printable, printable_json

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

# As `weekly.OUT_WEEKS`, whose import would bring `ibis`; a test compares them.
STOCKOUT_WEEKS = 3
MOST_ROWS = 10
NOT_OBSERVED = "not observed"
BAR_WIDTH = 24
Figure = TypeVar("Figure", EmptyShelf, ShortCover)


def in_json(answers: Answers) -> str:
    """Return one JSON object, for programs."""
    found = {
        "week": answers.week and answers.week.isoformat(),
        "previous_week": answers.previous_week and answers.previous_week.isoformat(),
        "inventory_changed": _names(answers.inventory_changed),
        "most_fluctuating": _names(answers.most_fluctuating),
        "out_of_stock": {"weeks": STOCKOUT_WEEKS, "products": _names(answers.out_of_stock)},
        "met_empty_shelf": _in_objects(answers.empty_shelf),
        "lasts_under_a_week": _in_objects(answers.short_cover),
        "funnel": answers.funnel,
        "funnel_week": {**answers.funnel_week, "change": answers.funnel_week_change},
        "sales": answers.sales and _plain(asdict(answers.sales)),
        "largest_drop_offs": answers.largest_drop_offs,
    }
    return printable_json(json.dumps(found, ensure_ascii=False))


def in_lines(answers: Answers, most: int | None = MOST_ROWS) -> str:
    """Return the answers as lines, without the stages that the store does not have; `most` names in each list."""
    steps = "; ".join(
        f"{step['from']} to {step['to']}: {step['lost']} lost{_points(step['points_lost'])}"
        for step in answers.largest_drop_offs
    )
    has_cover = answers.short_cover is not None
    return "\n".join(
        [
            _week_in_words(answers),
            f"Inventory changed      {_listed(answers.inventory_changed, most)}",
            f"Most fluctuating       {_listed(answers.most_fluctuating, most)}",
            f"Out of stock, {STOCKOUT_WEEKS} weeks  {_listed(answers.out_of_stock, most)}",
            f"Met an empty shelf     {_figures(answers.empty_shelf, most, _share)}",
            *([f"Lasts under a week     {_figures(answers.short_cover, most, _days)}"] if has_cover else []),
            f"Funnel of the week     {_stages(answers, answers.funnel_week, answers.funnel_week_change)}",
            f"Funnel, whole store    {_stages(answers, answers.funnel)}",
            f"Largest drop-offs      {steps or 'none'}",
            f"Sales of the week      {_sold(answers.sales)}",
            f"Buyers of the week     {_bought(answers.sales)}",
        ]
    )


def in_tables(answers: Answers, most: int | None = MOST_ROWS) -> "RenderableType":
    """Return tables for a terminal, with bars and what changed since the week before; `most` products in each."""
    from rich.console import Group
    from rich.text import Text

    stock = (_changes(answers, most), _fluctuations(answers, most), _stockouts(answers, most))
    funnels = (
        _funnel("Funnel of the week", answers, answers.funnel_week, answers.funnel_week_change),
        _funnel("Funnel, whole store", answers, answers.funnel, answers.funnel_change),
    )
    parts = (*stock, *_demand(answers, most), *funnels, _steps(answers), _sales(answers.sales))
    spaced = [each for part in parts for each in (Text(), part)]
    return Group(Text(_week_in_words(answers), style="bold"), *spaced)


def _changes(answers: Answers, most: int | None) -> "Table":
    table = _table("Inventory changed", "product", "before", "now", "change", "", "state")
    found = answers.inventory_changed or []
    widest = max((abs(each.change) for each in found), default=0)
    for each in found[:most]:
        state = each.state if each.state not in ("up", "down") else ""
        bar = _bar(abs(each.change), widest, "green" if each.change > 0 else "red")
        units = f"{each.previous:,}", f"{each.inventory:,}", f"{each.change:+,}"
        table.add_row(_cell(each.name), *units, bar, state)
    return _ended(table, answers.inventory_changed, most)


def _fluctuations(answers: Answers, most: int | None) -> "Table":
    table = _table("Most fluctuating", "product", "changes", "units moved")
    for each in (answers.most_fluctuating or [])[:most]:
        table.add_row(_cell(each.name), f"{each.changes:,}", f"{each.volume:,}")
    return _ended(table, answers.most_fluctuating, most)


def _stockouts(answers: Answers, most: int | None) -> "Table":
    table = _table(f"Out of stock in the last {STOCKOUT_WEEKS} weeks", "product", "hours", "", "")
    found = answers.out_of_stock or []
    widest = max((each.hours for each in found), default=0.0)
    for each in found[:most]:
        said = [word for word, holds in (("out now", each.is_out), ("new this week", each.is_new)) if holds]
        table.add_row(_cell(each.name), f"{each.hours:,.0f}", _bar(each.hours, widest, "red"), ", ".join(said))
    return _ended(table, answers.out_of_stock, most)


def _demand(answers: Answers, most: int | None) -> list["Table"]:
    shelf = _table("Met an empty shelf", "product", "of its sessions")
    for each in (answers.empty_shelf or [])[:most]:
        shelf.add_row(_cell(each.name), _share(each))
    tables = [_ended(shelf, answers.empty_shelf, most)]
    if answers.short_cover is not None:
        cover = _table("Lasts under a week", "product", "")
        for short in answers.short_cover[:most]:
            cover.add_row(_cell(short.name), _days(short))
        tables.append(_ended(cover, answers.short_cover, most))
    return tables


def _funnel(title: str, answers: Answers, funnel: Funnel, change: Funnel | None) -> "Table":
    table = _table(title, "stage", "sessions", "rate", "", "since the week before")
    most = max(funnel[stage] or 0 for stage in STAGES)
    for stage, rate in zip(STAGES, RATES, strict=True):
        if stage not in answers.stages:
            continue
        sessions, percent = funnel[stage] or 0, funnel[rate]
        more = "" if change is None else f"{change[stage]:+,}"
        shown = "" if percent is None else f"{percent} %"
        table.add_row(stage, f"{sessions:,}", shown, _bar(sessions, most, "blue"), more)
    return table


def _sales(sales: Sales | None) -> "Table":
    table = _table("Sales of the week", "orders", "units", "revenue", "average order", "buyers", "new", "returning")
    if sales:
        money = ("" if each is None else f"{each:,.2f}" for each in (sales.revenue, sales.average_order))
        buyers = (f"{each:,}" for each in (sales.buyers, sales.new_buyers, sales.returning_buyers))
        table.add_row(f"{sales.orders:,}", f"{sales.units:,}", *money, *buyers)
    return _ended(table, [sales] if sales else [], None)


def _steps(answers: Answers) -> "Table":
    table = _table("Largest drop-offs", "step", "sessions lost", "points")
    for step in answers.largest_drop_offs:
        points = "" if step["points_lost"] is None else str(step["points_lost"])
        table.add_row(f"{step['from']} to {step['to']}", f"{step['lost']:,}", points)
    return _ended(table, answers.largest_drop_offs, None)


def _week_in_words(answers: Answers) -> str:
    if answers.week is None:
        return "No event was loaded and no product observed yet."
    last_day = answers.week + dt.timedelta(days=6)
    against = f" against the week of {answers.previous_week}" if answers.previous_week else ""
    running = "" if answers.is_complete else "; it is not complete"
    return f"Week {answers.week} to {last_day}{against}{running}"


def _stages(answers: Answers, funnel: Funnel, change: Funnel | None = None) -> str:
    """Return the counts and rates of the store's stages, and by how much the counts differ from those before."""
    shown = []
    for stage, rate in zip(STAGES, RATES, strict=True):
        parts = [] if funnel[rate] is None else [f"{funnel[rate]} %"]
        parts += [f"{change[stage]:+}"] if change else []
        shown.append(f"{stage} {funnel[stage]}" + (f" ({', '.join(parts)})" if parts else ""))
    return ", ".join(each for stage, each in zip(STAGES, shown, strict=True) if stage in answers.stages)


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """Return values as JSON has them: a decimal becomes a number."""
    return {name: float(value) if isinstance(value, Decimal) else value for name, value in values.items()}


def _sold(sales: Sales | None) -> str:
    if sales is None:
        return "none"
    revenue = "" if sales.revenue is None else f", revenue {sales.revenue:,.2f}"
    return f"{_counted(sales.orders, 'order')}, {_counted(sales.units, 'unit')}{revenue}"


def _bought(sales: Sales | None) -> str:
    return f"{sales.buyers:,}, {sales.new_buyers:,} of them new" if sales and sales.buyers else "none"


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _names(found: list[Any] | None) -> list[str] | None:
    # Two products may have one name.
    return None if found is None else sorted({each.name for each in found})


def _in_objects(found: list[Any] | None) -> list[dict[str, Any]] | None:
    return None if found is None else [asdict(each) for each in found]


def _listed(found: list[Any] | None, most: int | None) -> str:
    names = _names(found)
    if names is None:
        return NOT_OBSERVED
    more = f" {_and_more(len(names), most)}" if most and len(names) > most else ""
    return ", ".join(map(printable, names[:most])) + more or "none"


def _figures(found: Sequence[Figure] | None, most: int | None, in_words: Callable[[Figure], str]) -> str:
    """Return products, each with its figure, in their order."""
    if found is None:
        return NOT_OBSERVED
    more = f" {_and_more(len(found), most)}" if most and len(found) > most else ""
    return ", ".join(f"{printable(each.name)} {in_words(each)}" for each in found[:most]) + more or "none"


def _share(found: EmptyShelf) -> str:
    return f"{100 * found.share:.0f} %"


def _days(found: ShortCover) -> str:
    return f"{found.days:.1f} days"


def _and_more(number: int, most: int) -> str:
    return f"and {number - most:,} more"


def _points(points: int | None) -> str:
    return "" if points is None else f" ({points} points)"


def _table(title: str, *columns: str) -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for place, column in enumerate(columns):
        is_number = column not in ("", "state", "step") and place
        table.add_column(column, justify="right" if is_number else "left", overflow="fold")
    return table


def _cell(name: str) -> "Text":
    from rich.text import Text

    return Text(printable(name))


def _bar(part: float, most: float, colour: str) -> "RenderableType":
    from rich.bar import Bar

    return Bar(size=max(most, 1), begin=0, end=part, width=BAR_WIDTH, color=colour)


def _ended(table: "Table", found: list[Any] | None, most: int | None) -> "Table":
    if not found:
        table.add_row(NOT_OBSERVED if found is None else "none")
    elif most and len(found) > most:
        table.caption = f"{_and_more(len(found), most)}: see --all"
        table.caption_justify = "left"
    return table
