"""What ticks of the schedule and the sensors share: the run that they wait for, their requests, skipped ticks.

What a tick decides is in `schedules.py` and `sensors.py`.
"""

import datetime as dt
import json
import logging
from collections.abc import Iterator

import dagster as dg

from plant_assets.atomic import write_atomically
from plant_assets.instance.liveness import STARTED
from plant_assets.orchestration.alerts import send
from plant_assets.orchestration.jobs import REFRESH
from plant_assets.orchestration.partitions import AS_OF, ONLY_CHANGED, range_tags
from plant_assets.settings import Settings

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


def requests_for(
    ranges: list[tuple[dt.date, dt.date]], start: dt.date, at: dt.datetime, key: str
) -> Iterator[dg.RunRequest]:
    """Yield a request per range of weeks, without weeks before `start`, the first partition of this process."""
    for first, last in ranges:
        if last >= start:
            first = max(first, start)
            tags = {**range_tags(first, last), AS_OF: at.isoformat(), ONLY_CHANGED: "yes"}
            yield dg.RunRequest(run_key=f"{key} {first}", tags=tags)


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
