"""The page's tables and sentences: figures as the text that is read, beside the value that is sorted and downloaded."""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import compress, pairwise
from typing import Any

import pandas as pd

from plant_assets.calendar import Calendar
from plant_assets.contracts import RATES, STAGES
from plant_assets.readers.page.figures import Comparison, Figures
from plant_assets.readers.page.intervals import FEWEST, Interval, newcombe, wilson

STAGE_WORDS = {
    "page_view": "Viewed a page",
    "add_to_cart": "Added to cart",
    "checkout": "Checked out",
    "package_shipped": "Package shipped",
}
RATE_WORDS = {"add_to_cart_rate": "Cart rate", "purchase_rate": "Purchase rate", "shipping_rate": "Shipping rate"}
# Columns of the product table that say something of a stage.
OF_STAGE = {
    "add_to_cart": "add_to_cart",
    "checkout": "checkout",
    "purchase_percent": "checkout",
    "purchase_interval": "checkout",
    "against_average": "checkout",
}
MOST_NAMES = 20
NONE = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


@dataclass(frozen=True)
class Cell:
    """What a cell holds, and how it is written."""

    value: Any
    text: str


@dataclass(frozen=True)
class Column:
    """A column: the name that the download has, the heading, and whether it holds text."""

    name: str
    label: str
    is_text: bool = False


@dataclass(frozen=True)
class PageTable:
    """A table of the page; `name` is that of its download."""

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: list[list[Cell]]


@dataclass(frozen=True)
class Big:
    """A big number with its change."""

    label: str
    value: str
    change: str
    note: str = ""


def count(value: Any) -> Cell:
    """A count, with separators."""
    return Cell(None, NONE) if pd.isna(value) else Cell(int(value), _signless(int(value)))


def change_of(value: Any) -> Cell:
    """A count with its sign."""
    return Cell(None, NONE) if pd.isna(value) else Cell(int(value), signed(int(value)))


def text(value: Any) -> Cell:
    """Text as it is."""
    return Cell(None, NONE) if pd.isna(value) else Cell(str(value), str(value))


def hours(value: Any) -> Cell:
    """Hours with one decimal."""
    return Cell(None, NONE) if pd.isna(value) else Cell(round(float(value), 2), f"{float(value):,.1f}")


def share(part: int, whole: int) -> Cell:
    """A rate in percent, with one decimal."""
    return Cell(round(100 * part / whole, 4), f"{100 * part / whole:.1f} %") if whole else Cell(None, NONE)


def interval_cell(interval: Interval | None) -> Cell:
    """The interval of a rate."""
    return Cell(between(interval) if interval else None, between(interval))


def between(interval: Interval | None) -> str:
    """An interval of a rate in percent."""
    return f"{100 * interval[0]:.1f} to {100 * interval[1]:.1f} %" if interval else NONE


def _signless(value: int) -> str:
    return f"{value:,}".replace("-", MINUS)


def signed(value: int) -> str:
    """A count with its sign, as text."""
    return f"+{value:,}" if value > 0 else _signless(value)


def count_change(now: int, before: int) -> str:
    """A count against the one before, in the count and in percent."""
    if before == 0:
        return "new" if now else "none, as before"
    if now == before:
        return "as before"
    return f"{signed(now - before)} ({signed(round(100 * (now - before) / before))} %)"


def rate_change(now: tuple[int, int], before: tuple[int, int]) -> str:
    """A rate against the one before, in percentage points; a change only where the interval leaves out 0."""
    if not now[1] or not before[1]:
        return "no rate to compare"
    points = 100 * (now[0] / now[1] - before[0] / before[1])
    said = f"{'+' if points > 0 else MINUS if points < 0 else ''}{abs(points):.1f} points"
    interval = newcombe(*now, *before)
    if interval is None:
        return said
    low, high = (100 * bound for bound in interval)
    bounds = f"{low:+.1f} to {high:+.1f}".replace("-", MINUS)
    return f"{said} ({bounds})" if low > 0 or high < 0 else f"no clear change ({bounds} points)"


