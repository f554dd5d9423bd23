"""The URL of a DuckDB file that is a store, as SQLAlchemy writes it: three slashes relative, four absolute."""

from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote

SCHEME = "duckdb"
ALLOWED = "duckdb:///shop.duckdb?schema=staging, or duckdb:////absolute/path/shop.duckdb"


@dataclass(frozen=True)
class DuckDBUrl:
    """A DuckDB file and the schema that has the store's tables."""

    path: Path
    schema: str = "main"

    @classmethod
    def of(cls, text: str) -> "DuckDBUrl":
        """Return the file that a URL names.

        Raises:
            ValueError: it names none, or says something else than a schema.
        """
        scheme, _found, rest = text.partition("://")
        place, _found, query = rest.partition("?")
        given = dict(parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query)))
        path, schema = unquote(place[1:]), given.pop("schema", "main")
        if scheme != SCHEME or not place.startswith("/") or not path or not schema or given:
            raise ValueError(f"a URL like {ALLOWED}")
        return cls(Path(path), schema)

    def resolved(self) -> "DuckDBUrl":
        """Return the same URL with an absolute path."""
        return replace(self, path=self.path.expanduser().resolve())

    @property
    def store(self) -> str:
        """The identity of the store, which is also how messages name it."""
        schema = f"?schema={quote(self.schema)}" if self.schema != "main" else ""
        return f"{SCHEME}:///{quote(str(self.path))}{schema}"

    @property
    def shown(self) -> str:
        """The URL for messages."""
        return self.store
