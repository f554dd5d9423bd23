"""The products as they were observed: which observations are accepted, and how they are written.

Where observations are read is in `observed.py`; those that are made from events are in `made.py`.
"""

import abc
import datetime as dt
from functools import partial

from plant_assets.contracts import TABLES, VERSIONS
from plant_assets.ingest.audit import Replaced, account, empty_observations, reject_empty_observation
from plant_assets.ingest.reading import Reading
from plant_assets.ingest.strategies.base import Listing, Rule, UnpartitionedLoad
from plant_assets.ingest.strategies.observed import FileObservations, HistoryObservations
from plant_assets.ingest.strategies.stock import StockObservations
from plant_assets.ingest.strategies.whole import HistoryLoad
from plant_assets.ingest.validation import (
    Observation,
    add_inventories,
    find_too_few_products,
    merge_places,
    reject_duplicates,
)
from plant_assets.sources.base import SourceFile
from plant_assets.sources.tables import HISTORY

# What stands for the file of products that are made from events.
MADE_OF_EVENTS = "(events)"
# The tables that hold an observation: its rows, and that it was.
OBSERVED = (TABLES["raw_products"], TABLES["raw_observations"])
_STORED = "select observed_at, file, products from raw_observations order by observed_at"
_COUNT_PRODUCTS = "select file, count(*) from _staged_products where reason is null group by file"
_REJECT_TOO_FEW = """
    update _staged_products set reason = 'too_few_products'
    where list_contains($instants::timestamp[], observed_at) and (reason is null or reason = 'merged')
"""
_OBSERVATIONS = """
    select unnest($instants::timestamp[]) as observed_at, unnest($files::varchar[]) as file,
        unnest($products::bigint[]) as products
"""
# Parameters: the instants that are loaded, and the parts of several instants that are not read again. Any other instant
# that was rejected and is not read again is gone from the source.
_OF_INSTANTS = """
    list_contains($instants::varchar[], bucket)
    or bucket not in (select observed_at::varchar from raw_observations)
    and not list_contains($unread::varchar[], file)
"""


class ObservationsLoad(UnpartitionedLoad):
    """The load of the products' observations, wherever they come from."""

    def __init__(self, reading: Reading) -> None:
        super().__init__(reading, "products")

    @abc.abstractmethod
    def new_instants(self, last: dt.datetime | None) -> list[dt.datetime]:
        """Return the instants that this load observes; `last` is that of the last stored observation."""

    @property
    def accepted(self) -> int:
        """The number of observations that the load adds."""
        return len(self.staged.fresh)

    def observed(self) -> list[tuple[dt.datetime, int]]:
        """Return the observations that the run counts, in order, each with the number of the write that loaded it."""
        loads = self._warehouse.ledger.loads
        stored = dict(loads.observations(until=self._reading.until))
        new = dict.fromkeys(self.new_instants(max(stored, default=None)), loads.next_write_number())
        return sorted((stored | new).items())

    def _replace(self, instants: list[dt.datetime], run_id: str) -> None:
        """Delete the observations that this load writes again, and record that it writes."""
        for table in OBSERVED:
            self._warehouse.store.delete_observations(table, instants)
            self._warehouse.ledger.writes.record(table.name, run_id)

    def _forget_made(self, digest: str) -> None:
        """Delete what other rules than those of `digest` made from events, and the versions that rest on it."""
        ledger = self._warehouse.ledger
        made = ledger.loads.made_observations(MADE_OF_EVENTS, digest)
        if not made:
            return
        for table in OBSERVED:
            self._warehouse.store.delete_observations(table, made)
        ledger.loads.forget_observations(made)
        ledger.writes.forget(VERSIONS)


