"""Facts of product versions and of the stock of each week."""

import ibis
from ibis import _

from plant_assets.calendar import WEEK
from plant_assets.checks.base import Check, Scope, keys
from plant_assets.transforms.inventory import versions_in_weeks
from plant_assets.transforms.snapshots import product_snapshots as rebuilt_snapshots


def _overlapping_versions(scope: Scope) -> ibis.Table:
    versions = scope.whole("product_snapshots")
    following = versions.valid_from.lead().over(group_by="product_id", order_by="valid_from")
    beside = versions.mutate(following=following)
    is_wrong = (_.following.notnull() & (_.valid_to.isnull() | (_.following < _.valid_to))) | (
        _.valid_to <= _.valid_from
    )
    return keys(beside.filter(is_wrong), "product_id", "valid_from")


def _current_versions(scope: Scope) -> ibis.Table:
    """Return products of the last observation without one current version, and other products with one."""
    last = scope.counted("raw_observations").aggregate(observed_at=_.observed_at.max())
    seen_last = scope.counted("raw_products").semi_join(last, "observed_at").select("product_id").distinct()
    versions = scope.whole("product_snapshots")
    current = versions.filter(_.is_current).group_by("product_id").aggregate(versions=_.count())
    both = seen_last.left_join(current, "product_id")
    not_one = both.filter(both.versions.isnull() | (both.versions != 1)).select("product_id")
    gone = current.anti_join(seen_last, "product_id").select("product_id")
    mislabelled = versions.filter(_.is_current != _.valid_to.isnull()).select("product_id")
    return keys(ibis.union(not_one, gone, mislabelled), "product_id")


def _not_as_rebuilt(scope: Scope) -> ibis.Table:
    products, observations = scope.counted("raw_products"), scope.counted("raw_observations")
    stored = scope.whole("product_snapshots")
    if scope.weeks:
        last_weeks = max(scope.weeks.first, scope.weeks.last - WEEK)
        starts_at = ibis.literal(scope.settings.calendar.starts_at(last_weeks), "timestamp(6)")
        products, observations = (seen.filter(_.observed_at >= starts_at) for seen in (products, observations))
        first = observations.aggregate(first=_.observed_at.min())
        rebuilt = _from(rebuilt_snapshots(products, observations), first)
        stored = _from(stored, first)
    else:
        rebuilt = rebuilt_snapshots(products, observations)
    differing = ibis.union(rebuilt.difference(stored), stored.difference(rebuilt))
    return keys(differing, "product_id", "valid_from")


def _from(versions: ibis.Table, first: ibis.Table) -> ibis.Table:
    """Return the versions from the first observation on: stock before it is unknown."""
    both = versions.cross_join(first)
    held = both.filter(both.first.notnull() & (both.valid_to.isnull() | (both.valid_to > both.first)))
    return held.mutate(
        valid_from=ibis.greatest(held.valid_from, held.first),
        changed_after=(held.changed_after >= held.first).ifelse(held.changed_after, ibis.null("timestamp(6)")),
    ).select(versions.columns)


def _unbalanced(scope: Scope) -> ibis.Table:
    wrong = scope.table("inventory").filter(_.opening_inventory + _.inflow - _.outflow != _.closing_inventory)
    return keys(wrong, "week_start_date", "product_id")


def _broken_chain(scope: Scope) -> ibis.Table:
    stock = scope.whole("inventory")
    if scope.weeks:
        stock = stock.filter(_.week_start_date.between(scope.weeks.first - WEEK, scope.weeks.last + WEEK))
    following = stock.select(
        "product_id", "opening_inventory", week_start_date=_.week_start_date - ibis.interval(days=7)
    ).mutate(week_start_date=_.week_start_date.cast("date"))
    both = stock.join(following, ["week_start_date", "product_id"], rname="next_{name}")
    wrong = both.filter(~both.closing_inventory.identical_to(both.next_opening_inventory))
    return keys(wrong, "week_start_date", "product_id")


def _stored_weeks(scope: Scope) -> ibis.Table:
    """Return the weeks in scope; without weeks, those from the first to the last of inventory."""
    weeks = scope.whole("weeks")
    if scope.weeks:
        return weeks.filter(_.week_start_date.between(scope.weeks.first, scope.weeks.last))
    stored = scope.whole("inventory").aggregate(first=_.week_start_date.min(), last=_.week_start_date.max())
    return weeks.cross_join(stored).filter(_.week_start_date.between(_.first, _.last)).drop("first", "last")


