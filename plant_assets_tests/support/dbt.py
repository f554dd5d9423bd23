"""Real dbt snapshots of products, taken by dbt-core with dbt-duckdb, once for each of four observations.

dbt takes the clock's time for its instants; the project's macro says that it is the observation's.
"""

import datetime as dt
import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import duckdb

from bench.contenders import DBT_VENV, install_dbt
from bench.measure import Failed
from plant_assets_tests.support.machine import need
from plant_assets_tests.support.small_stores import Row, csv_text, product

CHECK = "strategy='check', check_cols=['name', 'price', 'inventory']"
MODES = {
    "ignore": f"{CHECK}, hard_deletes='ignore'",
    "invalidate": f"{CHECK}, hard_deletes='invalidate'",
    "new_record": f"{CHECK}, hard_deletes='new_record'",
    "to_current": f"""{CHECK}, hard_deletes='new_record', dbt_valid_to_current="'9999-12-31 23:59:59'::timestamp" """,
    "timestamp": "strategy='timestamp', updated_at='updated_at', hard_deletes='invalidate'",
    "renamed": f"{CHECK}, hard_deletes='invalidate', snapshot_meta_column_names={{'dbt_valid_from': 'since',"
    " 'dbt_valid_to': 'until', 'dbt_scd_id': 'version'}",
}
INSTANTS = [dt.datetime(2021, 2, 8) + dt.timedelta(weeks=week) for week in range(4)]


def seen(product_id: str, updated_at: str, price: str = "5", inventory: str | None = "10") -> Row:
    return product(product_id, name=product_id.title(), price=price, inventory=inventory, updated_at=updated_at)


FERN, PALM = seen("fern", "2021-01-04 08:00:00"), seen("palm", "2021-02-03 12:00:00")
MADE_UP = [
    [FERN, PALM, seen("ivy", "2021-02-03 12:00:00"), seen("moss", "2021-02-05 00:00:00")],
    # The price of one changes, one is gone.
    [FERN, PALM, seen("ivy", "2021-02-13 09:30:00.5", price="4.5")],
    # A new one, of which nobody knows how many; one is sold out.
    [FERN, PALM, seen("ivy", "2021-02-21 23:59:59", "4.5", "0"), seen("croton", "2021-02-20", inventory=None)],
    # What was gone is back as it was, another is gone for ever.
    [
        FERN,
        seen("ivy", "2021-02-21 23:59:59", "4.5", "0"),
        seen("croton", "2021-02-20", inventory=None),
        seen("moss", "2021-02-28 10:00:00"),
    ],
]


@dataclass(frozen=True)
class Snapshots:
    """dbt's snapshot tables as files, after each of its runs, beside the observations that it saw."""

    folder: Path

    def table(self, store: str, mode: str, runs: int = len(INSTANTS)) -> bytes:
        """The table as parquet, after that many runs."""
        return (self.folder / f"{store}_{mode}-{runs}.parquet").read_bytes()

    def observed(self, store: str, place: int) -> bytes:
        """The products of an observation as csv."""
        return (self.folder / f"{store}-{place}.csv").read_bytes()


def take_snapshots(folder: Path, greenery: Path) -> Snapshots:
    """Run `dbt snapshot` four times over the made-up store, and over greenery where it is."""
    try:
        install_dbt()
    except Failed:
        need("dbt", False)
    for place, rows in enumerate(MADE_UP):
        (folder / f"made_up-{place}.csv").write_text(csv_text(rows))
    stores = ["made_up"]
    if greenery.is_dir():
        stores.append("greenery")
        _note_changes(folder, greenery)
    _write_project(folder, stores)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PLANT_", "DBT_"))}
    for place, at in enumerate(INSTANTS):
        command = [DBT_VENV / "bin" / "dbt", "--quiet", "snapshot", "--project-dir", folder, "--profiles-dir", folder]
        given = json.dumps({"at": str(at), "place": place})
        done = subprocess.run(
            [*map(str, command), "--vars", given], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        with duckdb.connect(str(folder / "shop.duckdb")) as connection:
            for name in [f"{store}_{mode}" for store in stores for mode in MODES]:
                connection.execute(f"copy {name} to '{folder}/{name}-{place + 1}.parquet'")
    return Snapshots(folder)


def _note_changes(folder: Path, greenery: Path) -> None:
    """The store's observations, each product with the instant of the one that saw it change last."""
    last: dict[str, tuple[str, str]] = {}
    with duckdb.connect() as connection:
        for place, at in enumerate(INSTANTS):
            rows = connection.execute(
                "select product_id, name, price, inventory from read_csv(?, all_varchar = true)",
                [f"{greenery}/products/{at:%Y-%m-%d}.csv"],
            ).fetchall()
            for row in rows:
                if last.get(row[0], ("", ""))[0] != str(row):
                    last[row[0]] = (str(row), str(at))
            columns = ("product_id", "name", "price", "inventory")
            noted = [dict(zip(columns, row, strict=True)) | {"updated_at": last[row[0]][1]} for row in rows]
            (folder / f"greenery-{place}.csv").write_text(csv_text(noted))


def _write_project(folder: Path, stores: list[str]) -> None:
    snapshots = "".join(
        f"{{% snapshot {store}_{mode} %}}{{{{ config(target_schema='main', unique_key='product_id', {config}) }}}}"
        " select product_id, name, price::decimal(18, 4) as price, inventory::bigint as inventory,"
        " updated_at::timestamp as updated_at"
        f" from read_csv('{folder}/{store}-{{{{ var(\"place\") }}}}.csv', all_varchar = true)"
        "{% endsnapshot %}\n"
        for store in stores
        for mode, config in MODES.items()
    )
    clock = "{% macro duckdb__snapshot_get_time() %}'{{ var(\"at\") }}'::timestamp{% endmacro %}"
    profile = f"shop: {{target: test, outputs: {{test: {{type: duckdb, path: '{folder}/shop.duckdb', threads: 1}}}}}}"
    project = "{name: shop, version: '1.0', profile: shop, flags: {send_anonymous_usage_stats: false}}"
    files = {
        "dbt_project.yml": project,
        "profiles.yml": profile,
        "snapshots/products.sql": snapshots,
        "macros/clock.sql": clock,
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
