"""A warehouse that is behind its source, copied for each fault, and what a run has to make of it."""

import datetime as dt
import gzip
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb

from plant_assets.cli.runs import run_refresh
from plant_assets.contracts import TABLES
from plant_assets.sample import store as sample
from plant_assets.settings import Settings, read_settings
from plant_assets.sql import literal
from plant_assets.warehouse.marts import open_marts
from plant_assets_tests.support.runs import END, Silence
from plant_assets_tests.support.tables import contents

BAD_EVENT = "event_id,session_id,user_id,page_url,created_at,event_type,order_id,product_id\nx,,,,2026-10-10,wave,,\n"
Rows = dict[str, list[tuple[Any, ...]]]


def refresh(settings: Settings) -> None:
    """One run of the whole job."""
    with dg.DagsterInstance.ephemeral() as instance:
        outcome = run_refresh(settings, instance, Silence(), as_of=END)
    assert not outcome.failures, outcome.failures


def published(settings: Settings) -> Rows:
    """The tables that readers see."""
    with open_marts(settings) as marts:
        names = sorted(
            name for (name,) in marts.rows("select table_name from duckdb_tables()") if not name.startswith("_")
        )
        columns = {name: [each.name for each in TABLES[name].columns if each.name != "rejected_at"] for name in names}
        return {name: marts.rows(f"select {', '.join(columns[name])} from {name} order by all") for name in columns}


@dataclass(frozen=True)
class Stores:
    """The source, the warehouse that is behind it, and the tables before and after a whole run."""

    folder: Path
    source: Path
    behind: Settings
    before: Rows
    after: Rows
    published_before: Rows
    published_after: Rows

    @contextmanager
    def copy(self, name: str, source: Path | None = None) -> Iterator[Settings]:
        """The settings of a copy of the warehouse that is behind."""
        home = self.folder / name
        shutil.copytree(self.behind.warehouse_path.parent, home)
        settings = read_settings(source=source or self.source, warehouse=home / "w.duckdb")
        yield settings
        shutil.rmtree(home)

    def require_whole(self, settings: Settings, when: str) -> None:
        """Every table, and what readers see, is from before or after its own write.

        Raises:
            AssertionError: one is neither.
        """
        found = tables(settings)
        # A view is not written: it shows its tables, each before or after its own write.
        mixed = [
            name
            for name in self.before
            if not TABLES[name].is_view and found[name] not in (self.before[name], self.after[name])
        ]
        assert not mixed, f"{when}: {mixed}"
        assert published(settings) in (self.published_before, self.published_after), f"{when}: the published marts"

    def require_repaired(self, settings: Settings, when: str) -> None:
        """All is as after a run that nothing disturbed.

        Raises:
            AssertionError: it is not.
        """
        assert tables(settings) == self.after, f"{when}: not repaired"
        assert published(settings) == self.published_after, f"{when}: the published marts are not repaired"


def tables(settings: Settings) -> Rows:
    """Every table of the warehouse."""
    return contents(settings)


def make_stores(folder: Path) -> Stores:
    """Three weeks of a small store, and a warehouse that lacks its last ten days."""
    source = folder / "store"
    sample.write(source, END - dt.timedelta(days=10), sessions=6000, weeks=3, products=6)
    behind = read_settings(source=source, warehouse=folder / "behind" / "w.duckdb")
    refresh(behind)
    before, published_before = tables(behind), published(behind)
    sample.write(source, END)
    (source / "events" / "bad.csv").write_text(BAD_EVENT)
    _pack(source / "events" / "2026-10-12.csv")
    _to_parquet(source / "order_items" / "2026-10-12.csv")
    whole = read_settings(source=source, warehouse=folder / "whole" / "w.duckdb")
    refresh(whole)
    return Stores(folder, source, behind, before, tables(whole), published_before, published(whole))


def _pack(path: Path) -> None:
    path.with_suffix(".csv.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()


def _to_parquet(path: Path) -> None:
    target = path.with_suffix(".parquet")
    with duckdb.connect() as connection:
        rows = f"from read_csv({literal(str(path))}, all_varchar = true)"
        connection.execute(f"copy (select * replace (quantity::bigint as quantity) {rows}) to {literal(str(target))}")
    path.unlink()