class ReadObservations(ObservationsLoad):
    """The load of observations that the source tells of: in files of the products, and in dbt's history."""

    def __init__(self, reading: Reading, history: HistoryLoad) -> None:
        super().__init__(reading)
        self._files = FileObservations(reading, self.staged)
        self._stock = StockObservations(reading, self.staged, self._read_by)
        self._history = HistoryObservations(reading, self.staged, history)
        self._rejected: set[dt.datetime] = set()

    def is_missed(self, listed: Listing) -> bool:
        """Return whether the source has neither products nor a history of them."""
        return super().is_missed(listed) and not listed[HISTORY]

    def stage(self, listed: list[SourceFile]) -> None:
        """Stage the observations that files hold and that are not loaded."""
        self._begin(listed, finds_appended=False)
        self.staged.read([*self._files.to_read(), *self._stock.to_read()])
        self._stock.find()

    def rows_read_elsewhere(self) -> int:
        """Return the number of rows of the instants that are loaded already."""
        return super().rows_read_elsewhere() + self._stock.known_rows

    # Validation

    def validate(self) -> None:
        """Add what the validated history tells of; reject duplicates, then observations of too few products."""
        self._history.stage()
        reject_copies = partial(reject_duplicates, self._warehouse, self._source_table, "product_id")
        sums = bool(self._reading.source.mapping.sum_over)
        merges = [partial(merge_places, self._warehouse)] if sums else []
        rules: list[Rule] = [self._stock.reject_future, reject_copies, *merges, self._reject_too_few]
        self._validate_by(rules, self._stock.keep_new)
        if sums:
            add_inventories(self._warehouse)
        self._stock.name_products()

    def _reject_too_few(self) -> None:
        stored = [Observation(*row) for row in self._warehouse.rows(_STORED)]
        least = self._warehouse.settings.min_products
        rejected = find_too_few_products(stored, self._staged_observations(), least)
        self._rejected = {each.observed_at for each in rejected}
        for each in rejected:
            if not each.products:
                self._reading.log.warning("%s is kept out: it holds no product, see PLANT_MIN_PRODUCTS", each.file)
        if rejected:
            self._warehouse.execute(_REJECT_TOO_FEW, {"instants": sorted(self._rejected)})

    def _staged_observations(self) -> list[Observation]:
        if not self.staged.is_read:
            return []
        products = dict(self._warehouse.rows(_COUNT_PRODUCTS))
        observations = [
            Observation(each.observed_at, each.name, products.get(each.name, 0))
            for each in self.staged.fresh
            if each.observed_at
        ]
        return sorted([*observations, *self._stock.observations()], key=lambda each: each.observed_at)

    @property
    def accepted(self) -> int:
        """The number of observations that the load adds."""
        return len(self._accepted_observations())

    def _accepted_observations(self) -> list[Observation]:
        return [each for each in self._staged_observations() if each.observed_at not in self._rejected]

    def new_instants(self, last: dt.datetime | None) -> list[dt.datetime]:
        """Return the instants of the observations that are accepted."""
        return [each.observed_at for each in self._accepted_observations()]

    # Writing

    def write(self, run_id: str) -> int:
        """Add the accepted observations in one transaction; return the number of rows added, 0 the second time."""
        if self.is_written:
            return 0
        warehouse, accepted = self._warehouse, self._accepted_observations()
        instants = [each.observed_at for each in self.staged.fresh if each.observed_at] + self._stock.instants
        empty_before = empty_observations(warehouse)
        with warehouse.transaction():
            self._forget_made("")
            self._replace(instants, run_id)
            noted = {
                "instants": [each.observed_at for each in accepted],
                "files": [each.file for each in accepted],
                "products": [each.products for each in accepted],
            }
            warehouse.store.append(TABLES["raw_observations"], _OBSERVATIONS, noted)
            given = {"instants": [str(at) for at in instants], "unread": self._stock.unread}
            replaced = Replaced(_OF_INSTANTS, given)
            account(self._reading, self.staged, self.staged.rows, replaced, run_id)
            for each in self._staged_observations():
                if each.observed_at in self._rejected and not each.products:
                    # Without a row that could be rejected, the observation itself is.
                    since = empty_before.get(each.observed_at, self._reading.as_of)
                    reject_empty_observation(warehouse, each.file, each.observed_at, since)
            self._stock.account()
            added = warehouse.store.append_staged(self.name, TABLES["raw_products"])
        self.is_written = True
        return added