def instant(at: dt.datetime | None, calendar: Calendar) -> Cell:
    """An instant on the store's clock."""
    if at is None or pd.isna(at):
        return Cell(None, NONE)
    local = pd.Timestamp(at).to_pydatetime()
    local += calendar.offset_at(local)
    return Cell(local.isoformat(sep=" ", timespec="minutes"), f"{local:%Y-%m-%d %H:%M}")


def names(found: Iterable[str]) -> str:
    """Names in a row, as one says them."""
    listed = list(found)
    if len(listed) > MOST_NAMES:
        listed = [*listed[:MOST_NAMES], f"{len(listed) - MOST_NAMES:,} more"]
    return ", ".join(listed[:-1]) + " and " + listed[-1] if len(listed) > 1 else "".join(listed)


def compared_days(figures: Figures) -> str:
    """Which days are compared, in words."""
    if figures.comparison is None:
        if figures.is_running:
            return "no whole day of it is over, so nothing is compared yet"
        return "the store's first week: there is none before to compare with"
    if not figures.is_running:
        return "changes are against the week before"
    days = whole_days(figures.comparison)
    return f"changes compare its whole days, {days}, with the same days of the week before"


def whole_days(comparison: Comparison) -> str:
    """The weekdays that are over."""
    last = WEEKDAYS[comparison.until.weekday()]
    return "Monday" if last == "Monday" else f"Monday to {last}"


def headline(figures: Figures, calendar: Calendar) -> str:
    """The week in a sentence or two, in plain words."""
    viewed, bought = figures.funnel["page_view"], figures.funnel["checkout"]
    so_far = " so far" if figures.is_running else ""
    if not figures.has_events:
        first = f"No session was recorded in this week{so_far}"
        if figures.events_until and figures.events_until < figures.starts_at:
            first += f": the events end on {calendar.date_of(figures.events_until)}"
    else:
        first = f"{_signless(viewed)} {'session' if viewed == 1 else 'sessions'} viewed a page{so_far}"
        first += _against(figures)
        if viewed and "checkout" in figures.stages:
            first += f"; {share(bought, viewed).text} of that number checked out"
        has_lost = figures.steps["is_largest_by_count"] & (figures.steps["lost"] > 0)
        for largest in figures.steps[has_lost].to_dict("records"):
            step = f"{_stage(largest['from_stage'])} and {_stage(largest['to_stage'])}"
            first += f", and most were lost between {step} ({_signless(int(largest['lost']))})"
    moved = int((figures.changes["change"].fillna(0) != 0).sum())
    if figures.products["inventory"].isna().all():
        return f"{first}. No stock was observed in it."
    stock = f"The stock of {_products(moved)} changed" if moved else "No product's stock changed"
    out = f"{_products(figures.out_at_end)} {'is' if figures.out_at_end == 1 else 'are'}"
    when = "now" if figures.is_running else "at its end" if figures.is_stock_complete else "as last observed"
    return f"{first}. {stock}, and {out if figures.out_at_end else 'none is'} out of stock {when}."


def _stage(name: str) -> str:
    return name.replace("_", " ")


def _products(number: int) -> str:
    return f"{number:,} product" if number == 1 else f"{number:,} products"


def _against(figures: Figures) -> str:
    comparison = figures.comparison
    if comparison is None:
        return ""
    now, before = comparison.now["page_view"], comparison.before["page_view"]
    of_days = f": on {whole_days(comparison)}" if figures.is_running else ","
    than = "on these days of the week before" if figures.is_running else "the week before"
    if not before:
        return f"{of_days} {_signless(now)}, after none {than}" if figures.is_running else ", after a week without any"
    points = round(100 * (now - before) / before)
    if not points:
        return f"{of_days} about as many as {than}"
    return f"{of_days} {abs(points):,} % {'more' if points > 0 else 'fewer'} than {than}"


