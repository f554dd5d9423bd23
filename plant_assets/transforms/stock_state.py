"""The state of a product's stock at any instant: in_stock, out, uncertain or unknown.

An instant lies in the interval from the last observation at or before it to the first one after it. Few products and
intervals are not plainly in stock, so those are stored, and instants find their interval by their hour.
"""

import datetime as dt
from dataclasses import dataclass

import ibis
from ibis import _

from plant_assets.contracts import TABLES
from plant_assets.transforms.observed import intervals

IN_STOCK, OUT, UNCERTAIN, UNKNOWN = STATES = ("in_stock", "out", "uncertain", "unknown")
HOUR_SECONDS = 3600
# A week has at most 169 hours, and begins within an hour where a zone's offset is not whole.
HOURS_OF_A_WEEK = 171


def _state_of(inventory: ibis.Value) -> ibis.Value:
    return ibis.cases((inventory.isnull(), UNKNOWN), (inventory <= 0, OUT), else_=IN_STOCK)


def stock_intervals(product_snapshots: ibis.Table, observations: ibis.Table, max_gap: dt.timedelta) -> ibis.Table:
    """Return the intervals in which a product is not plainly in stock. One row per product and observation.

    They lie between a product's first observation and its last one. An interval that is not here is in stock from
    its observation to the next.

    Args:
        product_snapshots: the product versions.
        observations: rows of raw_observations.
        max_gap: the longest interval that counts as observed.
    """
    of_product = ibis.window(group_by="product_id", order_by="valid_from")
    versions = product_snapshots.select(
        "product_id",
        "valid_from",
        "valid_to",
        state=_state_of(product_snapshots.inventory),
        next_from=product_snapshots.valid_from.lead().over(of_product),
        next_state=_state_of(product_snapshots.inventory).lead().over(of_product),
    )
    between = intervals(observations, max_gap).select("observed_at", "next_at", "is_near")
    is_in_stock = versions.state == IN_STOCK
    stocked, others = versions.filter(is_in_stock), versions.filter(~is_in_stock)
    absent = versions.filter(_.next_from > _.valid_to).mutate(
        valid_from=_.valid_to, valid_to=_.next_from, state=ibis.literal(UNKNOWN), next_state=ibis.literal(UNKNOWN)
    )
    far, near = between.filter(~_.is_near), between.filter(_.is_near)
    found = ibis.union(
        _within(others, between),
        _within(absent.select(versions.columns), between),
        _within(stocked, far),
        stocked.join(near, stocked.valid_to == near.next_at),
    )
    adjoins = (found.next_from == found.valid_to).fill_null(False)
    at_next = ibis.cases(
        (found.next_at.isnull() | (found.next_at < found.valid_to) | found.valid_to.isnull(), found.state),
        (adjoins, found.next_state),
        else_=UNKNOWN,
    )
    after = ibis.cases(
        ((found.state == UNKNOWN) | (at_next == UNKNOWN), UNKNOWN),
        (found.next_at.isnull() | (found.is_near & (found.state == at_next)), found.state),
        else_=UNCERTAIN,
    )
    rows = found.mutate(state_at=found.state, state_after=after)
    return rows.filter((_.state_at != IN_STOCK) | (_.state_after != IN_STOCK)).select(
        TABLES["int_stock_intervals"].names
    )


def _within(versions: ibis.Table, between: ibis.Table) -> ibis.Table:
    """Return versions with the observations that saw them. One row per version and observation."""
    is_before_end = versions.valid_to.isnull() | (between.observed_at < versions.valid_to)
    return versions.join(between, [versions.valid_from <= between.observed_at, is_before_end])


@dataclass(frozen=True)
class Stock:
    """What tells the state of stock.

    Attributes:
        intervals: rows of int_stock_intervals.
        versions: the product versions.
        observations: rows of raw_observations.
        weeks: the calendar; outside of it the state is unknown.
        max_gap: how long the last observation tells the state.
    """

    intervals: ibis.Table
    versions: ibis.Table
    observations: ibis.Table
    weeks: ibis.Table
    max_gap: dt.timedelta


def with_stock_state(rows: ibis.Table, instant: str, stock: Stock) -> ibis.Table:
    """Add stock_state: that of a row's product at the instant in a column of the row. One row per row of `rows`."""
    by_hour = _intervals_by_hour(stock)
    is_told = by_hour.next_at.isnull() & (rows[instant] <= by_hour.told_until)
    is_inside = (rows[instant] >= by_hour.observed_at) & ((rows[instant] < by_hour.next_at) | is_told)
    stated = _placed(rows, instant, by_hour, is_inside, stock)
    state = ibis.cases(
        (~stated.is_held, UNKNOWN),
        (stated[instant] == stated.observed_at, stated.state_at),
        else_=stated.state_after,
    )
    return stated.select(*rows.columns, stock_state=state)