def _versions_without_inventory(scope: Scope) -> ibis.Table:
    weeks, versions = _stored_weeks(scope), scope.whole("product_snapshots")
    last = scope.counted("raw_observations").aggregate(last=_.observed_at.max())
    observed = weeks.cross_join(last).filter(_.starts_at <= _.last).drop("last")
    touching = versions_in_weeks(versions, observed, scope.offsets())
    held = touching.filter(touching.valid_to.isnull() | (touching.valid_to > touching.starts_at))
    expected = held.select("week_start_date", "product_id").distinct()
    return keys(
        expected.anti_join(scope.table("inventory"), ["week_start_date", "product_id"]),
        "week_start_date",
        "product_id",
    )


def _inventory_without_change(scope: Scope) -> ibis.Table:
    by = ["week_start_date", "product_id"]
    stock, changes = scope.table("inventory"), scope.table("inventory_changes")
    both = stock.left_join(changes, by)
    wrong = both.filter(both.state.isnull() | ~both.closing_inventory.identical_to(both.inventory))
    return keys(wrong, *by)


def _hours_off(scope: Scope) -> ibis.Table:
    """Return the weeks of products whose hours out of stock are not those of their episodes; seconds are exact."""
    weeks, by = _stored_weeks(scope), ["week_start_date", "product_id"]
    nothing, stock = ibis.literal(0, "int64"), scope.table("inventory")
    of_weeks = stock.select(*by, held=_seconds(stock.hours_out_of_stock), episodes=nothing)
    stockouts = scope.whole("stockouts")
    starts = stockouts.out_of_stock_at.epoch_seconds()
    episodes = stockouts.select("product_id", starts=starts, ends=starts + _seconds(stockouts.hours_out))
    bounds = weeks.select("week_start_date", first=weeks.starts_at.epoch_seconds(), after=weeks.ends_at.epoch_seconds())
    touching = bounds.join(episodes, (episodes.starts < bounds.after) & (episodes.ends > bounds.first))
    inside = ibis.least(touching.ends, touching.after) - ibis.greatest(touching.starts, touching.first)
    of_episodes = touching.select(*by, held=nothing, episodes=inside)
    both = ibis.union(of_weeks, of_episodes).group_by(by).aggregate(held=_.held.sum(), episodes=_.episodes.sum())
    wrong = both.filter(both.held != both.episodes)
    return keys(wrong, *by, "held", ibis.literal("seconds, in episodes"), "episodes")


def _seconds(hours: ibis.Value) -> ibis.Value:
    return (hours * 3600).round().cast("int64")


CHECKS: tuple[Check, ...] = (
    Check(
        "product_snapshots",
        "do_not_overlap",
        "A product has at most one version at any instant.",
        _overlapping_versions,
    ),
    Check(
        "product_snapshots",
        "have_one_current_row",
        "Each product of the last observation has one current version, no other has any.",
        _current_versions,
        reads=("raw_products", "raw_observations"),
    ),
    Check(
        "product_snapshots",
        "equal_their_rebuild",
        "Versions rebuilt from all observations are the stored ones; in a run, from those of its last two weeks.",
        _not_as_rebuilt,
        reads=("raw_products", "raw_observations"),
    ),
    Check(
        "inventory",
        "flows_balance",
        "opening + inflow - outflow = closing, where opening and closing are known.",
        _unbalanced,
    ),
    Check(
        "inventory",
        "weeks_adjoin",
        "The closing inventory of a week is the opening inventory of the next.",
        _broken_chain,
    ),
    Check(
        "inventory",
        "has_every_product",
        "Each product with a version in a week has its row.",
        _versions_without_inventory,
        reads=("product_snapshots", "raw_observations", "weeks"),
    ),
    Check(
        "inventory_changes",
        "cover_inventory",
        "Each row of inventory has its change, with the same closing inventory.",
        _inventory_without_change,
        reads=("inventory",),
    ),
    Check(
        "stockouts",
        "have_the_hours_of_inventory",
        "In each week a product is out of stock for as many hours as its episodes have in it.",
        _hours_off,
        reads=("inventory", "weeks"),
    ),
)
