"""Dagster's records in PostgreSQL, for a team: runs, events, and the state of schedule and sensors.

A database belongs to one warehouse. A table in it names the warehouse, so that runs of two never mix.
"""

import contextlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2
from dagster_postgres import DagsterPostgresStorage
from dagster_postgres.utils import create_pg_engine
from sqlalchemy.engine import make_url
from sqlalchemy.pool import QueuePool

from plant_assets.dagster_private import ConfigurableClassData
from plant_assets.postgres_url import PostgresUrl
from plant_assets.settings import UsageError

CONNECT_SECONDS = 10
# The advisory lock under which one process at a time claims the database.
TURN = 20_210_222
# Dagster takes the time of the server's session for UTC.
UTC = "-c timezone=UTC"
# Connections that a process may open at once besides the one that it keeps.
MORE_CONNECTIONS = 20


class Records(DagsterPostgresStorage):
    """Dagster's storage in a database, over one connection that stays open. Dagster's own connects for every event."""

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Any) -> "Records":
        """Return the storage for the `postgres_url` of Dagster's configuration."""
        _scheme, _colon, rest = config_value["postgres_url"].partition("://")
        # SQLAlchemy 2.1 chooses another driver for a plain `postgresql://`.
        given = make_url(f"postgresql+psycopg2://{rest}")
        options = [str(given.query.get("options", "")), UTC]
        url = given.update_query_dict({"options": " ".join(options).strip()}).render_as_string(hide_password=False)
        records = cls(url, inst_data=inst_data)
        engine = create_pg_engine(
            url,
            isolation_level="AUTOCOMMIT",
            poolclass=QueuePool,
            pool_size=1,
            max_overflow=MORE_CONNECTIONS,
            pool_pre_ping=True,
        )
        storages: list[Any] = [records.run_storage, records.event_log_storage, records.schedule_storage]
        for storage in storages:
            storage._engine = engine
        return records


@dataclass(frozen=True)
class Owner:
    """The warehouse that owns a database: its id, which is also in its DAGSTER_HOME, its path and its host."""

    id: str
    path: str
    host: str

    def __str__(self) -> str:
        return f"{self.path} on {self.host} with the id {self.id}"


def require_own(url: PostgresUrl, warehouse: Path, known_id: str | None, new_id: str | None) -> str | None:
    """Check that the database is reachable and unowned or ours; claim it if unowned.

    Args:
        url: the database.
        warehouse: the path of the warehouse.
        known_id: the warehouse's id, if it has one.
        new_id: the id to use if it has none. With neither id the database is not claimed.

    Returns:
        The warehouse's id, or None without one.

    Raises:
        UsageError: the database cannot be reached or written, or another warehouse owns it.
    """
    own_id = known_id or new_id
    with _connected(url) as cursor:
        cursor.execute("select pg_advisory_xact_lock(%s)", [TURN])
        owner = _owner(cursor, url)
        if own_id is None:
            return None
        own = Owner(own_id, str(warehouse), socket.gethostname())
        if owner and not _is_same(owner, own):
            raise UsageError(
                f"PLANT_RECORDS: the database {url.shown} has the records of the warehouse {owner}, not of {own}:"
                " give each warehouse a database of its own"
            )
        if owner != own:
            cursor.execute("delete from plant_assets_warehouse")
            cursor.execute("insert into plant_assets_warehouse values (%s, %s, %s)", [own.id, own.path, own.host])
    return own_id


def _is_same(owner: Owner, own: Owner) -> bool:
    """Return whether the owner is this warehouse, which may have moved, and not one that it was copied from."""
    is_copied = owner.host == own.host and owner.path != own.path and Path(owner.path).exists()
    return owner.id == own.id and not is_copied


def _owner(cursor: Any, url: PostgresUrl) -> Owner | None:
    """Return the owner of the database, or None; make the table of owners if there is none.

    Raises:
        UsageError: the database has records of a Dagster instance without owner.
    """
    cursor.execute("select to_regclass('plant_assets_warehouse'), to_regclass('runs')")
    [(is_owned, has_runs)] = cursor.fetchall()
    if not is_owned:
        if has_runs:
            raise UsageError(
                f"PLANT_RECORDS: the database {url.shown} has the records of another Dagster instance:"
                " give the warehouse a database of its own"
            )
        cursor.execute("create table plant_assets_warehouse (id text, path text, host text)")
    cursor.execute("select id, path, host from plant_assets_warehouse")
    return next((Owner(*row) for row in cursor.fetchall()), None)


@contextlib.contextmanager
def _connected(url: PostgresUrl) -> Iterator[Any]:
    """Yield a cursor in a transaction; raise errors as a UsageError of one sentence."""
    try:
        with contextlib.closing(psycopg2.connect(url.with_defaults(connect_timeout=CONNECT_SECONDS))) as connection:
            with connection, connection.cursor() as cursor:
                cursor.execute("set local lock_timeout = '30s'")
                yield cursor
    except psycopg2.Error as error:
        reason = str(error).strip().splitlines()[0]
        for secret in url.secrets:
            reason = reason.replace(secret, "***")
        raise UsageError(f"PLANT_RECORDS: the database {url.shown} cannot be used: {reason}") from None
