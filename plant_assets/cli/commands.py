"""The commands that read or write a store, on the same jobs as the web server.

Commands that start services are in `service_commands.py`. `console.py` and `readers/` lay out what is printed.
"""

import datetime as dt
import logging
import shlex
import sys
import webbrowser
from pathlib import Path

import click

from plant_assets.calendar import FIRST_MONDAY, LAST_MONDAY, is_known
from plant_assets.cli.console import ERR, OUT, Steps, check_lines, print_section, report
from plant_assets.cli.errors import FAILED, WRONG_USE, fail, one_sentence
from plant_assets.cli.group import main
from plant_assets.cli.options import as_of_option, parse_instant, parse_week, parse_weeks, store_options
from plant_assets.cli.process import dagster_records, leave
from plant_assets.cli.stored import find_page, print_answers, stored_settings
from plant_assets.settings import UsageError, read_settings


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
        from plant_assets.cli.runs import run_refresh
        from plant_assets.instance.home import nothing_left_if_refused, prepare_home
        from plant_assets.sources.open import require_files

        settings = read_settings(source=source, warehouse=warehouse, min_rows=0 if accept_fewer else None)
        chosen = None if weeks in (None, "all") else parse_weeks(weeks)
        instant = parse_instant("--as-of", as_of) if as_of else None
        require_files(settings)
        with nothing_left_if_refused(settings):
            prepare_home(settings)
            with Steps("reading the source") as steps, dagster_records() as instance:
                outcome = run_refresh(settings, instance, steps, chosen, weeks == "all", accept_source, debug, instant)
        report(outcome.problems)
        if outcome.has_stopped:
            fail("the run stopped; the answers are still those of the last complete run", FAILED)
        print_answers(settings, as_json=False)
        leave(FAILED if outcome.failed_errors else 0)


@main.command()
@store_options
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for programs.")
@click.option("--week", metavar="MONDAY", help="As of the end of this week; default: the latest.")
@click.option("--all", "lists_all", is_flag=True, help="Print lists whole, not only their first ten names.")
def answers(
    source: str | None, warehouse: str | None, debug: bool, as_json: bool, week: str | None, lists_all: bool
) -> None:
    """Print the four answers, from the last complete run."""
    with one_sentence(debug):
        as_of_week = parse_week("--week", week) if week is not None else None
        print_answers(read_settings(source=source, warehouse=warehouse), as_json, as_of_week, lists_all)


@main.command()
@click.argument("directory", type=click.Path(path_type=Path))
@store_options
@click.option("--format", "file_format", default="parquet", show_default=True, help="parquet or csv.")
def export(directory: Path, source: str | None, warehouse: str | None, debug: bool, file_format: str) -> None:
    """Write the marts of the last complete run to DIRECTORY, a file per table."""
    with one_sentence(debug):
        from plant_assets.readers.export import export_marts
        from plant_assets.warehouse.marts import open_marts

        with open_marts(read_settings(source=source, warehouse=warehouse)) as marts:
            rows = export_marts(marts, directory, file_format)
        for name, count in rows.items():
            OUT.say(f"{name}.{file_format}  {count} rows")


@main.command("report")
@store_options
@click.option("--week", metavar="MONDAY", help="2021-03-01; default the latest.")
@click.option("--open", "opens", is_flag=True, help="Open it in the browser.")
def weekly_page(source: str | None, warehouse: str | None, debug: bool, week: str | None, opens: bool) -> None:
    """Print the path of the weekly page; if missing, make it from the marts of the last complete run."""
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
    """Evaluate every asset check on all stored rows, and print a line for each."""
    with one_sentence(debug):
        from plant_assets.cli.runs import run_checks
        from plant_assets.instance.home import nothing_left_if_refused, prepare_home

        settings = stored_settings(source, warehouse)
        instant = parse_instant("--as-of", as_of) if as_of else None
        with nothing_left_if_refused(settings):
            prepare_home(settings)
            with Steps("checking") as steps, dagster_records() as instance:
                outcome = run_checks(settings, instance, steps, debug, instant)
        for line in check_lines(outcome.passed, outcome.problems):
            OUT.say(line)
        counts = f"{len(outcome.passed)} passed, {len(outcome.warnings)} warned, {len(outcome.failed_errors)} failed"
        OUT.say(f"{counts} on everything that is stored")
        report(outcome.failures)
        leave(FAILED if outcome.has_stopped or outcome.failed_errors else 0)


