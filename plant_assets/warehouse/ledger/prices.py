"""The prices that events gave, for a store whose products are made from its events."""

import datetime as dt
from collections.abc import Iterable

import duckdb

from plant_assets.warehouse.ledger.tables import rows_of

_EVENT_PRICES = """
    create or replace temp table prices as
    select week, product_id, max(latest_at) as latest_at, max(priced_at) as priced_at,
        arg_max(price, (priced_at, price)) as price
    from (
        select week, product_id, created_at as latest_at, if(price is null, null, created_at) as priced_at, price
        from _staged_events where reason is null and product_id is not null and week in (from run_weeks)
        union all by name
        select * from _event_prices where week in (from run_weeks) and not list_contains($replaced::date[], week)
    ) group by week, product_id
"""


class Prices:
    """Per week and product, when an event last named it, and the price that one last gave."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    def note(self, replaced: Iterable[dt.date]) -> None:
        """Keep the prices that the staged events of the weeks in `run_weeks` gave."""
        self._connection.execute(_EVENT_PRICES, {"replaced": list(replaced)})
        self._connection.execute("delete from _event_prices where week in (from run_weeks)")
        self._connection.execute("insert into _event_prices by name from prices")

    def latest_event(self, until: dt.datetime) -> dt.datetime | None:
        """Return when an event last named a product."""
        found = rows_of(self._connection, "select max(latest_at) from _event_prices where latest_at <= ?", [until])
        return found[0][0] if found else None

    def priced_products(self) -> str:
        """Return a query of each product that an event named, with the price that one last gave."""
        return "select product_id, arg_max(price, (priced_at, price)) as price from _event_prices group by product_id"
