"""What one week's page speaks of, read from the published marts. Knows no HTML, no chart and no clock."""

import datetime as dt
from dataclasses import dataclass
from functools import lru_cache

import pandas as pd

from plant_assets.calendar import WEEK
from plant_assets.contracts import STAGES, TABLES
from plant_assets.transforms.funnel import funnel_steps, whole_funnel
from plant_assets.warehouse.expressions import to_sql
from plant_assets.warehouse.warehouse import Warehouse

DATES_WEEKS, STOCKOUT_WEEKS, OUT_WEEKS = 8, 8, 3
# What publishing notes of the instants that the marts speak of, by its name in `_meta`.
AS_OF, EVENTS_UNTIL, OBSERVED_UNTIL = "as_of", "events_until", "observed_until"

Counts = dict[str, int]


@dataclass(frozen=True)
class Comparison:
    """The same days of two weeks: up to `until` of the one, up to the weekday of it of the other."""

    until: dt.date
    now: Counts
    before: Counts


@dataclass(frozen=True)
class Figures:
    """The numbers of a week, as of its end."""

    week: dt.date
    zone: str
    starts_at: dt.datetime
    ends_at: dt.datetime
    as_of: dt.datetime
    events_until: dt.datetime | None
    observed_until: dt.datetime | None
    is_stock_complete: bool
    stages: tuple[str, ...]
    funnel: Counts
    comparison: Comparison | None
    steps: pd.DataFrame
    whole: Counts
    whole_steps: pd.DataFrame
    dates: pd.DataFrame
    products: pd.DataFrame
    changes: pd.DataFrame
    fluctuations: pd.DataFrame
    stockouts: pd.DataFrame
    out_lately: list[str]
    out_at_end: int
    out_before: int | None

    @property
    def is_running(self) -> bool:
        return self.as_of < self.ends_at

    @property
    def has_events(self) -> bool:
        return any(self.funnel.values())


def weeks_with_figures(marts: Warehouse) -> list[dt.date]:
    """The weeks that have an event or an inventory, in order."""
    found = marts.rows(
        "select distinct week_start_date from (select week_start_date from funnel_by_week"
        " union all select week_start_date from inventory) order by 1"
    )
    return [row[0] for row in found]


def read_figures(marts: Warehouse, week: dt.date) -> Figures:
    """The figures of a week that has any."""
    calendar = marts.calendar
    starts_at, ends_at = calendar.starts_at(week), calendar.starts_at(week + WEEK)
    as_of = _noted(marts, AS_OF) or ends_at
    events_until, observed_until = _noted(marts, EVENTS_UNTIL), _noted(marts, OBSERVED_UNTIL)
    until = week + WEEK - dt.timedelta(days=1)
    if as_of < ends_at:
        # Only whole days are compared: the last one is not over.
        until = calendar.date_of(min(as_of, events_until or as_of)) - dt.timedelta(days=1)
    weeks = marts.value("select min(week_start_date) from weeks")
    comparison = None
    if until >= week and weeks is not None and week - WEEK >= weeks:
        comparison = Comparison(until, _counts_to(marts, week, until), _counts_to(marts, week - WEEK, until - WEEK))
    whole_row = _whole_row(marts, week)
    return Figures(
        week=week,
        zone=calendar.zone_name,
        starts_at=starts_at,
        ends_at=ends_at,
        as_of=as_of,
        events_until=events_until,
        observed_until=observed_until,
        is_stock_complete=bool(
            marts.value("select bool_and(is_complete) from inventory where week_start_date = ?", [week])
        ),
        stages=marts.stages(),
        funnel=_counts_to(marts, week, week + WEEK),
        comparison=comparison,
        steps=funnel_steps(_funnel_row(marts, week), marts.stages()),
        whole={stage: int(whole_row.iloc[0][stage]) for stage in STAGES},
        whole_steps=funnel_steps(whole_row, marts.stages()),
        dates=_dates(marts, week),
        products=_products(marts, week),
        changes=_changes(marts, week),
        fluctuations=_fluctuations(marts, week),
        stockouts=_stockouts(marts, week, starts_at, ends_at, observed_until or ends_at),
        out_lately=_out_lately(marts, week),
        out_at_end=_out_at_end(marts, week) or 0,
        out_before=_out_at_end(marts, week - WEEK),
    )


def _noted(marts: Warehouse, name: str) -> dt.datetime | None:
    text = marts.meta(name)
    return dt.datetime.fromisoformat(text) if text else None


def _counts_to(marts: Warehouse, week: dt.date, until: dt.date) -> Counts:
    """Sessions of each stage from a Monday up to and with a date."""
    found = marts.rows(
        f"select {', '.join(STAGES)} from funnel_to_date where week_start_date = ? and event_date <= ?"
        " order by event_date desc limit 1",
        [week, until],
    )
    return dict(zip(STAGES, found[0] if found else [0] * len(STAGES), strict=True))


def _frame(marts: Warehouse, statement: str, parameters: list[object]) -> pd.DataFrame:
    return marts.execute(statement, parameters).df()


def _funnel_row(marts: Warehouse, week: dt.date) -> pd.DataFrame:
    row = _frame(marts, "from funnel_by_week where week_start_date = ?", [week])
    return row if len(row) else _whole_row(marts, dt.date.min)


