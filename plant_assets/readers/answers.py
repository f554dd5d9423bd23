"""The four answers, selected from the published marts. How they are written is in `answers_text.py`."""

import datetime as dt
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from plant_assets.contracts import RATES, STAGES, UNTIL_WEEK
from plant_assets.settings import UsageError
from plant_assets.warehouse.marts import Marts

WEEKS = (
    "select distinct week_start_date from inventory where week_start_date <= coalesce(?, week_start_date)"
    " order by 1 desc limit 2"
)
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
    " and rank = 1 and range is not null order by volume desc, name"
)
COUNTS = ", ".join(STAGES + RATES)
STEP = "from_stage, to_stage, lost, points_lost"
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
class Answers:
    """What the store's analysts ask, as of the end of a week that has inventory."""

    week: dt.date | None
    previous_week: dt.date | None
    is_complete: bool
    inventory_changed: list[Change]
    most_fluctuating: list[Fluctuation]
    out_of_stock: list[OutOfStock]
    funnel: Funnel
    funnel_before: Funnel | None
    largest_drop_offs: list[dict[str, Any]]
    stages: tuple[str, ...] = STAGES


def read_answers(marts: Marts, week: dt.date | None = None) -> Answers:
    """Return the answers as of the last run that was published; with `week`, as of that week's end.

    Raises:
        UsageError: the marts have no inventory of the week.
    """
    latest, previous = _weeks(marts, week)
    return Answers(
        week=latest,
        previous_week=previous,
        is_complete=marts.value("select exists (from inventory where week_start_date = ? and is_complete)", [latest]),
        inventory_changed=[Change(*row) for row in marts.rows(CHANGED, [latest])],
        most_fluctuating=[Fluctuation(*row) for row in _most_fluctuating(marts, week)],
        out_of_stock=[OutOfStock(*row) for row in marts.rows(OUT_OF_STOCK, [latest])],
        funnel=_funnel_until(marts, week) if week else _funnel(marts.rows(f"select {COUNTS} from funnel")),
        funnel_before=_funnel_until(marts, previous) if previous else None,
        largest_drop_offs=_drop_offs(marts, week),
        stages=marts.stages(),
    )


def _weeks(marts: Marts, week: dt.date | None) -> tuple[dt.date | None, dt.date | None]:
    """Return the last week with an inventory, up to `week`, and the one before it."""
    weeks = [row[0] for row in marts.rows(WEEKS, [week])]
    if week and week not in weeks:
        first, last = marts.rows("select min(week_start_date), max(week_start_date) from inventory")[0]
        raise UsageError(f"no inventory of the week {week}: there is of {first} to {last}")
    return (*weeks, None, None)[:2]


def _most_fluctuating(marts: Marts, week: dt.date | None) -> list[tuple[Any, ...]]:
    if week is None:
        return marts.rows(MOST_FLUCTUATING.format("inventory_fluctuations", "true"))
    return marts.rows(MOST_FLUCTUATING.format("inventory_until_week", "week_start_date = ?"), [week])


def _funnel_until(marts: Marts, week: dt.date) -> Funnel:
    return _funnel(marts.rows(f"select {COUNTS} from funnel_until_week where week_start_date = ?", [week]))


def _funnel(rows: list[tuple[Any, ...]]) -> Funnel:
    return dict(zip(STAGES + RATES, rows[0], strict=True))


def _drop_offs(marts: Marts, week: dt.date | None) -> list[dict[str, Any]]:
    """Return the steps from each stage to the next, most lost first."""
    if week is None:
        rows = marts.rows(f"select {STEP} from funnel_steps")
    else:
        of_week = f"select {STEP} from funnel_steps_by_week where week_start_date = ? and period = '{UNTIL_WEEK}'"
        rows = marts.rows(of_week, [week])
    by_stages = {row[:2]: dict(zip(("from", "to", "lost", "points_lost"), row, strict=True)) for row in rows}
    return sorted((by_stages[stages] for stages in pairwise(STAGES)), key=lambda step: -step["lost"])
