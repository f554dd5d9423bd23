"""Who is measured: for each size, the commands that do the same work, and what they find when they start."""

import datetime as dt
import json
import os
import subprocess
import sys
import venv
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from bench import stores
from bench.measure import ROOT, Failed

DBT = ROOT / "bench" / "dbt"
DBT_VENV = ROOT / ".venv-dbt"
# Sizes up to which a contender is measured; beyond LARGE what is compared is the tick.
MOST_FOR_STOCK, LARGE = 1_000_000, 10_000_000


@dataclass(frozen=True)
class Contender:
    """A command that makes a warehouse in `folder`. One `on_history` starts from what the command made before."""

    name: str
    folder: Path
    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    schema: str = "main"
    on_history: bool = False
    before: Callable[[], object] = lambda: None
    is_heavy: bool = False
    makes_tables: bool = True

    @property
    def warehouse(self) -> Path:
        return self.folder / "w.duckdb"

    @property
    def is_dbt(self) -> bool:
        return self.name.startswith("dbt")

    @property
    def records(self) -> Path:
        """Dagster's own records, where it leaves any."""
        return self.folder / "w.duckdb.dagster"


def event_contenders(home: Path, events: int, weeks: int) -> tuple[Path, list[Contender]]:
    """The store of a size, and those that are measured on it."""
    store = stores.event_store(home, events, weeks, "parquet")
    growing = home / "stores" / f"{events}-{weeks}-weeks-growing"
    stores.without_last_day(store, growing)
    add_day = partial(stores.add_last_day, store, growing)
    ticks = [
        _ours(home, "ours, tick", growing, on_history=True, before=add_day),
        _dbt(home, "dbt plain, tick", growing, careful=False, on_history=True, before=add_day),
    ]
    if events > LARGE:
        limited = _ours(home, "ours, 1 GB", store, is_heavy=True, environment={"PLANT_MEMORY_LIMIT": "1GB"})
        return store, [_ours(home, "ours", store, is_heavy=True), limited, *ticks]
    write_csv = partial(stores.event_store, home, events, weeks, "csv")
    full = [
        _ours(home, "ours", store),
        _dbt(home, "dbt", store),
        _dbt(home, "dbt plain", store, careful=False),
        _python(home, "limit", "bench.limit", store),
        _ours(home, "ours, csv", stores.folder_of(home, events, weeks, "csv"), before=write_csv),
    ]
    if events <= MOST_FOR_STOCK:
        full.append(_python(home, "stock", "bench.stock", store))
    return store, [*full, *ticks, _dbt(home, "dbt, tick", growing, on_history=True, before=add_day)]


def real_contenders(home: Path, store: Path) -> list[Contender]:
    """The whole command on a small store, all of dbt's models and tests, and what Dagster takes for itself."""
    return [
        _ours(home, "ours", store, as_of=None),
        _dbt(home, "dbt", store, files=".csv", select=[]),
        _python(home, "empty", "bench.empty", store, makes_tables=False),
    ]


def inventory_contenders(home: Path, days: int) -> list[Contender]:
    """A full build of many observations, a tick with one more, and one with nothing new."""
    store = stores.inventory_store(home, days)
    set_next = partial(stores.set_next_observation, store, days)
    set_next(is_there=False)
    without, with_next = partial(set_next, is_there=False), partial(set_next, is_there=True)
    return [
        _ours(home, "ours", store, before=without),
        _ours(home, "ours, empty tick", store, on_history=True, before=without),
        _ours(home, "ours, tick", store, on_history=True, before=with_next),
    ]


def _ours(
    home: Path,
    name: str,
    store: Path,
    *,
    as_of: dt.datetime | None = stores.END,
    environment: dict[str, str] | None = None,
    on_history: bool = False,
    before: Callable[[], object] = lambda: None,
    is_heavy: bool = False,
) -> Contender:
    folder = _folder(home, name)
    run = ["run", "--source", str(store), "--warehouse", str(folder / "w.duckdb")]
    # The stores end at a fixed instant; a tick of today would do weeks that have ended long ago.
    instant = ["--as-of", as_of.isoformat()] if as_of else []
    command = [sys.executable, "-m", "plant_assets.cli", *run, *instant]
    return Contender(name, folder, command, environment or {}, "analytics", on_history, before, is_heavy)


def _python(home: Path, name: str, module: str, store: Path, *, makes_tables: bool = True) -> Contender:
    folder = _folder(home, name)
    command = [sys.executable, "-m", module, str(store), str(folder / "w.duckdb")]
    return Contender(name, folder, command, makes_tables=makes_tables)


def _dbt(
    home: Path,
    name: str,
    store: Path,
    *,
    careful: bool = True,
    files: str = "/*.parquet",
    select: list[str] | None = None,
    on_history: bool = False,
    before: Callable[[], object] = lambda: None,
) -> Contender:
    folder = _folder(home, name)
    # What dbt parsed stays from run to run, as in a user's checkout: it starts faster by that.
    target = str(folder.with_name(folder.name + ".target"))
    given = {"store": str(store), "files": files, "careful": careful, "incremental": on_history}
    options = ["--project-dir", DBT, "--profiles-dir", DBT, "--target-path", target, "--log-path", target]
    selected = ["--select", "+funnel", "+funnel_by_date"] if select is None else select
    verb = "build" if careful else "run"
    command = [str(DBT_VENV / "bin" / "dbt"), verb, *map(str, options), "--vars", json.dumps(given), *selected]
    environment = {"BENCH_WAREHOUSE": str(folder / "w.duckdb"), "DBT_SEND_ANONYMOUS_USAGE_STATS": "false"}
    return Contender(name, folder, command, environment, on_history=on_history, before=before)


def _folder(home: Path, name: str) -> Path:
    return home / "work" / name.replace(", ", "-").replace(" ", "-")


def install_dbt() -> None:
    """A virtual environment of its own: dbt's pins need not fit ours."""
    wanted, installed = (DBT / "requirements.txt").read_text(), DBT_VENV / "installed"
    if installed.exists() and installed.read_text() == wanted:
        return
    venv.create(DBT_VENV, clear=True, with_pip=True)
    install = [DBT_VENV / "bin" / "python", "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
    if subprocess.run([*install, "-r", DBT / "requirements.txt"], check=False).returncode:
        raise Failed(f"dbt could not be installed into {DBT_VENV.name}")
    installed.write_text(wanted)


def environment_of(contender: Contender) -> dict[str, str]:
    """This process's environment without settings that the contenders read, and theirs."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PLANT_", "DAGSTER_", "DBT_"))}
    return kept | contender.environment
