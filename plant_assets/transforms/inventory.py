"""Stock per week, its changes and fluctuations, and stockouts, all computed from product versions.

Observations are instants of whole seconds, so that hours are exact.
"""

import datetime as dt

import ibis
from ibis import _

from plant_assets.contracts import TABLES
from plant_assets.transforms.events import Offsets, last_known_names, local_instant
from plant_assets.transforms.observed import intervals, near_seconds_at, observed_spans, seconds_between

NO_UNITS = ibis.null("int64")
FIRST_MONDAY, WEEK_SECONDS = 4 * 24 * 3600, 7 * 24 * 3600
# A number after that of every week.
NEVER = 1_000_000


def _hours(seconds: ibis.Value) -> ibis.Value:
    return seconds.cast("float64") / 3600.0


def _last_observation(observations: ibis.Table) -> ibis.Table:
    return observations.aggregate(last_observed_at=_.observed_at.max())


def stock_changes(product_snapshots: ibis.Table) -> ibis.Table:
    """Return the changes of inventory against the product's last known value. One row per product and change.

    The columns are product_id, changed_at and delta (units, never 0). NULLs and gaps are skipped.
    """
    known = product_snapshots.filter(_.inventory.notnull())
    before = known.inventory.lag().over(group_by="product_id", order_by="valid_from")
    deltas = known.select("product_id", changed_at=_.valid_from, delta=_.inventory - before)
    return deltas.filter(_.delta != 0)


def _flows(changes: ibis.Table, by: list[str]) -> ibis.Table:
    """Return inflow and outflow (units) and the number of changes. One row per group of `by`."""
    return changes.group_by(by).aggregate(
        inflow=ibis.greatest(_.delta, 0).sum().cast("int64"),
        outflow=ibis.greatest(-_.delta, 0).sum().cast("int64"),
        changes=_.count(),
    )


def _observed_weeks(weeks: ibis.Table, observations: ibis.Table) -> ibis.Table:
    """Return the weeks that begin no later than the last observation: nothing is known after it."""
    return weeks.cross_join(_last_observation(observations)).filter(_.starts_at <= _.last_observed_at)


def _week_number(local: ibis.Value) -> ibis.Value:
    """Return the number of a local instant's week, counted from 1970-01-05: joins on equal numbers are fast."""
    return (local.epoch_seconds() - FIRST_MONDAY) // WEEK_SECONDS


def _numbered(weeks: ibis.Table) -> ibis.Table:
    return weeks.mutate(week_number=_week_number(weeks.week_start_date.cast("timestamp(6)")))


def versions_in_weeks(product_snapshots: ibis.Table, observed_weeks: ibis.Table, offsets: Offsets) -> ibis.Table:
    """Return the versions with the weeks that they touch, as does one that ends at a week's first instant.

    One row per version and week.
    """
    weeks = _numbered(observed_weeks)
    versions = product_snapshots.mutate(
        first_week=_week_number(local_instant(_.valid_from, offsets)),
        last_week=_week_number(local_instant(_.valid_to, offsets)).coalesce(NEVER),
    )
    # Few versions span weeks: only those need a join by range, which costs more.
    within, across = versions.filter(_.first_week == _.last_week), versions.filter(_.first_week < _.last_week)
    is_touched = [across.first_week <= weeks.week_number, across.last_week >= weeks.week_number]
    return ibis.union(within.join(weeks, within.first_week == weeks.week_number), across.join(weeks, is_touched))


