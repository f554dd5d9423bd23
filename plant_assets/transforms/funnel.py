"""The open funnel: over everything, by date and by product, and its steps."""

import datetime as dt
from collections.abc import Sequence

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
    rates = {rate: whole_percent(counts[stage], counts.page_view) for rate, stage in zip(RATES, STAGES, strict=True)}
    return counts.mutate(**rates).select(*by, *STAGES, *RATES)


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
    events: ibis.Table,
    product_snapshots: ibis.Table,
    spans: tuple[dt.datetime, dt.datetime] | None = None,
) -> ibis.Table:
    """How many sessions reached each stage with a product for the first time in a week. One row per week and product.

    As `funnel_weeks`, over distinct sessions and products. With `spans` only the weeks from the second instant on, of
    whose sessions the first is before all their events. Products that were never observed are one, `(unknown)`.
    """
    # Grouping by a number costs less than by the text of an id; 0 is the unknown product.
    known = product_snapshots.select("product_id").distinct()
    known = known.mutate(product_number=ibis.row_number().over(order_by="product_id") + 1)

    def pairs(of: ibis.Table) -> ibis.Table:
        staged = of.filter(_.session_step.notnull()).select("session_id", "event_date", "event_type", "product_id")
        numbered = staged.left_join(known, "product_id", rname="known_{name}")
        return numbered.select(
            "session_id",
            "event_date",
            product_number=numbered.product_number.fill_null(0),
            **{stage: numbered.event_type == stage for stage in STAGES},
        )

    def named(weeks: ibis.Table) -> ibis.Table:
        with_ids = weeks.left_join(known, "product_number", rname="known_{name}")
        ids = with_ids.product_id.fill_null(UNKNOWN_PRODUCT)
        return with_ids.mutate(product_id=ids).select(TABLES["int_product_funnel_weeks"].names)

    unit = ["session_id", "product_number"]
    if spans is None:
        return named(_first_reached(pairs(events), None, unit))
    first, starts_at = (ibis.literal(instant, "timestamp(6)") for instant in spans)
    recent = events.filter(_.created_at >= starts_at)
    earlier = events.filter((_.created_at >= first) & (_.created_at < starts_at))
    again = earlier.semi_join(recent.select("session_id").distinct(), "session_id")
    return named(_first_reached(pairs(recent), pairs(again), unit))


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


def funnel_by_product(product_funnel_weeks: ibis.Table, product_snapshots: ibis.Table) -> ibis.Table:
    """The funnel of distinct sessions and products. One row per product, and one for the unknown."""
    counts = product_funnel_weeks.group_by("product_id").aggregate(**{stage: _[stage].sum() for stage in STAGES})
    named = counts.left_join(last_known_names(product_snapshots), "product_id", rname="known_{name}")
    is_known = named.product_id != UNKNOWN_PRODUCT
    names = is_known.ifelse(ibis.coalesce(named.product_name, named.product_id), UNKNOWN_PRODUCT)
    return funnel(named.mutate(product_name=names), by=["product_id", "product_name"]).select(
        TABLES["funnel_by_product"].names
    )


def funnel_steps(funnel: pd.DataFrame) -> pd.DataFrame:
    """The steps from each stage to the next, with what is lost. One row per step."""
    whole = funnel.iloc[0]
    rows = []
    for start in range(len(STAGES) - 1):
        sessions_from, sessions_to = int(whole[STAGES[start]]), int(whole[STAGES[start + 1]])
        has_rates = int(whole["page_view"]) > 0
        rows.append(
            {
                "from_stage": STAGES[start],
                "to_stage": STAGES[start + 1],
                "sessions_from": sessions_from,
                "sessions_to": sessions_to,
                "lost": sessions_from - sessions_to,
                "step_rate": sessions_to / sessions_from if sessions_from else None,
                "overall_rate": sessions_to / int(whole["page_view"]) if has_rates else None,
                "points_lost": int(whole[RATES[start]]) - int(whole[RATES[start + 1]]) if has_rates else None,
            }
        )
    steps = pd.DataFrame(rows).astype({"step_rate": "Float64", "overall_rate": "Float64", "points_lost": "Int64"})
    steps["is_largest_by_count"] = steps.index == steps["lost"].idxmax()
    has_step_rate = steps["step_rate"].notna().any()
    steps["is_largest_by_rate"] = steps.index == (steps["step_rate"].idxmin() if has_step_rate else -1)
    return steps[TABLES["funnel_steps"].names]
