"""What one week's page speaks of, selected from the published marts. Knows no HTML, no chart and no clock.

What a number means is for `transforms/` to say.
"""

import datetime as dt
from dataclasses import dataclass

import pandas as pd

from plant_assets.calendar import WEEK
from plant_assets.contracts import STAGES, TABLES, THE_WEEK, UNTIL_WEEK
from plant_assets.readers.weeks import AS_OF, EVENTS_UNTIL, OBSERVED_UNTIL, is_stock_observed, noted_instant
from plant_assets.warehouse.marts import Marts

DATES_WEEKS = 8
MOST_FLUCTUATING = 20

COUNTS = ", ".join(STAGES)

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
    is_stock_observed: bool
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
        """Whether the week has not ended."""
        return self.as_of < self.ends_at

    @property
    def has_events(self) -> bool:
        """Whether a session has any stage in the week."""
        return any(self.funnel.values())


def read_figures(marts: Marts, week: dt.date) -> Figures:
    """Return the figures of a week that has any."""
    calendar = marts.calendar
    starts_at, ends_at = calendar.starts_at(week), calendar.starts_at(week + WEEK)
    as_of = noted_instant(marts, AS_OF) or ends_at
    events_until, observed_until = noted_instant(marts, EVENTS_UNTIL), noted_instant(marts, OBSERVED_UNTIL)
    until = week + WEEK - dt.timedelta(days=1)
    if as_of < ends_at:
        # Only whole days are compared: the last one is not over.
        until = calendar.date_of(min(as_of, events_until or as_of)) - dt.timedelta(days=1)
    weeks = marts.value("select min(week_start_date) from weeks")
    comparison = None
    if until >= week and weeks is not None and week - WEEK >= weeks:
        comparison = Comparison(until, _counts_to(marts, week, until), _counts_to(marts, week - WEEK, until - WEEK))
    return Figures(
        week=week,
        zone=calendar.zone_name,
        starts_at=starts_at,
        ends_at=ends_at,
        as_of=as_of,
        events_until=events_until,
        observed_until=observed_until,
        is_stock_observed=is_stock_observed(marts, week),
        is_stock_complete=marts.value(
            "select exists (from inventory where week_start_date = ? and is_complete)", [week]
        ),
        stages=marts.stages(),
        funnel=_counts_to(marts, week, week + WEEK),
        comparison=comparison,
        steps=_steps(marts, week, THE_WEEK),
        whole=_counts(marts.rows(f"select {COUNTS} from funnel_until_week where week_start_date = ?", [week])),
        whole_steps=_steps(marts, week, UNTIL_WEEK),
        dates=_dates(marts, week),
        products=_products(marts, week),
        changes=_changes(marts, week),
        fluctuations=_fluctuations(marts, week),
        stockouts=_stockouts(marts, week),
        out_lately=_out_lately(marts, week),
        out_at_end=_out_at_end(marts, week) or 0,
        out_before=_out_at_end(marts, week - WEEK),
    )


def _counts_to(marts: Marts, week: dt.date, until: dt.date) -> Counts:
    """Return the sessions of each stage from a Monday up to and with a date."""
    return _counts(
        marts.rows(
            f"select {COUNTS} from funnel_to_date where week_start_date = ? and event_date <= ?"
            " order by event_date desc limit 1",
            [week, until],
        )
    )


def _counts(rows: list[tuple[int, ...]]) -> Counts:
    return dict(zip(STAGES, rows[0] if rows else [0] * len(STAGES), strict=True))


def _steps(marts: Marts, week: dt.date, period: str) -> pd.DataFrame:
    """Return the steps between the store's stages, in their order: one row per step, none in a week without events."""
    steps = marts.frame(
        f"select {', '.join(TABLES['funnel_steps'].names)} from funnel_steps_by_week"
        " where week_start_date = ? and period = ? and is_in_store",
        [week, period],
    )
    return steps.sort_values("from_stage", key=lambda stages: stages.map(STAGES.index), ignore_index=True)


def _dates(marts: Marts, week: dt.date) -> pd.DataFrame:
    return marts.frame(
        f"select {', '.join(TABLES['funnel_by_date'].names)} from funnel_by_date"
        " where event_date >= ? and event_date < ? order by event_date",
        [week - (DATES_WEEKS - 1) * WEEK, week + WEEK],
    )


def _products(marts: Marts, week: dt.date) -> pd.DataFrame:
    """Return what was viewed or in stock in the week: one row per product."""
    return marts.frame(
        "select product_id, coalesce(stock.product_name, seen.product_name, product_id) as product_name,"
        " coalesce(page_view, 0) as page_view, coalesce(add_to_cart, 0) as add_to_cart,"
        " coalesce(checkout, 0) as checkout, inventory, state"
        " from (from funnel_by_product_week where week_start_date = $1) as seen"
        " full join (from inventory_changes where week_start_date = $1) as stock using (product_id)"
        " order by page_view desc, product_name, product_id",
        [week],
    )


def _changes(marts: Marts, week: dt.date) -> pd.DataFrame:
    return marts.frame(
        "select coalesce(product_name, product_id) as product_name, previous_inventory, inventory, change, state"
        " from inventory_changes where week_start_date = ? and state <> 'same'"
        " order by abs(change) desc nulls last, product_name, product_id",
        [week],
    )


def _fluctuations(marts: Marts, week: dt.date) -> pd.DataFrame:
    """Return the products with the most changes of inventory up to the week's end: one row per product."""
    return marts.frame(
        "select rank, coalesce(product_name, product_id) as product_name, changes, volume, inflow, outflow, range"
        " from inventory_until_week where week_start_date = ? and changes > 0"
        " qualify row_number() over (order by changes desc, volume desc, product_name, product_id) <= ? or rank = 1"
        " order by rank, volume desc, product_name, product_id",
        [week, MOST_FLUCTUATING],
    )


def _stockouts(marts: Marts, week: dt.date) -> pd.DataFrame:
    """Return the times without stock that touch the last weeks, as known at the week's end: one row per episode."""
    return marts.frame(
        "select coalesce(product_name, product_id) as product_name, out_of_stock_at, until_at, hours_out, is_out,"
        " restocked_at, restock_quantity from stockouts_by_week where week_start_date = ?"
        " order by is_out desc, out_of_stock_at desc, product_name",
        [week],
    )


def _out_lately(marts: Marts, week: dt.date) -> list[str]:
    """Return the names of products without stock at some time in the last three weeks with an inventory."""
    found = marts.rows(
        "select distinct coalesce(product_name, product_id) as name from inventory_until_week"
        " where week_start_date = ? and was_out_lately order by name",
        [week],
    )
    return [row[0] for row in found]


def _out_at_end(marts: Marts, week: dt.date) -> int | None:
    """Return how many products have no stock at the week's end; None where nothing is known of the week."""
    out: int | None = marts.value(
        "select (select count(*) from inventory_until_week where week_start_date = $week and is_out)"
        " where exists (from inventory_changes where week_start_date = $week)",
        {"week": week},
    )
    return out
