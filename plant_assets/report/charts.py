"""The page's charts as Vega-Lite specifications, made by Altair, their data in them.

Text and lines take `currentColor`, so that they follow the page's colours in the dark and on paper.
"""

import datetime as dt
from typing import Any

import altair as alt
import pandas as pd

from plant_assets.report.figures import Figures
from plant_assets.report.intervals import FEWEST, wilson
from plant_assets.report.tables import STAGE_WORDS, store_share
from plant_assets.zones import Calendar

Spec = dict[str, Any]
# The rows of a chart by the name of their dataset, and the one that most charts have.
Records = dict[str, list[dict[str, Any]]]
ROWS = "rows"
Drawn = tuple[Any, Records]

# Told apart by the colour-blind, and readable on white and on black.
COLORS = ["#3b82c4", "#d9822b", "#2a9d6f", "#b0579b"]
ROW_HEIGHT, MOST_ROWS = 26, 20
INK = "currentColor"
# A date is young while packages of its orders may still be shipped.
SHIP_LIMIT = dt.timedelta(days=7)
# Instants are handed over as read off the store's clock and marked as UTC, so that the reader's zone plays no part.
STORES_CLOCK = alt.Scale(type="utc")


def charts(figures: Figures, calendar: Calendar) -> dict[str, Spec]:
    """The specifications by the name of their place; those without data are left out."""
    found = {
        "funnel": _funnel(figures) if figures.has_events else None,
        "dates": _dates(figures, calendar) if len(figures.dates) else None,
        "products": _products(figures) if "checkout" in figures.stages else None,
        "changes": _changes(figures),
        "stockouts": _stockouts(figures, calendar) if len(figures.stockouts) else None,
    }
    return {name: _finished(*drawn) for name, drawn in found.items() if drawn is not None}


def _finished(chart: Any, rows: Records) -> Spec:
    axis: dict[str, Any] = {
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
    }
    legend: dict[str, Any] = {"labelColor": INK, "titleColor": INK, "orient": "top", "title": None, "labelFontSize": 12}
    configured = chart.configure(
        background="transparent",
        font="system-ui, sans-serif",
        view=alt.ViewConfig(stroke=None),
        axis=alt.AxisConfig(**axis),
        legend=alt.LegendConfig(**legend),
        range=alt.RangeConfig(category=COLORS),
    )
    spec: Spec = configured.properties(autosize=alt.AutoSizeParams(type="fit-x", contains="padding")).to_dict(
        validate=False
    )
    # Altair would copy rows within the chart again and again.
    return {**spec, "datasets": rows}


def _rows() -> Any:
    # Two products may have one name: each row's text begins with its number, which is not shown.
    hides_number = alt.Axis(labelExpr="slice(datum.label, indexof(datum.label, ' ') + 1)")
    return alt.Y("row:N", sort=None, title=None, axis=hides_number)


def _height(rows: int) -> int:
    # Not a step per row, of which Vega-Lite warns where the width is the page's.
    return ROW_HEIGHT * rows


def _funnel(figures: Figures) -> Drawn:
    against = figures.comparison
    weeks = [("This week", figures.funnel)]
    if against and any(against.before.values()):
        is_part = figures.is_running
        weeks = [("Whole days so far" if is_part else "This week", against.now)]
        weeks.append(("Same days before" if is_part else "Week before", against.before))
    records = [
        {"stage": STAGE_WORDS[stage], "week": week, "sessions": counts[stage]}
        for week, counts in weeks
        for stage in figures.stages
    ]
    order = [STAGE_WORDS[stage] for stage in figures.stages]
    base = alt.Chart(alt.NamedData(ROWS), width="container", height=_height(len(records))).encode(
        y=alt.Y("stage:N", sort=order, title=None),
        yOffset=alt.YOffset("week:N", sort=[week for week, _counts in weeks]),
        x=alt.X("sessions:Q", title="sessions", axis=alt.Axis(tickMinStep=1, tickCount=5)),
        tooltip=["week:N", "stage:N", "sessions:Q"],
    )
    names = [week for week, _counts in weeks]
    color = alt.Color(
        "week:N",
        scale=alt.Scale(domain=names, range=[COLORS[0], "#8b98a5"][: len(names)]),
        legend=alt.Legend() if len(names) > 1 else None,
    )
    bars = base.mark_bar(cornerRadiusEnd=2).encode(color=color)
    labels = base.mark_text(align="left", dx=4, color=INK).encode(text=alt.Text("sessions:Q", format=","))
    return (bars + labels).properties(description="Sessions that reached each stage of the funnel."), {ROWS: records}


