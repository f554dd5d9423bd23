"""Numbers of a week as of its end: up to it, and as they were known then. They are made from tables with weeks."""

from collections.abc import Sequence

import ibis
import pandas as pd
from ibis import _

from plant_assets.contracts import STAGES, TABLES, THE_WEEK, UNTIL_WEEK
from plant_assets.transforms.events import Offsets, local_instant
from plant_assets.transforms.funnel import with_rates
from plant_assets.transforms.rates import share
from plant_assets.transforms.steps import funnel_steps

# How many weeks "lately" are: for products those that have an inventory, for episodes any.
OUT_WEEKS, STOCKOUT_WEEKS = 3, 8


def inventory_until_week(inventory: ibis.Table, weeks: ibis.Table, most_weeks: int | None = None) -> ibis.Table:
    """Return how often and how far stock moved up to a week's end, and where it ran out. One row per week and product.

    A product has a row from the first week that holds it, as long as one of the weeks looked at does.

    Args:
        inventory: all weeks of the table.
        weeks: the calendar.
        most_weeks: how many weeks to count moves in, the week itself the last; default all up to it.
    """
    held = _every_week(inventory, weeks)
    counted = ibis.window(
        group_by="product_id", order_by="until", preceding=most_weeks - 1 if most_weeks else None, following=0
    )
    so_far = ibis.window(group_by="product_id", order_by="until", preceding=None, following=0)
    moved = held.select(
        "until",
        "product_id",
        **{name: _total(held[name], counted) for name in ("changes", "inflow", "outflow")},
        range=held.max_inventory.max().over(counted) - held.min_inventory.min().over(counted),
        is_held=held.week_start_date.count().over(counted) > 0,
        is_out=(held.closing_inventory <= 0).fill_null(False),
        named_in=held.product_name.notnull().ifelse(held.until, ibis.null("date")).max().over(so_far),
    )
    lately = _lately(inventory, weeks)
    names = inventory.select("product_id", "product_name", named_in="week_start_date")
    rows = moved.left_join(lately, ["until", "product_id"], rname="{name}_lately").left_join(
        names, ["product_id", "named_in"], rname="{name}_named"
    )
    seen = rows.filter(rows.is_held | rows.was_out_lately.notnull()).mutate(
        hours_out_lately=_.hours_out_lately.coalesce(0.0),
        was_out_lately=_.was_out_lately.fill_null(False),
        is_newly_out=_.is_newly_out.fill_null(False),
        volume=_.inflow + _.outflow,
        rank=ibis.dense_rank().over(group_by="until", order_by=ibis.desc("changes")) + 1,
    )
    # Renamed last: DataFusion would order the names above by a group's column of that name.
    return seen.rename(week_start_date="until").select(TABLES["inventory_until_week"].names)


def _every_week(inventory: ibis.Table, weeks: ibis.Table) -> ibis.Table:
    """Return the inventory with rows of NULLs for later weeks that do not hold a product. One row per week and product.

    The week is `until`; `week_start_date` is NULL where the product is not held.
    """
    first = inventory.group_by("product_id").aggregate(first=_.week_start_date.min())
    ends = weeks.select(until="week_start_date")
    grid = ends.join(first, first.first <= ends.until).drop("first")
    of_week = [grid.product_id == inventory.product_id, grid.until == inventory.week_start_date]
    return grid.left_join(inventory, of_week).drop("product_id_right")


def _lately(inventory: ibis.Table, weeks: ibis.Table) -> ibis.Table:
    """Return what was out of stock in the last `OUT_WEEKS` weeks with an inventory. One row per week and product."""
    with_stock = inventory.select("week_start_date").distinct()
    numbered = with_stock.mutate(number=ibis.row_number().over(order_by="week_start_date"))
    ends = weeks.select(until="week_start_date")
    before = ends.join(numbered, numbered.week_start_date <= ends.until)
    last = before.group_by("until").aggregate(last=_.number.max())
    near = last.join(numbered, (numbered.number <= last.last) & (numbered.number > last.last - OUT_WEEKS))
    rows = near.join(inventory, "week_start_date")
    was_out, is_last = (rows.min_inventory <= 0).fill_null(False), rows.number == rows.last
    products = rows.group_by("until", "product_id").aggregate(
        hours_out_lately=rows.hours_out_of_stock.sum().coalesce(0.0),
        was_out_lately=was_out.any(),
        was_out_before=(was_out & ~is_last).any(),
    )
    return products.mutate(is_newly_out=_.was_out_lately & ~_.was_out_before).drop("was_out_before")


