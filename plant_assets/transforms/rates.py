"""Rates with their 95 % intervals, and the purchase rates of products."""

import ibis
from ibis import _

from plant_assets.contracts import FEWEST_VIEWS, TABLES

# The normal distribution's 97.5 % quantile. As text: DuckDB reads a number with a point as a decimal.
Z = "1.959963984540054"

Interval = tuple[ibis.Value, ibis.Value]


def share(part: ibis.Value, whole: ibis.Value) -> ibis.Value:
    """Return `part / whole` as a fraction; NULL if `whole` is 0."""
    return part.cast("float64") / whole.nullif(0).cast("float64")


def wilson(part: ibis.Value, whole: ibis.Value) -> Interval:
    """Return the lower and the upper bound of a share (Wilson 1927).

    Both are NULL if the share is unknown, or above 1, which an open funnel allows.
    """
    # Without a NULL here, an engine would take the root of a negative number.
    known = share((part <= whole).ifelse(part, ibis.null("int64")), whole)
    number, z = whole.nullif(0).cast("float64"), ibis.literal(Z).cast("float64")
    spread = z * z / number
    center = (known + spread / 2.0) / (1.0 + spread)
    reach = z * (known * (1.0 - known) / number + spread / (4.0 * number)).sqrt() / (1.0 + spread)
    # At its ends rounding would pass 0 and 1 by a hair. An engine may leave NULLs out of the greatest.
    low, high = ibis.greatest(center - reach, 0.0), ibis.least(center + reach, 1.0)
    nothing = ibis.null("float64")
    return known.notnull().ifelse(low, nothing), known.notnull().ifelse(high, nothing)


def newcombe(rate: ibis.Value, of_rate: Interval, before: ibis.Value, of_before: Interval) -> Interval:
    """Return the lower and the upper bound of `rate - before` (Newcombe 1998, method 10).

    `of_rate` and `of_before` are Wilson's bounds of the two rates. Both are NULL if one of these is.
    """
    (low, high), (low_before, high_before) = of_rate, of_before
    change = rate - before
    down, up = _hypotenuse(rate - low, high_before - before), _hypotenuse(high - rate, before - low_before)
    return change - down, change + up


def _hypotenuse(one: ibis.Value, other: ibis.Value) -> ibis.Value:
    return (one * one + other * other).sqrt()


def purchase_rate_by_product_week(funnel_by_product_week: ibis.Table) -> ibis.Table:
    """Return the purchase rate of each product beside that of all products together. One row per week and product."""
    of_week = ibis.window(group_by="week_start_date")
    rates = funnel_by_product_week.mutate(
        rate=share(_.checkout, _.page_view),
        store_rate=share(_.checkout.sum().over(of_week), _.page_view.sum().over(of_week)),
        is_ranked=_.page_view >= FEWEST_VIEWS,
    )
    low, high = wilson(rates.checkout, rates.page_view)
    compared = ibis.cases(
        (rates.is_ranked & (low > rates.store_rate), "above"),
        (rates.is_ranked & (high < rates.store_rate), "below"),
        (rates.is_ranked & low.notnull(), "cannot tell"),
        else_=ibis.null("string"),
    )
    columns = TABLES["purchase_rate_by_product_week"].names
    return rates.mutate(rate_low=low, rate_high=high, against_store=compared).select(columns)
