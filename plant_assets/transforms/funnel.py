"""The open funnel: over everything, by date and by product, and its steps."""

from collections.abc import Sequence

import ibis
import pandas as pd
from ibis import _

from plant_assets.contracts import RATES, STAGES, TABLES, UNKNOWN_PRODUCT
from plant_assets.transforms.events import last_known_names


def whole_percent(part: ibis.Value, whole: ibis.Value) -> ibis.Value:
    """`round(100 * part / whole)`, halves away from zero, in integer arithmetic; NULL where whole is 0.

    From round(x) = floor(x + 1/2): (200 * part + whole) // (2 * whole).
    """
    return ((200 * part + whole) // (2 * whole).nullif(0)).cast("int32")


def funnel(reached: ibis.Table, by: Sequence[str] = ()) -> ibis.Table:
    """Counts and rates of the four stages. One row per group of `by`; one row in all without.

    `reached` has one row per unit (session, or session and product) and group, with a boolean per stage.
    """
    sums = {stage: _[stage].cast("int64").sum().coalesce(0).cast("int64") for stage in STAGES}
    counts = reached.group_by(*by).aggregate(**sums) if by else reached.aggregate(**sums)
    rates = {rate: whole_percent(counts[stage], counts.page_view) for rate, stage in zip(RATES, STAGES, strict=True)}
    return counts.mutate(**rates).select(*by, *STAGES, *RATES)


def whole_funnel(session_days: ibis.Table) -> ibis.Table:
    """The funnel of the whole store. One row, zeros and NULL rates where there is no event."""
    sessions = session_days.group_by("session_id").aggregate(**{stage: _[stage].any() for stage in STAGES})
    return funnel(sessions)


def funnel_by_date(session_days: ibis.Table) -> ibis.Table:
    """The funnel of each date. One row per date that has an event."""
    return funnel(session_days, by=["event_date"])


def funnel_by_product(events: ibis.Table, product_snapshots: ibis.Table) -> ibis.Table:
    """The funnel of distinct sessions and products. One row per product, and one for the unknown."""
    known = last_known_names(product_snapshots)
    staged = events.filter(_.session_step.notnull()).select("session_id", "event_type", "product_id")
    named = staged.left_join(known, "product_id", rname="known_{name}")
    is_known = named.known_product_id.notnull()
    pairs = named.select(
        "session_id",
        "event_type",
        product_id=is_known.ifelse(named.product_id, UNKNOWN_PRODUCT),
        product_name=is_known.ifelse(ibis.coalesce(named.product_name, named.product_id), UNKNOWN_PRODUCT),
    )
    reached = pairs.group_by("session_id", "product_id", "product_name").aggregate(
        **{stage: (_.event_type == stage).any() for stage in STAGES}
    )
    return funnel(reached, by=["product_id", "product_name"]).select(TABLES["funnel_by_product"].names)


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
