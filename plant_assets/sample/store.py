"""Writes the sample store: house plants, sessions of all shapes, and orders that agree with stock.

The store is a function of its start, seed, rate and number of products; the end only cuts it off. So a folder that
was extended has the same rows as one written at once. A random draw is the MD5 of its purpose, and never depends on
the clock. The engine makes the rows and simulates stock. Lost demand follows from the Skorokhod reflection map
(Skorokhod 1961): stock = x - min(0, running minimum of x), where x is supply less demand.
"""

import datetime as dt
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import duckdb

from plant_assets.atomic import write_atomically
from plant_assets.calendar import FIRST_MONDAY, is_known
from plant_assets.sample.model import DAILY, MODEL, OBSERVED
from plant_assets.settings import UsageError
from plant_assets.sql import literal

MANIFEST = "sample.json"
# The version of the made-up store: another one has other rows, so a folder is only extended by the same.
VERSION = 2
RATE_WEEKS = 12
OBSERVED_EVERY = dt.timedelta(hours=6)
DAY = dt.timedelta(days=1)
FORMATS = ("csv", "parquet")
# Options of the command with their lowest and highest values: disks are the limit, not MD5 or dates.
ALLOWED = {"sessions": (1, 10**9), "weeks": (1, 5_000), "products": (3, 10**6), "seed": (-(10**15), 10**15)}
INSTANT_FORMAT = "%Y-%m-%dT%H:%M:%SZ"
NEW_ON_DAY, LEAVES_ON_DAY = 30, 50
PLANTS = (
    "Aloe Vera", "Anthurium", "Areca Palm", "Baby Rubber Plant", "Begonia Rex", "Boston Fern", "Calathea",
    "Cast Iron Plant", "Chinese Evergreen", "Croton", "Dracaena", "Dumb Cane", "English Ivy", "Fiddle Leaf Fig",
    "Jade Plant", "Kentia Palm", "Lucky Bamboo", "Maidenhair Fern", "Money Tree", "Nerve Plant", "Parlor Palm",
    "Peace Lily", "Polka Dot Plant", "Prayer Plant", "Rubber Tree", "Snake Plant", "Spider Plant",
    "Swiss Cheese Plant", "Umbrella Tree", "Wax Plant",
)  # fmt: skip


@dataclass(frozen=True)
class Manifest:
    """The arguments of a sample store, kept in its folder so that it can be extended."""

    start: str
    end: str
    seed: int
    sessions: int
    products: int
    format: str
    # Stores of the first version did not say it.
    version: int = 1


def write(
    directory: Path,
    end: dt.datetime,
    sessions: int = 5_000,
    weeks: int = 12,
    products: int = 30,
    seed: int = 1,
    format: str = "csv",
    on_day: Callable[[dt.date], None] | None = None,
) -> Manifest:
    """Write a sample store, or extend the one that is there.

    Args:
        directory: the folder.
        end: the instant at which the store ends. The following arguments are ignored if the folder has a store.
        sessions: the rate: sessions per 12 weeks.
        weeks: how long before `end` the store begins.
        products: the number of products.
        seed: any number; another seed gives another store.
        format: the extension of the files.
        on_day: called after each day that was written.

    Returns:
        The manifest of the folder.

    Raises:
        UsageError: an argument is out of range, or the folder holds something else.
    """
    if directory.exists() and not directory.is_dir():
        raise UsageError(f"{directory} is a file: give an empty folder")
    known = read_manifest(directory)
    if known is None:
        if directory.exists() and any(directory.iterdir()):
            raise UsageError(f"{directory} is not empty and has no sample store: give an empty folder")
        given = {"sessions": sessions, "weeks": weeks, "products": products, "seed": seed}
        for name, (least, most) in ALLOWED.items():
            if not least <= given[name] <= most:
                raise UsageError(f"--{name} {given[name]} is not allowed: from {least} to {most}")
        if format not in FORMATS:
            raise UsageError(f"--format {format} is not allowed: one of {', '.join(FORMATS)}")
        midnight = dt.datetime.combine(end.date(), dt.time())
        start = midnight - dt.timedelta(weeks=weeks) + (DAY if end > midnight else dt.timedelta())
        if not is_known(start.date()):
            raise UsageError(f"--weeks {weeks} is not allowed: the store would begin before {FIRST_MONDAY}")
        known = Manifest(start.isoformat(), start.isoformat(), seed, sessions, products, format, VERSION)
    require_this_version(directory, known)
    if end <= dt.datetime.fromisoformat(known.end):
        return known
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    wanted = Manifest(**{**asdict(known), "end": end.isoformat()})
    _write_days(directory, known, wanted, on_day or (lambda day: None))
    write_atomically(directory / MANIFEST, json.dumps(asdict(wanted), indent=2))
    return wanted


