"""Messages about problems of runs: sent through one URL (`PLANT_ALERT_URL`), or put on the weekly page.

A problem that the previous run had too is not sent again: one message per problem, not one per retry or tick.
"""

import datetime as dt
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from plant_assets.orchestration.problems import Problem, new_problems, problems_of
from plant_assets.readers.page.render import show_banner
from plant_assets.settings import Settings
from plant_assets.text import printable

if TYPE_CHECKING:
    import apprise


def message_of(settings: Settings, run: dg.DagsterRun, problems: Sequence[Problem]) -> str:
    """Return the run, its problems with their reasons, and a link to the run, one line each."""
    lines = [printable(str(problem)) for problem in problems]
    return "\n".join([f"run {run.run_id} of {run.job_name}", *lines, f"{settings.ui_url}/runs/{run.run_id}"])


def tell(settings: Settings, instance: dg.DagsterInstance, run: dg.DagsterRun, log: logging.Logger) -> str | None:
    """Send a message about the new problems of a run; return the message, or None if no problem is new.

    The message goes to the log instead if `PLANT_ALERT_URL` is not set, is not a known URL or cannot be reached.
    """
    problems = new_problems(instance, run)
    if not problems:
        return None
    message = message_of(settings, run, problems)
    send(settings, f"{len(problems)} problem{'s' if len(problems) > 1 else ''}", message, log)
    return message


def send(settings: Settings, title: str, message: str, log: logging.Logger) -> None:
    """Send a message to `PLANT_ALERT_URL`; without it, write it to the log."""
    if settings.alert_url is None:
        log.error("%s", message)
        return
    if problem := _send(settings.alert_url.get_secret_value(), f"plant_assets: {title}", message):
        log.error("PLANT_ALERT_URL %s; the message was: %s", problem, message)


def is_known_address(url: str) -> bool:
    """Return whether Apprise supports an alert URL; nothing is sent."""
    return _receiver(url) is not None


def _receiver(url: str) -> "apprise.Apprise | None":
    # Imported here, because only senders of alerts need it.
    import apprise

    receiver, log = apprise.Apprise(), logging.getLogger("apprise")
    was_disabled, log.disabled = log.disabled, True
    try:
        # Apprise would log a URL that it cannot parse, or its wrong part: a token.
        return receiver if receiver.add(url) else None
    finally:
        log.disabled = was_disabled


def _send(url: str, title: str, message: str) -> str | None:
    """Send a message; return why that failed, or None."""
    receiver = _receiver(url)
    if receiver is None:
        return "is not a URL that Apprise supports: see https://appriseit.com"
    # Apprise sends mail as HTML: as plain text, product names are escaped.
    is_sent = receiver.notify(body=message, title=title, body_format="text")
    return None if is_sent else "could not be reached"


def mark_page(settings: Settings, instance: dg.DagsterInstance, run: dg.DagsterRun) -> Path | None:
    """Show on the latest page which run stopped and why; return the page, or None if no page is older than the run."""
    record = instance.get_run_record_by_id(run.run_id)
    ended = record.end_time or record.create_timestamp.timestamp() if record else 0
    ended_at = dt.datetime.fromtimestamp(ended, dt.UTC).replace(tzinfo=None)
    local = ended_at + settings.calendar.offset_at(ended_at)
    reasons = [str(problem) for problem in problems_of(instance, run) if problem.stops_run]
    return show_banner(settings, f"run {run.run_id} of {local:%Y-%m-%d %H:%M}", ended_at, reasons)
