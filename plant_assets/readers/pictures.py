"""What the UI shows of a table beside its row count: numbers that it plots over time, first rows, and a chart."""

import base64
import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg
import pandas as pd

from plant_assets.contracts import RATES, STAGES
from plant_assets.warehouse.warehouse import Warehouse

# A Vega-Lite specification of rows, of the stages that the store has.
Spec = dict[str, Any]
Chart = Callable[[pd.DataFrame, Sequence[str]], Spec]
# Metadata is kept with every materialization, so little of it.
FIRST_ROWS, BARS = 10, 15
WIDTH, BAR_HEIGHT, LINES_HEIGHT = 420, 16, 180
LONGEST_NAME = 26
# Measuring texts is most of what drawing costs: few of them, and none against a limit of pixels.
FEW_TICKS, NO_LIMITS = {"tickCount": 5}, {"axis": {"labelLimit": 0, "titleLimit": 0}, "legend": {"labelLimit": 0}}
COLORS = {"page_view": "#3b82c4", "add_to_cart": "#d9822b", "checkout": "#2a9d6f", "package_shipped": "#b0579b"}


@dataclass(frozen=True)
class Picture:
    """Statements over a table; over a weekly one, of the week whose Monday is the parameter.

    `numbers` gives one row of named numbers, `rows` the rows that a reader wants first; the chart is of `charted`, or
    of those rows.
    """

    numbers: str
    rows: str
    chart: Chart | None = None
    charted: str | None = None


def _bars(label: str, value: str, title: str) -> Chart:
    def draw(frame: pd.DataFrame, _stages: Sequence[str]) -> Spec:
        # Two products may have one name: a row's text begins with its number, which is not shown.
        rows = [
            {"row": f"{number} {_drawable(str(row[label]))}", "value": _plain(row[value])}
            for number, row in enumerate(frame.head(BARS).to_dict("records"))
        ]
        name = "slice(datum.label, indexof(datum.label, ' ') + 1)"
        return {
            "data": {"values": rows},
            "width": WIDTH,
            "height": BAR_HEIGHT * len(rows),
            "mark": {"type": "bar", "color": COLORS["page_view"]},
            "encoding": {
                "x": {"field": "value", "type": "quantitative", "title": title, "axis": FEW_TICKS},
                "y": {"field": "row", "type": "nominal", "sort": None, "title": None, "axis": {"labelExpr": name}},
            },
        }

    return draw


def _drawable(name: str) -> str:
    """A name as long as there is room for, without the control characters at which the drawing library aborts."""
    printable = "".join(letter if letter.isprintable() else " " for letter in name)
    return printable if len(printable) <= LONGEST_NAME else printable[: LONGEST_NAME - 1] + "\N{HORIZONTAL ELLIPSIS}"


def _funnel(frame: pd.DataFrame, stages: Sequence[str]) -> Spec:
    long = pd.DataFrame({"stage": stages, "sessions": [int(frame.iloc[0][stage]) for stage in stages]})
    return _bars("stage", "sessions", "sessions")(long, stages)


def _lines(frame: pd.DataFrame, stages: Sequence[str]) -> Spec:
    rows = [
        # Marked as UTC and drawn so: the machine's zone plays no part.
        {"date": f"{row['event_date']:%Y-%m-%d}T00:00:00Z", "stage": stage, "sessions": int(row[stage])}
        for row in frame.to_dict("records")
        for stage in stages
    ]
    colors = {"domain": list(stages), "range": [COLORS[stage] for stage in stages]}
    is_short = len(frame) < FIRST_ROWS
    # Else a few dates would have hours between them.
    ticks = {"tickCount": {"interval": "day", "step": 1}} if is_short else FEW_TICKS
    return {
        "data": {"values": rows},
        "width": WIDTH,
        "height": LINES_HEIGHT,
        "mark": {"type": "line", "point": is_short},
        "encoding": {
            "x": {"field": "date", "type": "temporal", "title": None, "scale": {"type": "utc"}, "axis": ticks},
            "y": {"field": "sessions", "type": "quantitative", "axis": FEW_TICKS},
            "color": {"field": "stage", "type": "nominal", "scale": colors, "legend": {"title": None, "orient": "top"}},
        },
    }


