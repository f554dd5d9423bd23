"""The four answers, read from the published marts."""

import datetime as dt
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from plant_assets.calendar import WEEK
from plant_assets.contracts import RATES, STAGES, TABLES
from plant_assets.settings import UsageError
from plant_assets.text import printable, printable_json
from plant_assets.transforms.funnel import funnel_steps, whole_funnel
from plant_assets.warehouse.warehouse import Warehouse

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

STOCKOUT_WEEKS = 3
# On a terminal; programs and files get them all.
MOST_ROWS = 30
BAR_WIDTH = 24


@dataclass(frozen=True)
class Change:
    """A product whose closing inventory, in units, is not that of the week before."""

    name: str
    previous: int
    inventory: int
    change: int
    state: str


@dataclass(frozen=True)
class Fluctuation:
    """A product with the most changes of inventory; `volume` is the units that went in and out."""

    name: str
    changes: int
    volume: int


@dataclass(frozen=True)
class OutOfStock:
    """A product that was out of stock in the last weeks: for how many hours of them, and at which end of them."""

    name: str
    hours: float
    is_out: bool
    is_new: bool


@dataclass(frozen=True)
class Answers:
    """What the store's analysts ask, as of the end of a week that has inventory."""

    week: dt.date | None
    previous_week: dt.date | None
    is_complete: bool
    inventory_changed: list[Change]
    most_fluctuating: list[Fluctuation]
    out_of_stock: list[OutOfStock]
    funnel: dict[str, int | None]
    funnel_before: dict[str, int | None] | None
    largest_drop_offs: list[dict[str, Any]]
    stages: tuple[str, ...] = STAGES

    def to_json(self) -> str:
        """One object, as programs read it."""
        found = {
            "week": self.week and self.week.isoformat(),
            "previous_week": self.previous_week and self.previous_week.isoformat(),
            "inventory_changed": _names(self.inventory_changed),
            "most_fluctuating": _names(self.most_fluctuating),
            "out_of_stock": {"weeks": STOCKOUT_WEEKS, "products": _names(self.out_of_stock)},
            "funnel": self.funnel,
            "largest_drop_offs": self.largest_drop_offs,
        }
        return printable_json(json.dumps(found, ensure_ascii=False))

    def to_text(self) -> str:
        """The same in words, without the stages that the store does not have."""
        return "\n".join(
            [
                self._week_in_words(),
                f"Inventory changed      {_listed(self.inventory_changed)}",
                f"Most fluctuating       {_listed(self.most_fluctuating)}",
                f"Out of stock, {STOCKOUT_WEEKS} weeks  {_listed(self.out_of_stock)}",
                "Funnel, sessions       "
                + ", ".join(
                    f"{stage} {self.funnel[stage]}{_percent(self.funnel[rate])}"
                    for stage, rate in zip(STAGES, RATES, strict=True)
                    if stage in self.stages
                ),
                "Largest drop-offs      "
                + (
                    "; ".join(
                        f"{step['from']} to {step['to']}: {step['lost']} lost{_points(step['points_lost'])}"
                        for step in self._steps_there()
                    )
                    or "none"
                ),
            ]
        )

    def to_tables(self) -> "RenderableType":
        """The same for a terminal: tables with bars, and what changed since the week before."""
        from rich.console import Group
        from rich.text import Text

        parts = (self._changes(), self._fluctuations(), self._stockouts(), self._funnel(), self._steps())
        spaced = [each for part in parts for each in (Text(), part)]
        return Group(Text(self._week_in_words(), style="bold"), *spaced)

    def _changes(self) -> "Table":
        table = _table("Inventory changed", "product", "before", "now", "change", "", "state")
        most = max((abs(each.change) for each in self.inventory_changed), default=0)
        for each in self.inventory_changed[:MOST_ROWS]:
            state = each.state if each.state not in ("up", "down") else ""
            bar = _bar(abs(each.change), most, "green" if each.change > 0 else "red")
            units = f"{each.previous:,}", f"{each.inventory:,}", f"{each.change:+,}"
            table.add_row(_cell(each.name), *units, bar, state)
        return _ended(table, len(self.inventory_changed))

    def _fluctuations(self) -> "Table":
        table = _table("Most fluctuating", "product", "changes", "units moved")
        for each in self.most_fluctuating[:MOST_ROWS]:
            table.add_row(_cell(each.name), f"{each.changes:,}", f"{each.volume:,}")
        return _ended(table, len(self.most_fluctuating))

    def _stockouts(self) -> "Table":
        table = _table(f"Out of stock in the last {STOCKOUT_WEEKS} weeks", "product", "hours", "", "")
        most = max((each.hours for each in self.out_of_stock), default=0.0)
        for each in self.out_of_stock[:MOST_ROWS]:
            said = [word for word, holds in (("out now", each.is_out), ("new this week", each.is_new)) if holds]
            table.add_row(_cell(each.name), f"{each.hours:,.0f}", _bar(each.hours, most, "red"), ", ".join(said))
        return _ended(table, len(self.out_of_stock))

    def _funnel(self) -> "Table":
        table = _table("Funnel", "stage", "sessions", "rate", "", "since the week before")
        most = max(self.funnel[stage] or 0 for stage in STAGES)
        for stage, rate in zip(STAGES, RATES, strict=True):
            if stage not in self.stages:
                continue
            sessions, percent = self.funnel[stage] or 0, self.funnel[rate]
            more = "" if self.funnel_before is None else f"{sessions - (self.funnel_before[stage] or 0):+,}"
            shown = "" if percent is None else f"{percent} %"
            table.add_row(stage, f"{sessions:,}", shown, _bar(sessions, most, "blue"), more)
        return table

    def _steps(self) -> "Table":
        table = _table("Largest drop-offs", "step", "sessions lost", "points")
        for step in self._steps_there():
            points = "" if step["points_lost"] is None else str(step["points_lost"])
            table.add_row(f"{step['from']} to {step['to']}", f"{step['lost']:,}", points)
        return table

    def _steps_there(self) -> list[dict[str, Any]]:
        return [step for step in self.largest_drop_offs if {step["from"], step["to"]} <= set(self.stages)]

    def _week_in_words(self) -> str:
        if self.week is None:
            return "No product has been observed yet."
        last_day = self.week + dt.timedelta(days=6)
        against = f" against the week of {self.previous_week}" if self.previous_week else ""
        running = "" if self.is_complete else "; it is not complete"
        return f"Week {self.week} to {last_day}{against}{running}"


