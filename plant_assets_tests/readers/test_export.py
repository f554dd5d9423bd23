"""An export has all marts of one run, as a whole, whatever happened to the one before."""

import csv
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from plant_assets.contracts import MARTS, TABLES
from plant_assets.readers.export import MANIFEST, export_marts
from plant_assets.settings import Settings, UsageError, read_settings
from plant_assets.warehouse.marts import open_marts
from plant_assets_tests.support.commands import one_sentence, plant_assets
from plant_assets_tests.support.pages import FORMULAS, HARMLESS, marts_for_writing


def export(settings: Settings, directory: Path, file_format: str = "parquet") -> dict[str, int]:
    with open_marts(settings) as marts:
        return export_marts(marts, directory, file_format)


def mart(settings: Settings, name: str) -> list[tuple[object, ...]]:
    with open_marts(settings) as marts:
        return marts.rows(f"select {', '.join(TABLES[name].names)} from {name} order by all")


@pytest.mark.parametrize("file_format", ["parquet", "csv"])
def test_every_mart_is_a_file_with_its_rows(file_format: str, built_once: Settings, tmp_path: Path) -> None:
    rows = export(built_once, tmp_path / "out", file_format)
    assert rows.keys() == set(MARTS)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {MANIFEST, *(f"{m}.{file_format}" for m in MARTS)}
    for name in MARTS:
        types = ", ".join(f"{column.name}::{column.sql_type}" for column in TABLES[name].columns)
        path = tmp_path / "out" / f"{name}.{file_format}"
        found = duckdb.execute(f"select {types} from '{path}' order by all").fetchall()
        assert found == mart(built_once, name)
        assert rows[name] == len(found)


def test_the_manifest_names_the_run(built_once: Settings, tmp_path: Path) -> None:
    rows = export(built_once, tmp_path / "out")
    manifest = json.loads((tmp_path / "out" / MANIFEST).read_text())
    assert manifest["tables"] == rows
    with open_marts(built_once) as marts:
        assert manifest["published_by"] == marts.publisher() != None  # noqa: E711
    assert manifest["published_by"].startswith("run ")


def test_an_export_replaces_the_one_before_as_a_whole(built_once: Settings, tmp_path: Path) -> None:
    export(built_once, tmp_path / "out", "csv")
    export(built_once, tmp_path / "out")
    assert {path.suffix for path in (tmp_path / "out").iterdir()} == {".parquet", ".json"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_one_that_fails_leaves_the_one_before(built: Settings, tmp_path: Path) -> None:
    export(built, tmp_path / "out")
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    with duckdb.connect(built.marts_path) as marts:
        marts.execute("alter table analytics.funnel_steps drop column lost")
    with pytest.raises(duckdb.BinderException, match="lost"):
        export(built, tmp_path / "out", "csv")
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
    assert {path.name for path in tmp_path.iterdir()} == {"out", "built"}


def test_one_that_was_killed_between_its_moves_is_made_good(built_once: Settings, tmp_path: Path) -> None:
    export(built_once, tmp_path / "out")
    os.replace(tmp_path / "out", tmp_path / ".out.before")
    with pytest.raises(UsageError, match="--format xlsx is not allowed: parquet or csv"):
        export(built_once, tmp_path / "out", "xlsx")
    assert export(built_once, tmp_path / "out").keys() == set(MARTS)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_folder_with_other_files_is_left_alone(built_once: Settings, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match="holds files that are no export"):
        export(built_once, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_an_empty_folder_is_taken(built_once: Settings, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    assert export(built_once, tmp_path / "out").keys() == set(MARTS)


def test_a_spreadsheet_runs_no_text_of_a_csv_and_a_number_stays_one(tmp_path: Path) -> None:
    settings = read_settings(source=tmp_path, warehouse=tmp_path / "w.duckdb")
    names = [*FORMULAS, "\rreturn", "\0=1", *HARMLESS]
    with marts_for_writing(settings) as marts:
        row = "insert into inventory_changes by name select ? as product_id, ? as product_name, -? as change"
        marts.executemany(row, [(f"{number:03}", name, number) for number, name in enumerate(names)])
    export(settings, tmp_path / "csv", "csv")
    with (tmp_path / "csv" / "inventory_changes.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["product_name"] for row in rows] == [name if name in HARMLESS else "'" + name for name in names]
    assert [row["change"] for row in rows] == [str(-number) for number in range(len(names))]
    export(settings, tmp_path / "parquet")
    kept = f"select product_name from '{tmp_path}/parquet/inventory_changes.parquet' order by product_id"
    assert [name for (name,) in duckdb.execute(kept).fetchall()] == names


@pytest.mark.parametrize("below", ["", "notes.txt"])
def test_a_place_that_is_no_directory_is_refused(below: str, built_once: Settings, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    where = tmp_path / below if below else Path("/")
    done = plant_assets("export", where, "--warehouse", built_once.warehouse_path)
    assert done.returncode == 2
    assert one_sentence(done).endswith("name a directory" if below else "name a directory in it")


def test_a_place_that_cannot_be_written_to_is_one_sentence(built_once: Settings, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    done = plant_assets("export", tmp_path / "notes.txt" / "out", "--warehouse", built_once.warehouse_path)
    assert done.returncode == 1
    assert "Not a directory" in one_sentence(done)


@pytest.mark.parametrize("file_format", ["parquet", "csv"])
@pytest.mark.parametrize("limit", [0, 200, 1_000])
def test_a_full_disk_leaves_the_export_of_before(
    file_format: str, limit: int, built_once: Settings, tmp_path: Path
) -> None:
    export(built_once, tmp_path / "out", file_format)
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    command = [sys.executable, "-m", "plant_assets.cli", "export", str(tmp_path / "out"), "--format", file_format]
    done = subprocess.run(
        [*command, "--warehouse", str(built_once.warehouse_path)],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert one_sentence(done)
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
