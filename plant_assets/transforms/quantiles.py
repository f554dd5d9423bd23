"""Medians and 90 % quantiles of hours, by row numbers: not every engine has an exact quantile."""

from collections.abc import Sequence

import ibis

MICROSECONDS_PER_HOUR = 3_600_000_000
# Tenths of the way through the order statistics, and how many values it takes to tell.
QUANTILES = {"median": (5, 5), "p90": (9, 20)}


def hours_by_date(times: ibis.Table, steps: Sequence[str]) -> ibis.Table:
    """Return the median and 90 % quantile of the hours of each step. One row per entry date.

    A quantile q lies at (n - 1) q between the order statistics, which count from 0. It is NULL where there are too few
    values: under 5 for the median, under 20 for the other.

    Args:
        times: entry_date, step and microseconds, one row per session and step.
        steps: the values of `step`; the columns are named `median_hours_to_<step>` and `p90_hours_to_<step>`.
    """
    of_step = {"group_by": ["entry_date", "step"], "order_by": "microseconds"}
    # In the same order as the places, so that rows are sorted once.
    every = ibis.window(**of_step, preceding=None, following=None)
    placed = times.mutate(place=ibis.row_number().over(**of_step), number=times.microseconds.count().over(every))
    found = placed.group_by("entry_date", "step").aggregate(
        **{name: _quantile(placed, tenths, fewest) for name, (tenths, fewest) in QUANTILES.items()}
    )
    columns = {
        f"{name}_hours_to_{step}": found[name].max(where=found.step == step) for name in QUANTILES for step in steps
    }
    return found.group_by("entry_date").aggregate(**columns)


def _quantile(placed: ibis.Table, tenths: int, fewest: int) -> ibis.Value:
    """Return a quantile in hours. All but the last division is of whole numbers, so that engines agree."""
    at = (placed.number - 1) * tenths
    low, rest = (at // 10).cast("int64"), at % 10
    weight = ibis.cases((placed.place == low, 10 - rest), (placed.place == low + 1, rest), else_=0)
    total = (placed.microseconds * weight).sum().cast("float64") / (10.0 * MICROSECONDS_PER_HOUR)
    return (placed.number.max() >= fewest).ifelse(total, ibis.null("float64"))