def _names(found: list[Any]) -> list[str]:
    # Two products may have one name.
    return sorted({each.name for each in found})


def _listed(found: list[Any]) -> str:
    return ", ".join(map(printable, _names(found))) or "none"


def _percent(rate: int | None) -> str:
    return "" if rate is None else f" ({rate} %)"


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


def _ended(table: "Table", rows: int) -> "Table":
    if not rows:
        table.add_row("none")
    elif rows > MOST_ROWS:
        table.caption = f"and {rows - MOST_ROWS:,} more: see --json"
        table.caption_justify = "left"
    return table


def read_answers(marts: Warehouse, week: dt.date | None = None) -> Answers:
    """The answers as of the last run that was published; with `week`, as of that week's end.

    Raises:
        UsageError: the marts have no inventory of the week.
    """
    weeks = [
        row[0]
        for row in marts.rows(
            "select distinct week_start_date from inventory where week_start_date <= coalesce(?, week_start_date)"
            " order by 1 desc limit ?",
            [week, STOCKOUT_WEEKS],
        )
    ]
    if week and week not in weeks:
        first, last = marts.rows("select min(week_start_date), max(week_start_date) from inventory")[0]
        raise UsageError(f"no inventory of the week {week}: there is of {first} to {last}")
    latest, previous = (*weeks, None, None)[:2]
    changed = marts.rows(
        "select coalesce(product_name, product_id) as name, previous_inventory, inventory, change, state"
        " from inventory_changes where week_start_date = ? and change <> 0 order by name, product_id",
        [latest],
    )
    out = marts.rows(
        "select coalesce(arg_max(product_name, week_start_date), product_id) as name, sum(hours_out_of_stock),"
        " coalesce(bool_or(closing_inventory <= 0) filter (where week_start_date = $week), false),"
        " coalesce(bool_and(min_inventory > 0) filter (where week_start_date < $week), true)"
        " from inventory where list_contains($weeks::date[], week_start_date) group by product_id"
        " having bool_or(min_inventory <= 0) order by name, product_id",
        {"weeks": weeks, "week": latest},
    )
    weekly = TABLES["int_funnel_weeks"].unbound()
    whole = whole_funnel(weekly.filter(weekly.week_start_date <= week)) if week else TABLES["funnel"].unbound()
    funnel = marts.frame(whole)
    before = marts.frame(whole_funnel(weekly.filter(weekly.week_start_date <= previous))) if previous else None
    steps = funnel_steps(funnel).sort_values("lost", ascending=False, kind="stable")
    return Answers(
        week=latest,
        previous_week=previous,
        is_complete=bool(
            marts.value("select bool_and(is_complete) from inventory where week_start_date = ?", [latest])
        ),
        inventory_changed=[Change(*row) for row in changed],
        most_fluctuating=[Fluctuation(*row) for row in _most_fluctuating(marts, week)],
        out_of_stock=[OutOfStock(*row) for row in out],
        funnel=_as_counts(funnel),
        funnel_before=None if before is None else _as_counts(before),
        largest_drop_offs=[
            {"from": start, "to": end, "lost": lost, "points_lost": None if pd.isna(points) else int(points)}
            for start, end, lost, points in steps[["from_stage", "to_stage", "lost", "points_lost"]].values.tolist()
        ],
        stages=marts.stages(),
    )


def _as_counts(funnel: pd.DataFrame) -> dict[str, int | None]:
    row = funnel.iloc[0]
    return {name: None if pd.isna(row[name]) else int(row[name]) for name in STAGES + RATES}


def _most_fluctuating(marts: Warehouse, week: dt.date | None) -> list[tuple[Any, ...]]:
    """The products with the most changes; those up to a week are the sums of `inventory`'s weeks."""
    if week is None:
        return marts.rows(
            "select coalesce(product_name, product_id) as name, changes, volume from inventory_fluctuations"
            " where rank = 1 and range is not null order by volume desc, name"
        )
    looked_at = marts.settings.fluctuation_weeks
    first = week - (looked_at - 1) * WEEK if looked_at else dt.date.min
    return marts.rows(
        "with moved as (select coalesce(arg_max(product_name, week_start_date), product_id) as name,"
        " sum(changes)::bigint as changes, sum(inflow + outflow)::bigint as volume from inventory"
        " where week_start_date between ? and ? group by product_id having max(max_inventory) is not null)"
        " select name, changes, volume from moved where changes = (select max(changes) from moved)"
        " order by volume desc, name",
        [first, week],
    )
