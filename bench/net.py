"""The net under a refactoring: what runs on six stores leave in tables, files and output, and their statements.

    python -m bench.net --out before.json           # on the commit before
    python -m bench.net --out after.json            # on the commit after
    python -m bench.net --compare before.json after.json

It looks from outside: the command line, and the files it leaves. It knows no module of plant_assets but
`plant_assets.cli`, so that it outlives what it guards.
"""

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from bench.logged import read_log
from bench.measure import ROOT
from bench.net_dump import Names, dump_database, dump_export, normalised
from bench.net_stores import GREENERY, Phase, Store, all_stores

# What may not differ. Sentences and statements may: the note says why.
KEPT = ("exit", "tables", "answers", "files")
Found = dict[str, Any]


class Commands:
    """The command line on one store: how its commands ended, what they said, and the log of their statements."""

    def __init__(self, store: Store, names: Names, phase: str) -> None:
        self._store, self._names = store, names
        self.log = store.home / "logs" / phase
        self.exit: dict[str, int] = {}
        self.said: dict[str, list[str]] = {}

    def run(self, command: str, *options: str) -> str:
        """Run a command on the store and return what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "bench.logged", str(self.log), command, *options],
            env=self._environment(),
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        self.exit[command] = done.returncode
        self.said[command] = self._names.without(done.stdout + done.stderr).splitlines()
        return done.stdout

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PLANT_", "DAGSTER_"))}
        source = {"PLANT_SOURCE": str(self._store.folder)} if self._store.folder else {}
        given = {"PLANT_HOME": str(self._store.home), "PLANT_MEMORY_LIMIT": "4GB", "TZ": "UTC"}
        return kept | given | source | self._store.environment


def take(work: Path, only: list[str]) -> Found:
    """Return what the runs of the stores leave, by store and phase, and the texts of their statements."""
    if not GREENERY.is_dir():
        say(f"left out: greenery, which is not in {GREENERY}")
    statements: dict[str, str] = {}
    stores = [store for store in all_stores(work) if not only or store.name in only]
    # Each is a process that waits for the disk at times; their order does not matter.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = list(pool.map(lambda store: take_store(store, statements), stores))
    by_name = {store.name: phases for store, phases in zip(stores, found, strict=True)}
    return {"stores": by_name, "statements": statements}


def take_store(store: Store, statements: dict[str, str]) -> dict[str, Found]:
    """Take a store through its phases, and look at it once more in the end."""
    names, found = Names(store.home), {}
    for phase in store.phases:
        found[phase.name] = take_phase(store, phase, names, statements)
        say(f"{store.name}: {phase.name}")
    found["end"] = take_end(store, names, statements)
    return found


def take_phase(store: Store, phase: Phase, names: Names, statements: dict[str, str]) -> Found:
    """Return what one run and the answers after it leave."""
    phase.change()
    commands = Commands(store, names, phase.name)
    commands.run("run", "--as-of", phase.as_of.isoformat(), *phase.options)
    answers = commands.run("answers", "--json")
    warehouse = store.home / f"{'plant' if store.folder else 'sample'}.duckdb"
    marts = warehouse.with_name(warehouse.name + ".marts.duckdb")
    return {
        **ended(commands, names, statements),
        "answers": answers,
        "tables": {
            **dump_database(warehouse, "warehouse", names, phase.name),
            **dump_database(marts, "marts", names, phase.name),
        },
        "files": files_in(store.home, names, f"{warehouse.name}*"),
        "pages": hash_pages(store.home, names),
    }


def take_end(store: Store, names: Names, statements: dict[str, str]) -> Found:
    """Return what all checks say in the end, and what an export writes."""
    commands, out = Commands(store, names, "end"), store.home / "export"
    commands.run("check", "--as-of", store.phases[-1].as_of.isoformat())
    commands.run("export", str(out))
    return {
        **ended(commands, names, statements),
        "tables": dump_export(out, names),
        "files": files_in(out, names),
    }


def ended(commands: Commands, names: Names, statements: dict[str, str]) -> Found:
    """Return how commands ended and what they said, and add the texts of their statements to `statements`."""
    used = {_key(each): each for each in normalised(read_log(commands.log), names)}
    statements.update(used)
    return {"exit": commands.exit, "said": commands.said, "statements": sorted(used)}


def _key(statement: str) -> str:
    return hashlib.sha256(statement.encode()).hexdigest()[:16]


def files_in(folder: Path, names: Names, pattern: str = "*") -> list[str]:
    """Return the names of the files under those of `folder` that match, each once."""
    paths = (path for top in folder.glob(pattern) for path in (top, *top.rglob("*")) if path.is_file())
    return sorted({names.without(str(path.relative_to(folder))) for path in paths})


def hash_pages(home: Path, names: Names) -> dict[str, str]:
    """Return a hash of the text of each weekly page."""
    pages = sorted(home.glob("*.report/*.html"))
    return {path.name: _key(names.without(path.read_text(encoding="utf-8"))) for path in pages}


def compare(before: Found, after: Found) -> tuple[list[str], list[str]]:
    """Return the lines that tell what differs and may not, and those that tell what may."""
    kept, free = [], []
    for place, key, one, other in _differences(before["stores"], after["stores"]):
        line = f"{place}: {key}: {_short(one)} -> {_short(other)}"
        (kept if key.split()[0] in KEPT else free).append(line)
    for title, one, other in (("before", before, after), ("after", after, before)):
        places: dict[str, list[str]] = {}
        there = set(_statements(other))
        for place, key in _statements(one):
            if (place, key) not in there:
                places.setdefault(key, []).append(place)
        groups: dict[str, list[str]] = {}
        for key, names in places.items():
            groups.setdefault(", ".join(names), []).append(one["statements"][key])
        for where, texts in sorted(groups.items()):
            free += [f"statements only {title}, in {where}:", *(f"  {text}" for text in sorted(texts))]
    return kept, free


def _differences(before: Found, after: Found) -> Iterator[tuple[str, str, Any, Any]]:
    """Yield place, thing, and what it was and is, for all but statements."""
    for store in sorted(before.keys() | after.keys()):
        phases = before.get(store, {}), after.get(store, {})
        for phase in sorted(phases[0].keys() | phases[1].keys()):
            one, other = (_flat(each.get(phase, {})) for each in phases)
            for key in sorted(one.keys() | other.keys()):
                if one.get(key) != other.get(key):
                    yield f"{store}, {phase}", key, one.get(key), other.get(key)


def _flat(found: Found) -> Found:
    """Return what was found in a phase with one name for each thing: `tables warehouse funnel`."""
    flat: Found = {}
    for key, value in found.items():
        if isinstance(value, dict):
            flat |= {f"{key} {name}": each for name, each in value.items()}
        elif key != "statements":
            flat[key] = value
    return flat


def _statements(found: Found) -> Iterator[tuple[str, str]]:
    for store, phases in found["stores"].items():
        for phase, each in phases.items():
            yield from ((f"{store} {phase}", key) for key in each.get("statements", []))


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False) if value is not None else "nothing"
    return re.sub(r"(?s)^(.{400}).*", r"\1...", text)


def say(text: str) -> None:
    """Tell of the progress, on the error stream."""
    print(text, file=sys.stderr, flush=True)


def main() -> int:
    """Take the net to a file, or compare two; 1 where what may not differ does."""
    parser = argparse.ArgumentParser(description="What runs leave and which statements they use, to compare.")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--out", type=Path, metavar="FILE", help="run all stores, and write what they leave")
    what.add_argument("--compare", type=Path, nargs=2, metavar=("BEFORE", "AFTER"), help="tell what differs")
    parser.add_argument("--work", type=Path, metavar="DIR", help="a new folder to keep stores and warehouses in")
    parser.add_argument("--only", action="append", default=[], metavar="STORE", help="this store; may be repeated")
    given = parser.parse_args()
    if given.compare:
        kept, free = compare(*(json.loads(path.read_text()) for path in given.compare))
        print(*(kept + free or ["nothing differs"]), sep="\n")
        return 1 if kept else 0
    with tempfile.TemporaryDirectory() as temporary:
        found = take((given.work or Path(temporary)).resolve(), given.only)
    given.out.write_text(json.dumps(found, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
