"""What ticks of the schedule and the sensors share: the run that they wait for, their requests, skipped ticks.

What a tick decides is in `schedules.py` and `sensors.py`.
"""

import contextlib
import datetime as dt
import json
import logging
from collections.abc import Iterator
from dataclasses import replace

import dagster as dg

from plant_assets.atomic import write_atomically
from plant_assets.ingest.listed import Outlook, digest_of, look_ahead
from plant_assets.instance.liveness import STARTED
from plant_assets.instance.reload import reload
from plant_assets.orchestration.alerts import send
from plant_assets.orchestration.jobs import REFRESH
from plant_assets.orchestration.partitions import (
    AS_OF,
    COUNTED_ON,
    COUNTS_WEEKS,
    ONLY_CHANGED,
    first_week_of,
    range_tags,
)
from plant_assets.sample import store as sample
from plant_assets.sample.aside import set_aside_other_version
from plant_assets.settings import Settings
from plant_assets.sources.errors import SourceError
from plant_assets.sources.open import source_of
from plant_assets.warehouse.open import open_warehouse

# How many ticks may be skipped in a row without an alert.
MOST_SKIPPED = 1
UNDER_WAY = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def run_under_way(instance: dg.DagsterInstance) -> str | None:
    """Return the id of an unfinished run of the refresh job, a started one first; None if there is none."""
    runs = instance.get_runs(dg.RunsFilter(job_name=REFRESH, statuses=UNDER_WAY))
    return min(runs, key=lambda run: run.status not in STARTED).run_id if runs else None


def look(
    settings: Settings, at: dt.datetime, log: logging.Logger, holder: str = "a tick", extends_sample: bool = False
) -> Outlook:
    """Return what a run will have to do, without waiting for the warehouse.

    Files that cannot be listed are left to the run, which fails for them as a command would. Nothing is written, unless
    the store begins earlier than was known: then its first week is, and which weeks are due for it.

    Raises:
        UsageError: the warehouse is in use, or belongs to another store.
    """
    if extends_sample:
        set_aside_other_version(settings, log, holder, wait=False)
    with open_warehouse(settings, log, holder=holder, wait=False) as warehouse:
        warehouse.require_store()
        if settings.is_sample and extends_sample:
            sample.extend(settings.source_path, at)
        written, start = warehouse.ledger.loads.next_write_number(), first_week_of(settings)
        with contextlib.closing(source_of(settings, at, warehouse.ledger.facts.first_week())) as source:
            try:
                listed = {} if settings.database else source.list_files()
                found = look_ahead(warehouse, at, start, source, listed)
            except SourceError as error:
                log.error("%s", error)
                found = look_ahead(warehouse, at, start, source, {})
                found = replace(found, is_unreadable=True, state=digest_of([str(error)]))
        if found.range[0] < start:
            warehouse.note_due({week for week in found.weeks if week < start}, "the store begins with them")
            warehouse.remember_store(found.range[0], source.mapping.stages)
        counted_on = warehouse.ledger.facts.get(COUNTED_ON)
        is_counted = settings.database is None or counted_on == str(at.date())
        return replace(found, state=f"{found.state} after write {written}", counts_weeks=not is_counted)


def request_for(
    settings: Settings, loaded: dt.date, outlook: Outlook, at: dt.datetime, key: str, log: logging.Logger
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """Yield the request of one run over the weeks, or why it waits for other definitions.

    Args:
        settings: the settings.
        loaded: the first week with which the definitions were loaded.
        outlook: what the run will have to do.
        at: the instant of the run.
        key: the key of the request: one that was used before requests nothing.
        log: the log.
    """
    if waits := load_anew(settings, loaded, log):
        yield dg.SkipReason(waits)
        return
    first, last = outlook.range
    if last < loaded:
        yield dg.SkipReason(f"only weeks before {loaded} are due, which these definitions do not have")
        return
    tags = {**range_tags(max(first, loaded), last), AS_OF: at.isoformat(), ONLY_CHANGED: "yes"}
    if outlook.counts_weeks:
        tags[COUNTS_WEEKS] = "yes"
    yield dg.RunRequest(run_key=key, tags=tags)


def load_anew(settings: Settings, loaded: dt.date, log: logging.Logger) -> str | None:
    """Have the code server load its definitions again if the store begins with another week than `loaded`.

    Returns:
        Why ticks request nothing until then. None if these definitions have to do: their weeks are the store's, or
        Dagster's own commands started them, which cannot load them again.
    """
    known = first_week_of(settings)
    if known == loaded:
        return None
    if reload():
        return f"the store begins with {known}, not {loaded}: the code server loads its weeks again"
    if known < loaded:
        log.warning(
            "the store begins with %s, not %s: start Dagster again by `plant-assets dev` or `plant-assets serve code`",
            known,
            loaded,
        )
    return None


def note_skipped_tick(settings: Settings, log: logging.Logger, reason: str, place: str = "") -> None:
    """Count a skipped tick; send a message, once per reason, if too many were skipped in a row."""
    path = settings.dagster_home / "skipped_ticks.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    ticks, told = known.get("ticks", 0) + 1, known.get("told")
    if ticks > MOST_SKIPPED and told != reason:
        told = reason
        send(settings, "ticks are skipped", f"{ticks} ticks in a row were skipped: {reason}{place}", log)
    write_atomically(path, json.dumps({"ticks": ticks, "told": told}))


def forget_skipped_ticks(settings: Settings) -> None:
    """Reset the count of skipped ticks."""
    (settings.dagster_home / "skipped_ticks.json").unlink(missing_ok=True)