def inventory(
    product_snapshots: ibis.Table,
    observations: ibis.Table,
    weeks: ibis.Table,
    offsets: Offsets,
    max_gap: dt.timedelta,
) -> ibis.Table:
    """Return the stock of each week, in units. One row per product and week in which it has a version.

    Args:
        product_snapshots: the product versions.
        observations: rows of raw_observations.
        weeks: the weeks to return: week_start_date, starts_at and ends_at (UTC).
        offsets: the zone's offsets.
        max_gap: the longest time between two observations that count as observed.
    """
    by = ["week_start_date", "product_id"]
    between = intervals(observations, max_gap)
    in_weeks = versions_in_weeks(product_snapshots, _observed_weeks(weeks, observations), offsets)
    touching = _with_observed_seconds(observed_spans(in_weeks, product_snapshots, between), between)
    known_until = ibis.least(touching.ends_at, touching.valid_to.coalesce(touching.last_observed_at))
    seconds = seconds_between(ibis.greatest(touching.starts_at, touching.valid_from), known_until)
    is_held = touching.valid_to.isnull() | (touching.valid_to > touching.starts_at)
    has_opened = touching.valid_from < touching.starts_at
    has_closed = touching.valid_to.isnull() | (touching.valid_to >= touching.ends_at)
    valued = touching.mutate(
        is_held=is_held,
        opening=has_opened.ifelse(touching.inventory, NO_UNITS),
        closing=has_closed.ifelse(touching.inventory, NO_UNITS),
        held=is_held.ifelse(touching.inventory, NO_UNITS),
        seconds_out=(touching.inventory <= 0).fill_null(False).ifelse(seconds, 0),
        observed_out=(touching.inventory <= 0).fill_null(False).ifelse(touching.observed, 0),
        is_complete=touching.last_observed_at >= touching.ends_at,
    )
    stock = valued.group_by(by).aggregate(
        product_name=_last_name(valued),
        opening_inventory=_.opening.max(),
        closing_inventory=_.closing.max(),
        min_inventory=_.held.min(),
        max_inventory=_.held.max(),
        hours_out_of_stock=_hours(_.seconds_out.sum()),
        hours_observed=_hours(_.observed.sum()),
        hours_out_observed=_hours(_.observed_out.sum()),
        is_complete=_.is_complete.any(),
        is_held=_.is_held.any(),
    )
    changes = stock_changes(product_snapshots)
    changes_in_weeks = changes.mutate(week_number=_week_number(local_instant(changes.changed_at, offsets))).join(
        _numbered(weeks), "week_number"
    )
    rows = stock.filter(_.is_held).left_join(_flows(changes_in_weeks, by), by)
    return rows.mutate(
        inflow=_.inflow.coalesce(0), outflow=_.outflow.coalesce(0), changes=_.changes.coalesce(0)
    ).select(TABLES["inventory"].names)


def _with_observed_seconds(versions: ibis.Table, between: ibis.Table) -> ibis.Table:
    """Add the seconds for which each version was observed in its week. One row per version and week."""
    at_start, at_end = (near_seconds_at(versions, column, between) for column in ("starts_at", "ends_at"))
    known = versions.join(at_start, "starts_at").join(at_end, "ends_at", rname="{name}_at_end")
    # Near seconds never decrease, so the later bound is the one with more of them.
    observed_from = ibis.greatest(known.observed_from, known.near_seconds)
    observed_to = ibis.least(known.observed_to, known.near_seconds_at_end)
    seconds = ibis.greatest(observed_to - observed_from, 0)
    return known.mutate(observed=seconds).select(*versions.columns, "observed")


def _last_name(versions: ibis.Table) -> ibis.Value:
    """Return the last name of a group's versions."""
    return versions.name.argmax(versions.valid_from, where=versions.name.notnull())


def inventory_changes(
    inventory: ibis.Table,
    product_snapshots: ibis.Table,
    observations: ibis.Table,
    weeks: ibis.Table,
    offsets: Offsets,
) -> ibis.Table:
    """Return closing stock against the week before, in units. One row per product and week.

    The rows are those of `inventory`, and one for a product that left exactly as the week begins and stays away.
    """
    by = ["week_start_date", "product_id"]
    first_seen = product_snapshots.group_by("product_id").aggregate(first_seen_at=_.valid_from.min())
    touching = versions_in_weeks(product_snapshots, _observed_weeks(weeks, observations), offsets)
    valued = touching.mutate(
        is_present=touching.valid_to.isnull() | (touching.valid_to >= touching.ends_at),
        left_with=(touching.valid_to == touching.starts_at).fill_null(False).ifelse(touching.inventory, NO_UNITS),
    )
    presence = valued.group_by([*by, "starts_at"]).aggregate(
        is_present=_.is_present.any(), last_name=_last_name(valued), left_with=_.left_with.max()
    )
    stock = inventory.select(
        *by, "product_name", previous=_.opening_inventory, closing=_.closing_inventory, has_stock=True
    )
    joined = presence.left_join(stock, by).join(first_seen, "product_id")
    both = joined.mutate(
        product_name=_.has_stock.notnull().ifelse(_.product_name, _.last_name),
        previous_inventory=_.has_stock.notnull().ifelse(_.previous, _.left_with),
        inventory=_.is_present.ifelse(_.closing, NO_UNITS),
        is_new=_.first_seen_at >= _.starts_at,
    )
    previous, now = both.previous_inventory, both.inventory
    state = ibis.cases(
        (both.is_new, "new"),
        (~both.is_present, "gone"),
        (now.isnull(), "unknown"),
        (previous.isnull(), "back"),
        ((previous > 0) & (now <= 0), "sold_out"),
        ((previous <= 0) & (now > 0), "restocked"),
        (now > previous, "up"),
        (now < previous, "down"),
        else_="same",
    )
    return both.mutate(change=now - previous, state=state).select(TABLES["inventory_changes"].names)


