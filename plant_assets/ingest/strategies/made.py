"""Observations that are made from events, for a store that has no table of products."""

import datetime as dt

from plant_assets.contracts import TABLES
from plant_assets.ingest.reading import Reading
from plant_assets.ingest.strategies.events import EventsLoad
from plant_assets.ingest.strategies.observations import MADE_OF_EVENTS, ObservationsLoad
from plant_assets.ingest.weeks import LoadWeeks
from plant_assets.sources.base import SourceFile

_MAKE = """
    create or replace temp table made_products as
    select $at::timestamp as observed_at, product_id, product_id as name, price, null::bigint as inventory
    from ({priced})
"""
_DIFFERS = """
    select exists (from made_products except from (from raw_products where observed_at = $at))
        or exists (from (from raw_products where observed_at = $at) except from made_products)
"""
_OBSERVATION = "select $at::timestamp as observed_at, $file::varchar as file, $products::bigint as products"


class MadeObservations(ObservationsLoad):
    """The load that observes the products which the loaded events name, at the instant of the latest event."""

    def __init__(self, reading: Reading, events: EventsLoad, weeks: LoadWeeks) -> None:
        super().__init__(reading)
        self._events, self._weeks = events, weeks

    def stage(self, listed: list[SourceFile]) -> None:
        """Stage nothing: the events are staged."""
        self._begin(listed)
        self.staged.read([])

    def validate(self) -> None:
        """Validate nothing: the events are validated."""

    def new_instants(self, last: dt.datetime | None) -> list[dt.datetime]:
        """Return the instant of the latest event, or `last` where that is later; none where no event is loaded."""
        if not self._events.changed_weeks():
            return []
        found = [at for at in (self._events.latest_instant(), last) if at]
        return [max(found)] if found else []

    def write(self, run_id: str) -> int:
        """Observe the products once all weeks are written; return the number of rows added.

        If events of an earlier time are loaded later, the last observation is made again, and no earlier one.
        """
        if self.is_written or self._weeks.chosen - self._weeks.done:
            return 0
        warehouse, loads, digest = self._warehouse, self._warehouse.ledger.loads, self._read_by
        with warehouse.transaction():
            self._forget_made(digest)
            at = self._latest()
            if at is None or not self._make(at):
                return 0
            self._replace([at], run_id)
            loads.forget_observations([at])
            warehouse.store.append(TABLES["raw_products"], "from made_products")
            products = int(warehouse.value("select count(*) from made_products"))
            observation = {"at": at, "file": MADE_OF_EVENTS, "products": products}
            warehouse.store.append(TABLES["raw_observations"], _OBSERVATION, observation)
            loads.account_observation(at, MADE_OF_EVENTS, digest, products, run_id)
        self.is_written = True
        return products

    def _latest(self) -> dt.datetime | None:
        """Return the second of the latest event or observation that the run counts."""
        until = self._reading.until
        observed = self._warehouse.value(
            "select max(observed_at) from raw_observations where observed_at <= $until", {"until": until}
        )
        found = (self._warehouse.ledger.prices.latest_event(until), observed)
        latest = max((each for each in found if each), default=None)
        return latest and latest.replace(microsecond=0)

    def _make(self, at: dt.datetime) -> bool:
        """Put the products in `made_products`; return whether that instant was observed otherwise, or not at all."""
        priced = self._warehouse.ledger.prices.priced_products()
        self._warehouse.execute(_MAKE.format(priced=priced), {"at": at})
        is_observed = self._warehouse.value("select count(*) from raw_observations where observed_at = $at", {"at": at})
        return not is_observed or bool(self._warehouse.value(_DIFFERS, {"at": at}))