def with_stretch(rows: ibis.Table, instant: str, stock: Stock) -> ibis.Table:
    """Add is_stocked: whether an instant lies in an observed stretch that began in stock. One row per row of `rows`.

    The stretch of an instant begins at the last observation before it, and ends at the first one that is not.
    """
    by_hour = _intervals_by_hour(stock)
    is_inside = (rows[instant] > by_hour.observed_at) & (rows[instant] <= by_hour.next_at)
    stated = _placed(rows, instant, by_hour, is_inside, stock)
    began_in_stock = (stated.state_at == IN_STOCK) & (stated.state_after != UNKNOWN)
    is_stocked = (stated.is_held & stated.is_near & began_in_stock).fill_null(False)
    return stated.select(*rows.columns, is_stocked=is_stocked)


def _placed(rows: ibis.Table, instant: str, by_hour: ibis.Table, is_inside: ibis.Value, stock: Stock) -> ibis.Table:
    """Add the interval that an instant is inside of, and the product's states in it. One row per row of `rows`.

    The columns added are observed_at, is_near, is_held (the product is between its first and last observation),
    state_at and state_after.
    """
    hour = rows[instant].epoch_seconds() // HOUR_SECONDS
    placed = rows.left_join(by_hour, [hour == by_hour.hour, is_inside]).select(*rows.columns, "observed_at", "is_near")
    known = placed.left_join(_lives(stock.versions), "product_id", rname="{name}_of_life")
    stated = known.left_join(stock.intervals, ["product_id", "observed_at"], rname="{name}_of_interval")
    is_held = (stated.observed_at >= stated.first_at) & (
        stated.gone_at.isnull() | (stated.observed_at < stated.gone_at)
    )
    return stated.select(
        *placed.columns,
        is_held=is_held.fill_null(False),
        state_at=stated.state_at.coalesce(IN_STOCK),
        state_after=stated.state_after.coalesce(IN_STOCK),
    )


def _lives(product_snapshots: ibis.Table) -> ibis.Table:
    """Return when each product was first observed and when first missed for good: first_at, gone_at."""
    lives = product_snapshots.group_by("product_id").aggregate(
        first_at=_.valid_from.min(), ended_at=_.valid_to.max(), is_current=_.is_current.any()
    )
    gone_at = lives.is_current.ifelse(ibis.null("timestamp(6)"), lives.ended_at)
    return lives.select("product_id", "first_at", gone_at=gone_at)


def _intervals_by_hour(stock: Stock) -> ibis.Table:
    """Return the intervals that touch each hour of the calendar. One row per hour since 1970 and interval.

    Equal hours are joined fast, and few hours have more than one interval. Intervals are sought by the week, then split
    into hours: to compare each hour with each interval would take longer. The last observation has no next_at: it tells
    the state until it is `max_gap` old, `told_until`.
    """
    between, weeks = intervals(stock.observations, stock.max_gap), stock.weeks
    told_until = between.observed_at + ibis.interval(seconds=int(stock.max_gap.total_seconds()))
    ended = between.select("observed_at", "next_at", "is_near", told_until=told_until)
    last_at = ended.next_at.coalesce(ended.told_until)
    in_week = weeks.join(ended, [ended.observed_at < weeks.ends_at, last_at >= weeks.starts_at])
    last_second = in_week.next_at.coalesce(in_week.told_until).epoch_seconds()
    numbered = in_week.select(
        *ended.columns,
        first_hour=ibis.greatest(in_week.starts_at, in_week.observed_at).epoch_seconds() // HOUR_SECONDS,
        last_hour=ibis.least(in_week.ends_at.epoch_seconds() - 1, last_second) // HOUR_SECONDS,
        number=ibis.literal(list(range(HOURS_OF_A_WEEK)), "array<int64>").unnest(),
    )
    by_hour = numbered.mutate(hour=_.first_hour + _.number).filter(_.hour <= _.last_hour)
    # Weeks that begin within an hour share it.
    return by_hour.select("hour", *ended.columns).distinct()


def events_with_stock_state(events: ibis.Table, stock: Stock) -> ibis.Table:
    """Return int_events with the state of each product's stock. One row per event and product."""
    return with_stock_state(events, "created_at", stock).select(TABLES["int_event_stock_state"].names)
