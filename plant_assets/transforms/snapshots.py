"""Product versions: what each product was, and from when to when, as a function of all observations."""

import ibis
from ibis import _

from plant_assets.contracts import TABLES

ATTRIBUTES = ("name", "price", "inventory")


def product_snapshots(products: ibis.Table, observations: ibis.Table) -> ibis.Table:
    """The versions of each product. One row per product version.

    A version is an unbroken run of observations that saw the product with equal attributes. It ends at the
    observation after the run; a run that reaches the last observation is current.
    """
    in_order = ibis.window(order_by="observed_at")
    numbered = observations.select(
        "observed_at",
        number=ibis.row_number().over(in_order),
        next_observed_at=observations.observed_at.lead().over(in_order),
    )
    of_product = ibis.window(group_by="product_id", order_by="observed_at")
    seen = products.join(numbered, "observed_at")
    beside = seen.mutate(
        **{f"previous_{name}": seen[name].lag().over(of_product) for name in ATTRIBUTES},
        **{f"following_{name}": seen[name].lead().over(of_product) for name in ATTRIBUTES},
        previous_number=seen.number.lag().over(of_product),
        following_number=seen.number.lead().over(of_product),
        changed_after=seen.observed_at.lag().over(of_product),
    )

    def continues(side: str, step: int) -> ibis.Value:
        adjoins = (beside[f"{side}_number"] == beside.number + step).fill_null(False)
        return ibis.and_(adjoins, *(beside[name].identical_to(beside[f"{side}_{name}"]) for name in ATTRIBUTES))

    bounds = beside.mutate(is_start=~continues("previous", -1), is_end=~continues("following", 1)).filter(
        _.is_start | _.is_end
    )
    # Between the start of a run and its end no other row is left: the end is the row itself or the next.
    ended = bounds.mutate(
        valid_to=bounds.is_end.ifelse(bounds.next_observed_at, bounds.next_observed_at.lead().over(of_product))
    )
    versions = ended.filter(_.is_start).mutate(valid_from=_.observed_at, is_current=_.valid_to.isnull())
    return versions.select(TABLES["product_snapshots"].names)
