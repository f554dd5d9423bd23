"""The command line: thin, over the same jobs that the web server shows."""

import datetime as dt
import gc
import logging
import os
import signal
import sys
import warnings
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from plant_assets import __version__
from plant_assets.console import ERR, OUT, Lines, Steps, lost_output, open_streams
from plant_assets.settings import FOR_OWNER_ONLY, Settings, UsageError, read_settings
from plant_assets.zones import FIRST_MONDAY, KNOWN_WEEKS, LAST_MONDAY, is_known, monday_of

if TYPE_CHECKING:
    import dagster as dg

FAILED, WRONG_USE = 1, 2
# Between two looks for garbage; Python's own 700 take an eighth of a small run.
NEW_OBJECTS = 10_000
# Of plant_assets.services, whose import every command would wait for.
SERVICES = ("code", "daemon", "web")


def store_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """--source, --warehouse and --debug, for the commands that need a store."""
    for option in (
        click.option("--debug", is_flag=True, help="Show tracebacks and Dagster's log."),
        click.option("--warehouse", metavar="FILE", help="A DuckDB file, or spark://...; default PLANT_WAREHOUSE."),
        click.option(
            "--source", metavar="STORE", help="A folder or postgresql:// URL; default PLANT_SOURCE, or a sample."
        ),
    ):
        command = option(command)
    return command


