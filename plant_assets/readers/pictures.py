"""What the UI shows of a table beside its row count: numbers that it plots over time, first rows, and a chart."""

import base64
import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import dagster as dg
import pandas as pd

from plant_assets.contracts import RATES, STAGES, TABLES
from plant_assets.readers.vega import (
    COLORS,
    EACH_DAY,
    FEW_TICKS,
    STAGE_COLORS,
    Spec,
    colored,
    instants,
    midnight,
    names,
    numbers,
    row_of,
    rows,
    to_svg,
)
from plant_assets.transforms.totals import TOTALS
from plant_assets.warehouse.expressions import to_sql
from plant_assets.warehouse.marts import Marts

# A chart of rows, of the stages that the store has.
Chart = Callable[[pd.DataFrame, Sequence[str]], Spec]
# Metadata is kept with every materialization, so little of it.
FIRST_ROWS, BARS = 10, 15
WIDTH, BAR_HEIGHT, LINES_HEIGHT = 420, 16, 180
LONGEST_NAME = 26
# Measuring texts is most of what drawing costs: few of them, and none against a limit of pixels.
NO_LIMITS = {"axis": {"labelLimit": 0, "titleLimit": 0}, "legend": {"labelLimit": 0}}


@dataclass(frozen=True)
class Picture:
    """Statements over a table; over a weekly one, of the week whose Monday is the parameter.

    `rows` gives the rows that a reader wants first; the chart is of `charted`, or of those rows. `numbers` selects one
    row of numbers; without it they are the table's totals.
    """

    rows: str = ""
    chart: Chart | None = None
    charted: str | None = None
    numbers: str | None = None


