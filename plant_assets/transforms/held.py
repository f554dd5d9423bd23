"""What products held when: their names by week, their prices by instant. `snapshots.py` makes the versions."""

import ibis
from ibis import _

from plant_assets.transforms.events import Offsets, local_date, monday

# Before and after every week of a store, and instants of nanoseconds, which some engines make of dates.
ALWAYS, NEVER = ibis.date(1900, 1, 1), ibis.date(2200, 1, 1)


def named_by_week(rows: ibis.Table, product_snapshots: ibis.Table, offsets: Offsets) -> ibis.Table:
    """Add product_name: the name last held by the end of `week_start_date`, else the first one known after it.

    A row without a week has the last name. A product that never had a name has NULL.
    """
    names = _name_spells(product_snapshots, offsets).rename(named_id="product_id")
    week = rows.week_start_date.coalesce(NEVER)
    is_held = (
        (rows.product_id == names.named_id)
        & (names.named_from <= week)
        & (names.named_until.isnull() | (week < names.named_until))
    )
    return rows.left_join(names, is_held).select(*rows.columns, "product_name")


def _name_spells(product_snapshots: ibis.Table, offsets: Offsets) -> ibis.Table:
    """Return the weeks from and until which a product has a name. One row per product and week with a name.

    A product's first name is its name in all weeks before. Columns: product_id, product_name, named_from, named_until
    (not included; NULL: still).
    """
    named = product_snapshots.filter(_.name.notnull())
    spans = named.group_by("product_id").aggregate(
        product_name=named.name.argmin(named.valid_from), least=_.name.min(), most=_.name.max()
    )
    first = spans.mutate(named_from=ALWAYS).select("product_id", "named_from", "product_name")
    # Few products change their names: only their versions are put in order.
    renamed = named.semi_join(spans.filter(_.least != _.most), "product_id")
    by_week = renamed.group_by("product_id", named_from=monday(local_date(renamed.valid_from, offsets)))
    later = by_week.aggregate(product_name=renamed.name.argmax(renamed.valid_from))
    in_order = ibis.window(group_by="product_id", order_by="named_from")
    return ibis.union(first, later).mutate(named_until=_.named_from.lead().over(in_order))


def price_spells(product_snapshots: ibis.Table) -> ibis.Table:
    """Return the intervals over which a product had one price. One row per product and interval.

    Columns: product_id, price, priced_from, priced_until (not included; NULL: still).
    """
    in_order = ibis.window(group_by="product_id", order_by="valid_from")
    so_far = ibis.cumulative_window(group_by="product_id", order_by="valid_from")
    adjoins = (_.valid_from == _.valid_to.lag().over(in_order)).fill_null(False)
    beside = product_snapshots.mutate(goes_on=adjoins & _.price.identical_to(_.price.lag().over(in_order)))
    numbered = beside.mutate(spell=(~_.goes_on).cast("int64").sum().over(so_far))
    spells = numbered.group_by("product_id", "spell").aggregate(
        price=_.price.max(),
        priced_from=_.valid_from.min(),
        until=_.valid_to.max(),
        is_current=_.valid_to.isnull().any(),
    )
    until = spells.is_current.ifelse(ibis.null("timestamp(6)"), spells.until)
    return spells.filter(_.price.notnull()).select("product_id", "price", "priced_from", priced_until=until)
