"""How a command fails: with one sentence, and the exit code of the kind of error."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from plant_assets.cli.console import ERR, Lines, lost_output
from plant_assets.settings import UsageError

FAILED, WRONG_USE = 1, 2


@contextmanager
def one_sentence(debug: bool) -> Iterator[None]:
    """Print an error of the body as one sentence, and exit with its code: 2 wrong use or source, 1 failure."""
    from plant_assets.sources.errors import SourceError

    handler = logging.StreamHandler()
    handler.setFormatter(Lines())
    logging.basicConfig(level=logging.INFO if debug else logging.CRITICAL, handlers=[handler], force=True)
    logging.getLogger("plant_assets").setLevel(logging.INFO)
    try:
        yield
    except (UsageError, SourceError) as error:
        if debug:
            raise
        fail(str(error), WRONG_USE)
    except machine_errors() as error:
        if debug:
            raise
        reason = " ".join(str(error).split("\n[SQL:")[0].split("\n(Background")[0].split())
        where = "the database of PLANT_RECORDS: " if type(error).__module__.startswith("dagster_postgres") else ""
        fail(f"{where}{reason}; unfinished tables are unchanged, run again to continue", FAILED)
    except KeyboardInterrupt:
        fail("stopped; unfinished tables are unchanged, run again to continue", 130)
    if lost := lost_output():
        fail(f"not all output could be written: {lost.strerror}", FAILED)


def machine_errors() -> tuple[type[Exception], ...]:
    """Return the errors of the disk, the engines and the databases."""
    import duckdb
    from sqlalchemy.exc import SQLAlchemyError

    from plant_assets.warehouse.store import EngineFailed

    # Loaded only if the records are in PostgreSQL.
    postgres = sys.modules.get("dagster_postgres.utils")
    return (
        OSError,
        duckdb.Error,
        SQLAlchemyError,
        EngineFailed,
        *([postgres.DagsterPostgresException] if postgres else []),
    )


def fail(message: str, code: int) -> NoReturn:
    """Print in one sentence what went wrong, and exit."""
    ERR.say(f"plant-assets: {message}")
    sys.exit(code)
