"""Product versions, as a function of all observations."""

import datetime as dt

import ibis
from ibis import _

from plant_assets.contracts import TABLES
from plant_assets.transforms.events import last_known_names

# After every observation.
NEVER = ibis.literal(dt.datetime(9999, 12, 31), "timestamp(6)")
ATTRIBUTES = ("name", "price", "inventory")


def product_snapshots(
    products: ibis.Table,
    observations: ibis.Table,
    before: ibis.Table | None = None,
    since: dt.datetime | None = None,
) -> ibis.Table:
    """Return the versions of each product. One row per product version: columns of product_snapshots.

    A version is an unbroken run of observations that saw the product with equal attributes. It ends at the
    observation after the run; a run that reaches the last observation is current.

    Args:
        products: rows of raw_products.
        observations: rows of raw_observations.
        before: product_snapshots as it was written last.
        since: the last observation that has not changed since then. Only versions that end later are returned.
    """
    if before is None or since is None:
        return _versions(products, observations)
    columns, start = TABLES["product_snapshots"].names, ibis.literal(since, "timestamp(6)")
    recent = _versions(products.filter(_.observed_at >= start), observations.filter(_.observed_at >= start))
    opened = before.filter((_.valid_from <= start) & (_.valid_to.isnull() | (_.valid_to > start)))
    began = opened.select("product_id", began_at="valid_from", before_began="changed_after")
    # A product that was absent then was last seen at the observation before its last version ended.
    ends = before.filter(_.valid_to <= start).group_by("product_id").aggregate(ended_at=_.valid_to.max())
    in_order = observations.filter(_.observed_at <= start)
    steps = in_order.select(
        held_at="observed_at", ended_at=in_order.observed_at.lead().over(ibis.window(order_by="observed_at"))
    )
    last_held = ends.join(steps, "ended_at").select("product_id", "held_at")
    beside = recent.left_join(began, "product_id", rname="{name}_of_began").left_join(
        last_held, "product_id", rname="{name}_of_held"
    )
    goes_on = beside.valid_from == start
    return beside.mutate(
        valid_from=goes_on.ifelse(beside.began_at, beside.valid_from),
        changed_after=goes_on.ifelse(beside.before_began, ibis.coalesce(beside.changed_after, beside.held_at)),
    ).select(columns)


def products(product_snapshots: ibis.Table, observations: ibis.Table) -> ibis.Table:
    """Return every product ever seen, as it is now or was last. One row per product.

    Args:
        product_snapshots: the product versions.
        observations: rows of raw_observations.
    """
    spans = product_snapshots.group_by("product_id").aggregate(
        first_seen_at=_.valid_from.min(), valid_from=_.valid_from.max()
    )
    last = product_snapshots.drop("name", "changed_after").join(spans, ["product_id", "valid_from"])
    in_order = ibis.window(order_by="observed_at")
    # The last observation of what is gone is the one before it was missing; of what is there it is the last of all.
    seen = observations.select(
        last_seen_at="observed_at", valid_to=observations.observed_at.lead().over(in_order).coalesce(NEVER)
    )
    dated = last.mutate(valid_to=_.valid_to.coalesce(NEVER)).join(seen, "valid_to")
    named = dated.left_join(last_known_names(product_snapshots), "product_id").rename(name="product_name")
    held = named.is_current.ifelse(named.inventory, ibis.null("int64"))
    return named.mutate(inventory=held).select(TABLES["products"].names)


def as_dbt_names_them(product_snapshots: ibis.Table) -> ibis.Table:
    """Return the versions with the columns of a dbt snapshot. One row per product version.

    dbt's `dbt_scd_id` is an MD5 hash of ours: not every engine has MD5.
    """
    began_at = product_snapshots.valid_from
    return product_snapshots.mutate(
        dbt_scd_id=product_snapshots.product_id + "|" + began_at.strftime("%Y-%m-%d %H:%M:%S"),
        dbt_updated_at=began_at,
        dbt_valid_from=began_at,
        dbt_valid_to=product_snapshots.valid_to,
    ).select(TABLES["product_snapshot_dbt"].names)


def _versions(products: ibis.Table, observations: ibis.Table) -> ibis.Table:
    in_order = ibis.window(order_by="observed_at")
    numbered = observations.select("observed_at", number=ibis.row_number().over(in_order))
    of_product = ibis.window(group_by="product_id", order_by="observed_at")
    seen = products.join(numbered, "observed_at")
    beside = seen.mutate(
        **{f"previous_{name}": seen[name].lag().over(of_product) for name in ATTRIBUTES},
        previous_number=seen.number.lag().over(of_product),
        changed_after=seen.observed_at.lag().over(of_product),
    )
    adjoins = (beside.previous_number == beside.number - 1).fill_null(False)
    goes_on = ibis.and_(adjoins, *(beside[name].identical_to(beside[f"previous_{name}"]) for name in ATTRIBUTES))
    # Windows over all rows are the main cost, so the end of a version is taken from the start of the next one.
    starts = beside.filter(~goes_on)
    last_seen = seen.group_by("product_id").aggregate(last_number=_.number.max())
    by_start = starts.mutate(end_number=starts.previous_number.lead().over(of_product)).left_join(
        last_seen, "product_id", rname="{name}_of_last"
    )
    end_number = ibis.coalesce(by_start.end_number, by_start.last_number)
    closing = numbered.select(closes_number=numbered.number - 1, valid_to="observed_at")
    ended = by_start.mutate(end_number=end_number).left_join(closing, _.end_number == closing.closes_number)
    versions = ended.mutate(valid_from=_.observed_at, is_current=_.valid_to.isnull())
    return versions.select(TABLES["product_snapshots"].names)