@main.command()
@store_options
@click.option("--rejected", "lists_rejected", is_flag=True, help="List the first ten rejected rows of each reason.")
@click.option(
    "--write-mapping", "mapping", metavar="FILE", type=click.Path(path_type=Path), help="Guess a mapping, into FILE."
)
def doctor(source: str | None, warehouse: str | None, debug: bool, lists_rejected: bool, mapping: Path | None) -> None:
    """Show what is configured, what the source holds, what is odd, and which command comes next."""
    with one_sentence(debug):
        from plant_assets.cli.runs import now
        from plant_assets.doctor.diagnose import diagnose

        settings = read_settings(source=source, warehouse=warehouse)
        if mapping:
            from plant_assets.doctor.write import write_mapping

            settings = write_mapping(settings, mapping, now())
        if settings.database:
            # The next command is printed without the password.
            source = source and settings.source_name
        given = [("--source", source), ("--warehouse", warehouse)]
        options = [part for name, value in given if value for part in (name, value)]
        found = diagnose(settings, now(), options, lists_rejected)
        odd = [("-", each) for each in found.odd] or [("-", "nothing")]
        for title, lines in [*found.sections.items(), ("Missing or odd", odd)]:
            if lines:
                print_section(title, lines)
        if found.error:
            ERR.say(f"plant-assets: {found.error}")
        OUT.print()
        is_command = found.next_command.startswith("plant-assets")
        variable = f"PLANT_MAPPING={shlex.quote(str(mapping))} " if mapping and is_command else ""
        OUT.say(f"Next: {variable}{found.next_command}")
        if found.error:
            sys.exit(WRONG_USE)


@main.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--sessions", default=5_000, show_default=True, help="Sessions per 12 weeks.")
@click.option("--weeks", default=12, show_default=True, help="Weeks before the end.")
@click.option("--products", default=30, show_default=True, help="Products, at least 3.")
@click.option("--seed", default=1, show_default=True, help="Seed of the random draws.")
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
    """Write a made-up store to DIRECTORY, or extend the one that is there."""
    with one_sentence(debug):
        from plant_assets.sample import store as sample_store

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


@main.command("forget-observation")
@click.argument("instant")
@store_options
def forget_observation(instant: str, source: str | None, warehouse: str | None, debug: bool) -> None:
    """Remove the observation of the products at INSTANT, after a backup; the next run rebuilds from there."""
    with one_sentence(debug):
        from plant_assets.warehouse import maintenance

        settings = stored_settings(source, warehouse)
        backup = maintenance.forget_observation(
            settings, logging.getLogger("plant_assets"), parse_instant("INSTANT", instant), "forget-observation"
        )
        OUT.say(f"removed, after a backup to {backup}; rebuild with `plant-assets run`")


@main.command("import-observations")
@click.argument("path", metavar="FILE", type=click.Path(path_type=Path))
@store_options
def import_observations(path: Path, source: str | None, warehouse: str | None, debug: bool) -> None:
    """Copy the product observations of FILE, another warehouse of the store, to a new warehouse."""
    with one_sentence(debug):
        from plant_assets.instance.home import nothing_left_if_refused
        from plant_assets.warehouse import maintenance

        settings = read_settings(source=source, warehouse=warehouse)
        if not path.is_file():
            raise UsageError(f"no warehouse at {path}")
        with nothing_left_if_refused(settings):
            count = maintenance.import_observations(
                settings, logging.getLogger("plant_assets"), path, "plant-assets import-observations"
            )
        OUT.say(f"{count} observations")