def _bars(label: str, value: str, title: str) -> Chart:
    def draw(frame: pd.DataFrame, _stages: Sequence[str]) -> Spec:
        records = [
            {"row": row_of(number, _drawable(str(row[label]))), "value": _plain(row[value])}
            for number, row in enumerate(frame.head(BARS).to_dict("records"))
        ]
        return {
            "data": {"values": records},
            "width": WIDTH,
            "height": BAR_HEIGHT * len(records),
            "mark": {"type": "bar", "color": COLORS[0]},
            "encoding": {"x": numbers("value", title=title, axis=FEW_TICKS), "y": rows()},
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
    records = [
        {"date": midnight(row["event_date"]), "stage": stage, "sessions": int(row[stage])}
        for row in frame.to_dict("records")
        for stage in stages
    ]
    colors = colored(list(stages), [STAGE_COLORS[stage] for stage in stages])
    is_short = len(frame) < FIRST_ROWS
    # Else a few dates would have hours between them.
    ticks = {"tickCount": EACH_DAY} if is_short else FEW_TICKS
    return {
        "data": {"values": records},
        "width": WIDTH,
        "height": LINES_HEIGHT,
        "mark": {"type": "line", "point": is_short},
        "encoding": {
            "x": instants("date", **ticks),
            "y": numbers("sessions", axis=FEW_TICKS),
            "color": names("stage", scale=colors, legend={"title": None, "orient": "top"}),
        },
    }


_FUNNEL = ", ".join((*STAGES, *RATES))
_NAME = "coalesce(product_name, product_id)"
PICTURES: dict[str, Picture] = {
    "int_session_days": Picture(),
    "inventory": Picture(
        f"select {_NAME} as product, opening_inventory, closing_inventory, inflow, outflow, hours_out_of_stock"
        " from inventory where week_start_date = $week and closing_inventory is not null"
        f" order by closing_inventory, product limit {BARS}",
        _bars("product", "closing_inventory", "units at the week's end, least first"),
    ),
    "products": Picture(
        "select coalesce(name, product_id) as product, price, inventory, first_seen_at, last_seen_at from products"
        f" order by is_current desc, inventory nulls last, product limit {BARS}",
        _bars("product", "inventory", "units in stock now, least first"),
        charted="select coalesce(name, product_id) as product, inventory from products where inventory is not null"
        f" order by inventory, product limit {BARS}",
    ),
    "inventory_changes": Picture(
        f"select {_NAME} as product, previous_inventory, inventory, change, state from inventory_changes"
        f" where week_start_date = $week and change <> 0 order by abs(change) desc, product limit {BARS}",
        _bars("product", "change", "units more or less than a week before"),
    ),
    "inventory_fluctuations": Picture(
        f"select rank, {_NAME} as product, changes, volume, reversals from inventory_fluctuations"
        f" order by rank, volume_rank, product limit {BARS}",
        _bars("product", "volume", "units in and out, most changes first"),
    ),
    "stockouts": Picture(
        f"select {_NAME} as product, out_of_stock_at, restocked_at, hours_out, is_ongoing from stockouts"
        f" order by is_ongoing desc, out_of_stock_at desc, product limit {BARS}",
        _bars("product", "hours_out", "hours out of stock, latest first"),
    ),
    "funnel": Picture(f"select {_FUNNEL} from funnel", _funnel, numbers=f"select {_FUNNEL} from funnel"),
    "funnel_by_date": Picture(
        f"select event_date, {_FUNNEL} from funnel_by_date order by event_date desc limit {FIRST_ROWS}",
        _lines,
        charted=f"select event_date, {_FUNNEL} from funnel_by_date order by event_date desc limit 56",
        numbers=f"select {_FUNNEL} from funnel_by_date order by event_date desc limit 1",
    ),
    "funnel_by_week": Picture(
        f"select week_start_date, {_FUNNEL} from funnel_by_week order by week_start_date desc limit {FIRST_ROWS}",
        numbers=f"select {_FUNNEL} from funnel_by_week order by week_start_date desc limit 1",
    ),
    "funnel_by_entry_date": Picture(
        f"select entry_date, {_FUNNEL} from funnel_by_entry_date where is_mature order by entry_date desc"
        f" limit {FIRST_ROWS}",
        numbers=f"select {_FUNNEL} from funnel_by_entry_date where is_mature order by entry_date desc limit 1",
    ),
    "funnel_by_product": Picture(
        f"select product_name as product, {_FUNNEL} from funnel_by_product order by page_view desc, product"
        f" limit {FIRST_ROWS}",
    ),
    "sales_by_week": Picture(
        "select week_start_date::varchar as week, orders, units, revenue, buyers, new_buyers from sales_by_week"
        f" where week_start_date is not null order by week_start_date desc limit {BARS}",
        _bars("week", "orders", "orders, latest week first"),
    ),
    "sales_by_product_week": Picture(
        f"select {_NAME} as product, orders, units, list_value from sales_by_product_week"
        " where week_start_date = (select max(week_start_date) from sales_by_product_week)"
        f" order by units desc, product limit {BARS}",
        _bars("product", "units", "units in the latest week, most first"),
    ),
    "product_demand": Picture(
        f"select {_NAME} as product, views_in_stock, views_out, share_met_empty_shelf from product_demand"
        " where week_start_date = (select max(week_start_date) from product_demand) and views_out > 0"
        f" order by views_out desc, product limit {BARS}",
        _bars("product", "views_out", "views while out of stock in the latest week, most first"),
    ),
    "stock_status": Picture(
        f"select {_NAME} as product, inventory, velocity, days_of_cover, revenue_class, note from stock_status"
        f" where days_of_cover is not null order by days_of_cover, product limit {BARS}",
        _bars("product", "days_of_cover", "days that stock lasts, least first"),
    ),
    "units_change": Picture(
        f"select coalesce({_NAME}, 'all') as product, change, of_views, of_stock, of_conversion, of_other, note"
        " from units_change where week_start_date = (select max(week_start_date) from units_change)"
        f" order by product_id is not null, change desc, product limit {BARS}",
        _bars("product", "change", "units more or less than a week before"),
    ),
    "funnel_stages_by_week": Picture(
        "select week_start_date::varchar as week, overall_rate as purchase_rate, overall_low, overall_high,"
        " overall_change from funnel_stages_by_week where stage = 'checkout' and period = 'week'"
        f" order by week_start_date desc limit {FIRST_ROWS}",
        numbers="select sessions, overall_rate as purchase_rate, overall_low, overall_high from funnel_stages_by_week"
        " where stage = 'checkout' and period = 'week' order by week_start_date desc limit 1",
    ),
    "purchase_rate_by_product_week": Picture(
        "select product_name as product, page_view, checkout, rate, rate_low, rate_high, against_store"
        " from purchase_rate_by_product_week where is_ranked"
        " and week_start_date = (select max(week_start_date) from purchase_rate_by_product_week)"
        f" order by rate desc, product limit {FIRST_ROWS}",
        numbers="select count(*) as products, count(*) filter (is_ranked) as ranked from purchase_rate_by_product_week"
        " where week_start_date = (select max(week_start_date) from purchase_rate_by_product_week)",
    ),
    "inventory_by_week": Picture(
        "select week_start_date::varchar as week, products_changed, out_of_stock, change from inventory_by_week"
        f" order by week_start_date desc limit {FIRST_ROWS}",
        numbers="select products_changed, out_of_stock from inventory_by_week order by week_start_date desc limit 1",
    ),
    "customers": Picture("from customers", numbers="from customers"),
    "funnel_steps": Picture(
        "select from_stage, to_stage, sessions_from, sessions_to, lost, step_rate, overall_rate from funnel_steps"
        " order by sessions_from desc, sessions_to desc",
    ),
}


def pictured(marts: Marts, name: str, week: dt.date | None = None, is_drawn: bool = True) -> Mapping[str, Any]:
    """Return what a materialization of a table, or of a week of it, says of what is stored; it may be nothing."""
    picture = PICTURES.get(name)
    if not picture:
        return {}
    found: dict[str, Any] = {}
    row = _frame(marts, picture.numbers or _totals(name), week)
    if len(row):
        found = {column: _plain(row.iloc[0][column]) for column in row.columns}
        found = {column: value for column, value in found.items() if value is not None}
    if not picture.rows or not is_drawn:
        return found
    first = _frame(marts, picture.rows, week)
    if len(first):
        found["first_rows"] = dg.MetadataValue.table(
            [
                dg.TableRecord({str(column): _plain(value) for column, value in row.items()})
                for row in first.head(FIRST_ROWS).to_dict("records")
            ],
            schema=dg.TableSchema(columns=[dg.TableColumn(str(column)) for column in first.columns]),
        )
        if picture.chart:
            charted = _frame(marts, picture.charted, week) if picture.charted else first
            found["chart"] = dg.MetadataValue.md(_as_image(picture.chart(charted, marts.stages()), name))
    return found


@cache
def _totals(name: str) -> str:
    """Return the statement of a table's totals, or of a week of a weekly one."""
    table = TABLES[name]
    of_week = f"where {table.week_column} >= $week and {table.week_column} < $week + 7" if table.week_column else ""
    return f"with {name} as (from {name} {of_week}) from ({to_sql(TOTALS[name](table.unbound()))})"


def _frame(marts: Marts, statement: str, week: dt.date | None) -> pd.DataFrame:
    return marts.frame(statement, {"week": week} if "$week" in statement else None)


def _plain(value: Any) -> Any:
    """A value as metadata takes it."""
    if pd.isna(value):
        return None
    if isinstance(value, pd.Timestamp | dt.date):
        return str(value).removesuffix(" 00:00:00")
    return value.item() if hasattr(value, "item") else value


def _as_image(chart: Spec, name: str) -> str:
    image = base64.b64encode(to_svg(chart, NO_LIMITS).encode()).decode()
    return f"![{name}](data:image/svg+xml;base64,{image})"
