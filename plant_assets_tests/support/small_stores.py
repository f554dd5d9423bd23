"""Small stores written to a folder, and loaded into a warehouse as a run does it, but without Dagster."""

import contextlib
import csv
import datetime as dt
import gzip
import io
import itertools
import json
import logging
import os
import re
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from plant_assets.calendar import Weeks
from plant_assets.contracts import ID, TABLES, WEEKLY
from plant_assets.doctor.diagnose import diagnose
from plant_assets.doctor.found import Diagnosis
from plant_assets.duckdb_url import DuckDBUrl
from plant_assets.ingest.load import Load
from plant_assets.ingest.plan import Plan
from plant_assets.ingest.strategies.whole import ReplaceOrAppendLoad
from plant_assets.orchestration.jobs import plan_run
from plant_assets.settings import Settings, read_settings
from plant_assets.sources.files.dating import instant_of
from plant_assets.sources.mapping_file import mapping_of
from plant_assets.sources.open import source_of
from plant_assets.sources.tables import HISTORY, SOURCE_TABLES, staged_columns
from plant_assets.warehouse.open import open_warehouse
from plant_assets.warehouse.store import STAGED
from plant_assets_tests.support import postgres

LOG = logging.getLogger(__name__)
# A Wednesday; its week is the running one, and began on 2021-03-01.
AS_OF = dt.datetime(2021, 3, 3, 12)
# Products observed once, some weeks before, and products observed by every load.
DATED, SINGLE = "products/2021-02-08.csv", "products.csv"
EVENT_COLUMNS = tuple(SOURCE_TABLES["events"].columns)
# What a load writes, without the instant and the run of the writing.
CONTENTS = {
    **{
        name: ", ".join(f"{each.name}::varchar" if each.type == ID else each.name for each in TABLES[name].columns)
        for name in TABLES
        if name.startswith("raw_")
    },
    "rejected_rows": ", ".join(name for name in TABLES["rejected_rows"].names if name != "rejected_at"),
    "_loads": "source_table, bucket, file, content_hash, rows_read, rows_loaded, rows_merged, rows_dropped,"
    " rows_rejected",
}

Row = dict[str, str | None]
Content = bytes | str | list[Row]


def event(event_id: str | None, created_at: str | None, **others: str | None) -> Row:
    """A page_view of the product p1, with what a test wants otherwise."""
    given = {
        "event_id": event_id,
        "session_id": "s1",
        "user_id": "u1",
        "page_url": "https://plants.example/p1",
        "created_at": created_at,
        "event_type": "page_view",
        "order_id": None,
        "product_id": "p1",
    }
    return {**given, **others}


def event_id(number: int, ids: str) -> str:
    """The id of an event, in a store whose ids are "text", "uuids", or "mixed": UUIDs but for 7 and multiples of it."""
    if ids == "text" or (ids == "mixed" and number % 7 == 0):
        return f"e{number}"
    return str(uuid.UUID(int=number * 2**64 + 0xABC))


def product(product_id: str | None, **others: str | None) -> Row:
    """A product of which there are 10, with what a test wants otherwise."""
    return {"product_id": product_id, "name": "Fern", "price": "9.5", "inventory": "10", **others}