_FUNNEL = ", ".join((*STAGES, *RATES))
_NAME = "coalesce(product_name, product_id)"
PICTURES: dict[str, Picture] = {
    "int_session_days": Picture(
        "select count(distinct session_id) as sessions, coalesce(sum(events), 0) as events from int_session_days"
        " where event_date >= $week and event_date < $week + 7",
        "",
    ),
    "inventory": Picture(
        "select count(*) as products, count(*) filter (where closing_inventory <= 0) as out_of_stock_at_end,"
        " coalesce(sum(hours_out_of_stock), 0) as hours_out_of_stock, coalesce(sum(inflow), 0) as units_in,"
        " coalesce(sum(outflow), 0) as units_out from inventory where week_start_date = $week",
        f"select {_NAME} as product, opening_inventory, closing_inventory, inflow, outflow, hours_out_of_stock"
        " from inventory where week_start_date = $week and closing_inventory is not null"
        f" order by closing_inventory, product limit {BARS}",
        _bars("product", "closing_inventory", "units at the week's end, least first"),
    ),
    "inventory_changes": Picture(
        "select count(*) filter (where change <> 0) as products_changed,"
        " count(*) filter (where state = 'sold_out') as sold_out, count(*) filter (where state = 'restocked') as"
        " restocked from inventory_changes where week_start_date = $week",
        f"select {_NAME} as product, previous_inventory, inventory, change, state from inventory_changes"
        f" where week_start_date = $week and change <> 0 order by abs(change) desc, product limit {BARS}",
        _bars("product", "change", "units more or less than a week before"),
    ),
    "inventory_fluctuations": Picture(
        "select coalesce(sum(changes), 0) as changes, coalesce(max(changes), 0) as most_changes,"
        " coalesce(sum(volume), 0) as volume from inventory_fluctuations",
        f"select rank, {_NAME} as product, changes, volume, reversals from inventory_fluctuations"
        f" order by rank, volume_rank, product limit {BARS}",
        _bars("product", "volume", "units in and out, most changes first"),
    ),
    "stockouts": Picture(
        "select count(*) as episodes, count(*) filter (where is_ongoing) as products_out_of_stock,"
        " coalesce(sum(hours_out), 0) as hours_out from stockouts",
        f"select {_NAME} as product, out_of_stock_at, restocked_at, hours_out, is_ongoing from stockouts"
        f" order by is_ongoing desc, out_of_stock_at desc, product limit {BARS}",
        _bars("product", "hours_out", "hours out of stock, latest first"),
    ),
    "funnel": Picture(f"select {_FUNNEL} from funnel", f"select {_FUNNEL} from funnel", _funnel),
    "funnel_by_date": Picture(
        f"select {_FUNNEL} from funnel_by_date order by event_date desc limit 1",
        f"select event_date, {_FUNNEL} from funnel_by_date order by event_date desc limit {FIRST_ROWS}",
        _lines,
        f"select event_date, {_FUNNEL} from funnel_by_date order by event_date desc limit 56",
    ),
    "funnel_by_week": Picture(
        f"select {_FUNNEL} from funnel_by_week order by week_start_date desc limit 1",
        f"select week_start_date, {_FUNNEL} from funnel_by_week order by week_start_date desc limit {FIRST_ROWS}",
    ),
    "funnel_by_product": Picture(
        "select count(*) as products, count(*) filter (where checkout = 0) as never_bought from funnel_by_product",
        f"select product_name as product, {_FUNNEL} from funnel_by_product order by page_view desc, product"
        f" limit {FIRST_ROWS}",
    ),
    "funnel_steps": Picture(
        "select max(lost) as most_lost, min(step_rate) as lowest_step_rate from funnel_steps",
        "select from_stage, to_stage, sessions_from, sessions_to, lost, step_rate, overall_rate from funnel_steps"
        " order by sessions_from desc, sessions_to desc",
    ),
}


def pictured(warehouse: Warehouse, name: str, week: dt.date | None = None, is_drawn: bool = True) -> Mapping[str, Any]:
    """What a materialization of a table, or of a week of it, says of what is stored; nothing where none is known."""
    picture = PICTURES.get(name)
    if not picture:
        return {}
    found: dict[str, Any] = {}
    numbers = _frame(warehouse, picture.numbers, week)
    if len(numbers):
        found = {column: _plain(numbers.iloc[0][column]) for column in numbers.columns}
        found = {column: value for column, value in found.items() if value is not None}
    if not picture.rows or not is_drawn:
        return found
    rows = _frame(warehouse, picture.rows, week)
    if len(rows):
        found["first_rows"] = dg.MetadataValue.table(
            [
                dg.TableRecord({str(column): _plain(value) for column, value in row.items()})
                for row in rows.head(FIRST_ROWS).to_dict("records")
            ],
            schema=dg.TableSchema(columns=[dg.TableColumn(str(column)) for column in rows.columns]),
        )
        if picture.chart:
            charted = _frame(warehouse, picture.charted, week) if picture.charted else rows
            found["chart"] = dg.MetadataValue.md(_as_image(picture.chart(charted, warehouse.stages()), name))
    return found


def _frame(warehouse: Warehouse, statement: str, week: dt.date | None) -> pd.DataFrame:
    return warehouse.execute(statement, {"week": week} if "$week" in statement else None).df()


def _plain(value: Any) -> Any:
    """A value as metadata takes it."""
    if pd.isna(value):
        return None
    if isinstance(value, pd.Timestamp | dt.date):
        return str(value).removesuffix(" 00:00:00")
    return value.item() if hasattr(value, "item") else value


def _as_image(chart: Spec, name: str) -> str:
    import vl_convert

    image = vl_convert.vegalite_to_svg(chart, config=NO_LIMITS)
    return f"![{name}](data:image/svg+xml;base64,{base64.b64encode(image.encode()).decode()})"