def inventory_fluctuations(
    product_snapshots: ibis.Table, observations: ibis.Table, since: dt.datetime | None = None
) -> ibis.Table:
    """Return how often and how far stock moved, in units. One row per product with a version after `since`, or ever."""
    changes = stock_changes(product_snapshots)
    held = product_snapshots
    if since is not None:
        changes = changes.filter(_.changed_at >= since)
        held = held.filter(_.valid_to.isnull() | (_.valid_to > since))
    in_turn = changes.mutate(before=_.delta.lag().over(group_by="product_id", order_by="changed_at")).mutate(
        is_reversal=((_.delta > 0) != (_.before > 0)) & _.before.notnull()
    )
    moved = _flows(changes, ["product_id"])
    reversals = in_turn.group_by("product_id").aggregate(
        reversals=_.is_reversal.fill_null(False).cast("int64").sum().cast("int64")
    )
    ranges = held.group_by("product_id").aggregate(range=_.inventory.max() - _.inventory.min())
    measured = (
        ranges.left_join(moved, "product_id")
        .drop("product_id_right")
        .left_join(reversals, "product_id")
        .drop("product_id_right")
        .left_join(last_known_names(product_snapshots), "product_id")
        .mutate(
            inflow=_.inflow.coalesce(0),
            outflow=_.outflow.coalesce(0),
            changes=_.changes.coalesce(0),
            reversals=_.reversals.coalesce(0),
        )
        .mutate(volume=_.inflow + _.outflow)
    )
    ranked = measured.mutate(
        rank=ibis.dense_rank().over(order_by=ibis.desc("changes")) + 1,
        volume_rank=ibis.dense_rank().over(order_by=ibis.desc("volume")) + 1,
    )
    return ranked.order_by("rank", "volume_rank", "product_name", "product_id").select(
        TABLES["inventory_fluctuations"].names
    )


def stockouts(product_snapshots: ibis.Table, observations: ibis.Table, max_gap: dt.timedelta) -> ibis.Table:
    """Return the unbroken runs of versions with inventory <= 0. One row per product and episode.

    `max_gap` is the longest time between two observations that count as observed.
    """
    of_product = ibis.window(group_by="product_id", order_by="valid_from")
    beside = product_snapshots.mutate(is_out=(_.inventory <= 0).fill_null(False)).mutate(
        was_out=_.is_out.lag().over(of_product).fill_null(False),
        ended_before_at=_.valid_to.lag().over(of_product),
        next_valid_from=_.valid_from.lead().over(of_product),
        next_inventory=_.inventory.lead().over(of_product),
    )
    is_start = ~(beside.was_out & (beside.ended_before_at == beside.valid_from).fill_null(False))
    out = beside.mutate(is_start=is_start).filter(_.is_out)
    so_far = ibis.cumulative_window(group_by="product_id", order_by="valid_from")
    numbered = out.mutate(episode=_.is_start.cast("int64").sum().over(so_far))
    spans = observed_spans(numbered, product_snapshots, intervals(observations, max_gap))
    adjoins = (spans.next_valid_from == spans.valid_to).fill_null(False)
    is_restock = adjoins & (spans.next_inventory > 0).fill_null(False)
    ends = spans.mutate(
        restocked_at_=is_restock.ifelse(spans.next_valid_from, ibis.null("timestamp(6)")),
        restock_quantity_=is_restock.ifelse(spans.next_inventory, NO_UNITS),
    )
    episodes = ends.group_by("product_id", "episode").aggregate(
        out_of_stock_at=_.valid_from.min(),
        ended_at=_.valid_to.max(),
        is_ongoing=_.is_current.any(),
        restocked_at=_.restocked_at_.max(),
        restock_quantity=_.restock_quantity_.max(),
        min_inventory=_.inventory.min(),
        hours_out_observed=_hours((_.observed_to - _.observed_from).sum()),
    )
    known = episodes.cross_join(_last_observation(observations)).left_join(
        last_known_names(product_snapshots), "product_id"
    )
    until = known.is_ongoing.ifelse(known.last_observed_at, known.ended_at)
    return known.mutate(hours_out=_hours(seconds_between(known.out_of_stock_at, until))).select(
        TABLES["stockouts"].names
    )
