"""The open funnel of sessions: page_view, add_to_cart, checkout, package_shipped."""

import ibis
import pandas as pd

from plant_assets.transforms import funnel as transforms


def funnel(int_session_days: ibis.Table) -> ibis.Table:
    """Sessions that reached each stage, over everything; one row per store."""
    return transforms.whole_funnel(int_session_days)


def funnel_by_date(int_session_days: ibis.Table) -> ibis.Table:
    """Sessions that reached each stage on a date; one row per event date.

    An open funnel by date can exceed 100 %: a session may view on one date and check out on the next. Dates do
    not add up to the whole for the same reason.
    """
    return transforms.funnel_by_date(int_session_days)


def funnel_by_product(int_events: ibis.Table, product_snapshots: ibis.Table) -> ibis.Table:
    """Distinct sessions that reached each stage with a product; one row per product.

    The row `(unknown)` takes the events whose product is NULL or was never observed.
    """
    return transforms.funnel_by_product(int_events, product_snapshots)


def funnel_steps(funnel: pd.DataFrame) -> pd.DataFrame:
    """What is lost from each stage to the next; one row per step."""
    return transforms.funnel_steps(funnel)


# funnel_by_date is held against the whole by its check, so it comes after it.
AFTER = {"funnel_by_date": ["funnel"]}
ASSETS = (funnel, funnel_by_date, funnel_by_product, funnel_steps)
