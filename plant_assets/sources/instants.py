"""SQL that reads instants from text and numbers: formats of strptime, zones, and numbers since 1970.

No zone is guessed: an abbreviation like BST or CST names several. A number is read by itself only if it lies between
2000 and 2100 in one of the units; `ingest/limits.py` rejects a table with two.
"""

from plant_assets.sql import literal

# Numbers since 1970, by their unit; how many of them are a second.
EPOCHS = {"epoch_s": 1, "epoch_ms": 1_000, "epoch_us": 1_000_000, "epoch_ns": 1_000_000_000}

WITH_ZONE = ("TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ_NS")
# The seconds from 1970 to 2000 and to 2100.
_FIRST, _LAST = 946_684_800, 4_102_444_800
OTHER_UNIT = "other"
# Text in UTC, since it has no other zone.
_PLAIN = "\\d{4}-\\d\\d-\\d\\d[ T]\\d\\d:\\d\\d:\\d\\d([.]\\d+)?Z?"


def read_text(source_type: str, name: str) -> str:
    """Return the SQL of a column's instant in UTC: of its type, or of the text in `text_<name>`."""
    if source_type in WITH_ZONE:
        return f"{name}::timestamptz at time zone 'UTC'"
    if source_type.startswith(("TIMESTAMP", "DATE")):
        return f"try_cast({name} as timestamp)"
    text = f"text_{name}"
    # The form of most text comes first: to read it as a zone's time would cost twice as much. Text of other forms is
    # not cast to TIMESTAMP, which leaves out offsets and what follows a space.
    is_utc, has_name = f"regexp_full_match({text}, '{_PLAIN}')", f"right(rtrim({text}), 2) > ':'"
    is_known = f"regexp_matches({text}, '(?i)([^a-z](UTC|GMT|Z)|/[a-z_]+) *$')"
    return (
        f"case when {is_utc} then try_cast({text} as timestamp) when {has_name} and not {is_known} then null"
        f" else try_cast({text} as timestamptz) at time zone 'UTC' end"
    )


def read_number(name: str) -> str:
    """Return the SQL of the number in `text_<name>` where `read_<name>` has no instant."""
    # The column stands alone on its level: used more than once there, it is evaluated for every row.
    return f"if(read_{name} is null, try_cast(text_{name} as decimal(28, 6)), null)"


def of_format(text: str, pattern: str) -> tuple[str, str]:
    """Return the SQL of text by a format of strptime, and that of whether it is UTC."""
    zones = {"%z": ("%z", "Z"), "%Z": ("UTC", "GMT", "Z")}
    for directive, forms in zones.items():
        if directive in pattern:
            read = (_by_format(text, pattern.replace(directive, form)) for form in forms)
            return f"coalesce({', '.join(read)})", "true"
    return _by_format(text, pattern), "false"


def _by_format(text: str, pattern: str) -> str:
    read = f"try_strptime({text}, {literal(pattern)})"
    return f"{read} at time zone 'UTC'" if "%z" in pattern else read


def of_unit(name: str, unit: str) -> str:
    """Return the SQL of the instant that a number in a unit is."""
    number, per_second = _number(name), EPOCHS[unit]
    if per_second > 1_000_000:
        micros = f"({number})::hugeint // {per_second // 1_000_000}"
    else:
        micros = f"{number} * {1_000_000 // per_second}"
    return f"make_timestamp(try_cast({micros} as bigint))"


def of_number(name: str) -> str:
    """Return the SQL of the instant that a number is in the unit in which it lies between 2000 and 2100."""
    cases = " ".join(f"when {_is_in(name, unit)} then {of_unit(name, unit)}" for unit in EPOCHS)
    return f"if({_number(name)} is null, null, case {cases} end)"


def unit_of(name: str) -> str:
    """Return the SQL of a number's unit, `OTHER_UNIT` if it fits none; NULL for 0 and for what is no number."""
    cases = " ".join(f"when {_is_in(name, unit)} then '{unit}'" for unit in EPOCHS)
    return f"if({_number(name)} is null, null, case {cases} when {_number(name)} <> 0 then '{OTHER_UNIT}' end)"


def _is_in(name: str, unit: str) -> str:
    return f"{_number(name)} between {_FIRST * EPOCHS[unit]} and {_LAST * EPOCHS[unit]}"


def _number(name: str) -> str:
    return f"number_{name}"
