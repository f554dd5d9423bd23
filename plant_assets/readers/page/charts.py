"""The page's charts as Vega-Lite specifications, their data in them.

Text and lines take `currentColor`, so that they follow the page's colours in the dark and on paper.
"""

import datetime as dt
from typing import Any

import pandas as pd

from plant_assets.calendar import Calendar
from plant_assets.readers.page.cells import STAGE_WORDS
from plant_assets.readers.page.figures import Figures, Stages
from plant_assets.readers.vega import (
    COLORS,
    EACH_DAY,
    FEW_TICKS,
    GREY,
    SCHEMA,
    WHOLE_NUMBERS,
    Spec,
    colored,
    instants,
    midnight,
    names,
    numbers,
    row_of,
    rows,
)

# The rows of a chart by the name of their dataset, and the one that most charts have.
Records = dict[str, list[dict[str, Any]]]
ROWS = "rows"
Drawn = tuple[Spec, Records]

ROW_HEIGHT, MOST_ROWS = 26, 20
INK = "currentColor"
# A date is young while packages of its orders may still be shipped.
SHIP_LIMIT = dt.timedelta(days=7)
DATE_LABELS = {"format": "%d %b", "labelOverlap": True}
CONFIG = {
    "background": "transparent",
    "font": "system-ui, sans-serif",
    "view": {"stroke": None},
    "axis": {
        "labelColor": INK,
        "titleColor": INK,
        "domainColor": INK,
        "tickColor": INK,
        "gridColor": INK,
        "gridOpacity": 0.15,
        "labelLimit": 120,
        "titleFontWeight": "normal",
        "labelFontSize": 12,
        "titleFontSize": 12,
    },
    "legend": {"labelColor": INK, "titleColor": INK, "orient": "top", "title": None, "labelFontSize": 12},
    "range": {"category": COLORS},
}


def charts(figures: Figures, calendar: Calendar) -> dict[str, Spec]:
    """Return the specifications by the name of their place; those without data are left out."""
    found = {
        "funnel": _funnel(figures) if figures.has_events else None,
        "dates": _dates(figures, calendar) if len(figures.dates) else None,
        "products": _products(figures) if "checkout" in figures.stages else None,
        "changes": _changes(figures),
        "stockouts": _stockouts(figures, calendar) if len(figures.stockouts) else None,
    }
    return {name: _finished(*drawn) for name, drawn in found.items() if drawn is not None}


def _finished(drawn: Spec, records: Records) -> Spec:
    return {
        "$schema": SCHEMA,
        "config": CONFIG,
        "width": "container",
        "autosize": {"type": "fit-x", "contains": "padding"},
        "data": {"name": ROWS},
        **drawn,
        "datasets": records,
    }


def _height(number: int) -> int:
    # Not a step per row, of which Vega-Lite warns where the width is the page's.
    return ROW_HEIGHT * number


def _funnel(figures: Figures) -> Drawn:
    days, weeks = figures.whole_days, {"This week": _sessions(figures.funnel)}
    if any(stage.sessions_before for stage in days.values()):
        now, before = ("Whole days so far", "Same days before") if figures.is_running else ("This week", "Week before")
        weeks = {now: _sessions(days), before: {name: stage.sessions_before for name, stage in days.items()}}
    records = [
        {"stage": STAGE_WORDS[stage], "week": week, "sessions": counts[stage]}
        for week, counts in weeks.items()
        for stage in figures.stages
    ]
    order = [STAGE_WORDS[stage] for stage in figures.stages]
    compared = list(weeks)
    colors = colored(compared, [COLORS[0], GREY][: len(compared)])
    color = names("week", scale=colors, legend={} if len(compared) > 1 else None)
    drawn = {
        "description": "Sessions that reached each stage of the funnel.",
        "height": _height(len(records)),
        "encoding": {
            "y": names("stage", sort=order, title=None),
            "yOffset": names("week", sort=compared),
            "x": numbers("sessions", title="sessions", axis=WHOLE_NUMBERS),
            "tooltip": [names("week"), names("stage"), numbers("sessions")],
        },
        "layer": [
            {"mark": {"type": "bar", "cornerRadiusEnd": 2}, "encoding": {"color": color}},
            {
                "mark": {"type": "text", "align": "left", "dx": 4, "color": INK},
                "encoding": {"text": numbers("sessions", format=",")},
            },
        ],
    }
    return drawn, {ROWS: records}


def _sessions(stages: Stages) -> dict[str, int | None]:
    return {name: stage.sessions for name, stage in stages.items()}


