"""The four answers, selected from the published marts. How they are written is in `answers_text.py`."""

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from plant_assets.calendar import WEEK
from plant_assets.contracts import RATES, STAGES, THE_WEEK, UNTIL_WEEK
from plant_assets.readers.weeks import (
    AS_OF,
    is_stock_observed,
    noted_instant,
    require_figures,
    weeks_until_latest,
    weeks_with_figures,
)
from plant_assets.warehouse.marts import Marts

CHANGED = (
    "select coalesce(product_name, product_id) as name, previous_inventory, inventory, change, state"
    " from inventory_changes where week_start_date = ? and change <> 0 order by name, product_id"
)
OUT_OF_STOCK = (
    "select coalesce(product_name, product_id) as name, hours_out_lately, is_out, is_newly_out"
    " from inventory_until_week where week_start_date = ? and was_out_lately order by name, product_id"
)
MOST_FLUCTUATING = (
    "select coalesce(product_name, product_id) as name, changes, volume from {} where {}"
    " and rank = 1 and changes > 0 order by volume desc, name"
)
EMPTY_SHELF = (
    "select coalesce(product_name, product_id) as name, share_met_empty_shelf from product_demand"
    " where week_start_date = ? and view_sessions_out > 0 order by view_sessions_out desc, name, product_id"
)
IS_SHELF_KNOWN = "select exists (from product_demand where week_start_date = ? and views_in_stock + views_out > 0)"
SHORT_COVER = (
    "select coalesce(product_name, product_id) as name, days_of_cover from stock_status"
    " where days_of_cover > 0 and days_of_cover < 7 and note is null order by days_of_cover, product_id"
)
IS_COVER_KNOWN = "select exists (from stock_status where velocity is not null)"
COUNTS = ", ".join(STAGES + RATES)
DROP_OFFS = (
    "select from_stage, to_stage, lost, points_lost from funnel_steps_by_week where week_start_date = ?"
    f" and period = '{UNTIL_WEEK}' and is_in_store and lost > 0"
)
CHANGE = (
    "select stage, change, points_change from funnel_stages_by_week where week_start_date = ? and period = ?"
    " and change is not null"
)
NO_FUNNEL = (*(0 for _stage in STAGES), *(None for _rate in RATES))
SALES = (
    "select orders, units, revenue, average_order, buyers, new_buyers, returning_buyers from sales_by_week"
    " where week_start_date = ?"
)
# A count for each stage, a whole percent for each rate; None without page views.
Funnel = dict[str, int | None]


@dataclass(frozen=True)
class Change:
    """A product whose closing inventory, in units, is not that of the week before."""

    name: str
    previous: int
    inventory: int
    change: int
    state: str


@dataclass(frozen=True)
class Fluctuation:
    """A product with the most changes of inventory; `volume` is the units that went in and out."""

    name: str
    changes: int
    volume: int


@dataclass(frozen=True)
class OutOfStock:
    """A product that was out of stock in the last weeks: for how many hours of them, and at which end of them."""

    name: str
    hours: float
    is_out: bool
    is_new: bool


@dataclass(frozen=True)
class EmptyShelf:
    """A product that sessions of the week viewed while it was out of stock, and their share of those that viewed it."""

    name: str
    share: float


@dataclass(frozen=True)
class ShortCover:
    """A product whose stock lasts under a week at the rate at which it sells, and for how many days."""

    name: str
    days: float


@dataclass(frozen=True)
class Sales:
    """What was sold in a week, and to whom; no revenue is known where no order has a total."""

    orders: int
    units: int
    revenue: Decimal | None
    average_order: float | None
    buyers: int
    new_buyers: int
    returning_buyers: int


@dataclass(frozen=True)
class Answers:
    """What the store's analysts ask, as of the end of a week that has events or stock.

    The lists of products are None if no stock is known in the week, sales are if it has no order. `empty_shelf` is None
    if no view of the week has a known stock, too. `funnel` is of the whole store up to the week's end, `funnel_week` of
    the week alone; their changes are against the week before, in sessions and points. A week that is not complete is
    compared up to the weekday of its last event. How long stock lasts is told of the latest week only, if stock was
    observed closely enough: `short_cover` is None else.
    """

    week: dt.date | None
    previous_week: dt.date | None
    is_complete: bool
    inventory_changed: list[Change] | None
    most_fluctuating: list[Fluctuation] | None
    out_of_stock: list[OutOfStock] | None
    funnel: Funnel
    funnel_change: Funnel | None
    funnel_week: Funnel
    funnel_week_change: Funnel | None
    sales: Sales | None
    largest_drop_offs: list[dict[str, Any]]
    stages: tuple[str, ...] = STAGES
    empty_shelf: list[EmptyShelf] | None = None
    short_cover: list[ShortCover] | None = None


