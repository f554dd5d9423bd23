"""From raw figures to docs/performance.md and its plot. What stands outside the two marks is written by hand."""

from pathlib import Path
from statistics import median
from typing import Any

import jinja2
import matplotlib as mpl
from matplotlib.figure import Figure

BEGIN, END = "<!-- written by make bench -->", "<!-- end of what make bench writes -->"
Measured = dict[str, dict[str, Any]]

ABOUT = {
    "ours": "this project, full build from parquet",
    "ours, 1 GB": "this project, full build with `PLANT_MEMORY_LIMIT=1GB`",
    "ours, csv": "this project, full build from csv",
    "ours, tick": "this project, one more day on top of that history",
    "ours, empty tick": "this project, nothing new",
    "dbt": "dbt, duplicates removed, with tests",
    "dbt, tick": "dbt incremental, duplicates removed, with tests, one more day",
    "dbt plain": "dbt, without removal of duplicates and tests",
    "dbt plain, tick": "dbt incremental, without both, one more day",
    "limit": "one script by hand",
    "stock": "Dagster with DuckDBPandasIOManager",
    "empty": "Dagster alone: this project's graph and checks with empty bodies",
}

FULL = [name for name in ABOUT if not name.endswith("tick")]

# What is to be reached: the figure, at most how much, its unit, what is measured, of whom (size and contender) and
# against whom: as a ratio where there is no unit, as a difference where there is one.
TARGETS: list[tuple[str, float, str, str, str, str | None]] = [
    (
        "full build, 10 million events from parquet, wall against dbt-duckdb's same work",
        *(0.5, "", "wall", "10000000/ours", "10000000/dbt"),
    ),
    (
        "the same against dbt-duckdb without de-duplication and tests",
        *(1.0, "", "wall", "10000000/ours", "10000000/dbt plain"),
    ),
    (
        "full build, 10 million events, CPU against the script by hand",
        *(1.25, "", "cpu", "10000000/ours", "10000000/limit"),
    ),
    (
        "a tick of one day on 100 million events, wall against dbt-duckdb's incremental run",
        *(0.12, "", "wall", "100000000/ours, tick", "100000000/dbt plain, tick"),
    ),
    (
        "the same tick against the tick on 1 million events",
        *(2.0, "", "wall", "100000000/ours, tick", "1000000/ours, tick"),
    ),
    ("peak memory, full build of 100 million events", 4.0, "GB", "peak", "100000000/ours", None),
    ("the same with `PLANT_MEMORY_LIMIT=1GB`", 2.0, "GB", "peak", "100000000/ours, 1 GB", None),
    (
        "`plant-assets run` on `greenery` with all checks, wall against `dbt build` with as many tests",
        *(1.0, "", "wall", "greenery/ours", "greenery/dbt"),
    ),
    (
        "inventory: 5,000 products observed 4 times a day for 3 years, full build",
        *(60.0, "s", "wall", "inventory/ours", None),
    ),
    (
        "the same, a tick with one more observation above the empty one",
        *(3.0, "s", "wall", "inventory/ours, tick", "inventory/ours, empty tick"),
    ),
]

PAGE = jinja2.Template(
    """\
| figure | at most | reached | |
| --- | --- | --- | --- |
{% for figure, most, unit, reached in targets -%}
| {{ figure }} | {{ most }} {{ unit }} | {% if reached is none %}not measured | {% else -%}
{{ "%.2f" | format(reached) }} {{ unit }} | {{ "yes" if reached <= most else "**no**" }}{% endif %} |
{% endfor %}
![Wall seconds against events]({{ plot }})
{% for title, facts, table in sizes %}
### {{ title }}

{{ table }}

Measured on {{ facts.date }}: {{ facts.machine }}; {% for name, version in facts.versions.items() -%}
{{ name }} {{ version }}{{ ", " if not loop.last }}{% endfor %}.
{% endfor %}
"""
)


