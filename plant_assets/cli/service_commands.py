"""Commands that start Dagster's services or print their environment. The services are in `instance/`."""

import os
import signal

import click

from plant_assets.cli.console import ERR, Steps
from plant_assets.cli.errors import FAILED, fail, one_sentence
from plant_assets.cli.group import main
from plant_assets.cli.options import allow_host, store_options
from plant_assets.settings import Settings, read_settings

# Not imported from instance/services.py, because every command would wait for the import.
SERVICES = ("code", "daemon", "web")


@main.command()
@store_options
@click.option("--port", default=3000, show_default=True, help="Port of the web server, on loopback.")
@allow_host
def dev(source: str | None, warehouse: str | None, debug: bool, port: int, names: tuple[str, ...]) -> None:
    """Start Dagster's web server and daemon on this warehouse."""
    with one_sentence(debug):
        from plant_assets.instance.dev import LOG_FILE, only_one, run_together
        from plant_assets.instance.home import nothing_left_if_refused, prepare_home, service_environment
        from plant_assets.instance.services import Address, parse_names, require_free, require_port
        from plant_assets.sources.open import require_files

        settings, allowed = read_settings(source=source, warehouse=warehouse), parse_names(names)
        require_port("--port", port)
        address, url = Address("127.0.0.1", port), f"http://127.0.0.1:{port}"
        require_files(settings)
        with nothing_left_if_refused(settings):
            prepare_home(settings)
            with only_one(settings, url):
                require_free(address)
                learn_first_week(settings)
                log = settings.dagster_home / LOG_FILE
                ERR.say(f"starting Dagster  (records in {settings.records_name}, log of runs in {log})")
                os.environ.update(service_environment(settings))
                try:
                    ended = run_together(settings, address, allowed, lambda: ERR.say(f"ready: {url} (Ctrl-C ends)"))
                except KeyboardInterrupt:
                    return
        fail(f"{ended}, so the other services were ended: see above and {log}, then start again", FAILED)


@main.command()
@click.argument("service", type=click.Choice(SERVICES))
@store_options
@click.option("--host", default="127.0.0.1", show_default=True, help="Address that code or web listens on.")
@click.option("--port", type=click.INT, help="Port that it listens on; default 4000 for code, 3000 for web.")
@click.option("--code", "code_server", default="127.0.0.1:4000", show_default=True, help="Where the code server is.")
@click.option("--read-only", is_flag=True, help="A web server that starts and changes nothing.")
@allow_host
@click.option("--i-have-a-login-in-front", "has_login", is_flag=True, help="Allow a --host that other machines reach.")
def serve(
    service: str,
    source: str | None,
    warehouse: str | None,
    debug: bool,
    host: str,
    port: int | None,
    code_server: str,
    read_only: bool,
    names: tuple[str, ...],
    has_login: bool,
) -> None:
    """Run one of Dagster's services: code server, daemon or web server."""
    with one_sentence(debug):
        from plant_assets.instance import services
        from plant_assets.instance.home import nothing_left_if_refused, prepare_home, service_environment
        from plant_assets.instance.reload import variables_of
        from plant_assets.sources.open import require_files

        settings = read_settings(source=source, warehouse=warehouse)
        listens = services.Address(host, services.PORTS.get(service, 0) if port is None else port)
        asked, allowed = services.parse_address(code_server), services.parse_names(names)
        if service != "daemon":
            services.require_port("--port", listens.port)
            services.require_login(service, host, read_only, has_login)
            services.require_free(listens)
        with nothing_left_if_refused(settings):
            prepare_home(settings, is_at_warehouse=service == "code")
            if service == "code":
                require_files(settings)
                learn_first_week(settings)
        command = services.command_of(service, settings, listens, asked, allowed, read_only)
        # A shell has its background processes ignore SIGINT; Dagster would then ignore SIGTERM as well.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        where = variables_of(listens.host, listens.port) if service == "code" else {}
        os.execvpe(command[0], command, {**os.environ, **service_environment(settings), **where})


@main.command()
@store_options
def env(source: str | None, warehouse: str | None, debug: bool) -> None:
    """Print the lines that point plain dagster and dg commands to this warehouse."""
    with one_sentence(debug):
        import shlex

        from plant_assets.instance.home import environment, prepare_home

        settings, inherited = read_settings(source=source, warehouse=warehouse), dict(os.environ)
        # Without the warehouse, as in the container of a daemon, the database of records is not claimed.
        prepare_home(settings, is_at_warehouse=settings.warehouse_path.exists())
        for name, value in environment(settings).items():
            # A URL may have a password: it is not printed if the environment has it already.
            if "://" not in value or inherited.get(name) != value:
                click.echo(f"export {name}={shlex.quote(value)}")


def learn_first_week(settings: Settings) -> None:
    """Find the store's first week, if unknown, before the definitions load."""
    if settings.first_week is None:
        from plant_assets.cli.runs import find_first_week

        with Steps("looking for the first week"):
            find_first_week(settings)
