"""The open funnel: over everything, by date, week and product. `steps.py` has its steps."""

import datetime as dt
from collections.abc import Sequence

import ibis
from ibis import _

from plant_assets.contracts import RATES, STAGES, TABLES, UNKNOWN_PRODUCT
from plant_assets.transforms.events import last_known_names, monday


def whole_percent(part: ibis.Value, whole: ibis.Value) -> ibis.Value:
    """Return `round(100 * part / whole)`, halves away from zero, in integer arithmetic; NULL if `whole` is 0.

    It follows from round(x) = floor(x + 1/2): (200 * part + whole) // (2 * whole).
    """
    return ((200 * part + whole) // (2 * whole).nullif(0)).cast("int32")


def funnel(reached: ibis.Table, by: Sequence[str] = ()) -> ibis.Table:
    """Return the counts and rates of the four stages. One row per group of `by`; without `by`, one row.

    `reached` has a column per stage: a boolean, one row per session, or a number of sessions.
    """
    sums = {stage: _[stage].cast("int64").sum().coalesce(0).cast("int64") for stage in STAGES}
    counts = reached.group_by(*by).aggregate(**sums) if by else reached.aggregate(**sums)
    return with_rates(counts).select(*by, *STAGES, *RATES)


def with_rates(counts: ibis.Table) -> ibis.Table:
    """Add the rates of the four stages to their counts."""
    rates = {rate: whole_percent(counts[stage], counts.page_view) for rate, stage in zip(RATES, STAGES, strict=True)}
    return counts.mutate(**rates)


def funnel_weeks(session_days: ibis.Table, since: dt.date | None = None) -> ibis.Table:
    """Count the sessions that reached each stage for the first time in a week. One row per week with such a session.

    A session counts only in its first week, so the sums over weeks are the counts of distinct sessions. `since`, a
    Monday, limits the result to the weeks from then on.
    """
    if since is None:
        return _first_reached(session_days, None, ["session_id"]).select(TABLES["int_funnel_weeks"].names)
    recent, earlier = session_days.filter(_.event_date >= since), session_days.filter(_.event_date < since)
    again = earlier.semi_join(recent, "session_id")
    return _first_reached(recent, again, ["session_id"]).select(TABLES["int_funnel_weeks"].names)


def product_funnel_weeks(
    events: ibis.Table, product_snapshots: ibis.Table, earlier: ibis.Table | None = None
) -> ibis.Table:
    """Count the sessions that reached each stage with a product for the first time in a week.

    One row per week and product. A pair of session and product counts only in its first week. All products that were
    never observed are one, `(unknown)`.

    Args:
        events: the events of the weeks to count.
        product_snapshots: the product versions.
        earlier: the events that their sessions had before (`recent_and_earlier`).
    """
    before = _pairs(earlier, product_snapshots) if earlier is not None else None
    first_reached = _first_reached(_pairs(events, product_snapshots), before, ["session_id", "product_number"])
    return _with_product_id(first_reached, product_snapshots)


def recent_and_earlier(events: ibis.Table, first: dt.datetime, starts_at: dt.datetime) -> tuple[ibis.Table, ibis.Table]:
    """Return the events from `starts_at` on, and the earlier events of their sessions from `first` on.

    Both tables have one row per event.
    """
    recent = events.filter(_.created_at >= ibis.literal(starts_at, "timestamp(6)"))
    before = events.filter(
        (_.created_at >= ibis.literal(first, "timestamp(6)")) & (_.created_at < ibis.literal(starts_at, "timestamp(6)"))
    )
    return recent, before.semi_join(recent.select("session_id").distinct(), "session_id")


def of_portion(events: ibis.Table, portion: int, portions: int) -> ibis.Table:
    """Return the events of one portion of the sessions, which are split by a hash. One row per event."""
    if portions == 1:
        return events
    return events.filter((events.session_id.hash() % portions).abs() == portion)


def summed_weeks(counts: Sequence[ibis.Table]) -> ibis.Table:
    """Add the counts of `product_funnel_weeks` over portions of the sessions. One row per week and product."""
    if len(counts) == 1:
        return counts[0]
    sums = {stage: _[stage].sum().cast("int64") for stage in STAGES}
    return ibis.union(*counts).group_by("week_start_date", "product_id").aggregate(**sums)


def _pairs(events: ibis.Table, product_snapshots: ibis.Table) -> ibis.Table:
    """Return the events that have a stage: session, date, product number and a boolean per stage.

    One row per event and product.
    """
    staged = events.filter(_.session_step.notnull()).select("session_id", "event_date", "event_type", "product_id")
    numbered = staged.left_join(_product_numbers(product_snapshots), "product_id", rname="known_{name}")
    return numbered.select(
        "session_id",
        "event_date",
        product_number=numbered.product_number.fill_null(0),
        **{stage: numbered.event_type == stage for stage in STAGES},
    )


def _product_numbers(product_snapshots: ibis.Table) -> ibis.Table:
    """Number the known products from 1: grouping by a number costs less than by the text of an id."""
    known = product_snapshots.select("product_id").distinct()
    return known.mutate(product_number=ibis.row_number().over(order_by="product_id") + 1)


def _with_product_id(counts: ibis.Table, product_snapshots: ibis.Table) -> ibis.Table:
    """Replace the product number of counts by the product's id, and 0 by `(unknown)`. One row per week and product."""
    numbered = counts.left_join(_product_numbers(product_snapshots), "product_number", rname="known_{name}")
    ids = numbered.product_id.fill_null(UNKNOWN_PRODUCT)
    return numbered.mutate(product_id=ids).select("week_start_date", "product_id", *STAGES)


def spanning_sessions(session_days: ibis.Table, since: dt.date | None = None) -> ibis.Table:
    """Return the sessions with dates in several weeks, the last not before `since`. One row per session: session_id."""
    days = session_days
    if since is not None:
        days = days.semi_join(days.filter(_.event_date >= since).select("session_id").distinct(), "session_id")
    bounds = days.group_by("session_id").aggregate(first=_.event_date.min(), last=_.event_date.max())
    return bounds.filter(monday(_.first) != monday(_.last)).select("session_id")


def product_funnel_repeats(
    events: ibis.Table, product_snapshots: ibis.Table, since: dt.date | None = None
) -> ibis.Table:
    """Count the sessions that reached each stage with a product again, after an earlier week.

    One row per week and product. Together with `product_funnel_weeks` these are the distinct sessions and products of
    each week.

    Args:
        events: the events of `spanning_sessions`; no other session can repeat a stage.
        product_snapshots: the product versions.
        since: a Monday; only the weeks from then on are returned.
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
    """Count the units that reach each stage first in a week of `recent`, and not in `earlier`.

    A unit is a session, or a session and a product. One row per week, and product if the unit has one. Both tables
    have the unit's columns, `event_date` and a boolean per stage.
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
    """Return the first date before `since` of sessions that also have a later date. One row, NULL if there is none."""
    recent, earlier = session_days.filter(_.event_date >= since), session_days.filter(_.event_date < since)
    return earlier.semi_join(recent, "session_id").aggregate(event_date=_.event_date.min())


def whole_funnel(funnel_weeks: ibis.Table) -> ibis.Table:
    """Return the funnel of the whole store. One row; zeros and NULL rates if there is no event."""
    return funnel(funnel_weeks)


def funnel_by_date(session_days: ibis.Table, since: dt.date | None = None) -> ibis.Table:
    """Return the funnel of each date, from `since` on if given. One row per date with an event."""
    return funnel(session_days.filter(_.event_date >= since) if since else session_days, by=["event_date"])


def funnel_to_date(session_days: ibis.Table, since: dt.date | None = None) -> ibis.Table:
    """Return the funnel from Monday to each date, from the Monday `since` on. One row per date with an event."""
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
    """Return the funnel of each week, which is that up to its last date. One row per week with an event."""
    last = funnel_to_date.group_by("week_start_date").aggregate(event_date=_.event_date.max())
    return funnel_to_date.semi_join(last, ["week_start_date", "event_date"]).select(TABLES["funnel_by_week"].names)


def funnel_by_product(product_funnel_weeks: ibis.Table, product_snapshots: ibis.Table) -> ibis.Table:
    """Return the funnel of distinct sessions and products. One row per product, and one for `(unknown)`."""
    counts = product_funnel_weeks.group_by("product_id").aggregate(**{stage: _[stage].sum() for stage in STAGES})
    return funnel(_named(counts, product_snapshots), by=["product_id", "product_name"]).select(
        TABLES["funnel_by_product"].names
    )


def funnel_by_product_week(
    product_funnel_weeks: ibis.Table, product_funnel_repeats: ibis.Table, product_snapshots: ibis.Table
) -> ibis.Table:
    """Return the funnel of each week's distinct sessions and products. One row per week and product or `(unknown)`."""
    both = ibis.union(product_funnel_weeks, product_funnel_repeats)
    counts = both.group_by("week_start_date", "product_id").aggregate(**{stage: _[stage].sum() for stage in STAGES})
    by = ["week_start_date", "product_id", "product_name"]
    return funnel(_named(counts, product_snapshots), by=by).select(TABLES["funnel_by_product_week"].names)


def _named(counts: ibis.Table, product_snapshots: ibis.Table) -> ibis.Table:
    """Add the last known name of each product to `counts`."""
    named = counts.left_join(last_known_names(product_snapshots), "product_id", rname="known_{name}")
    is_known = named.product_id != UNKNOWN_PRODUCT
    names = is_known.ifelse(ibis.coalesce(named.product_name, named.product_id), UNKNOWN_PRODUCT)
    return named.mutate(product_name=names)