def read_answers(marts: Marts, week: dt.date | None = None) -> Answers:
    """Return the answers as of the last run that was published; with `week`, as of that week's end.

    Raises:
        UsageError: the marts have no figures of the week.
    """
    latest, previous = _weeks(marts, week)
    is_observed = is_stock_observed(marts, latest)
    is_complete = _is_complete(marts, latest, is_observed)
    is_latest = week is None or week == weeks_until_latest(marts)[-1]
    return Answers(
        week=latest,
        previous_week=previous,
        is_complete=is_complete,
        inventory_changed=[Change(*row) for row in marts.rows(CHANGED, [latest])] if is_observed else None,
        most_fluctuating=[Fluctuation(*row) for row in _most_fluctuating(marts, week)] if is_observed else None,
        out_of_stock=[OutOfStock(*row) for row in marts.rows(OUT_OF_STOCK, [latest])] if is_observed else None,
        funnel=_funnel_until(marts, week) if week else _funnel(marts.rows(f"select {COUNTS} from funnel")),
        funnel_change=_change(marts, latest, UNTIL_WEEK),
        funnel_week=_funnel_of(marts, latest),
        funnel_week_change=_change(marts, latest, THE_WEEK),
        sales=next((Sales(*row) for row in marts.rows(SALES, [latest])), None),
        largest_drop_offs=_drop_offs(marts, latest),
        stages=marts.stages(),
        empty_shelf=_empty_shelf(marts, latest),
        short_cover=_short_cover(marts) if is_observed and is_latest else None,
    )


def _weeks(marts: Marts, week: dt.date | None) -> tuple[dt.date | None, dt.date | None]:
    """Return the week, by default the latest, and the one with figures before it."""
    if week is None:
        weeks = weeks_until_latest(marts)
    else:
        require_figures(marts, week)
        weeks = [each for each in weeks_with_figures(marts) if each <= week]
    latest, previous, *_earlier = *weeks[::-1], None, None
    return latest, previous


def _is_complete(marts: Marts, week: dt.date | None, is_observed: bool) -> bool:
    """Tell whether a week's stock is observed up to its end; without any stock, whether the week is over."""
    if week and not is_observed:
        ends_at = marts.calendar.starts_at(week + WEEK)
        return (noted_instant(marts, AS_OF) or ends_at) >= ends_at
    return bool(marts.value("select exists (from inventory where week_start_date = ? and is_complete)", [week]))


def _most_fluctuating(marts: Marts, week: dt.date | None) -> list[tuple[Any, ...]]:
    if week is None:
        return marts.rows(MOST_FLUCTUATING.format("inventory_fluctuations", "true"))
    return marts.rows(MOST_FLUCTUATING.format("inventory_until_week", "week_start_date = ?"), [week])


def _empty_shelf(marts: Marts, week: dt.date | None) -> list[EmptyShelf] | None:
    if not marts.value(IS_SHELF_KNOWN, [week]):
        return None
    return [EmptyShelf(*row) for row in marts.rows(EMPTY_SHELF, [week])]


def _short_cover(marts: Marts) -> list[ShortCover] | None:
    return [ShortCover(*row) for row in marts.rows(SHORT_COVER)] if marts.value(IS_COVER_KNOWN) else None


def _funnel_until(marts: Marts, week: dt.date) -> Funnel:
    return _funnel(marts.rows(f"select {COUNTS} from funnel_until_week where week_start_date = ?", [week]))


def _change(marts: Marts, week: dt.date | None, period: str) -> Funnel | None:
    """Return by how many sessions and points a funnel differs from the one before it; None if there is none."""
    found = {stage: (change, points) for stage, change, points in marts.rows(CHANGE, [week, period])}
    if not found:
        return None
    counts = {stage: found[stage][0] for stage in STAGES}
    return counts | {rate: found[stage][1] for stage, rate in zip(STAGES, RATES, strict=True)}


def _funnel_of(marts: Marts, week: dt.date | None) -> Funnel:
    """Return the funnel of a week alone; zeros without an event."""
    found = marts.rows(f"select {COUNTS} from funnel_by_week where week_start_date = ?", [week])
    return _funnel(found or [NO_FUNNEL])


def _funnel(rows: list[tuple[Any, ...]]) -> Funnel:
    return dict(zip(STAGES + RATES, rows[0], strict=True))


def _drop_offs(marts: Marts, week: dt.date | None) -> list[dict[str, Any]]:
    """Return the steps between the store's stages that lose sessions up to a week's end, most lost first."""
    steps = [
        dict(zip(("from", "to", "lost", "points_lost"), row, strict=True)) for row in marts.rows(DROP_OFFS, [week])
    ]
    return sorted(steps, key=lambda step: (-step["lost"], STAGES.index(step["from"])))
