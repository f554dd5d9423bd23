"""The page's tables, and the sentences under them. How a figure is written is in `cells.py`."""

from itertools import compress

import pandas as pd

from plant_assets.calendar import Calendar
from plant_assets.contracts import FEWEST_VIEWS, RATES, STAGES
from plant_assets.readers.page.cells import (
    NONE,
    STAGE_WORDS,
    Cell,
    Column,
    PageTable,
    change_of,
    count,
    hours,
    in_words,
    instant,
    interval,
    percent,
    rate,
    signless,
    text,
)
from plant_assets.readers.page.figures import Figures

RATE_WORDS = {"add_to_cart_rate": "Cart rate", "purchase_rate": "Purchase rate", "shipping_rate": "Shipping rate"}
# Columns of the product table that say something of a stage.
OF_STAGE = {
    "add_to_cart": "add_to_cart",
    "checkout": "checkout",
    "purchase_percent": "checkout",
    "purchase_interval": "checkout",
    "against_average": "checkout",
}


def funnel_table(figures: Figures) -> PageTable:
    """The funnel: one row per stage."""
    rows = []
    for stage in figures.stages:
        now, whole, days = figures.funnel[stage], figures.whole[stage], figures.whole_days.get(stage)
        is_first = stage == figures.stages[0]
        rows.append(
            [
                text(STAGE_WORDS[stage]),
                count(now.sessions),
                rate(now.step_rate),
                rate(now.overall_rate),
                Cell(None, NONE) if is_first else interval(now.overall_low, now.overall_high),
                _lost(now.lost),
                *([count(days and days.sessions)] if figures.is_running else []),
                count(days and days.sessions_before),
                count(whole.sessions),
                rate(whole.overall_rate),
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


def _lost(sessions: int | None) -> Cell:
    """Sessions lost at a step; a later stage that is larger has more."""
    return Cell(sessions, f"{-sessions:,} more") if sessions and sessions < 0 else count(sessions)


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
                f"Largest by {' and by '.join(kinds)}: from {in_words(step['from_stage'])} to"
                f" {in_words(step['to_stage'])}, {signless(int(step['lost']))} of"
                f" {signless(int(step['sessions_from']))} sessions lost ({percent(step['lost_rate']):.1f} %)"
            )
    return said


def products_table(figures: Figures) -> PageTable:
    """Products with their views, carts, checkouts and stock: one row per product."""
    rows = []
    for row in figures.products.to_dict("records"):
        bought = rate(row["rate"])
        # Sorted by, few entries would stand first and last by chance alone.
        ranked = Cell(bought.value if row["is_ranked"] else None, bought.text)
        rows.append(
            [
                text(row["product_name"]),
                count(row["page_view"]),
                count(row["add_to_cart"]),
                count(row["checkout"]),
                ranked,
                interval(row["rate_low"], row["rate_high"]),
                text(row["against_store"] if row["is_ranked"] else f"under {FEWEST_VIEWS} views"),
                count(row["inventory"]),
                text(in_words(row["state"]) if isinstance(row["state"], str) else None),
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


def changes_table(figures: Figures) -> PageTable:
    """Changes of stock: one row per product whose stock or state changed."""
    rows = [
        [
            text(row["product_name"]),
            count(row["previous_inventory"]),
            count(row["inventory"]),
            change_of(row["change"]),
            text(in_words(str(row["state"]))),
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
    return any((figures.funnel[stage].lost or 0) < 0 for stage in figures.stages)
