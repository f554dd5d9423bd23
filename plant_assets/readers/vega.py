"""The chart kit: what charts know of Vega-Lite. What is drawn is for `pictures.py` and `page/charts.py` to say.

A specification is a dict with its rows in it; `tests` hold each one against the schema of the version that draws.
"""

import datetime as dt
from typing import Any

from plant_assets.contracts import STAGES

Spec = dict[str, Any]
SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
# Told apart by the colour-blind, and readable on white and on black.
COLORS = ["#3b82c4", "#d9822b", "#2a9d6f", "#b0579b"]
STAGE_COLORS = dict(zip(STAGES, COLORS, strict=True))
# What others are compared with.
GREY = "#8b98a5"
FEW_TICKS = {"tickCount": 5}
WHOLE_NUMBERS = {"tickMinStep": 1, **FEW_TICKS}
EACH_DAY = {"interval": "day", "step": 1}


def names(field: str, **how: Any) -> Spec:
    """Return the encoding of a column of names."""
    return {"field": field, "type": "nominal", **how}


def numbers(field: str, **how: Any) -> Spec:
    """Return the encoding of a column of numbers."""
    return {"field": field, "type": "quantitative", **how}


def instants(field: str, **axis: Any) -> Spec:
    """Return the encoding of a column of instants of the store's clock.

    They are marked as UTC (`midnight`) and drawn so: the zone of the reader's machine plays no part.
    """
    return {"field": field, "type": "temporal", "title": None, "scale": {"type": "utc"}, "axis": axis}


def midnight(date: dt.date) -> str:
    """Return the first instant of a date as `instants` reads it."""
    return f"{date:%Y-%m-%d}T00:00:00Z"


def row_of(number: int, name: str) -> str:
    """Return the text of a chart's row: two products may have one name, so it begins with a number."""
    return f"{number} {name}"


def rows() -> Spec:
    """Return the encoding of the column `row`, whose texts are of `row_of`: numbers are hidden, the order is kept."""
    hides_number = {"labelExpr": "slice(datum.label, indexof(datum.label, ' ') + 1)"}
    return names("row", sort=None, title=None, axis=hides_number)


def colored(domain: list[str], colors: list[str]) -> Spec:
    """Return the scale that gives each name its color."""
    return {"domain": domain, "range": colors}


def to_svg(spec: Spec, config: Spec) -> str:
    """Draw a specification."""
    import vl_convert

    return str(vl_convert.vegalite_to_svg(spec, config=config))
