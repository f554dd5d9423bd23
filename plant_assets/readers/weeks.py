"""Which weeks the published marts can speak of, and which is the latest. Answers and page take them from here.

Imports nothing that makes tables: `plant-assets answers` starts without it.
"""

import datetime as dt

from plant_assets.settings import UsageError
from plant_assets.warehouse.marts import Marts

# What publishing notes of the instants that the marts speak of, by the names of the facts.
AS_OF, EVENTS_UNTIL, OBSERVED_UNTIL, LATEST_WEEK = "as_of", "events_until", "observed_until", "latest_week"
_WEEKS = (
    "select distinct week_start_date from (select week_start_date from funnel_by_week"
    " union all select week_start_date from inventory) order by 1"
)
_IS_OBSERVED = "select exists (from inventory where week_start_date = ? and min_inventory is not null)"


def weeks_with_figures(marts: Marts) -> list[dt.date]:
    """Return the weeks that have an event or an inventory, in order."""
    return [row[0] for row in marts.rows(_WEEKS)]


def weeks_until_latest(marts: Marts) -> list[dt.date]:
    """Return the weeks that have figures, in order, up to the one that counts as latest."""
    latest = marts.fact(LATEST_WEEK)
    return [week for week in weeks_with_figures(marts) if not latest or week <= dt.date.fromisoformat(latest)]


def require_figures(marts: Marts, week: dt.date | None) -> None:
    """Check that a week has figures; without a week, that any has.

    Raises:
        UsageError: names the first and the last week that have figures.
    """
    known = weeks_with_figures(marts)
    if week not in known and (week or not known):
        span = f"there are {known[0]} to {known[-1]}" if known else "no week has any yet"
        raise UsageError(f"no figures of {f'the week {week}' if week else 'any week'}: {span}")


def is_stock_observed(marts: Marts, week: dt.date | None) -> bool:
    """Tell whether the stock of a product is known in a week."""
    return bool(marts.value(_IS_OBSERVED, [week]))


def noted_instant(marts: Marts, name: str) -> dt.datetime | None:
    """Return an instant that publishing noted; None if it noted none."""
    text = marts.fact(name)
    return dt.datetime.fromisoformat(text) if text else None