def csv_text(rows: Iterable[Row], newline: str = "\n") -> str:
    """Rows as csv, an empty field for NULL."""
    rows = list(rows)
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(rows[0]), lineterminator=newline)
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def jsonl_text(rows: Iterable[Row]) -> str:
    """Rows as lines of JSON."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def table_of(name: str) -> str:
    """The table that a file of that name belongs to."""
    return name.partition("/")[0].partition(".")[0]


def as_bytes(name: str, content: Content) -> bytes:
    """What a file of that name holds: bytes as they are, text and rows in the format that the name says."""
    if isinstance(content, bytes):
        return content
    if content == [] and "csv" in name:
        content = ",".join(SOURCE_TABLES[table_of(name)].columns) + "\n"
    if name.endswith(".parquet"):
        assert isinstance(content, list)
        sink = pa.BufferOutputStream()
        schema = pa.schema([(column, pa.string()) for column in content[0]])
        pq.write_table(pa.Table.from_pylist(content, schema), sink)
        return bytes(sink.getvalue())
    if not isinstance(content, str):
        content = jsonl_text(content) if ".jsonl" in name else csv_text(content)
    data = content.encode()
    return gzip.compress(data, mtime=0) if name.endswith(".gz") else data


@dataclass
class Store:
    """A store's folder, and the settings of its warehouse."""

    folder: Path
    settings: Settings

    def put(self, name: str, content: Content) -> Path:
        """Write a file of the store, in the place of an older one."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(as_bytes(name, content))
        return path

    def remove(self, name: str) -> None:
        """Remove a file, and its folder if that was the last one in it."""
        path = self.folder / name
        path.unlink()
        if path.parent != self.folder and not any(path.parent.iterdir()):
            path.parent.rmdir()

    def touch(self, name: str) -> None:
        """Let a file be an hour younger."""
        path = self.folder / name
        at = path.stat().st_mtime_ns + 3_600_000_000_000
        os.utime(path, ns=(at, at))

    def under(self, **settings: Any) -> "Store":
        """The same folder and warehouse under other settings."""
        return replace(self, settings=self.settings.model_copy(update=settings))

    def plan(self, as_of: dt.datetime = AS_OF, **chosen: Any) -> Plan:
        """What a run would do; nothing is written."""
        with open_warehouse(self.settings) as warehouse:
            return plan_run(warehouse, as_of, LOG, **chosen)

    def load(self, as_of: dt.datetime = AS_OF, **chosen: Any) -> Plan:
        """Plan, then write the raw tables as a run does; the other weekly tables are noted as written."""
        with open_warehouse(self.settings) as warehouse:
            planned = plan_run(warehouse, as_of, LOG, **chosen)
            warehouse.remember_store(planned.first_week, planned.stages)
            for first, last in planned.ranges:
                weeks = Weeks(warehouse.calendar, first, last)
                planned.load.write_events(weeks, "run")
                planned.load.write("products_snapshot", "run")
                planned.load.write("products", "run")
                warehouse.ledger.writes.record("product_snapshots", "run")
                for name in ("orders", "order_items"):
                    planned.load.write(name, "run")
                for name in WEEKLY:
                    if name != "raw_events":
                        warehouse.ledger.writes.record(name, "run", weeks.weeks())
            return planned

    def staged(self, table: str, columns: str) -> list[tuple[Any, ...]]:
        """What reading a table's files gives before anything is validated or loaded."""
        source = source_of(self.settings, AS_OF)
        with contextlib.closing(source), duckdb.connect() as connection:
            connection.execute("set TimeZone = 'UTC'")
            definition = staged_columns(SOURCE_TABLES[table], mapping_of(self.settings))
            connection.execute(f"create table {STAGED}{table} ({definition})")
            source.stage(connection, SOURCE_TABLES[table], source.list_files()[table])
            return connection.execute(f"select {columns} from {STAGED}{table} order by all").fetchall()

    def rows(self, statement: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        """The rows of a statement on the warehouse."""
        with open_warehouse(self.settings) as warehouse:
            return warehouse.rows(statement, parameters)

    def events(self) -> dict[str, str]:
        """The stored events: id and date."""
        return dict(self.rows("select event_id::varchar, created_at::date::varchar from raw_events order by all"))

    def refusals(self, source_table: str = "events") -> list[tuple[Any, ...]]:
        """File, line, column and reason of each refused row."""
        return self.rows(
            "select file, line, column_name, reason from rejected_rows where source_table = ? order by all",
            [source_table],
        )

    def refused(self, source_table: str = "events") -> list[tuple[Any, ...]]:
        """Key, column and reason of each refused row: what does not depend on where it stood."""
        return self.rows(
            "select row_key, column_name, reason from rejected_rows where source_table = ? order by all", [source_table]
        )

    def contents(self) -> dict[str, list[tuple[Any, ...]]]:
        """All that loads have written, as values that compare."""
        with open_warehouse(self.settings) as warehouse:
            return {
                name: warehouse.rows(f"select {columns} from {name} order by all") for name, columns in CONTENTS.items()
            }


# The types of a shop's columns; others are text.
TYPES = {
    **dict.fromkeys(("created_at", "dbt_valid_from", "dbt_valid_to"), "timestamptz"),
    **dict.fromkeys(("price", "order_total", "quantity"), "numeric"),
    "inventory": "bigint",
}


@dataclass
class LiveStore(Store):
    """A store whose rows are in a database, all files of a table in one; dated products are in dbt's history there.

    Text that is no value of its column is infinity among instants and numbers. With no `types`
    every column is text.
    """

    held: dict[str, dict[str, list[Row]]] = field(default_factory=dict)
    types: Mapping[str, str] = field(default_factory=lambda: TYPES)

    def put(self, name: str, content: Content) -> Path:
        assert isinstance(content, list)
        table = HISTORY if name.startswith("products/") else table_of(name)
        self.held.setdefault(table, {})[name] = content
        self._write(table)
        return self.folder / name

    def remove(self, name: str) -> None:
        for table, files in self.held.items():
            if files.pop(name, None) is not None:
                self._write(table)

    def plan(self, as_of: dt.datetime = AS_OF, **chosen: Any) -> Plan:
        return super().plan(as_of, counts_weeks=True, **chosen)

    def load(self, as_of: dt.datetime = AS_OF, **chosen: Any) -> Plan:
        return super().load(as_of, counts_weeks=True, **chosen)

    def _write(self, table: str) -> None:
        """Let the table hold the rows of its files; one that has no file is not there."""
        files = self.held[table]
        dated = [name for name in files if table == HISTORY and name.startswith("products/")]
        rows = [row for name in sorted(files) if name not in dated for row in files[name]] + self._valid(dated)
        columns = list(dict.fromkeys(name for row in rows for name in row))
        if table in SOURCE_TABLES and (not rows or dated):
            columns = list(SOURCE_TABLES[table].columns)
        definition = ", ".join(f'"{name}" {self.types.get(name, "text")}' for name in columns)
        values = [tuple(self._value(name, row.get(name)) for name in columns) for row in rows]
        self._replace(table, definition if files else "", values)

    def _replace(self, table: str, definition: str, values: list[tuple[str | None, ...]]) -> None:
        """Make the table anew with these columns and rows; without columns it is not there."""
        statements = [f'drop table if exists "{table}"']
        if definition:
            statements.append(f"set TimeZone = 'UTC'; create table \"{table}\" ({definition})")
        if values:
            statements.append(f'insert into "{table}" values ' + ", ".join(["%s"] * len(values)))
        postgres.execute(str(self.settings.source), "; ".join(statements), values)

    def _value(self, column: str, text: str | None) -> str | None:
        none = {"timestamptz": "infinity", "numeric": "Infinity", "double": "Infinity"}.get(self.types.get(column, ""))
        return none if none and text and not any(letter.isdigit() for letter in text) else text

    def _valid(self, dated: list[str]) -> list[Row]:
        """The rows of dated files of products as dbt has them: each valid until the next observation."""
        observed = {instant_of(Path(name).stem, self.settings.calendar): self.held[HISTORY][name] for name in dated}
        instants = sorted(at for at in observed if at)
        return [
            {**row, "dbt_valid_from": str(at), "dbt_valid_to": end and str(end)}
            for at, end in itertools.zip_longest(instants, instants[1:])
            for row in observed[at]
        ]


def new_live_store(url: str, tmp_path: Path, products: str = SINGLE, **settings: Any) -> LiveStore:
    """The same store as `new_store` in a database."""
    home = tmp_path / "home"
    given = {"source": url, "warehouse": home / "plant.duckdb", "home": home, **settings}
    store = LiveStore(tmp_path, read_settings(**given))
    store.put(products, [product("p1"), product("p2")])
    return store


class DuckDBStore(LiveStore):
    """A store whose rows are in a DuckDB file."""

    def _value(self, column: str, text: str | None) -> str | None:
        # The engine reads no zone after a date.
        return super()._value(column, text and re.sub(r"^(\d{4}-\d\d-\d\d)([+-]\d\d)$", r"\1 00:00:00\2", text))

    def _replace(self, table: str, definition: str, values: list[tuple[str | None, ...]]) -> None:
        database = self.settings.database
        assert isinstance(database, DuckDBUrl)
        with duckdb.connect(database.path) as connection:
            connection.execute(f"set TimeZone = 'UTC'; drop table if exists \"{table}\"")
            if definition:
                connection.execute(f'create table "{table}" ({definition.replace("numeric", "decimal(38, 6)")})')
            for row in values:
                connection.execute(f'insert into "{table}" values ({", ".join(["?"] * len(row))})', list(row))


def new_duckdb_store(tmp_path: Path, products: str = SINGLE, **settings: Any) -> DuckDBStore:
    """The same store as `new_store` in a DuckDB file, where numbers can be infinite."""
    home = tmp_path / "home"
    source = f"duckdb:///{tmp_path / 'shop.duckdb'}"
    given = {"source": source, "warehouse": home / "plant.duckdb", "home": home, **settings}
    types = {name: kind.replace("numeric", "double") for name, kind in TYPES.items()}
    store = DuckDBStore(tmp_path, read_settings(**given), types=types)
    store.put(products, [product("p1"), product("p2")])
    return store


def with_types(store: Store, **types: str) -> Store:
    """The store; in a database only these columns have a type, others are text."""
    return replace(store, types=types) if isinstance(store, LiveStore) else store


def new_store(tmp_path: Path, name: str = "source", products: str = DATED, **settings: Any) -> Store:
    """A store without events, with one observation of the products p1 and p2."""
    folder = tmp_path / name
    home = tmp_path / "home"
    given = {"source": str(folder), "warehouse": home / "plant.duckdb", "home": home, **settings}
    store = Store(folder, read_settings(**given))
    if not folder.exists():
        store.put(products, [product("p1"), product("p2")])
    return store


def rebuilt(store: Store, home: Path, as_of: dt.datetime = AS_OF) -> Store:
    """The same source loaded at once into a warehouse of its own."""
    anew = store.under(home=home, warehouse=home / "plant.duckdb")
    anew.load(as_of)
    return anew


def appended_tables(load: Load) -> set[str]:
    """The tables without weeks that a load only added to."""
    return {name for name, each in load.tables.items() if isinstance(each, ReplaceOrAppendLoad) and each.appends}


def assert_accounted(store: Store, **rows_in_files: int) -> None:
    """Each row in the files of these tables was read, and is stored, dropped as a duplicate, or in rejected_rows."""
    with open_warehouse(store.settings) as warehouse:
        for name, in_files in rows_in_files.items():
            read, loaded, merged, dropped, rejected = warehouse.rows(
                "select sum(rows_read), sum(rows_loaded), sum(rows_merged), sum(rows_dropped), sum(rows_rejected)"
                " from _loads where source_table = ?",
                [name],
            )[0]
            stored = warehouse.value(f"select count(*) from {SOURCE_TABLES[name].target}")
            refused = warehouse.value("select count(*) from rejected_rows where source_table = ?", [name])
            assert (read, loaded, rejected) == (in_files, stored, refused), name
            assert read == loaded + merged + dropped + rejected, name


def diagnosis_of(store: Store, as_of: dt.datetime = AS_OF) -> Diagnosis:
    """What `doctor` finds in a store."""
    return diagnose(store.settings, as_of, ["--source", "a b"])
