"""The process of Dagster's web server behind the guard."""

import logging
import signal

import click
import uvicorn
from dagster import DagsterInstance
from dagster_webserver.version import __version__
from dagster_webserver.webserver import DagsterWebserver

from plant_assets.dagster_private import log_warnings, open_workspace
from plant_assets.instance.guard import Guard

# The defaults of `dagster-webserver`.
POLL_MILLISECONDS, STATEMENT_MILLISECONDS, RECYCLE_SECONDS, MAX_OVERFLOW = 2_000, 15_000, 3_600, 20
# How long open requests may take to end when the server stops.
GRACE_SECONDS = 5


@click.command()
@click.option("--workspace", required=True)
@click.option("--host", required=True)
@click.option("--port", type=click.INT, required=True)
@click.option("--allow-host", "allowed_hosts", multiple=True)
@click.option("--read-only", is_flag=True)
def main(workspace: str, host: str, port: int, allowed_hosts: tuple[str, ...], read_only: bool) -> None:
    """Serve the UI of DAGSTER_HOME until a signal comes; log warnings."""
    log_warnings()
    logging.getLogger("uvicorn.error").addFilter(_is_no_refusal)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with DagsterInstance.get() as instance:
        instance.optimize_for_webserver(STATEMENT_MILLISECONDS, RECYCLE_SECONDS, MAX_OVERFLOW)
        with open_workspace(instance, workspace, __version__, read_only) as context:
            app = DagsterWebserver(context, live_data_poll_rate=POLL_MILLISECONDS).create_asgi_app()
            guard = Guard(app, allowed_hosts)
            uvicorn.run(guard, host=host, port=port, log_level="warning", timeout_graceful_shutdown=GRACE_SECONDS)


def _is_no_refusal(record: logging.LogRecord) -> bool:
    """Return whether to log a record: uvicorn logs an error after each websocket that the guard rejects."""
    return not record.getMessage().startswith("ASGI callable returned without completing handshake")


if __name__ == "__main__":
    main()