# For tests and benches, whose stores end long ago.
as_of_option = click.option("--as-of", metavar="INSTANT", hidden=True, help="Run as if it were this instant.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="plant-assets")
def main() -> None:
    """Product and stock analytics of a plant store."""
    open_streams()
    # Half a second of looking for garbage while modules are loaded, which is none.
    gc.disable()
    click.get_current_context().call_on_close(gc.enable)
    # Users can act on none of what the libraries say of each other; developers see it in the tests.
    warnings.simplefilter("ignore")
    os.umask(FOR_OWNER_ONLY)


@contextmanager
def one_sentence(debug: bool) -> Iterator[None]:
    """Show what went wrong as one sentence, and exit as the error asks for."""
    from plant_assets.sources.files import SourceError

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
        fail(f"{where}{reason}; what was not finished is as it was, run again to go on", FAILED)
    except KeyboardInterrupt:
        fail("stopped; what was not finished is as it was, run again to go on", 130)
    if lost := lost_output():
        fail(f"not all could be printed: {lost.strerror}", FAILED)


def machine_errors() -> tuple[type[Exception], ...]:
    """What the disk's and the engines' refusals are raised as."""
    import duckdb
    from sqlalchemy.exc import SQLAlchemyError

    from plant_assets.storage import EngineFailed

    # Loaded by who has records there only.
    postgres = sys.modules.get("dagster_postgres.utils")
    return (
        OSError,
        duckdb.Error,
        SQLAlchemyError,
        EngineFailed,
        *([postgres.DagsterPostgresException] if postgres else []),
    )


def dagster_records() -> "dg.DagsterInstance":
    """The instance of DAGSTER_HOME."""
    import dagster as dg

    instance = dg.DagsterInstance.get()
    gc.set_threshold(NEW_OBJECTS)
    gc.enable()
    return instance


def fail(message: str, code: int) -> NoReturn:
    """Say in one sentence what went wrong, and exit."""
    ERR.say(f"plant-assets: {message}")
    sys.exit(code)


def leave(code: int) -> NoReturn:
    """Exit with all closed, and nothing freed: Python would take half a second to free each object for itself."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


@main.command()
@store_options
@click.option("--weeks", metavar="WEEKS", help="2021-02-08, 2021-02-08..2021-03-01 or all; default: those due.")
@click.option("--accept-source", is_flag=True, help="Let the warehouse take another source or time zone.")
@click.option("--accept-fewer", is_flag=True, help="Accept a source that holds much less than was loaded before.")
@as_of_option
def run(
    source: str | None,
    warehouse: str | None,
    debug: bool,
    weeks: str | None,
    accept_source: bool,
    accept_fewer: bool,
    as_of: str | None,
) -> None:
    """Bring the warehouse up to date with the source, check it, and print the answers."""
    with one_sentence(debug):
        from plant_assets.instance import nothing_left_if_refused, prepare_home
        from plant_assets.runs import run_refresh
        from plant_assets.sources import require_files

        settings = read_settings(source=source, warehouse=warehouse, min_rows=0 if accept_fewer else None)
        chosen = None if weeks in (None, "all") else parse_weeks(weeks)
        instant = parse_instant("--as-of", as_of) if as_of else None
        require_files(settings)
        with nothing_left_if_refused(settings):
            prepare_home(settings)
            with Steps("reading the source") as steps, dagster_records() as instance:
                outcome = run_refresh(settings, instance, steps, chosen, weeks == "all", accept_source, debug, instant)
        report(outcome.failures, outcome.failed_errors, outcome.warnings)
        if outcome.has_stopped:
            fail("the run has stopped; the answers remain those of the last whole run", FAILED)
        print_answers(settings, as_json=False)
        leave(FAILED if outcome.failed_errors else 0)


@main.command()
@store_options
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for programs.")
@click.option("--week", metavar="MONDAY", help="As of the end of this week; default: the latest.")
def answers(source: str | None, warehouse: str | None, debug: bool, as_json: bool, week: str | None) -> None:
    """The four answers, from the last whole run."""
    with one_sentence(debug):
        as_of_week = parse_week("--week", week) if week is not None else None
        print_answers(read_settings(source=source, warehouse=warehouse), as_json, as_of_week)


@main.command()
@click.argument("directory", type=click.Path(path_type=Path))
@store_options
@click.option("--format", "file_format", default="parquet", show_default=True, help="parquet or csv.")
def export(directory: Path, source: str | None, warehouse: str | None, debug: bool, file_format: str) -> None:
    """Write the marts of the last whole run to DIRECTORY, a file for each table."""
    with one_sentence(debug):
        from plant_assets.export import export_marts
        from plant_assets.storage import open_marts

        with open_marts(read_settings(source=source, warehouse=warehouse)) as marts:
            rows = export_marts(marts, directory, file_format)
        for name, count in rows.items():
            OUT.say(f"{name}.{file_format}  {count} rows")


@main.command("report")
@store_options
@click.option("--week", metavar="MONDAY", help="2021-03-01; default the latest.")
@click.option("--open", "opens", is_flag=True, help="Open it in the browser.")
def weekly_page(source: str | None, warehouse: str | None, debug: bool, week: str | None, opens: bool) -> None:
    """Print where the weekly page is; it is made from the last whole run's marts if it is not there."""
    with one_sentence(debug):
        settings = read_settings(source=source, warehouse=warehouse)
        settings = read_settings(source=source, warehouse=warehouse, timezone=settings.remembered("timezone"))
        path = find_page(settings, parse_week("--week", week) if week is not None else None)
        OUT.say(str(path))
        if opens:
            webbrowser.open(path.as_uri())


@main.command()
@store_options
@as_of_option
def check(source: str | None, warehouse: str | None, debug: bool, as_of: str | None) -> None:
    """Evaluate every asset check on all that is stored, a line each."""
    with one_sentence(debug):
        from plant_assets.instance import nothing_left_if_refused, prepare_home
        from plant_assets.runs import run_checks

        settings = stored_settings(source, warehouse)
        instant = parse_instant("--as-of", as_of) if as_of else None
        with nothing_left_if_refused(settings):
            prepare_home(settings)
            with Steps("checking") as steps, dagster_records() as instance:
                outcome = run_checks(settings, instance, steps, debug, instant)
        for line in outcome.lines:
            OUT.say(line)
        report(outcome.failures, [], [])
        leave(FAILED if outcome.failures or outcome.failed_errors else 0)


@main.command()
@store_options
def doctor(source: str | None, warehouse: str | None, debug: bool) -> None:
    """Say what is configured, what the source holds, what is odd, and which command comes next."""
    with one_sentence(debug):
        from plant_assets.doctor import diagnose
        from plant_assets.runs import now

        settings = read_settings(source=source, warehouse=warehouse)
        if settings.database:
            # The next command is printed, and its password is not.
            source = source and settings.source_name
        given = [("--source", source), ("--warehouse", warehouse)]
        options = [part for name, value in given if value for part in (name, value)]
        found = diagnose(settings, now(), options)
        odd = [("-", each) for each in found.odd] or [("-", "nothing")]
        for title, lines in [*found.sections.items(), ("Missing or odd", odd)]:
            if lines:
                print_section(title, lines)
        if found.error:
            ERR.say(f"plant-assets: {found.error}")
        OUT.print()
        OUT.say(f"Next: {found.next_command}")
        if found.error:
            sys.exit(WRONG_USE)


@main.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--sessions", default=5_000, show_default=True, help="Sessions per 12 weeks.")
@click.option("--weeks", default=12, show_default=True, help="Weeks before the end.")
@click.option("--products", default=30, show_default=True, help="Products, at least 3.")
@click.option("--seed", default=1, show_default=True, help="Another seed, another store.")
@click.option("--format", "file_format", default="csv", show_default=True, help="csv or parquet.")
@click.option("--end", metavar="INSTANT", help="Where the store ends, UTC; default now.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def sample(
    directory: Path,
    sessions: int,
    weeks: int,
    products: int,
    seed: int,
    file_format: str,
    end: str | None,
    debug: bool,
) -> None:
    """Write a made-up store to DIRECTORY, or add to it what happened since."""
    with one_sentence(debug):
        from plant_assets import sample as sample_store

        until = parse_instant("--end", end) if end else dt.datetime.now(dt.UTC).replace(tzinfo=None, microsecond=0)
        if not is_known(until.date()):
            raise UsageError(f"--end {end} is not allowed: an instant from {FIRST_MONDAY} to {LAST_MONDAY}")
        with Steps("writing the sample store") as steps:
            written = sample_store.write(
                directory,
                until,
                sessions,
                weeks,
                products,
                seed,
                file_format,
                lambda day: steps.advance(str(day)) if ERR.is_terminal else None,
            )
        OUT.say(f"{directory}: {written.start} to {written.end}")


allow_host = click.option(
    "--allow-host",
    "names",
    metavar="HOST",
    multiple=True,
    help="A name by which browsers may reach the web server, besides localhost; may be repeated.",
)


@main.command()
@store_options
@click.option("--port", default=3000, show_default=True, help="Port of the web server, on loopback.")
@allow_host
def dev(source: str | None, warehouse: str | None, debug: bool, port: int, names: tuple[str, ...]) -> None:
    """Start Dagster's web server and daemon on this warehouse."""
    with one_sentence(debug):
        from plant_assets.dev import LOG_FILE, only_one, run_together
        from plant_assets.instance import nothing_left_if_refused, prepare_home, service_environment
        from plant_assets.services import Address, parse_names, require_free, require_port
        from plant_assets.sources import require_files

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
        fail(f"{ended}, and the others were ended: see above and {log}, then start again", FAILED)


@main.command("forget-observation")
@click.argument("instant")
@store_options
def forget_observation(instant: str, source: str | None, warehouse: str | None, debug: bool) -> None:
    """Remove the observation of the products at INSTANT, after a backup; the next run rebuilds from there."""
    with one_sentence(debug):
        from plant_assets import maintenance

        settings = stored_settings(source, warehouse)
        backup = maintenance.forget_observation(
            settings, logging.getLogger("plant_assets"), parse_instant("INSTANT", instant), "forget-observation"
        )
        OUT.say(f"removed, after a backup to {backup}; rebuild with `plant-assets run`")


@main.command("import-observations")
@click.argument("path", metavar="FILE", type=click.Path(path_type=Path))
@store_options
def import_observations(path: Path, source: str | None, warehouse: str | None, debug: bool) -> None:
    """Give a new warehouse the observations of products that FILE, another one of the store, has."""
    with one_sentence(debug):
        from plant_assets import maintenance
        from plant_assets.instance import nothing_left_if_refused

        settings = read_settings(source=source, warehouse=warehouse)
        if not path.is_file():
            raise UsageError(f"no warehouse at {path}")
        with nothing_left_if_refused(settings):
            count = maintenance.import_observations(
                settings, logging.getLogger("plant_assets"), path, "plant-assets import-observations"
            )
        OUT.say(f"{count} observations")


@main.command()
@click.argument("service", type=click.Choice(SERVICES))
@store_options
@click.option("--host", default="127.0.0.1", show_default=True, help="Address that code or web listens on.")
@click.option("--port", type=click.INT, help="Port that it listens on; default 4000 for code, 3000 for web.")
@click.option("--code", "code_server", default="127.0.0.1:4000", show_default=True, help="Where the code server is.")
@click.option("--read-only", is_flag=True, help="A web server that shows, and starts or changes nothing.")
@allow_host
@click.option("--i-have-a-login-in-front", "has_login", is_flag=True, help="Let --host be more than this machine.")
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
    """Start one of Dagster's parts, to run as a service: code server, daemon or web server."""
    with one_sentence(debug):
        from plant_assets import services
        from plant_assets.instance import nothing_left_if_refused, prepare_home, service_environment
        from plant_assets.sources import require_files

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
        # In the background of a shell SIGINT is ignored, and Dagster would then ignore SIGTERM as well.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.execvpe(command[0], command, {**os.environ, **service_environment(settings)})


@main.command()
@store_options
def env(source: str | None, warehouse: str | None, debug: bool) -> None:
    """Print the lines that point bare dagster and dg commands to this warehouse."""
    with one_sentence(debug):
        import shlex

        from plant_assets.instance import environment, prepare_home

        settings, inherited = read_settings(source=source, warehouse=warehouse), dict(os.environ)
        # From afar, as in the container of a daemon, a database is not made this warehouse's.
        prepare_home(settings, is_at_warehouse=settings.warehouse_path.exists())
        for name, value in environment(settings).items():
            # A URL may have a password in it. The environment that it is from keeps it.
            if "://" not in value or inherited.get(name) != value:
                click.echo(f"export {name}={shlex.quote(value)}")


def stored_settings(source: str | None, warehouse: str | None) -> Settings:
    """The settings of a warehouse that is there, in its store's time zone.

    Raises:
        UsageError: there is none yet.
    """
    settings = read_settings(source=source, warehouse=warehouse)
    if not settings.warehouse_path.exists():
        raise UsageError(f"no warehouse at {settings.warehouse_path}: start with `plant-assets run`")
    return read_settings(source=source, warehouse=warehouse, timezone=settings.remembered("timezone"))


def learn_first_week(settings: Settings) -> None:
    """Have the first week known before the definitions load."""
    if settings.first_week is None:
        from plant_assets.runs import find_first_week

        with Steps("looking for the first week"):
            find_first_week(settings)


def parse_week(option: str, text: str, allowed: str = "a Monday, as 2021-02-08") -> dt.date:
    """The Monday that an option names."""
    try:
        week = dt.date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{option} {text} is not allowed: {allowed}") from None
    if not is_known(week):
        raise UsageError(f"{option} {text} is not allowed: {KNOWN_WEEKS}")
    if week != monday_of(week):
        raise UsageError(f"{option} {text} is not allowed: {week} is no Monday; its week is {monday_of(week)}")
    return week


def parse_weeks(text: str) -> tuple[dt.date, dt.date]:
    """The first and last Monday that `--weeks` names."""
    first, _dots, last = text.partition("..")
    allowed = "a Monday, two as 2021-02-08..2021-03-01, or all"
    weeks = parse_week("--weeks", first, allowed), parse_week("--weeks", last or first, allowed)
    if weeks[1] < weeks[0]:
        raise UsageError(f"--weeks {text} is not allowed: it ends before it begins")
    return weeks


def parse_instant(option: str, text: str) -> dt.datetime:
    """Return the instant that an option names, in UTC."""
    try:
        instant = dt.datetime.fromisoformat(text)
        return (instant.astimezone(dt.UTC).replace(tzinfo=None) if instant.tzinfo else instant).replace(microsecond=0)
    except (ValueError, OverflowError):
        raise UsageError(f"{option} {text} is not allowed: an instant like 2026-11-16T06:00:00Z") from None


def print_answers(settings: Settings, as_json: bool, week: dt.date | None = None) -> None:
    """The answers of the last whole run: as tables on a terminal, as lines elsewhere."""
    from plant_assets.answers import read_answers
    from plant_assets.storage import open_marts

    with open_marts(settings) as marts:
        found = read_answers(marts, week)
    if as_json:
        OUT.print(found.to_json(), markup=False)
    elif OUT.is_terminal:
        OUT.print(found.to_tables())
    else:
        OUT.print(found.to_text(), markup=False)


def find_page(settings: Settings, week: dt.date | None) -> Path:
    """Where a week's page is, or the latest; made from the published marts if it is not there.

    Raises:
        UsageError: there are no marts, or they have no figures of the week.
    """
    from plant_assets.report.page import page_path, write_pages
    from plant_assets.storage import open_marts

    path = page_path(settings, week)
    if path.exists():
        return path
    with open_marts(settings) as marts:
        from plant_assets.checks import checks_of
        from plant_assets.contracts import TABLES
        from plant_assets.instance import prepare_home
        from plant_assets.report import verdicts
        from plant_assets.report.figures import weeks_with_figures

        known = weeks_with_figures(marts)
        if week not in known and (week or not known):
            span = f"there are {known[0]} to {known[-1]}" if known else "no week has any yet"
            raise UsageError(f"no figures of {f'the week {week}' if week else 'any week'}: {span}")
        prepare_home(settings)
        with dagster_records() as instance:
            asked = [(name, check.name) for name in TABLES for check in checks_of(name)]
            checks = verdicts.last_of_each(instance, asked)
        publisher = marts.publisher() or "an unknown run"
        write_pages(settings, marts, [week] if week else [], checks, publisher, with_latest=week is None)
    return path


def print_section(title: str, lines: list[tuple[str, str]]) -> None:
    """A title, and labels with their values under it."""
    OUT.say(title)
    width = max((len(label) for label, _value in lines), default=0)
    for label, value in lines:
        OUT.say(f"  {label:{width}}  {value}")


def report(failures: list[str], failed_errors: list[str], warned: list[str]) -> None:
    """What failed, on the error stream."""
    for kind, lines in (("failed", failures), ("check failed", failed_errors), ("check warned", warned)):
        for line in lines:
            ERR.say(f"{kind}: {line}")


if __name__ == "__main__":
    main()