def big_numbers(figures: Figures) -> list[Big]:
    """The week's counts and rates with their changes."""
    against, found = figures.comparison, []
    for stage in figures.stages:
        change = count_change(against.now[stage], against.before[stage]) if against else ""
        if against and figures.is_running:
            change += f": {_signless(against.now[stage])} against {_signless(against.before[stage])}"
        found.append(Big(f"{STAGE_WORDS[stage]}, sessions", _signless(figures.funnel[stage]), change))
    if "checkout" in figures.stages:
        part, whole = figures.funnel["checkout"], figures.funnel["page_view"]
        change = ""
        if against:
            change = rate_change(*((week["checkout"], week["page_view"]) for week in (against.now, against.before)))
        interval = wilson(part, whole)
        found.append(Big("Purchase rate", share(part, whole).text, change, between(interval) if interval else ""))
    before = figures.out_before
    change = "" if before is None else count_change(figures.out_at_end, before)
    found.append(Big("Products out of stock", _signless(figures.out_at_end), change))
    return found


def funnel_table(figures: Figures) -> PageTable:
    """The funnel: one row per stage."""
    against = figures.comparison
    rows = []
    for place, stage in enumerate(figures.stages):
        now, whole = figures.funnel, figures.whole
        earlier = figures.stages[place - 1] if place else None
        rows.append(
            [
                text(STAGE_WORDS[stage]),
                count(now[stage]),
                share(now[stage], now[earlier]) if earlier else Cell(None, NONE),
                share(now[stage], now["page_view"]),
                interval_cell(wilson(now[stage], now["page_view"]) if earlier else None),
                count(now[earlier] - now[stage]) if earlier else Cell(None, NONE),
                *([count(against.now[stage] if against else None)] if figures.is_running else []),
                count(against.before[stage] if against else None),
                count(whole[stage]),
                share(whole[stage], whole["page_view"]),
            ]
        )
    columns = (
        Column("stage", "Stage", is_text=True),
        Column("sessions", "Sessions"),
        Column("step_percent", "Of the stage before"),
        Column("overall_percent", "Of page views"),
        Column("overall_interval", "95 % interval", is_text=True),
        Column("lost", "Lost"),
        *(
            (
                Column("sessions_whole_days", "Whole days so far"),
                Column("sessions_same_days_before", "Same days before"),
            )
            if figures.is_running
            else (Column("sessions_week_before", "Week before"),)
        ),
        Column("sessions_all_weeks", "All weeks until then"),
        Column("overall_percent_all_weeks", "Of their page views"),
    )
    return PageTable("funnel", "Funnel", columns, rows)


def dates_table(figures: Figures) -> PageTable:
    """The funnel by date: one row per date, the last first."""
    rates = [rate for stage, rate in zip(STAGES[1:], RATES[1:], strict=True) if stage in figures.stages]
    frame = figures.dates.iloc[::-1]
    rows = [
        [
            Cell(str(row["event_date"])[:10], f"{row['event_date']:%Y-%m-%d %a}"),
            *(count(row[stage]) for stage in figures.stages),
            *(
                Cell(None, NONE) if pd.isna(row[rate]) else Cell(int(row[rate]), f"{int(row[rate])} %")
                for rate in rates
            ),
        ]
        for row in frame.to_dict("records")
    ]
    columns = (
        Column("event_date", "Date", is_text=True),
        *(Column(stage, STAGE_WORDS[stage]) for stage in figures.stages),
        *(Column(rate, RATE_WORDS[rate]) for rate in rates),
    )
    return PageTable("funnel_by_date", "Funnel by date, the last 8 weeks", columns, rows)


def drop_offs(steps: pd.DataFrame) -> list[str]:
    """The largest drop-offs by count and by rate, in words; none where nothing is lost."""
    said = []
    for step in steps.to_dict("records"):
        kinds = [kind for kind in ("count", "rate") if step[f"is_largest_by_{kind}"]]
        if kinds and step["lost"] > 0:
            said.append(
                f"Largest by {' and by '.join(kinds)}: from {_stage(step['from_stage'])} to"
                f" {_stage(step['to_stage'])}, {_signless(int(step['lost']))} of"
                f" {_signless(int(step['sessions_from']))} sessions lost ({100 - 100 * step['step_rate']:.1f} %)"
            )
    return said


