"""The time for which stock was observed.

An observed stretch of a product lies between two neighbouring observations that are at most `max_gap` apart and that
both hold the product with a number. Observations are instants of whole seconds.
"""

import datetime as dt

import ibis
from ibis import _


def seconds_between(start: ibis.Value, end: ibis.Value) -> ibis.Value:
    """Return the whole seconds from one instant to another."""
    return end.epoch_seconds() - start.epoch_seconds()


def intervals(observations: ibis.Table, max_gap: dt.timedelta) -> ibis.Table:
    """Return the intervals from each observation to the next, and the seconds of near ones so far.

    One row per observation. The columns are observed_at, next_at (NULL after the last), is_near (at most `max_gap`
    long), near_seconds (of the near intervals before it) and near_seconds_before (the same at the observation before).
    """
    in_order = ibis.window(order_by="observed_at")
    ordered = observations.select("observed_at", next_at=observations.observed_at.lead().over(in_order))
    seconds = seconds_between(ordered.observed_at, ordered.next_at)
    is_near = (seconds <= int(max_gap.total_seconds())).fill_null(False)
    measured = ordered.mutate(is_near=is_near, seconds=is_near.ifelse(seconds, 0))
    so_far = ibis.cumulative_window(order_by="observed_at")
    summed = measured.mutate(near_seconds=(_.seconds.sum().over(so_far) - _.seconds).cast("int64"))
    before = summed.near_seconds.lag().over(in_order)
    return summed.mutate(near_seconds_before=before.coalesce(0)).drop("seconds")


def near_seconds_at(instants: ibis.Table, column: str, intervals: ibis.Table) -> ibis.Table:
    """Return the seconds of near intervals before each instant of a column. One row per instant: it, near_seconds."""
    near = intervals.filter(_.is_near).select("observed_at", "next_at")
    begun = instants.select(column).distinct().left_join(near, near.observed_at < instants[column])
    seconds = seconds_between(begun.observed_at, ibis.least(begun.next_at, begun[column]))
    return begun.group_by(column).aggregate(near_seconds=seconds.sum().coalesce(0).cast("int64"))


def observed_spans(versions: ibis.Table, product_snapshots: ibis.Table, intervals: ibis.Table) -> ibis.Table:
    """Add to product versions the near seconds at the bounds of what was observed of each: observed_from, observed_to.

    A version is observed until the next one if that adjoins and has a number, else until the last observation that saw
    it. Without a number it is not observed at all.

    Args:
        versions: the versions, which may stand there several times.
        product_snapshots: all versions.
        intervals: the intervals between observations.
    """
    following = product_snapshots.filter(_.inventory.notnull()).select(
        "product_id", valid_to="valid_from", goes_on=True
    )
    begins = intervals.select(valid_from="observed_at", observed_from="near_seconds")
    ends = intervals.select(valid_to="observed_at", until_next="near_seconds", until_last_seen="near_seconds_before")
    latest = intervals.aggregate(until_latest=_.near_seconds.max())
    known = (
        versions.left_join(following, ["product_id", "valid_to"], rname="{name}_of_following")
        .left_join(begins, "valid_from", rname="{name}_of_begin")
        .left_join(ends, "valid_to", rname="{name}_of_end")
        .cross_join(latest)
    )
    observed_to = ibis.cases(
        (known.inventory.isnull(), known.observed_from),
        (known.valid_to.isnull(), known.until_latest),
        (known.goes_on.notnull(), known.until_next),
        else_=known.until_last_seen,
    )
    return known.mutate(observed_to=observed_to).select(*versions.columns, "observed_from", "observed_to")
