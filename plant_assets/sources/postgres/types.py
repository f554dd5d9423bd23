"""Types of columns as the server names them, and what the engine reads them as."""

# Types of columns, as the server names them, with the engine's; others come as text.
TIMESTAMPS = {
    "timestamp with time zone": "TIMESTAMP WITH TIME ZONE",
    "timestamp without time zone": "TIMESTAMP",
    "date": "TIMESTAMP",
}
_AS_THEY_ARE = {"uuid": "UUID", "smallint": "SMALLINT", "integer": "INTEGER", "bigint": "BIGINT"}
# Instants that the engine can hold, and that are none of a store.
_TOO_EARLY, _TOO_LATE = "0001-01-01", "10000-01-02"


def engine_type(kind: str) -> str:
    """The engine's type of a column that the server names that type."""
    return TIMESTAMPS.get(kind) or _AS_THEY_ARE.get(kind, "VARCHAR")


def as_read(column: str, kind: str) -> str:
    """A column as the server gives it; an instant that the engine cannot hold as one that is refused too."""
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
    """What stands in a column whose instant the engine cannot hold."""
    return f"case when {column} < '{_TOO_EARLY}' or {column} > '{_TOO_LATE}' then {column}::text end"