def write(measured: Measured, page: Path) -> None:
    """Put what is measured between the page's two marks, and the plot beside it."""
    plot = page.with_suffix(".svg")
    numbers = sorted((size for size in measured if size.isdigit()), key=int)
    ordered = [*numbers, *sorted(measured.keys() - set(numbers))]
    draw({size: measured[size] for size in numbers}, plot)
    text = PAGE.render(
        targets=[(figure, most, unit, _reached(measured, unit, *of)) for figure, most, unit, *of in TARGETS],
        sizes=[(_title(size, measured[size]), measured[size], table_of(size, measured[size])) for size in ordered],
        plot=plot.name,
    )
    before, _mark, after = page.read_text().partition(BEGIN) if page.exists() else ("", "", "")
    after = after.partition(END)[2]
    page.write_text(f"{before}{BEGIN}\n\n{text.strip()}\n\n{END}{after or chr(10)}")


def table_of(size: str, facts: dict[str, Any]) -> str:
    """The medians of a size as a table, with ratios to those who do the same: full builds or ticks."""
    rows = facts["rows"]
    lines = ["| contender | wall s | CPU s | peak MB | wall / dbt | wall / dbt plain | CPU / limit | warehouse MB |"]
    lines[0] += " Dagster's records MB |"
    lines.append("| --- |" + " ---: |" * 8)
    for name, row in rows.items():
        kind = ", tick" if name.endswith("tick") else ""
        figures = [
            f"{_median(row, 'wall'):.2f}",
            f"{_median(row, 'cpu'):.2f}",
            f"{_median(row, 'peak') / 1e6:.0f}",
            _ratio(rows, "wall", name, "dbt" + kind),
            _ratio(rows, "wall", name, "dbt plain" + kind),
            _ratio(rows, "cpu", name, "limit" + kind),
            f"{row['stored'] / 1e6:.1f}" if row["stored"] else "",
            f"{row['records'] / 1e6:.1f}" if row["records"] else "",
        ]
        about = ABOUT[name].replace("parquet", "its csv files") if size == "greenery" else ABOUT[name]
        lines.append(f"| {about} | " + " | ".join(figures) + " |")
    return "\n".join(lines)


def draw(by_size: Measured, plot: Path) -> None:
    """Wall against events, both as logarithms: full builds and ticks."""
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for panel, title, has in (
        (panels[0], "full build", lambda name: not name.endswith("tick")),
        (panels[1], "one more day", lambda name: name.endswith("tick")),
    ):
        names = {name: None for facts in by_size.values() for name in facts["rows"] if has(name)}
        for name in names:
            points = [
                (facts["events"], _median(facts["rows"][name], "wall"))
                for facts in by_size.values()
                if name in facts["rows"]
            ]
            # A contender and its tick have one colour.
            colour = f"C{FULL.index(name.removesuffix(', tick'))}"
            style = {"marker": "o", "markersize": 4, "color": colour, "label": ABOUT[name].replace("`", "")}
            panel.plot(*zip(*points, strict=True), **style)
        panel.set(xscale="log", yscale="log", xlabel="events", title=title)
        panel.yaxis.set_major_formatter("{x:g}")
        panel.yaxis.set_minor_formatter("{x:g}")
        panel.grid(alpha=0.3)
        if names:
            panel.legend(fontsize=7)
    panels[0].set_ylabel("wall, s")
    # Text as text and fixed ids: the same figures give the same file.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "bench"}):
        figure.savefig(plot, metadata={"Date": None})


def _title(size: str, facts: dict[str, Any]) -> str:
    if size == "greenery":
        return f"greenery: {facts['checks']} checks of ours, {facts['tests']} tests of dbt"
    if size == "inventory":
        return f"inventory: 5,000 products, {facts['days'] * 4:,} observations"
    return f"{facts['events']:,} events"


def _median(row: dict[str, Any], key: str) -> float:
    return float(median(row[key]))


def _ratio(rows: dict[str, Any], key: str, name: str, other: str) -> str:
    if other not in rows or name == other:
        return ""
    return f"{_median(rows[name], key) / _median(rows[other], key):.2f}"


def _value(measured: Measured, key: str, at: str) -> float | None:
    size, name = at.split("/")
    facts = measured.get(size, {})
    if size == "inventory" and facts.get("days", 0) < 3 * 365:
        return None
    row = facts.get("rows", {}).get(name)
    return _median(row, key) / (1e9 if key == "peak" else 1) if row else None


def _reached(measured: Measured, unit: str, key: str, of: str, against: str | None) -> float | None:
    figure, base = _value(measured, key, of), _value(measured, key, against) if against else None
    if figure is None or (against and base is None):
        return None
    if base is None:
        return figure
    return figure - base if unit else figure / base
