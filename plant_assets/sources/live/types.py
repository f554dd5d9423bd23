"""The server's types of columns, and the engine's types for them."""

# The server's types with the engine's. Columns of other types are sent as text.
TIMESTAMPS = {
    "timestamp with time zone": "TIMESTAMP WITH TIME ZONE",
    "timestamp without time zone": "TIMESTAMP",
    "date": "TIMESTAMP",
}
_AS_THEY_ARE = {"uuid": "UUID", "smallint": "SMALLINT", "integer": "INTEGER", "bigint": "BIGINT"}
# Instants that the engine can hold, and that no store has.
_TOO_EARLY, _TOO_LATE = "0001-01-01", "10000-01-02"


def engine_type(kind: str) -> str:
    """Return the engine's type for one of the server's types."""
    return TIMESTAMPS.get(kind) or _AS_THEY_ARE.get(kind, "VARCHAR")


def as_read(column: str, kind: str) -> str:
    """Return the SQL of a column as the server sends it.

    An instant that the engine cannot hold is sent as one that it can hold, and that is rejected as well.
    """
    if kind in _AS_THEY_ARE:
        return column
    if kind not in TIMESTAMPS:
        return f"{column}::text"
    as_kind = "timestamptz" if kind.endswith("with time zone") else "timestamp"
    return (
        f"case when {column} < {as_kind} '{_TOO_EARLY}' then {as_kind} '{_TOO_EARLY}'"
        f" when {column} > {as_kind} '{_TOO_LATE}' then {as_kind} '{_TOO_LATE}' else {column}::{as_kind} end"
    )


def as_given(column: str) -> str:
    """Return the SQL of an instant's text if the engine cannot hold the instant, else NULL."""
    return f"case when {column} < '{_TOO_EARLY}' or {column} > '{_TOO_LATE}' then {column}::text end"
