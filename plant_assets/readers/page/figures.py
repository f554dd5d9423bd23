"""What one week's page speaks of, selected from the published marts. Knows no HTML, no chart and no clock.

What a number means is for `transforms/` to say.
"""

import datetime as dt
from dataclasses import dataclass, fields

import pandas as pd

from plant_assets.calendar import WEEK
from plant_assets.contracts import STAGES, TABLES, THE_WEEK, UNTIL_WEEK, WHOLE_DAYS
from plant_assets.readers.weeks import AS_OF, EVENTS_UNTIL, OBSERVED_UNTIL, is_stock_observed, noted_instant
from plant_assets.warehouse.marts import Marts

DATES_WEEKS = 8
MOST_FLUCTUATING = 20


@dataclass(frozen=True)
class Stage:
    """A stage of the funnel over a period: a row of funnel_stages_by_week."""

    until_date: dt.date
    sessions: int
    lost: int | None
    step_rate: float | None
    overall_rate: float | None
    overall_low: float | None
    overall_high: float | None
    sessions_before: int | None
    change: int | None
    change_rate: float | None
    overall_change: float | None
    overall_change_low: float | None
    overall_change_high: float | None


@dataclass(frozen=True)
class Stock:
    """The products of a week: a row of inventory_by_week."""

    products_changed: int
    out_of_stock: int
    change: int | None
    change_rate: float | None


Stages = dict[str, Stage]
STAGE, STOCK = (", ".join(each.name for each in fields(kind)) for kind in (Stage, Stock))
OF_PERIOD = f"select stage, {STAGE} from funnel_stages_by_week where week_start_date = ? and period = ?"
IN_STOCK = f"select {STOCK} from inventory_by_week where week_start_date = ?"


@dataclass(frozen=True)
class Figures:
    """The numbers of a week, as of its end.

    `whole_days` is empty if nothing is compared, `stock` None if nothing is known of any.
    """

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
    funnel: Stages
    whole_days: Stages
    whole: Stages
    stock: Stock | None
    steps: pd.DataFrame
    whole_steps: pd.DataFrame
    dates: pd.DataFrame
    products: pd.DataFrame
    changes: pd.DataFrame
    fluctuations: pd.DataFrame
    stockouts: pd.DataFrame
    out_lately: list[str]

    @property
    def is_running(self) -> bool:
        """Whether the week has not ended."""
        return self.as_of < self.ends_at

    @property
    def has_events(self) -> bool:
        """Whether a session has any stage in the week."""
        return any(stage.sessions for stage in self.funnel.values())


def read_figures(marts: Marts, week: dt.date) -> Figures:
    """Return the figures of a week that has any."""
    calendar = marts.calendar
    starts_at, ends_at = calendar.starts_at(week), calendar.starts_at(week + WEEK)
    return Figures(
        week=week,
        zone=calendar.zone_name,
        starts_at=starts_at,
        ends_at=ends_at,
        as_of=noted_instant(marts, AS_OF) or ends_at,
        events_until=noted_instant(marts, EVENTS_UNTIL),
        observed_until=noted_instant(marts, OBSERVED_UNTIL),
        is_stock_observed=is_stock_observed(marts, week),
        is_stock_complete=marts.value(
            "select exists (from inventory where week_start_date = ? and is_complete)", [week]
        ),
        stages=marts.stages(),
        funnel=_stages(marts, week, THE_WEEK),
        whole_days=_stages(marts, week, WHOLE_DAYS),
        whole=_stages(marts, week, UNTIL_WEEK),
        stock=next((Stock(*row) for row in marts.rows(IN_STOCK, [week])), None),
        steps=_steps(marts, week, THE_WEEK),
        whole_steps=_steps(marts, week, UNTIL_WEEK),
        dates=_dates(marts, week),
        products=_products(marts, week),
        changes=_changes(marts, week),
        fluctuations=_fluctuations(marts, week),
        stockouts=_stockouts(marts, week),
        out_lately=_out_lately(marts, week),
    )


def _stages(marts: Marts, week: dt.date, period: str) -> Stages:
    """Return the stages of a period by their names."""
    return {stage: Stage(*row) for stage, *row in marts.rows(OF_PERIOD, [week, period])}


def _steps(marts: Marts, week: dt.date, period: str) -> pd.DataFrame:
    """Return the steps between the store's stages, in their order: one row per step, none in a week without events."""
    steps = marts.frame(
        f"select {', '.join(TABLES['funnel_steps'].names)}, lost_rate from funnel_steps_by_week"
        " join (select week_start_date, period, stage as to_stage, lost_rate from funnel_stages_by_week)"
        " using (week_start_date, period, to_stage) where week_start_date = ? and period = ? and is_in_store",
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
        " coalesce(seen.page_view, 0) as page_view, coalesce(add_to_cart, 0) as add_to_cart,"
        " coalesce(seen.checkout, 0) as checkout, rate, rate_low, rate_high, store_rate,"
        " coalesce(is_ranked, false) as is_ranked, against_store, inventory, state"
        " from (from funnel_by_product_week where week_start_date = $1) as seen"
        " left join (from purchase_rate_by_product_week where week_start_date = $1) as bought using (product_id)"
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