def _dates(figures: Figures, calendar: Calendar) -> Drawn:
    known_until = figures.events_until or figures.ends_at
    records = []
    for row in figures.dates.to_dict("records"):
        date = row["event_date"].date()
        is_young = calendar.starts_at(date + dt.timedelta(days=1)) + SHIP_LIMIT > known_until
        records += [
            {
                "date": midnight(date),
                "day": str(date),
                "stage": STAGE_WORDS[stage],
                "sessions": int(row[stage]),
                "is": "can still grow" if is_young and stage == "package_shipped" else "settled",
            }
            for stage in figures.stages
        ]
    order = [STAGE_WORDS[stage] for stage in figures.stages]
    days = EACH_DAY if len(figures.dates) <= 10 else 8
    drawn = {
        "description": "Sessions that reached each stage, by date.",
        "height": 240,
        "encoding": {
            "x": instants("date", **DATE_LABELS, tickCount=days),
            "y": numbers("sessions", title="sessions", axis=WHOLE_NUMBERS),
            "color": names("stage", sort=order, scale={"domain": order}, legend={"columns": 2}),
            "tooltip": [names("day"), names("stage"), numbers("sessions"), names("is")],
        },
        "layer": [
            {"mark": "line"},
            {
                "mark": {"type": "point", "filled": True, "size": 30},
                "transform": [{"filter": "datum.is === 'settled'"}],
            },
            {
                "mark": {"type": "point", "filled": False, "size": 40},
                "transform": [{"filter": "datum.is !== 'settled'"}],
            },
        ],
    }
    return drawn, {ROWS: records}


def _products(figures: Figures) -> Drawn | None:
    frame = figures.products[figures.products["is_ranked"]].head(MOST_ROWS)
    records = [
        {
            "row": row_of(number, row["product_name"]),
            "product": row["product_name"],
            "rate": row["rate"],
            "low": row["rate_low"],
            "high": row["rate_high"],
        }
        for number, row in enumerate(frame.to_dict("records"))
        if not pd.isna(row["rate_low"])
    ]
    if not records:
        return None
    shares = [numbers(name, format=".1%") for name in ("rate", "low", "high")]
    base = {"y": rows(), "tooltip": [names("product"), *shares]}
    low = numbers("low", title="purchase rate, 95 % interval", axis={"format": "%", **FEW_TICKS})
    drawn = {
        "description": "Purchase rate of the products, with the average as a line.",
        "height": _height(len(records)),
        "layer": [
            {
                "mark": {"type": "rule", "strokeWidth": 2, "color": COLORS[0]},
                "encoding": {**base, "x": low, "x2": {"field": "high"}},
            },
            {
                "mark": {"type": "point", "filled": True, "size": 50, "opacity": 1, "color": COLORS[0]},
                "encoding": {**base, "x": numbers("rate")},
            },
            {
                "data": {"name": "store"},
                "mark": {"type": "rule", "strokeDash": [4, 4], "color": INK},
                "encoding": {"x": numbers("average")},
            },
        ],
    }
    return drawn, {ROWS: records, "store": [{"average": float(frame["store_rate"].iloc[0])}]}


def _changes(figures: Figures) -> Drawn | None:
    frame = figures.changes[figures.changes["change"].fillna(0) != 0].head(MOST_ROWS)
    records = [
        {
            "row": row_of(number, row["product_name"]),
            "product": row["product_name"],
            "change": int(row["change"]),
            "is": "more" if row["change"] > 0 else "less",
        }
        for number, row in enumerate(frame.to_dict("records"))
    ]
    if not records:
        return None
    drawn = {
        "description": "Change of stock, in units.",
        "height": _height(len(records)),
        "mark": {"type": "bar", "cornerRadiusEnd": 2},
        "encoding": {
            "y": rows(),
            "x": numbers("change", title="units", axis={**WHOLE_NUMBERS, "format": "+,d"}),
            "tooltip": [names("product"), numbers("change")],
            "color": names("is", scale=colored(["more", "less"], [COLORS[2], COLORS[1]]), legend=None),
        },
    }
    return drawn, {ROWS: records}


def _stockouts(figures: Figures, calendar: Calendar) -> Drawn:
    shown = figures.stockouts["product_name"].drop_duplicates().head(MOST_ROWS)
    frame = figures.stockouts[figures.stockouts["product_name"].isin(shown)]

    def local(at: pd.Timestamp) -> str:
        instant = at.to_pydatetime()
        return (instant + calendar.offset_at(instant)).isoformat(timespec="seconds")

    records = [
        {
            "product": row["product_name"],
            "from": local(row["out_of_stock_at"]) + "Z",
            "to": local(row["until_at"]) + "Z",
            "out since": local(row["out_of_stock_at"]).replace("T", " "),
            "until": local(row["until_at"]).replace("T", " "),
            "hours": round(float(row["hours_out"]), 1),
            "is": "still out" if row["is_out"] else "restocked or gone",
        }
        for row in frame.to_dict("records")
    ]
    colors = colored(["still out", "restocked or gone"], [COLORS[1], GREY])
    drawn = {
        "description": "Times without stock.",
        "height": _height(len(shown)),
        "mark": {"type": "bar", "height": 10, "minBandSize": 2},
        "encoding": {
            "y": names("product", sort=None, title=None),
            "x": instants("from", **DATE_LABELS, tickCount=6),
            "x2": {"field": "to"},
            "color": names("is", scale=colors),
            "tooltip": [names("product"), names("out since"), names("until"), numbers("hours")],
        },
    }
    return drawn, {ROWS: records}
