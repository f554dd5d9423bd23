"""The stores of the net, each with the runs that it goes through. They use no module of plant_assets."""

import csv
import datetime as dt
import gzip
import io
import json
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from bench.measure import ROOT
from bench.net_shop import Row, Shop

LATER = dt.timedelta(hours=6)
GREENERY = ROOT.parent / "shared" / "greenery"


def nothing() -> None:
    """Change nothing before a run."""


@dataclass(frozen=True)
class Phase:
    """A run: what changes in the store before it, the instant it speaks of, and other options."""

    name: str
    as_of: dt.datetime
    change: Callable[[], object] = nothing
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class Store:
    """A store in `folder`, or the sample store; `home` is where its warehouse is."""

    name: str
    home: Path
    phases: list[Phase]
    folder: Path | None = None
    environment: dict[str, str] = field(default_factory=dict)


def four_phases(
    build: dt.datetime, tick: dt.datetime, at_build: Callable[[], object], at_tick: Callable[[], object]
) -> list[Phase]:
    """Return a build, a second run, a tick with new and late rows, and a run of all weeks."""
    return [
        Phase("build", build, at_build),
        Phase("again", build + LATER),
        Phase("tick", tick, at_tick),
        Phase("all", tick + LATER, options=("--weeks", "all")),
    ]


def all_stores(work: Path) -> list[Store]:
    """Return the stores, whose files are written under `work` as their runs begin."""
    stores = [sample(work / "sample"), mapped(work / "mapped")]
    stores += [made_up(work / f"random-{form}", seed, form) for seed, form in enumerate(FORMS, start=1)]
    return [greenery(work / "greenery"), *stores] if GREENERY.is_dir() else stores


def greenery(home: Path) -> Store:
    """Return the real store; the build lacks its last observation, its last day and every fortieth event."""
    folder, late_file = home / "store", "products/2021-03-01.csv"
    lines = (GREENERY / "events.csv").read_text().splitlines(keepends=True)
    held_back = [line for number, line in enumerate(lines) if number % 40 == 39 or ",2021-02-12T" in line]

    def build() -> None:
        shutil.copytree(GREENERY, folder, ignore=shutil.ignore_patterns("2021-03-01.csv"))
        (folder / "events.csv").write_text("".join(line for line in lines if line not in held_back))

    def tick() -> None:
        shutil.copy(GREENERY / late_file, folder / late_file)
        append(folder / "events.csv", held_back)

    return Store("greenery", home, four_phases(instant("2021-02-24"), instant("2021-03-02"), build, tick), folder)


def sample(home: Path) -> Store:
    """Return the sample store, which extends itself; the tick finds a late event in an older file too."""

    def tick() -> None:
        older = home / "sample" / "events" / "2026-09-24.csv"
        last = older.read_text().splitlines()[-1]
        append(older, ["00000000-0000-4000-8000-000000000001" + last[last.index(",") :] + "\n"])

    return Store("sample", home, four_phases(instant("2026-10-14T06"), instant("2026-10-19T12"), nothing, tick))


CLICKS = """\
event_time,event_type,product_id,category_code,price,user_id,user_session
2026-10-05 09:00:00 UTC,view,fern,plants.indoor,12.00,u1,s1
2026-10-05 09:00:00 UTC,view,fern,plants.indoor,12.00,u1,s1
2026-10-05 09:01:00 UTC,cart,fern,plants.indoor,12.00,u1,s1
2026-10-05 09:05:00 UTC,purchase,fern,plants.indoor,12.00,u1,s1
2026-10-06 18:00:00 UTC,view,ivy,plants.indoor,8.50,u2,s2
2026-10-06 18:04:00 UTC,cart,ivy,plants.indoor,8.50,u2,s2
2026-10-07 18:04:00 UTC,remove_from_cart,ivy,plants.indoor,8.50,u2,s2
2026-10-08 18:04:00 UTC,package_shipped,ivy,plants.indoor,8.50,u2,s2
2026-10-12 07:30:00 UTC,view,ivy,plants.indoor,7.90,u3,s3
2026-10-12 07:31:00 UTC,cart,ivy,plants.indoor,,u3,s3
2026-10-12 07:33:00 UTC,view,fern,plants.indoor,cheap,u3,s3
2026-10-13 12:00:00 UTC,view,moss,plants.outdoor,4.00,u1,s4
"""
NEW_CLICKS = """\
event_time,event_type,product_id,category_code,price,user_id,user_session
2026-10-07 12:00:00 UTC,view,palm,plants.indoor,30.00,u4,s5
2026-10-19 12:00:00 UTC,view,moss,plants.outdoor,3.50,u4,s6
2026-10-19 12:01:00 UTC,cart,moss,plants.outdoor,3.50,u4,s6
2026-10-19 12:01:00 UTC,cart,moss,plants.outdoor,3.50,u4,
"""
MAPPING = """\
tables: {events: clicks, products: none, order_items: none, orders: none}
columns:
  events: {event_id: none, session_id: user_session, page_url: none, created_at: event_time, order_id: none}
event_types: {view: page_view, cart: add_to_cart, purchase: checkout}
time: {format: "%Y-%m-%d %H:%M:%S UTC"}
"""