def read_manifest(directory: Path) -> Manifest | None:
    """Return the manifest of a folder; None if it has no sample store.

    Raises:
        UsageError: the manifest cannot be read.
    """
    try:
        return Manifest(**json.loads((directory / MANIFEST).read_text()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise UsageError(f"{directory / MANIFEST} is not readable as a sample's manifest: {error}") from None


def require_this_version(directory: Path, known: Manifest) -> None:
    """Refuse to extend a store of another version: its rows would not go on.

    Raises:
        UsageError: it is one.
    """
    if known.version != VERSION:
        raise UsageError(
            f"{directory} holds a sample store of version {known.version}, and this is version {VERSION}:"
            " it is left as it is; give another folder for a new one"
        )


def extend(directory: Path, end: dt.datetime) -> None:
    """Extend the sample store to an instant; write one with default arguments if there is none."""
    write(directory, end.replace(microsecond=0))


def _write_days(directory: Path, known: Manifest, wanted: Manifest, on_day: Callable[[dt.date], None]) -> None:
    start, end = (dt.datetime.fromisoformat(text) for text in (wanted.start, wanted.end))
    written_to = dt.datetime.fromisoformat(known.end)
    with duckdb.connect(config={"temp_directory": str(directory / ".tmp")}) as connection:
        simulate(connection, wanted, start, end)
        day = dt.datetime.combine(written_to.date(), dt.time())
        while day < end:
            bounds = [day, min(day + DAY, end)]
            for table, body in DAILY.items():
                path = directory / table / f"{day:%Y-%m-%d}.{wanted.format}"
                _copy(connection, body, bounds, path, wanted.format)
            on_day(day.date())
            day += DAY
        at = start
        while at <= end:
            if at > written_to or known.start == known.end:
                path = directory / "products" / f"{at:%Y-%m-%dT%H-%M-%SZ}.{wanted.format}"
                _copy(connection, OBSERVED, [at], path, wanted.format)
            at += OBSERVED_EVERY


def _copy(
    connection: duckdb.DuckDBPyConnection, body: str, parameters: list[dt.datetime], path: Path, format: str
) -> None:
    path.parent.mkdir(mode=0o700, exist_ok=True)
    fresh = path.with_name("." + path.name + ".new")
    options = f"format csv, header, timestampformat '{INSTANT_FORMAT}'" if format == "csv" else "format parquet"
    connection.execute(f"copy ({body}) to {literal(str(fresh))} ({options})", parameters)
    fresh.chmod(0o600)
    os.replace(fresh, path)


def simulate(connection: duckdb.DuckDBPyConnection, wanted: Manifest, start: dt.datetime, end: dt.datetime) -> None:
    """Make the tables from which the daily files are selected. `stock` has the units at every instant."""
    per_day = wanted.sessions / (RATE_WEEKS * 7)
    connection.execute("set TimeZone = 'UTC'")
    for name, value in {
        "seed": wanted.seed,
        "products": wanted.products,
        "per_day": per_day,
        "users": max(1, wanted.sessions // 3),
        "start": start,
        "until": end,
        "new_at": start + NEW_ON_DAY * DAY,
        "leaves_at": start + LEAVES_ON_DAY * DAY,
        "days": (end - start) // DAY + 1,
        "names": list(PLANTS),
    }.items():
        connection.execute(f"set variable {name} = ?", [value])
    connection.execute(MODEL)
