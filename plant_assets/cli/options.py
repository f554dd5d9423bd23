"""Options that several commands share, and how their text is parsed."""

import datetime as dt
from collections.abc import Callable
from typing import Any

import click

from plant_assets.calendar import KNOWN_WEEKS, is_known, monday_of
from plant_assets.settings import UsageError


def store_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --source, --warehouse and --debug to a command."""
    for option in (
        click.option("--debug", is_flag=True, help="Show tracebacks and Dagster's log."),
        click.option("--warehouse", metavar="FILE", help="A DuckDB file, or spark://...; default PLANT_WAREHOUSE."),
        click.option(
            "--source", metavar="STORE", help="A folder or postgresql:// URL; default PLANT_SOURCE, or a sample."
        ),
    ):
        command = option(command)
    return command


# For tests and benchmarks, whose stores end in the past.
as_of_option = click.option("--as-of", metavar="INSTANT", hidden=True, help="Run as if it were this instant.")
allow_host = click.option(
    "--allow-host",
    "names",
    metavar="HOST",
    multiple=True,
    help="A name by which browsers may reach the web server, besides localhost; may be repeated.",
)


def parse_week(option: str, text: str, allowed: str = "a Monday, like 2021-02-08") -> dt.date:
    """Return the Monday that an option names.

    Raises:
        UsageError: the text is not a Monday of a week that a store can have.
    """
    try:
        week = dt.date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{option} {text} is not allowed: {allowed}") from None
    if not is_known(week):
        raise UsageError(f"{option} {text} is not allowed: {KNOWN_WEEKS}")
    if week != monday_of(week):
        raise UsageError(
            f"{option} {text} is not allowed: {week} is not a Monday; its week begins on {monday_of(week)}"
        )
    return week


def parse_weeks(text: str) -> tuple[dt.date, dt.date]:
    """Return the first and last Monday that `--weeks` names.

    Raises:
        UsageError: the text names no weeks, or the last one is before the first.
    """
    first, _dots, last = text.partition("..")
    allowed = "a Monday, two like 2021-02-08..2021-03-01, or all"
    weeks = parse_week("--weeks", first, allowed), parse_week("--weeks", last or first, allowed)
    if weeks[1] < weeks[0]:
        raise UsageError(f"--weeks {text} is not allowed: it ends before it begins")
    return weeks


def parse_instant(option: str, text: str) -> dt.datetime:
    """Return the instant that an option names, in UTC and whole seconds.

    Raises:
        UsageError: the text is not an instant.
    """
    try:
        instant = dt.datetime.fromisoformat(text)
        return (instant.astimezone(dt.UTC).replace(tzinfo=None) if instant.tzinfo else instant).replace(microsecond=0)
    except (ValueError, OverflowError):
        raise UsageError(f"{option} {text} is not allowed: an instant like 2026-11-16T06:00:00Z") from None
