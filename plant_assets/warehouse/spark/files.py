"""Writing a table's files, by Spark or by DuckDB, and removing those that are no table's."""

import contextlib
import datetime as dt
import shutil
import uuid
from collections.abc import Iterable
from pathlib import Path

import duckdb
import ibis

from plant_assets.contracts import Table
from plant_assets.settings import UsageError
from plant_assets.sql import literal
from plant_assets.warehouse.database_files import sync
from plant_assets.warehouse.spark.engine import SparkEngine
from plant_assets.warehouse.spark.session import failures
from plant_assets.warehouse.spark.slices import FILE_SIZE, NO_FOLDER, SPARK_TYPES, WEEK_FOLDER, Slice, Slices


class SparkFiles:
    """New files of tables; `made` has the paths of the slices that the open transaction has made."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, slices: Slices, engine: SparkEngine) -> None:
        self._connection = connection
        self._slices = slices
        self._engine = engine
        self.made: list[str] = []

    def sweep(self) -> None:
        """Remove the files that killed processes left: those that no slice names."""
        current = self._slices.paths()
        for write in self._slices.folder.glob("*/*"):
            found = list(write.glob(f"{WEEK_FOLDER}=*")) or [write]
            paths = (path.relative_to(self._slices.folder).as_posix() for path in found)
            # The Java of a killed process lives on for a moment, and removes what it was about to write too.
            self.remove(path for path in paths if path not in current)

    def remove(self, paths: Iterable[str]) -> None:
        """Remove slices that are no table's."""
        for path in paths:
            # What is left is removed when the warehouse is opened again.
            shutil.rmtree(self._slices.folder / path, ignore_errors=True)
            with contextlib.suppress(OSError):
                (self._slices.folder / path).parent.rmdir()

    def copy(self, table: Table, rows: str, week: dt.date | None = None) -> list[Slice]:
        """Write rows to new files by DuckDB; return no slice if there are none."""
        path = self._new_path(table) + (f"/{WEEK_FOLDER}={week}" if week else "")
        (self._slices.folder / path).mkdir(parents=True)
        self._connection.execute(
            f"copy (select {', '.join(table.names)} {rows}) to {literal(str(self._slices.folder / path))}"
            f" (format parquet, compression zstd, file_size_bytes {FILE_SIZE})"
        )
        return self._written(table, path, week)

    def make(self, table: Table, data: ibis.Table, by_week: bool = False) -> list[Slice]:
        """Write the rows of an expression to new files by Spark.

        Raises:
            UsageError: what its workers wrote is not where this process looks for it.
        """
        from pyspark.sql import Observation
        from pyspark.sql import functions as F

        path, counted = self._new_path(table), Observation()
        with failures():
            rows = self._engine.frame(data).select(
                *(F.col(each.name).cast(SPARK_TYPES[each.type]).alias(each.name) for each in table.columns)
            )
            if by_week:
                column = table.week_column
                assert column, f"{table.name} has no weeks"
                rows = rows.withColumn(WEEK_FOLDER, F.date_trunc("week", F.col(column)).cast("date"))
            # Few files of a good size, and of each week its own. The last step counts: it is not counted again where
            # a worker is lost.
            placed = rows.hint("rebalance", *([F.col(WEEK_FOLDER)] if by_week else []))
            writer = placed.observe(counted, F.count(F.lit(1)).alias("rows")).write.option("compression", "zstd")
            (writer.partitionBy(WEEK_FOLDER) if by_week else writer).parquet(str(self._slices.folder / path))
            expected = int(counted.get["rows"])
        made: list[Slice] = []
        if by_week:
            for folder in sorted((self._slices.folder / path).glob(f"{WEEK_FOLDER}=*")):
                week = None if folder.name == NO_FOLDER else dt.date.fromisoformat(folder.name.split("=")[1])
                made += self._written(table, f"{path}/{folder.name}", week)
        else:
            made = self._written(table, path, None)
        found = sum(each.rows for each in made)
        if found != expected:
            raise UsageError(
                f"Spark wrote {expected} rows of {table.name}, and {found} are in {self._slices.folder / path}:"
                " PLANT_TABLES must name a directory that this machine and all workers share"
            )
        return made

    def _new_path(self, table: Table) -> str:
        path = f"{table.name}/{uuid.uuid4().hex}"
        self.made.append(path)
        return path

    def _written(self, table: Table, path: str, week: dt.date | None) -> list[Slice]:
        """Return the slice that was written to a directory, once it is on the disk; none if it has no rows."""
        paths = sorted((self._slices.folder / path).glob("*.parquet"))
        if not paths:
            return []
        rows = self._rows_in(paths)
        if not rows:
            shutil.rmtree(self._slices.folder / path)
            return []
        for each in (*paths, self._slices.folder / path):
            sync(each)
        files = [each.relative_to(self._slices.folder).as_posix() for each in paths]
        return [Slice(week, path, table.names, files, rows, sum(each.stat().st_size for each in paths))]

    def _rows_in(self, files: list[Path]) -> int:
        query = "select sum(num_rows) from parquet_file_metadata(?)"
        found = self._connection.execute(query, [[str(each) for each in files]]).fetchall()
        return int(found[0][0])