def mapped(home: Path) -> Store:
    """Return a store of clicks that a mapping reads; in the end the mapping changes, and all is read by the new one."""
    folder, mapping = home / "store", home / "mapping.yaml"

    def build() -> None:
        put(mapping, MAPPING)
        put(folder / "clicks" / "1.csv", CLICKS)

    phases = four_phases(
        instant("2026-10-14"),
        instant("2026-10-20"),
        build,
        lambda: put(folder / "clicks" / "2.csv", NEW_CLICKS),
    )
    moved = MAPPING.replace("time: {", "time: {zone: Europe/Berlin, ")
    phases.append(Phase("remapped", instant("2026-10-21"), lambda: put(mapping, moved)))
    environment = {"PLANT_MAPPING": str(mapping), "PLANT_MAX_REJECTED": "0.5"}
    return Store("mapped", home, phases, folder, environment)


# Each form of store: the extension of its files, how its products are observed, and its settings.
FORMS = {
    "csv": ("csv", "dated", {}),
    "dbt": ("jsonl.gz", "history", {"PLANT_TIMEZONE": "America/New_York"}),
    "parquet": ("parquet", "live", {"PLANT_FLUCTUATION_WEEKS": "3", "PLANT_LATE_WEEKS": "2"}),
}


def made_up(home: Path, seed: int, form: str) -> Store:
    """Return a random store of odd rows, across a change of clocks; in csv it has a file in the end that is broken."""
    (ending, products, settings), folder = FORMS[form], home / "store"
    shop = Shop(random.Random(seed), has_uuids=form != "parquet")

    def write_all(until: dt.datetime) -> None:
        for name, rows in shop.files(until, products).items():
            write(folder / f"{name}.{ending}", rows)

    build, tick = instant("2026-03-18T12"), instant("2026-03-24T06")
    phases = four_phases(build, tick, lambda: write_all(build), lambda: write_all(tick))
    if form == "csv":
        broken = folder / "events" / "broken.csv"
        header = "event_id,session_id,user_id,page_url,created_at,event_type,order_id,product_id\n"
        phases.append(Phase("refused", tick + 2 * LATER, lambda: put(broken, header + 'e1,s1,u1,"never closed,\n')))
    environment = {"PLANT_MAX_REJECTED": "0.2", **settings}
    return Store(f"random-{form}", home, phases, folder, environment)


def instant(text: str) -> dt.datetime:
    """Return an instant in UTC."""
    return dt.datetime.fromisoformat(text)


def put(path: Path, text: str) -> None:
    """Write a file, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def append(path: Path, lines: list[str]) -> None:
    """Add lines to the end of a file."""
    with path.open("a") as file:
        file.writelines(lines)


def write(path: Path, rows: list[Row]) -> None:
    """Write rows of text in the format that the name says; a file whose rows are as before stays untouched."""
    content = as_bytes(path.name, rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_bytes() != content:
        path.write_bytes(content)


def as_bytes(name: str, rows: list[Row]) -> bytes:
    """Return what a file of that name holds."""
    if name.endswith("csv"):
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return text.getvalue().encode()
    if name.endswith("jsonl.gz"):
        return gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode(), mtime=0)
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows, pa.schema([(column, pa.string()) for column in rows[0]])), sink)
    return bytes(sink.getvalue())