def _dates(figures: Figures, calendar: Calendar) -> Drawn:
    known_until = figures.events_until or figures.ends_at
    records = []
    for row in figures.dates.to_dict("records"):
        date = row["event_date"].date()
        is_young = calendar.starts_at(date + dt.timedelta(days=1)) + SHIP_LIMIT > known_until
        records += [
            {
                "date": f"{date}T00:00:00Z",
                "day": str(date),
                "stage": STAGE_WORDS[stage],
                "sessions": int(row[stage]),
                "is": "can still grow" if is_young and stage == "package_shipped" else "settled",
            }
            for stage in figures.stages
        ]
    order = [STAGE_WORDS[stage] for stage in figures.stages]
    base = alt.Chart(alt.NamedData(ROWS), width="container", height=240).encode(
        x=alt.X(
            "date:T",
            title=None,
            scale=STORES_CLOCK,
            axis=alt.Axis(
                format="%d %b",
                labelOverlap=True,
                tickCount={"interval": "day", "step": 1} if len(figures.dates) <= 10 else 8,
            ),
        ),
        y=alt.Y("sessions:Q", title="sessions", axis=alt.Axis(tickMinStep=1, tickCount=5)),
        color=alt.Color("stage:N", sort=order, scale=alt.Scale(domain=order), legend=alt.Legend(columns=2)),
        tooltip=["day:N", "stage:N", "sessions:Q", "is:N"],
    )
    settled = alt.datum["is"] == "settled"
    points = base.mark_point(filled=True, size=30).transform_filter(settled)
    young = base.mark_point(filled=False, size=40).transform_filter(~settled)
    drawn = (base.mark_line() + points + young).properties(description="Sessions that reached each stage, by date.")
    return drawn, {ROWS: records}


def _products(figures: Figures) -> Drawn | None:
    frame = figures.products[figures.products["page_view"] >= FEWEST].head(MOST_ROWS)
    records = []
    for number, row in enumerate(frame.to_dict("records")):
        interval = wilson(int(row["checkout"]), int(row["page_view"]))
        if interval:
            rate = int(row["checkout"]) / int(row["page_view"])
            name = row["product_name"]
            bounds = {"rate": rate, "low": interval[0], "high": interval[1]}
            records.append({"row": f"{number} {name}", "product": name, **bounds})
    if not records:
        return None
    base = alt.Chart(alt.NamedData(ROWS), width="container", height=_height(len(records))).encode(
        y=_rows(),
        tooltip=["product:N", *(alt.Tooltip(f"{name}:Q", format=".1%") for name in ("rate", "low", "high"))],
    )
    rule = base.mark_rule(strokeWidth=2, color=COLORS[0]).encode(
        x=alt.X("low:Q", title="purchase rate, 95 % interval", axis=alt.Axis(format="%", tickCount=5)), x2="high:Q"
    )
    point = base.mark_point(filled=True, size=50, opacity=1, color=COLORS[0]).encode(x="rate:Q")
    average = alt.Chart(alt.NamedData("store"))
    line = average.mark_rule(strokeDash=[4, 4], color=INK).encode(x="average:Q")
    drawn = (rule + point + line).properties(description="Purchase rate of the products, with the average as a line.")
    return drawn, {ROWS: records, "store": [{"average": store_share(figures.products)}]}


def _changes(figures: Figures) -> Drawn | None:
    frame = figures.changes[figures.changes["change"].fillna(0) != 0].head(MOST_ROWS)
    records = [
        {
            "row": f"{number} {row['product_name']}",
            "product": row["product_name"],
            "change": int(row["change"]),
            "is": "more" if row["change"] > 0 else "less",
        }
        for number, row in enumerate(frame.to_dict("records"))
    ]
    if not records:
        return None
    base = alt.Chart(alt.NamedData(ROWS), width="container", height=_height(len(records))).encode(
        y=_rows(),
        x=alt.X("change:Q", title="units", axis=alt.Axis(tickMinStep=1, tickCount=5, format="+,d")),
        tooltip=["product:N", "change:Q"],
    )
    color = alt.Color("is:N", scale=alt.Scale(domain=["more", "less"], range=[COLORS[2], COLORS[1]]), legend=None)
    drawn = base.mark_bar(cornerRadiusEnd=2).encode(color=color).properties(description="Change of stock, in units.")
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
    chart = alt.Chart(alt.NamedData(ROWS), width="container", height=_height(len(shown))).mark_bar(
        height=10, minBandSize=2
    )
    kinds = ["still out", "restocked or gone"]
    drawn = chart.encode(
        y=alt.Y("product:N", sort=None, title=None),
        x=alt.X(
            "from:T", title=None, scale=STORES_CLOCK, axis=alt.Axis(format="%d %b", tickCount=6, labelOverlap=True)
        ),
        x2="to:T",
        color=alt.Color("is:N", scale=alt.Scale(domain=kinds, range=[COLORS[1], "#8b98a5"])),
        tooltip=["product:N", "out since:N", "until:N", "hours:Q"],
    ).properties(description="Times without stock.")
    return drawn, {ROWS: records}
