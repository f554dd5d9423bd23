"""Dagster's event log on SQLite, with connections that are kept.

The stock one opens its file anew for every event, and compiles its statements anew: a third of a small store's run.
A commit is in the log before the next one begins, and on the disk a moment later: events of a run that a power cut
ends may be lost, the warehouse's writes are not.
"""

import functools
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy
from sqlalchemy.pool import QueuePool

from plant_assets.dagster_private import SQLITE_BUSY_TIMEOUT_SECONDS, ConfigurableClassData, SqliteEventLogStorage

# The index and the runs of the moment.
KEPT_FILES = 4
_KEPT: "weakref.WeakSet[sqlalchemy.Engine]" = weakref.WeakSet()


@functools.lru_cache(maxsize=KEPT_FILES)
def _engine(address: str) -> sqlalchemy.Engine:
    engine = sqlalchemy.create_engine(
        address, poolclass=QueuePool, pool_size=1, connect_args={"timeout": SQLITE_BUSY_TIMEOUT_SECONDS}
    )

    @sqlalchemy.event.listens_for(engine, "connect")
    def without_waiting(connection: Any, _record: Any) -> None:
        connection.execute("pragma synchronous = normal")

    _KEPT.add(engine)
    return engine


class EventLog(SqliteEventLogStorage):
    """The event log in `history/runs` of `base_dir`, a file for each run and one for the index, as Dagster keeps it."""

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Any) -> "EventLog":
        return cls(str(Path(config_value["base_dir"], "history", "runs")), inst_data)

    def dispose(self) -> None:
        super().dispose()
        # A file that is closed has no log of writes beside it. Whoever uses it again opens it again.
        for engine in list(_KEPT):
            engine.dispose()

    @contextmanager
    def _connect(self, shard: str) -> Iterator[sqlalchemy.Connection]:
        with self._db_lock:
            engine = _engine(self.conn_string_for_shard(shard))
            if shard not in self._initialized_dbs:
                self._initdb(engine)
                self._initialized_dbs.add(shard)
            with engine.begin() as connection:
                yield connection
