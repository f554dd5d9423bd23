"""A read-only transaction on a PostgreSQL server, and messages for its errors. It knows no table of a store."""

import contextlib
import re
from collections.abc import Iterator
from typing import Any

import adbc_driver_manager
import duckdb
import pyarrow as pa
from adbc_driver_postgresql import dbapi

from plant_assets.postgres_url import PostgresUrl
from plant_assets.sources.errors import SourceError
from plant_assets.sql import literal

# A server that is silent for a minute is gone.
CONNECTION = {
    "connect_timeout": 10,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
    "fallback_application_name": "plant-assets",
}
# Used unless the URL, the role or the database set another value.
TIME_OUTS = {"statement_timeout": "30min", "lock_timeout": "1min"}
_HINTS = {
    "statement timeout": "give it more time, as ?options=-cstatement_timeout%3D2h in PLANT_SOURCE",
    "lock timeout": "another session holds the table: run again when it is done",
    "permission denied": "grant the user of PLANT_SOURCE usage on the schema and select on the table",
    "password": "see user and password of PLANT_SOURCE, or PGPASSWORD",
}


class Snapshot:
    """One read-only transaction: every statement sees the database as it was at the first one.

    Raises:
        SourceError: the database cannot be reached, or rejects the connection.
    """

    def __init__(self, url: PostgresUrl) -> None:
        self._url = url
        with self._one_sentence("cannot be opened"):
            self._connection = dbapi.connect(url.with_defaults(**CONNECTION))
        try:
            self._execute("set transaction isolation level repeatable read, read only")
            self.rows(
                "select set_config(name, value, true) from (values ('TimeZone', 'UTC'), ('DateStyle', 'ISO'),"
                " ('client_encoding', 'UTF8')) as ours (name, value)"
            )
            time_outs = ", ".join(f"({literal(name)}, {literal(value)})" for name, value in TIME_OUTS.items())
            self.rows(
                f"select set_config(ours.name, value, true) from (values {time_outs}) as ours (name, value)"
                " join pg_settings on pg_settings.name = ours.name where source = 'default'"
            )
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the transaction; ignore an error if the connection is lost."""
        with contextlib.suppress(adbc_driver_manager.Error):
            self._connection.close()

    def rows(self, statement: str, what: str = "cannot be read") -> list[tuple[Any, ...]]:
        """Return the rows of a small result.

        Raises:
            SourceError: the statement fails. `what` is what the message says about it.
        """
        with self._one_sentence(what), self._connection.cursor() as cursor:
            cursor.execute(statement)
            rows: list[tuple[Any, ...]] = cursor.fetchall()
            return rows

    def _execute(self, statement: str) -> None:
        with self._one_sentence("cannot be read"), self._connection.cursor() as cursor:
            cursor.execute(statement)

    def read(self, connection: duckdb.DuckDBPyConnection, table: str, statement: str, take: str, given: object) -> None:
        """Stream the result of a statement into the engine.

        Args:
            connection: the engine.
            table: the table's name, for the message.
            statement: what the server runs.
            take: what the engine runs. It reads the rows from `live_rows`.
            given: the parameters of `take`.

        Raises:
            SourceError: the rows cannot be read to their end.
        """
        failed = []

        def batches(reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
            try:
                yield from reader
            except (OSError, pa.ArrowException) as error:
                # Kept, because the engine raises it as an error of its own.
                failed.append(error)
                raise

        with self._one_sentence(f"the table {table} cannot be read to its end"), self._connection.cursor() as cursor:
            cursor.execute(statement)
            reader = cursor.fetch_record_batch()
            connection.register("live_rows", pa.RecordBatchReader.from_batches(reader.schema, batches(reader)))
            try:
                connection.execute(take, given)
            except duckdb.Error:
                if failed:
                    raise failed[0] from None
                raise
            finally:
                connection.unregister("live_rows")

    @contextlib.contextmanager
    def _one_sentence(self, what: str) -> Iterator[None]:
        try:
            yield
        except (adbc_driver_manager.Error, OSError, pa.ArrowException) as error:
            raise SourceError(f"{self._url.shown}: {what}: {self._reason(error)}") from error

    def _reason(self, error: Exception) -> str:
        """Return the message of libpq or the server, without statement and secrets, and what to do about it."""
        said = re.sub(r"\s*(Query was:|SQLSTATE:).*", "", str(error), flags=re.DOTALL)
        lines = [line for line in said.splitlines() if line and line[0] not in "\t ." and not line.startswith("LINE ")]
        reason = " ".join("; ".join(lines or [type(error).__name__]).split())
        reason = re.sub(r"^([A-Z_]+: )?(\[libpq\] )?([^:]*: )??(?=connection to|could not|ERROR:|FATAL:)", "", reason)
        reason = re.sub(r"^.*\b(ERROR|FATAL): ", "", reason) if "connection to server" not in reason else reason
        for secret in self._url.secrets:
            reason = reason.replace(secret, "***")
        hints = [hint for said, hint in _HINTS.items() if said in reason]
        return "; ".join([reason, *hints[:1]])