def products_table(figures: Figures) -> PageTable:
    """Products with their views, carts, checkouts and stock: one row per product."""
    frame = figures.products
    average = store_share(frame)
    rows = []
    for row in frame.to_dict("records"):
        part, whole = int(row["checkout"]), int(row["page_view"])
        interval = wilson(part, whole)
        rate = share(part, whole)
        # Sorted by, few entries would stand first and last by chance alone.
        ranked = Cell(rate.value if whole >= FEWEST else None, rate.text)
        rows.append(
            [
                text(row["product_name"]),
                count(whole),
                count(row["add_to_cart"]),
                count(part),
                ranked,
                interval_cell(interval),
                text(_standing(whole, interval, average)),
                count(row["inventory"]),
                text(_stage(row["state"]) if isinstance(row["state"], str) else None),
            ]
        )
    columns = (
        Column("product_name", "Product", is_text=True),
        Column("page_view", "Views"),
        Column("add_to_cart", "Carts"),
        Column("checkout", "Checkouts"),
        Column("purchase_percent", "Purchase rate"),
        Column("purchase_interval", "95 % interval", is_text=True),
        Column("against_average", "Against the average", is_text=True),
        Column("inventory", "Stock"),
        Column("state", "State", is_text=True),
    )
    there = [OF_STAGE.get(column.name) in (None, *figures.stages) for column in columns]
    return PageTable(
        "products", "Products", tuple(compress(columns, there)), [list(compress(row, there)) for row in rows]
    )


def store_share(products: pd.DataFrame) -> float | None:
    """The purchase rate of all products together."""
    views = int(products["page_view"].sum())
    return int(products["checkout"].sum()) / views if views else None


def _standing(views: int, interval: Interval | None, average: float | None) -> str | None:
    if views < FEWEST:
        return f"under {FEWEST} views"
    if interval is None or average is None:
        return None
    if interval[0] > average:
        return "above"
    return "below" if interval[1] < average else "cannot tell"


def changes_table(figures: Figures) -> PageTable:
    """Changes of stock: one row per product whose stock or state changed."""
    rows = [
        [
            text(row["product_name"]),
            count(row["previous_inventory"]),
            count(row["inventory"]),
            change_of(row["change"]),
            text(_stage(str(row["state"]))),
        ]
        for row in figures.changes.to_dict("records")
    ]
    columns = (
        Column("product_name", "Product", is_text=True),
        Column("previous_inventory", "Before"),
        Column("inventory", "At its end"),
        Column("change", "Change"),
        Column("state", "State", is_text=True),
    )
    return PageTable("inventory_changes", "Inventory changes", columns, rows)


def fluctuations_table(figures: Figures) -> PageTable:
    """The products whose stock changed most often: one row per product."""
    numbers = ("changes", "volume", "inflow", "outflow", "range")
    rows = [
        [count(row["rank"]), text(row["product_name"]), *(count(row[name]) for name in numbers)]
        for row in figures.fluctuations.to_dict("records")
    ]
    columns = (
        Column("rank", "Rank"),
        Column("product_name", "Product", is_text=True),
        *(Column(name, name.capitalize()) for name in numbers),
    )
    return PageTable("most_fluctuating", "Most fluctuating", columns, rows)


def stockouts_table(figures: Figures, calendar: Calendar) -> PageTable:
    """Times without stock: one row per episode."""
    rows = [
        [
            text(row["product_name"]),
            instant(row["out_of_stock_at"], calendar),
            text("still out") if row["is_out"] else instant(row["restocked_at"], calendar),
            hours(row["hours_out"]),
            count(row["restock_quantity"]),
        ]
        for row in figures.stockouts.to_dict("records")
    ]
    columns = (
        Column("product_name", "Product", is_text=True),
        Column("out_of_stock_at", "Out since", is_text=True),
        Column("restocked_at", "Restocked", is_text=True),
        Column("hours_out", "Hours out"),
        Column("restock_quantity", "Restocked with"),
    )
    return PageTable("stockouts", "Stock-outs, the last 8 weeks", columns, rows)


def is_open_funnel_odd(figures: Figures) -> bool:
    """Whether some stage has more sessions than the one before."""
    return any(figures.funnel[after] > figures.funnel[before] for before, after in pairwise(figures.stages))
