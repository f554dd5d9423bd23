"""A PostgreSQL database as a source: what its catalog and its SQL have to themselves."""

from collections.abc import Collection

from plant_assets.sources.live.columns import ROW
from plant_assets.sources.live.database import Database
from plant_assets.sources.live.parts import LiveTable
from plant_assets.sources.mapping import StoreMapping
from plant_assets.sources.postgres import catalog
from plant_assets.sources.postgres.snapshot import Snapshot
from plant_assets.sql import literal


class PostgresDatabase(Snapshot, Database):
    """A transaction on a PostgreSQL server."""

    def tables(self, mapping: StoreMapping) -> dict[str, LiveTable]:
        """Return the source tables that the database has, by our names, resolved by the server's search_path."""
        return catalog.find_tables(self, mapping)

    def tables_found(self) -> list[tuple[str, list[str]]]:
        """Return the tables of all schemas, by name, each with its columns."""
        return catalog.columns_of_tables(self)

    def sample(self, name: str) -> list[dict[str, str]]:
        """Return the first rows of a table, as text by the names of their columns."""
        return catalog.sample_rows(self, name)

    def has_index(self, table: LiveTable, column: str) -> bool:
        """Return whether an index begins with a column."""
        return catalog.has_index(self, table, column)

    def others(self, read: Collection[str]) -> str:
        """Return the SQL of a row's other columns than those that are read, as JSON."""
        return f"(to_jsonb({ROW}) - array[{', '.join(map(literal, read))}]::text[])::text"

    def place(self) -> tuple[str, str]:
        """Return where tables are looked for, and how to name another place."""
        schemas = self.rows("select array_to_string(current_schemas(false), ', ')")[0][0]
        return f"the search_path ({schemas or 'empty'})", "?options=-csearch_path%3Dname in PLANT_SOURCE"
