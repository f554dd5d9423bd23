"""Dagster's records in PostgreSQL, for a team: runs, events, and the state of schedule and sensors.

A database is one warehouse's. A table in it says of which, so that another's runs never stand among them.
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
# One process at a time says whose the database is.
TURN = 20_210_222
# Dagster takes the server's local time for UTC.
UTC = "-c timezone=UTC"
# What processes ask for at once beyond the connection that each keeps.
MORE_CONNECTIONS = 20


class Records(DagsterPostgresStorage):
    """Dagster's storage of `postgres_url`, over a connection that is kept. The stock one connects for every event."""

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Any) -> "Records":
        _scheme, _colon, rest = config_value["postgres_url"].partition("://")
        # SQLAlchemy 2.1 takes a bare `postgresql://` for another driver's.
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
    """The warehouse that a database's records are of: its id, which its folder keeps, and where it is."""

    id: str
    path: str
    host: str

    def __str__(self) -> str:
        return f"{self.path} on {self.host} with the id {self.id}"


def require_own(url: PostgresUrl, warehouse: Path, known_id: str | None, new_id: str | None) -> str | None:
    """See that the database can be used and is this warehouse's, or nobody's yet: then it is from now on.

    `known_id` is the warehouse's. Without one it takes `new_id`; with neither it is looked at from afar, as by a web
    server on another machine. The id that the warehouse has now.

    Raises:
        UsageError: it cannot be reached or written, or it is another's.
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
    """Whether it is the warehouse itself, be it moved, and no copy."""
    is_copied = owner.host == own.host and owner.path != own.path and Path(owner.path).exists()
    return owner.id == own.id and not is_copied


def _owner(cursor: Any, url: PostgresUrl) -> Owner | None:
    """Whose the database is, None where it is nobody's yet; from the first look on it is no other Dagster's."""
    cursor.execute("select to_regclass('plant_assets_warehouse'), to_regclass('runs')")
    [(is_owned, has_runs)] = cursor.fetchall()
    if not is_owned:
        if has_runs:
            raise UsageError(
                f"PLANT_RECORDS: the database {url.shown} has the records of another Dagster: give the warehouse a"
                " database of its own"
            )
        cursor.execute("create table plant_assets_warehouse (id text, path text, host text)")
    cursor.execute("select id, path, host from plant_assets_warehouse")
    return next((Owner(*row) for row in cursor.fetchall()), None)


@contextlib.contextmanager
def _connected(url: PostgresUrl) -> Iterator[Any]:
    """A cursor in a transaction, with what goes wrong in it as one sentence."""
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