def _total(counts: ibis.Value, window: ibis.Value | None = None) -> ibis.Value:
    """Return the sum of counts, in a group or over a window; 0 if there is none.

    DuckDB's sum of BIGINT is a HUGEINT, and a view keeps that. Ibis assumes int64 and leaves out a cast to it, so the
    cast goes by way of a decimal.
    """
    total = counts.sum() if window is None else counts.sum().over(window)
    return total.coalesce(0).cast("decimal(38,0)").cast("int64")


def stockouts_by_week(stockouts: ibis.Table, weeks: ibis.Table, offsets: Offsets) -> ibis.Table:
    """Return times without stock as they were known at a week's end. One row per week and episode.

    Episodes touch the last `STOCKOUT_WEEKS` weeks, the week itself the last. `offsets` are those of the store's zone.
    """
    begun = weeks.join(stockouts, stockouts.out_of_stock_at < weeks.ends_at)
    seconds = (begun.hours_out * 3600).round().cast("int64")
    known = begun.mutate(ended_at=begun.out_of_stock_at + seconds.as_interval("s"))
    first = (known.week_start_date - ibis.interval(days=7 * (STOCKOUT_WEEKS - 1))).cast("timestamp(6)")
    touching = known.filter(known.is_ongoing | (local_instant(known.ended_at, offsets) > first))
    until = ibis.least(touching.ended_at, touching.ends_at)
    is_over = touching.restocked_at < touching.ends_at
    return touching.mutate(
        until_at=until,
        hours_out=(until.epoch_seconds() - touching.out_of_stock_at.epoch_seconds()).cast("float64") / 3600.0,
        is_out=touching.is_ongoing | (touching.ended_at >= touching.ends_at),
        restocked_at=is_over.ifelse(touching.restocked_at, ibis.null("timestamp(6)")),
        restock_quantity=is_over.ifelse(touching.restock_quantity, ibis.null("int64")),
    ).select(TABLES["stockouts_by_week"].names)


def inventory_by_week(inventory_changes: ibis.Table) -> ibis.Table:
    """Return how many products changed and were out of stock. One row per week with a row of inventory_changes."""
    counts = inventory_changes.group_by("week_start_date").aggregate(
        products_changed=_.count(where=inventory_changes.change != 0).coalesce(0),
        out_of_stock=_.count(where=inventory_changes.inventory <= 0).coalesce(0),
    )
    next_monday = (counts.week_start_date.cast("timestamp(6)") + ibis.interval(days=7)).date()
    before = counts.select(week_start_date=next_monday, out_of_stock_before="out_of_stock")
    both = counts.left_join(before, "week_start_date", rname="{name}_before")
    change = both.out_of_stock - both.out_of_stock_before
    compared = both.mutate(change=change, change_rate=share(change, both.out_of_stock_before))
    return compared.select(TABLES["inventory_by_week"].names)


def funnel_until_week(funnel_weeks: ibis.Table, weeks: ibis.Table) -> ibis.Table:
    """Return the funnel of all weeks up to a week's end. One row per week of the calendar."""
    ends = weeks.select(until="week_start_date")
    counted = ends.left_join(funnel_weeks, funnel_weeks.week_start_date <= ends.until)
    totals = counted.group_by(week_start_date="until").aggregate(**{stage: _total(counted[stage]) for stage in STAGES})
    return with_rates(totals).select(TABLES["funnel_until_week"].names)


def funnel_steps_by_week(
    funnel_by_week: pd.DataFrame, funnel_until_week: pd.DataFrame, stages: Sequence[str]
) -> pd.DataFrame:
    """Return the steps of both funnels, from each stage to the next. One row per week, period and step.

    There are steps between the `stages` of the store, and steps from or to a stage that it does not have.
    """
    both = ((THE_WEEK, funnel_by_week), (UNTIL_WEEK, funnel_until_week))
    steps = pd.concat([_steps(counts, stages).assign(period=period) for period, counts in both], ignore_index=True)
    return steps[TABLES["funnel_steps_by_week"].names]


def _steps(funnels: pd.DataFrame, stages: Sequence[str]) -> pd.DataFrame:
    weeks = funnels.assign(week_start_date=pd.to_datetime(funnels["week_start_date"]).dt.date)
    every, in_store = (funnel_steps(weeks, each, by=["week_start_date"]) for each in (STAGES, stages))
    is_other = ~(every["from_stage"].isin(stages) & every["to_stage"].isin(stages))
    others = every[is_other].assign(is_largest_by_count=False, is_largest_by_rate=False)
    return pd.concat([in_store.assign(is_in_store=True), others.assign(is_in_store=False)])
