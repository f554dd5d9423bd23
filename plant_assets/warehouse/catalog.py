"""What the open database has: tables, views, columns. No row of a table is read or written here."""

from typing import Any

import duckdb

_HAS = """
    select count(*) from (
        select database_name, schema_name, table_name as name from duckdb_tables()
        union all
        select database_name, schema_name, view_name from duckdb_views()
    ) where database_name = 'warehouse' and schema_name = 'analytics' and name = $name
"""
_COLUMN_TYPES = """
    select column_name, data_type from duckdb_columns()
    where database_name = 'warehouse' and schema_name = 'analytics' and table_name = $name
    order by column_index
"""


class Catalog:
    """The tables and views of one database, attached as `warehouse`."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    def _value(self, statement: str, name: str) -> Any:
        found = self._connection.execute(statement, {"name": name}).fetchone()
        return found[0] if found else None

    def has(self, name: str) -> bool:
        """Tell whether there is a table or view of this name."""
        return bool(self._value(_HAS, name))

    def column_types(self, name: str) -> dict[str, str]:
        """Return the stored columns of a table or view, with their types, in order; none where it is not there."""
        return dict(self._connection.execute(_COLUMN_TYPES, {"name": name}).fetchall())

    def view_body(self, name: str) -> str:
        """Return the query of a view, which names other tables without their database."""
        made_by: str = self._value(
            "select sql from duckdb_views() where database_name = 'warehouse' and view_name = $name", name
        )
        return made_by.partition(" AS ")[2].removesuffix(";")

    def comment(self, name: str) -> str | None:
        """Return the comment on a table: on published ones, what they are and, in the last line, who published them."""
        found: str | None = self._value(
            "select comment from duckdb_tables() where database_name = 'warehouse' and table_name = $name", name
        )
        return found

    def drop_other_kind(self, name: str, kind: str) -> None:
        """Drop the table of a name that becomes a view, or the view of one that becomes a table."""
        other = "table" if kind == "view" else "view"
        is_other = self._value(
            f"select count(*) from duckdb_{other}s() where database_name = 'warehouse'"
            f" and schema_name = 'analytics' and {other}_name = $name",
            name,
        )
        if is_other:
            self._connection.execute(f"drop {other} {name}")
