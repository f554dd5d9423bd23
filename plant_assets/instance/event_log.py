"""Dagster's event log on SQLite, with connections that stay open.

Dagster's own event log opens its file and compiles its statements for every event: a third of a small store's run.
A commit reaches the disk a moment later (`synchronous = normal`). A power cut can lose the last events of a run, but
no write to the warehouse.
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

# Room for the index and for the runs in progress.
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
    """The event log in `history/runs` below `base_dir`, in Dagster's layout: a file per run, and one for the index."""

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Any) -> "EventLog":
        """Return the event log for the `base_dir` of Dagster's configuration."""
        return cls(str(Path(config_value["base_dir"], "history", "runs")), inst_data)

    def dispose(self) -> None:
        """Close the files. Closing merges their write-ahead logs; the next use opens them again."""
        super().dispose()
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
