"""The stores that are measured, kept between runs: of events by the sample generator, of observations by DuckDB."""

import datetime as dt
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import duckdb

from bench.measure import ROOT, Failed

END = dt.datetime(2026, 10, 14)
LAST_DAY = "2026-10-13"
# What the generator makes of a session, and over how many weeks its rate is given.
EVENTS_PER_SESSION = 4.12
RATE_WEEKS = 12

PRODUCTS = 5_000
OBSERVED_EVERY = dt.timedelta(hours=6)


def folder_of(home: Path, events: int, weeks: int, file_format: str) -> Path:
    return home / "stores" / f"{events}-{weeks}-weeks-{file_format}"


def event_store(home: Path, events: int, weeks: int, file_format: str) -> Path:
    """A store of about that many events in the weeks before END, written if it is not there."""
    store = folder_of(home, events, weeks, file_format)
    if not (store / "sample.json").exists():
        shutil.rmtree(store, ignore_errors=True)
        sessions = round(events / EVENTS_PER_SESSION * RATE_WEEKS / weeks)
        arguments = f"--sessions {sessions} --weeks {weeks} --format {file_format} --seed 1 --end {END.isoformat()}"
        command = [sys.executable, "-m", "plant_assets.cli", "sample", str(store), *arguments.split()]
        if subprocess.run(command, check=False, stdout=sys.stderr, cwd=ROOT).returncode:
            raise Failed(f"the store {store} could not be written")
    return store


def without_last_day(store: Path, copy: Path) -> None:
    """A store as it was a day before: the generator writes the same files for a day, whatever day it ends on."""
    shutil.rmtree(copy, ignore_errors=True)
    for path in _files(store):
        if path.stem[:10] < LAST_DAY or path.stem.startswith(f"{LAST_DAY}T00"):
            _link(path, copy / path.relative_to(store))


def add_last_day(store: Path, copy: Path) -> None:
    """What came since `without_last_day`."""
    for path in _files(store):
        if not (copy / path.relative_to(store)).exists():
            _link(path, copy / path.relative_to(store))


def _files(store: Path) -> Iterator[Path]:
    return (path for path in sorted(store.glob("*/*")) if path.is_file())


def _link(path: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    os.link(path, to)


def inventory_store(home: Path, days: int) -> Path:
    """5,000 products, observed four times a day over the days before END, and an event a day."""
    store = home / "stores" / f"inventory-{days}"
    if not (store / "events.parquet").exists():
        shutil.rmtree(store, ignore_errors=True)
        (store / "products").mkdir(parents=True)
        observations = int(dt.timedelta(days=days) / OBSERVED_EVERY)
        with duckdb.connect() as connection:
            connection.execute(_SHELF, [PRODUCTS])
            for number in range(observations):
                _observe(connection, store, number, observations)
            connection.execute(
                "create table clicks as select 'event' || range as event_id, 'session' || range as session_id,"
                " null::varchar as user_id, null::varchar as page_url, ?::timestamp - to_days(1 + range::integer)"
                " as created_at, 'page_view' as event_type, null::varchar as order_id, 'product1' as product_id"
                " from range(?::bigint)",
                [END, days],
            )
            connection.execute(f"copy clicks to '{store / 'events.parquet'}' (format parquet)")
    return store


def set_next_observation(store: Path, days: int, is_there: bool) -> None:
    """Add the observation at END to a store of observations, or take it away."""
    if is_there:
        observations = int(dt.timedelta(days=days) / OBSERVED_EVERY)
        with duckdb.connect() as connection:
            connection.execute(_SHELF, [PRODUCTS])
            _observe(connection, store, observations, observations)
    else:
        _observation(store, END).unlink(missing_ok=True)


def _observation(store: Path, at: dt.datetime) -> Path:
    return store / "products" / f"{at:%Y-%m-%dT%H-%M-%SZ}.parquet"


def _observe(connection: duckdb.DuckDBPyConnection, store: Path, number: int, observations: int) -> None:
    path = _observation(store, END - (observations - number) * OBSERVED_EVERY)
    connection.execute(f"copy ({_OBSERVED}) to '{path}' (format parquet)", [number])


# Stock falls by a rate of the product's own, stays at zero for a while, is delivered, and falls again. At one
# observation in five a product differs from the one before.
_SHELF = """
create table shelf as
select range as product, 0.01 + 0.6 * pow((hash(range) % 1000) / 1000, 2) as rate,
    20 + (hash(range, 1) % 180)::bigint as most,
    (hash(range, 2) % 200)::bigint + (hash(range, 3) % 1000) / 1000 as sold_before
from range(?::bigint)
"""
_OBSERVED = """
select 'product' || product as product_id, 'Product ' || product as name,
    (10 + (product + $1::bigint) // 120 % 50)::decimal(18, 2) as price,
    greatest(0, most - floor(sold_before + $1::bigint * rate)::bigint % (most + 10))::bigint as inventory
from shelf order by product
"""