def _whole_row(marts: Warehouse, week: dt.date) -> pd.DataFrame:
    """The funnel of all weeks up to one."""
    until = "from int_funnel_weeks where week_start_date <= ?"
    return _frame(marts, f"with int_funnel_weeks as ({until}) from ({_whole_funnel()})", [week])


@lru_cache(maxsize=1)
def _whole_funnel() -> str:
    # Writing the statement takes more than running it.
    return to_sql(whole_funnel(TABLES["int_funnel_weeks"].unbound()))


def _dates(marts: Warehouse, week: dt.date) -> pd.DataFrame:
    return _frame(
        marts,
        f"select {', '.join(TABLES['funnel_by_date'].names)} from funnel_by_date"
        " where event_date >= ? and event_date < ? order by event_date",
        [week - (DATES_WEEKS - 1) * WEEK, week + WEEK],
    )


def _products(marts: Warehouse, week: dt.date) -> pd.DataFrame:
    """What was viewed or in stock in the week: one row per product."""
    return _frame(
        marts,
        "select product_id, coalesce(stock.product_name, seen.product_name, product_id) as product_name,"
        " coalesce(page_view, 0) as page_view, coalesce(add_to_cart, 0) as add_to_cart,"
        " coalesce(checkout, 0) as checkout, inventory, state"
        " from (from funnel_by_product_week where week_start_date = $1) as seen"
        " full join (from inventory_changes where week_start_date = $1) as stock using (product_id)"
        " order by page_view desc, product_name, product_id",
        [week],
    )


def _changes(marts: Warehouse, week: dt.date) -> pd.DataFrame:
    return _frame(
        marts,
        "select coalesce(product_name, product_id) as product_name, previous_inventory, inventory, change, state"
        " from inventory_changes where week_start_date = ? and state <> 'same'"
        " order by abs(change) desc nulls last, product_name, product_id",
        [week],
    )


def _fluctuations(marts: Warehouse, week: dt.date) -> pd.DataFrame:
    """The products with the most changes of inventory up to the week's end: one row per product."""
    window = marts.settings.fluctuation_weeks
    first = week - (window - 1) * WEEK if window else dt.date(1, 1, 1)
    return _frame(
        marts,
        "with moved as (select product_id, max_by(product_name, week_start_date) as product_name,"
        " sum(changes)::bigint as changes, sum(inflow)::bigint as inflow, sum(outflow)::bigint as outflow,"
        " max(max_inventory) - min(min_inventory) as range"
        " from inventory where week_start_date between ? and ? group by product_id)"
        " select dense_rank() over (order by changes desc) as rank, coalesce(product_name, product_id) as product_name,"
        " changes, inflow + outflow as volume, inflow, outflow, range from moved where changes > 0"
        " qualify row_number() over (order by changes desc, volume desc, product_name, product_id) <= 20"
        " or rank = 1 order by rank, volume desc, product_name, product_id",
        [first, week],
    )


def _stockouts(
    marts: Warehouse, week: dt.date, starts_at: dt.datetime, ends_at: dt.datetime, observed_until: dt.datetime
) -> pd.DataFrame:
    """Times without stock that touch the last weeks, as they were known at the week's end: one row per episode."""
    first = marts.calendar.starts_at(week - (STOCKOUT_WEEKS - 1) * WEEK)
    until = min(ends_at, observed_until)
    return _frame(
        marts,
        "with known as (select coalesce(product_name, product_id) as product_name, out_of_stock_at, min_inventory,"
        " out_of_stock_at + to_microseconds((hours_out * 3600000000)::bigint) as ended_at, restocked_at, is_ongoing,"
        " restock_quantity from stockouts)"
        " select product_name, out_of_stock_at, least(ended_at, $3) as until_at,"
        " epoch(least(ended_at, $3) - out_of_stock_at) / 3600 as hours_out,"
        " is_ongoing or ended_at >= $2 as is_out,"
        " case when restocked_at < $2 then restocked_at end as restocked_at,"
        " case when restocked_at < $2 then restock_quantity end as restock_quantity, min_inventory"
        " from known where out_of_stock_at < $2 and (ended_at > $1 or is_ongoing)"
        " order by is_out desc, out_of_stock_at desc, product_name",
        [first, ends_at, until],
    )


def _out_lately(marts: Warehouse, week: dt.date) -> list[str]:
    """Products without stock at some time in the last three weeks with an inventory."""
    found = marts.rows(
        "select distinct coalesce(product_name, product_id) as name from inventory where min_inventory <= 0"
        " and week_start_date in (select distinct week_start_date from inventory where week_start_date <= ?"
        " order by week_start_date desc limit ?) order by name",
        [week, OUT_WEEKS],
    )
    return [row[0] for row in found]


def _out_at_end(marts: Warehouse, week: dt.date) -> int | None:
    """Products without stock at the week's end; None where nothing is known of the week."""
    found = marts.rows(
        "select count(*), count(*) filter (where inventory <= 0) from inventory_changes where week_start_date = ?",
        [week],
    )
    rows, out = found[0]
    return int(out) if rows else None
