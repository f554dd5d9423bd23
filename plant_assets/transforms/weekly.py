"""What a week is told by at its end: numbers of the week, numbers up to it, and what was known then.

Made from tables that have weeks already. What makes their weeks is in `inventory.py` and `funnel.py`.
"""

from collections.abc import Sequence

import ibis
import pandas as pd
from ibis import _

from plant_assets.contracts import STAGES, TABLES, THE_WEEK, UNTIL_WEEK
from plant_assets.transforms.events import Offsets, local_instant
from plant_assets.transforms.funnel import with_rates
from plant_assets.transforms.steps import funnel_steps

# How many weeks "lately" are: for products those that have an inventory, for episodes any.
OUT_WEEKS, STOCKOUT_WEEKS = 3, 8


def inventory_until_week(inventory: ibis.Table, weeks: ibis.Table, most_weeks: int | None = None) -> ibis.Table:
    """How often and how far stock moved up to a week's end, and where it ran out. One row per week and product.

    Moves are those of all weeks until then or, with `most_weeks`, of so many, the week itself the last. A product that
    was held in no week that is looked at has no row.
    """
    rows = _looked_at(inventory, weeks, most_weeks)
    is_counted = rows.is_counted if most_weeks else None
    products = rows.group_by("until", "product_id").aggregate(
        product_name=rows.product_name.argmax(rows.week_start_date, where=rows.product_name.notnull()),
        **{name: _total(rows[name], is_counted) for name in ("changes", "inflow", "outflow")},
        range=rows.max_inventory.max(where=is_counted) - rows.min_inventory.min(where=is_counted),
        hours_out_lately=rows.hours_out_of_stock.sum(where=rows.is_lately).coalesce(0.0),
        was_out_lately=rows.was_out.any(),
        is_out=rows.is_out.any(),
        was_out_before=rows.was_out_before.any(),
    )
    rank = ibis.dense_rank().over(group_by="until", order_by=ibis.desc("changes")) + 1
    is_newly_out = _.was_out_lately & ~_.was_out_before
    ranked = products.mutate(rank=rank, volume=_.inflow + _.outflow, is_newly_out=is_newly_out)
    # Renamed last: DataFusion would order the names above by a group's column of that name.
    return ranked.rename(week_start_date="until").select(TABLES["inventory_until_week"].names)


def _looked_at(inventory: ibis.Table, weeks: ibis.Table, most_weeks: int | None) -> ibis.Table:
    """The rows of `inventory` that a week, `until`, looks back at. One row per week, product and week looked at."""
    ends = _ends(inventory, weeks)
    rows = ends.join(inventory, inventory.week_start_date <= ends.until)
    is_lately, is_counted = rows.week_start_date >= rows.lately_since, ibis.literal(True)
    if most_weeks:
        is_counted = rows.week_start_date > rows.until - ibis.interval(days=7 * most_weeks)
        rows = rows.filter(is_counted | is_lately)
    was_out = (rows.min_inventory <= 0).fill_null(False) & is_lately
    return rows.mutate(
        is_counted=is_counted,
        is_lately=is_lately,
        was_out=was_out,
        was_out_before=was_out & (rows.week_start_date < rows.latest),
        is_out=(rows.closing_inventory <= 0).fill_null(False) & (rows.week_start_date == rows.until),
    )


def _ends(inventory: ibis.Table, weeks: ibis.Table) -> ibis.Table:
    """Each week with the first and last of the `OUT_WEEKS` weeks up to it that have an inventory."""
    with_stock = inventory.select("week_start_date").distinct()
    numbered = with_stock.mutate(number=ibis.row_number().over(order_by="week_start_date"))
    ends = weeks.select(until="week_start_date")
    before = ends.join(numbered, numbered.week_start_date <= ends.until)
    first_number = ibis.greatest(_.number.max() - (OUT_WEEKS - 1), 0)
    latest = before.group_by("until").aggregate(latest=_.week_start_date.max(), number=first_number)
    return latest.join(numbered.select("number", lately_since="week_start_date"), "number").drop("number")


def _total(counts: ibis.Value, where: ibis.Value | None = None) -> ibis.Value:
    """Add up counts, 0 without any.

    DuckDB's sum of BIGINT is a HUGEINT, and a view keeps that. Ibis assumes int64 and leaves out a cast to it, so the
    cast goes by way of a decimal.
    """
    return counts.sum(where=where).coalesce(0).cast("decimal(38,0)").cast("int64")


def stockouts_by_week(stockouts: ibis.Table, weeks: ibis.Table, offsets: Offsets) -> ibis.Table:
    """Times without stock as they were known at a week's end. One row per week and episode.

    Episodes are those that touch the last `STOCKOUT_WEEKS` weeks, the week itself the last. `offsets` are those of
    the weeks' zone.
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


def funnel_until_week(funnel_weeks: ibis.Table, weeks: ibis.Table) -> ibis.Table:
    """The funnel of all weeks up to a week's end. One row per week of the calendar."""
    ends = weeks.select(until="week_start_date")
    counted = ends.left_join(funnel_weeks, funnel_weeks.week_start_date <= ends.until)
    totals = counted.group_by(week_start_date="until").aggregate(**{stage: _total(counted[stage]) for stage in STAGES})
    return with_rates(totals).select(TABLES["funnel_until_week"].names)


def funnel_steps_by_week(
    funnel_by_week: pd.DataFrame, funnel_until_week: pd.DataFrame, stages: Sequence[str]
) -> pd.DataFrame:
    """The steps of both funnels, from each stage to the next. One row per week, period and step.

    Steps are those between the `stages` of the store, and those from or to a stage that it does not have.
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
