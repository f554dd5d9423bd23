"""The open funnel: over everything, by date and by product, and its steps."""

import datetime as dt
from collections.abc import Sequence
from itertools import pairwise

import ibis
import pandas as pd
from ibis import _

from plant_assets.contracts import RATES, STAGES, TABLES, UNKNOWN_PRODUCT
from plant_assets.transforms.events import last_known_names, monday


def whole_percent(part: ibis.Value, whole: ibis.Value) -> ibis.Value:
    """`round(100 * part / whole)`, halves away from zero, in integer arithmetic; NULL where whole is 0.

    From round(x) = floor(x + 1/2): (200 * part + whole) // (2 * whole).
    """
    return ((200 * part + whole) // (2 * whole).nullif(0)).cast("int32")


def funnel(reached: ibis.Table, by: Sequence[str] = ()) -> ibis.Table:
    """Counts and rates of the four stages. One row per group of `by`; one row in all without.

    `reached` has a column per stage: whether a session reached it, one row per session, or how many did.
    """
    sums = {stage: _[stage].cast("int64").sum().coalesce(0).cast("int64") for stage in STAGES}
    counts = reached.group_by(*by).aggregate(**sums) if by else reached.aggregate(**sums)
    return with_rates(counts).select(*by, *STAGES, *RATES)


def with_rates(counts: ibis.Table) -> ibis.Table:
    """Counts of the four stages, with their rates beside them."""
    rates = {rate: whole_percent(counts[stage], counts.page_view) for rate, stage in zip(RATES, STAGES, strict=True)}
    return counts.mutate(**rates)


def funnel_weeks(session_days: ibis.Table, since: dt.date | None = None) -> ibis.Table:
    """How many sessions reached each stage for the first time in a week. One row per week with such a session.

    The weeks' sums are the counts of distinct sessions, exactly: a session counts in its first week only. With
    `since`, a Monday, only the weeks from then on.
    """
    if since is None:
        return _first_reached(session_days, None, ["session_id"]).select(TABLES["int_funnel_weeks"].names)
    recent, earlier = session_days.filter(_.event_date >= since), session_days.filter(_.event_date < since)
    again = earlier.semi_join(recent, "session_id")
    return _first_reached(recent, again, ["session_id"]).select(TABLES["int_funnel_weeks"].names)


def product_funnel_weeks(
    events: ibis.Table, product_snapshots: ibis.Table, earlier: ibis.Table | None = None
) -> ibis.Table:
    """How many sessions reached each stage with a product for the first time in a week. One row per week and product.

    As `funnel_weeks`, over distinct sessions and products, in the weeks of `events`; `earlier` are those that their
    sessions had before (`recent_and_earlier`). Products that were never observed are one, `(unknown)`.
    """
    before = _pairs(earlier, product_snapshots) if earlier is not None else None
    first_reached = _first_reached(_pairs(events, product_snapshots), before, ["session_id", "product_number"])
    return _with_product_id(first_reached, product_snapshots)


def recent_and_earlier(events: ibis.Table, first: dt.datetime, starts_at: dt.datetime) -> tuple[ibis.Table, ibis.Table]:
    """The events from `starts_at` on, and those of their sessions before, none of which is before `first`.

    One row per event.
    """
    recent = events.filter(_.created_at >= ibis.literal(starts_at, "timestamp(6)"))
    before = events.filter(
        (_.created_at >= ibis.literal(first, "timestamp(6)")) & (_.created_at < ibis.literal(starts_at, "timestamp(6)"))
    )
    return recent, before.semi_join(recent.select("session_id").distinct(), "session_id")


def of_portion(events: ibis.Table, portion: int, portions: int) -> ibis.Table:
    """The events of one of that many portions of the sessions, told by a hash. One row per event."""
    if portions == 1:
        return events
    return events.filter((events.session_id.hash() % portions).abs() == portion)


def summed_weeks(counts: Sequence[ibis.Table]) -> ibis.Table:
    """What `product_funnel_weeks` has counted of portions of the sessions. One row per week and product."""
    if len(counts) == 1:
        return counts[0]
    sums = {stage: _[stage].sum().cast("int64") for stage in STAGES}
    return ibis.union(*counts).group_by("week_start_date", "product_id").aggregate(**sums)


def _pairs(events: ibis.Table, product_snapshots: ibis.Table) -> ibis.Table:
    """The stage events with what they count for. One row per event and product: a boolean per stage."""
    staged = events.filter(_.session_step.notnull()).select("session_id", "event_date", "event_type", "product_id")
    numbered = staged.left_join(_product_numbers(product_snapshots), "product_id", rname="known_{name}")
    return numbered.select(
        "session_id",
        "event_date",
        product_number=numbered.product_number.fill_null(0),
        **{stage: numbered.event_type == stage for stage in STAGES},
    )


def _product_numbers(product_snapshots: ibis.Table) -> ibis.Table:
    """A number above 0 for each known product: grouping by it costs less than by the text of an id."""
    known = product_snapshots.select("product_id").distinct()
    return known.mutate(product_number=ibis.row_number().over(order_by="product_id") + 1)


def _with_product_id(counts: ibis.Table, product_snapshots: ibis.Table) -> ibis.Table:
    """Counts by week and product number, with the product's id instead: `(unknown)` for 0."""
    numbered = counts.left_join(_product_numbers(product_snapshots), "product_number", rname="known_{name}")
    ids = numbered.product_id.fill_null(UNKNOWN_PRODUCT)
    return numbered.mutate(product_id=ids).select("week_start_date", "product_id", *STAGES)


def spanning_sessions(session_days: ibis.Table, since: dt.date | None = None) -> ibis.Table:
    """Sessions with dates in more than one week, the last not before `since`. One row per session: session_id."""
    days = session_days
    if since is not None:
        days = days.semi_join(days.filter(_.event_date >= since).select("session_id").distinct(), "session_id")
    bounds = days.group_by("session_id").aggregate(first=_.event_date.min(), last=_.event_date.max())
    return bounds.filter(monday(_.first) != monday(_.last)).select("session_id")


def product_funnel_repeats(
    events: ibis.Table, product_snapshots: ibis.Table, since: dt.date | None = None
) -> ibis.Table:
    """How many sessions reached each stage with a product again, after an earlier week. One row per week and product.

    `events` are those of `spanning_sessions`: no other session can. With `product_funnel_weeks` these are the distinct
    sessions and products of each week. With `since`, a Monday, only the weeks from then on.
    """
    pairs = _pairs(events, product_snapshots).mutate(week_start_date=lambda pair: monday(pair.event_date))
    reached = pairs.group_by("session_id", "product_number", "week_start_date").aggregate(
        **{stage: _[stage].any() for stage in STAGES}
    )
    of_pair, never = ibis.window(group_by=["session_id", "product_number"]), ibis.null("date")
    firsts = reached.mutate(
        **{
            f"first_{stage}": reached[stage].ifelse(reached.week_start_date, never).min().over(of_pair)
            for stage in STAGES
        }
    )
    again = {stage: (firsts[stage] & (firsts.week_start_date > firsts[f"first_{stage}"])) for stage in STAGES}
    repeats = firsts.select("week_start_date", "product_number", **again).filter(
        ibis.or_(*(_[stage] for stage in STAGES))
    )
    recent = repeats.filter(_.week_start_date >= since) if since else repeats
    counts = recent.group_by("week_start_date", "product_number").aggregate(
        **{stage: _[stage].cast("int64").sum().cast("int64") for stage in STAGES}
    )
    return _with_product_id(counts, product_snapshots)


def _first_reached(recent: ibis.Table, earlier: ibis.Table | None, unit: list[str]) -> ibis.Table:
    """The units that reach each stage first in a week of `recent`, and not in `earlier`. One row per week.

    Both have the unit's columns, `event_date` and a boolean per stage. What a unit has beside its session
    is counted apart.
    """
    apart = unit[1:]
    firsts = recent.group_by(unit).aggregate(**{stage: _.event_date.min(where=recent[stage]) for stage in STAGES})
    if earlier is not None:
        had = earlier.group_by(unit).aggregate(**{f"had_{s}": _[s].any() for s in STAGES})
        both = firsts.left_join(had, unit)
        is_new = {stage: ~both[f"had_{stage}"].fill_null(False) for stage in STAGES}
        firsts = both.select(*unit, **{s: is_new[s].ifelse(both[s], ibis.null("date")) for s in STAGES})
    alike = firsts.group_by([*apart, *STAGES]).aggregate(units=_.count())
    weeks = [
        alike.filter(alike[stage].notnull()).select(
            *apart,
            week_start_date=monday(alike[stage]),
            **{other: alike.units if other == stage else ibis.literal(0, "int64") for other in STAGES},
        )
        for stage in STAGES
    ]
    return (
        ibis.union(*weeks)
        .group_by([*apart, "week_start_date"])
        .aggregate(**{stage: _[stage].sum().cast("int64") for stage in STAGES})
    )


def earlier_date(session_days: ibis.Table, since: dt.date) -> ibis.Table:
    """The first date before `since` of the sessions that are there from then on too. One row, NULL for none."""
    recent, earlier = session_days.filter(_.event_date >= since), session_days.filter(_.event_date < since)
    return earlier.semi_join(recent, "session_id").aggregate(event_date=_.event_date.min())


def whole_funnel(funnel_weeks: ibis.Table) -> ibis.Table:
    """The funnel of the whole store. One row, zeros and NULL rates where there is no event."""
    return funnel(funnel_weeks)


def funnel_by_date(session_days: ibis.Table, since: dt.date | None = None) -> ibis.Table:
    """The funnel of each date, from `since` on if it is given. One row per date that has an event."""
    return funnel(session_days.filter(_.event_date >= since) if since else session_days, by=["event_date"])


def funnel_to_date(session_days: ibis.Table, since: dt.date | None = None) -> ibis.Table:
    """The funnel of each week's dates up to one, from `since`, a Monday, on. One row per date that has an event."""
    days = session_days.filter(_.event_date >= since) if since else session_days
    days = days.mutate(week_start_date=monday(days.event_date))
    by_session = days.group_by("week_start_date", "session_id")
    firsts = by_session.aggregate(**{stage: _.event_date.min(where=_[stage]) for stage in STAGES})
    alike = firsts.group_by("week_start_date", *STAGES).aggregate(sessions=_.count())
    nothing = {stage: ibis.literal(0, "int64") for stage in STAGES}
    dates = days.select("event_date", "week_start_date").distinct().mutate(**nothing)
    reached = [
        alike.filter(alike[stage].notnull()).select(
            event_date=alike[stage], week_start_date="week_start_date", **{**nothing, stage: alike.sessions}
        )
        for stage in STAGES
    ]
    new = (
        ibis.union(dates, *reached)
        .group_by("week_start_date", "event_date")
        .aggregate(**{stage: _[stage].sum() for stage in STAGES})
    )
    so_far = ibis.cumulative_window(group_by="week_start_date", order_by="event_date")
    counts = new.mutate(**{stage: new[stage].sum().over(so_far) for stage in STAGES})
    return funnel(counts, by=["event_date", "week_start_date"]).select(TABLES["funnel_to_date"].names)


def funnel_by_week(funnel_to_date: ibis.Table) -> ibis.Table:
    """The funnel of each week: that up to its last date. One row per week that has an event."""
    last = funnel_to_date.group_by("week_start_date").aggregate(event_date=_.event_date.max())
    return funnel_to_date.semi_join(last, ["week_start_date", "event_date"]).select(TABLES["funnel_by_week"].names)


def funnel_by_product(product_funnel_weeks: ibis.Table, product_snapshots: ibis.Table) -> ibis.Table:
    """The funnel of distinct sessions and products. One row per product, and one for the unknown."""
    counts = product_funnel_weeks.group_by("product_id").aggregate(**{stage: _[stage].sum() for stage in STAGES})
    return funnel(_named(counts, product_snapshots), by=["product_id", "product_name"]).select(
        TABLES["funnel_by_product"].names
    )


def funnel_by_product_week(
    product_funnel_weeks: ibis.Table, product_funnel_repeats: ibis.Table, product_snapshots: ibis.Table
) -> ibis.Table:
    """The funnel of each week's distinct sessions and products. One row per week and product, or the unknown."""
    both = ibis.union(product_funnel_weeks, product_funnel_repeats)
    counts = both.group_by("week_start_date", "product_id").aggregate(**{stage: _[stage].sum() for stage in STAGES})
    by = ["week_start_date", "product_id", "product_name"]
    return funnel(_named(counts, product_snapshots), by=by).select(TABLES["funnel_by_product_week"].names)


def _named(counts: ibis.Table, product_snapshots: ibis.Table) -> ibis.Table:
    """`counts` with the last known name of each product."""
    named = counts.left_join(last_known_names(product_snapshots), "product_id", rname="known_{name}")
    is_known = named.product_id != UNKNOWN_PRODUCT
    names = is_known.ifelse(ibis.coalesce(named.product_name, named.product_id), UNKNOWN_PRODUCT)
    return named.mutate(product_name=names)


def funnel_steps(funnel: pd.DataFrame, stages: Sequence[str] = STAGES, by: Sequence[str] = ()) -> pd.DataFrame:
    """The steps from each of the stages to the next, with what is lost. One row per step and row of `funnel`.

    The columns `by` tell the rows of `funnel` apart.
    """
    funnels, rate_of = funnel.reset_index(drop=True), dict(zip(STAGES, RATES, strict=True))
    rates = funnels[list(RATES)].astype("Int64")
    parts = [
        funnels[list(by)].assign(
            row=funnels.index,
            from_stage=start,
            to_stage=end,
            sessions_from=funnels[start].astype("int64"),
            sessions_to=funnels[end].astype("int64"),
            page_view=funnels["page_view"],
            points_lost=rates[rate_of[start]] - rates[rate_of[end]],
        )
        for start, end in pairwise(stages)
    ]
    if not parts:
        return funnel_steps(funnel, STAGES, by).iloc[:0]
    steps = pd.concat(parts).sort_values("row", kind="stable", ignore_index=True)
    steps["lost"] = steps["sessions_from"] - steps["sessions_to"]
    steps["step_rate"] = _share(steps["sessions_to"], steps["sessions_from"])
    steps["overall_rate"] = _share(steps["sessions_to"], steps["page_view"])
    has_rate = steps[steps["step_rate"].notna()]
    steps["is_largest_by_count"] = steps.index.isin(steps.groupby("row")["lost"].idxmax())
    steps["is_largest_by_rate"] = steps.index.isin(has_rate.groupby("row")["step_rate"].idxmin())
    return steps[[*by, *TABLES["funnel_steps"].names]]


def _share(part: pd.Series, whole: pd.Series) -> pd.Series:
    """Return the part of the whole; NULL where that is 0."""
    return (part / whole.where(whole != 0)).astype("Float64")
