"""The steps of funnels: the sessions that each stage loses to the next."""

from collections.abc import Sequence
from itertools import pairwise

import pandas as pd

from plant_assets.contracts import RATES, STAGES, TABLES


def funnel_steps(funnel: pd.DataFrame, stages: Sequence[str] = STAGES, by: Sequence[str] = ()) -> pd.DataFrame:
    """Return the steps from each stage to the next. One row per step and row of `funnel`.

    Args:
        funnel: funnels with counts and rates.
        stages: the stages that the store has, in order.
        by: the columns that identify a row of `funnel`.
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
    """Return `part / whole`; NULL where `whole` is 0."""
    return (part / whole.where(whole != 0)).astype("Float64")
