"""The stages of each week's funnel, and how they compare with the week before."""

import datetime as dt
from collections.abc import Sequence

import ibis
from ibis import _

from plant_assets.contracts import STAGES, TABLES, THE_WEEK, UNTIL_WEEK, WHOLE_DAYS
from plant_assets.transforms.funnel import whole_percent
from plant_assets.transforms.rates import newcombe, share, wilson

# A span: the dates that are counted of a week and period, and the same of the week that it is compared with.
SPAN = ("week_start_date", "period", "until_date", "week_before", "before_until_date")
STAGE = ("week_start_date", "period", "stage")
NO_DATE, NO_COUNT = ibis.null("date"), ibis.null("int64")


def funnel_stages_by_week(
    funnel_to_date: ibis.Table,
    funnel_until_week: ibis.Table,
    inventory: ibis.Table,
    weeks: ibis.Table,
    stages: Sequence[str],
    today: dt.date,
) -> ibis.Table:
    """Return the rates of each stage and their change. One row per week, period and stage.

    Args:
        funnel_to_date: all rows of the table.
        funnel_until_week: all rows of the table.
        inventory: all rows of the table.
        weeks: the calendar.
        stages: the stages that the store has, in order.
        today: the date that it is, on the store's clock.
    """
    spans = _spans(funnel_to_date, inventory, weeks, ibis.literal(today, "date"))
    counts = _counts(_sides(spans), funnel_to_date, funnel_until_week)
    earlier = dict(zip(stages[1:], stages[:-1], strict=True))
    return _compared(_with_rates(ibis.union(*(_stage(counts, stage, earlier.get(stage)) for stage in STAGES))))


def _spans(funnel_to_date: ibis.Table, inventory: ibis.Table, weeks: ibis.Table, today: ibis.Value) -> ibis.Table:
    """Return which dates are counted and compared. One row per week and period."""
    mondays = _mondays(funnel_to_date, inventory, weeks, today)
    before = mondays.figures_before
    # A week that is not complete is compared up to the weekday of its last event.
    is_cut = ~mondays.is_complete & mondays.last_date.notnull()
    same_day = _days_after(before, is_cut.ifelse(mondays.last_date.day_of_week.index(), 6))
    sunday = _days_after(mondays.week_start_date, 6)
    found = mondays.select("week_start_date", until_date=sunday, week_before=before, before_until_date=same_day)
    until_week = found.mutate(period=ibis.literal(UNTIL_WEEK), before_until_date=_days_after(found.week_before, 6))
    whole_days = _whole_days(mondays, today)
    return ibis.union(
        found.mutate(period=ibis.literal(THE_WEEK)).select(SPAN), until_week.select(SPAN), whole_days.select(SPAN)
    )


def _mondays(funnel_to_date: ibis.Table, inventory: ibis.Table, weeks: ibis.Table, today: ibis.Value) -> ibis.Table:
    """Return what is known of each week of the calendar. One row per week.

    Columns: week_start_date, last_date (of an event in it), last_of_all, figures_before (the last week before it with
    an event or an inventory), is_first, is_complete (its stock is observed up to its end; without stock, it is over).
    """
    events = funnel_to_date.group_by("week_start_date").aggregate(last_date=_.event_date.max())
    stock = inventory.group_by("week_start_date").aggregate(
        is_observed=inventory.min_inventory.notnull().any(), is_stock_complete=inventory.is_complete.any()
    )
    both = (
        weeks.select("week_start_date")
        .left_join(events, "week_start_date", rname="{name}_of_events")
        .left_join(stock, "week_start_date", rname="{name}_of_stock")
    )
    has_figures = both.last_date.notnull() | both.is_stock_complete.notnull()
    is_over = _days_after(both.week_start_date, 7) <= today
    earlier = ibis.window(order_by="week_start_date", preceding=(None, 1))
    return both.select(
        "week_start_date",
        "last_date",
        last_of_all=both.last_date.max().over(),
        figures_before=has_figures.ifelse(both.week_start_date, NO_DATE).max().over(earlier),
        is_first=both.week_start_date == both.week_start_date.min().over(),
        is_complete=both.is_observed.fill_null(False).ifelse(both.is_stock_complete, is_over),
    )


def _whole_days(mondays: ibis.Table, today: ibis.Value) -> ibis.Table:
    """Return the days of each week that are over, and the same days of the week before. One row per week with both.

    The day of the last event is not over: more of its events may come.
    """
    yesterday = _days_after(ibis.least(today, mondays.last_of_all.coalesce(today)), -1)
    sunday = _days_after(mondays.week_start_date, 6)
    until = (sunday < today).ifelse(sunday, yesterday)
    days = mondays.filter(~mondays.is_first).mutate(period=ibis.literal(WHOLE_DAYS), until_date=until)
    days = days.filter(days.until_date >= days.week_start_date)
    return days.mutate(
        week_before=_days_after(days.week_start_date, -7), before_until_date=_days_after(days.until_date, -7)
    )


def _days_after(date: ibis.Value, days: ibis.Value | int) -> ibis.Value:
    """Return the date that is so many days after another one."""
    # As an instant: engines disagree on the type of a date and an interval.
    length = ibis.interval(days=days) if isinstance(days, int) else days.as_interval("D")
    return (date.cast("timestamp(6)") + length).date()


def _sides(spans: ibis.Table) -> ibis.Table:
    """Return the dates to count of each span, and those before (`is_before`) if it is compared. One row per side."""
    of_span = ("week_start_date", "period", "until_date", "before_until_date")
    now = spans.select(
        *of_span, is_before=ibis.literal(False), counted_week="week_start_date", counted_until="until_date"
    )
    before = spans.filter(spans.week_before.notnull()).select(
        *of_span, is_before=ibis.literal(True), counted_week="week_before", counted_until="before_until_date"
    )
    return ibis.union(now, before)


def _counts(sides: ibis.Table, funnel_to_date: ibis.Table, funnel_until_week: ibis.Table) -> ibis.Table:
    """Add the sessions of each stage to sides; zeros without an event."""
    to_date = funnel_to_date.select("week_start_date", "event_date", *STAGES, is_sum=ibis.literal(False))
    until_week = funnel_until_week.mutate(event_date=_.week_start_date, is_sum=ibis.literal(True))
    dated = ibis.union(to_date, until_week.select(to_date.columns))
    of_side = [
        sides.counted_week == dated.week_start_date,
        (sides.period == UNTIL_WEEK) == dated.is_sum,
        dated.event_date <= sides.counted_until,
    ]
    both = sides.left_join(dated, of_side, rname="{name}_of_counts")
    # Counts only grow within a week, so the most up to a date are those of its last date with an event.
    return both.group_by(*sides.columns).aggregate(**{stage: both[stage].max().coalesce(0) for stage in STAGES})


def _stage(counts: ibis.Table, stage: str, earlier: str | None) -> ibis.Table:
    """Return the rows of a stage; `earlier` is the store's stage before it, if it has both."""
    return counts.select(
        "week_start_date",
        "period",
        "until_date",
        "before_until_date",
        "is_before",
        stage=ibis.literal(stage),
        from_stage=ibis.literal(earlier, "string"),
        sessions=counts[stage],
        sessions_from=counts[earlier] if earlier else NO_COUNT,
        views=counts.page_view,
    )


def _with_rates(stages: ibis.Table) -> ibis.Table:
    """Add what is lost before each stage, and its rates."""
    low, high = wilson(stages.sessions, stages.views)
    lost = stages.sessions_from - stages.sessions
    return stages.mutate(
        lost=lost,
        lost_rate=share(lost, stages.sessions_from),
        step_rate=share(stages.sessions, stages.sessions_from),
        overall_rate=share(stages.sessions, stages.views),
        overall_low=low,
        overall_high=high,
        points=whole_percent(stages.sessions, stages.views).cast("int64"),
    )


def _compared(sides: ibis.Table) -> ibis.Table:
    """Return the stages with their change against those before. One row per week, period and stage."""
    now, before = sides.filter(~sides.is_before), sides.filter(sides.is_before)
    both = now.left_join(before, STAGE, rname="{name}_before")
    low, high = newcombe(
        both.overall_rate,
        (both.overall_low, both.overall_high),
        both.overall_rate_before,
        (both.overall_low_before, both.overall_high_before),
    )
    change = both.sessions - both.sessions_before
    return both.mutate(
        change=change,
        change_rate=share(change, both.sessions_before),
        overall_change=both.overall_rate - both.overall_rate_before,
        overall_change_low=low,
        overall_change_high=high,
        points_change=both.points - both.points_before,
    ).select(TABLES["funnel_stages_by_week"].names)
