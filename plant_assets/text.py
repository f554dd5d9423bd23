"""What text of a store may do to those who read it: nothing. For terminals, logs, programs and spreadsheets.

Only what is shown changes: the warehouse and its parquet files hold text as the source has it.
"""

import re

_LINE_BREAKS = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
# Terminals obey C0, DEL and C1; the marks of direction let text be read in another order than it has. The other
# invisible characters stay: Persian words and emoji are made with them. Surrogates are bytes that are no UTF-8.
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
# A cell that a spreadsheet runs as a formula, once it has dropped what is blank, unseen or written wide before it.
# RE2, Python and JavaScript read this pattern alike, but for how RE2 writes a character: page.js repeats it.
FORMULA = (
    r"^(?:[\t\r\n]|[\u0000-\u0020\u007f-\u00a0\u00ad\u061c\u1680\u180e\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\ufeff]*"
    r"[=+\-@\uff0b\uff0d\uff1d\uff20])"
)


def printable(text: str) -> str:
    """Return text as one line without control characters: line breaks are spaces, the others escapes like `\\x1b`."""
    return _CONTROLS.sub(lambda found: ascii(found[0])[1:-1], _LINE_BREAKS.sub(" ", text))


def printable_json(text: str) -> str:
    """Return JSON text in which every control character is an escape of JSON, with the same value."""
    return _CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def guarded_cell(column: str) -> str:
    """Return the SQL of a text column with an apostrophe before each value that a spreadsheet would run."""
    pattern = re.sub(r"\\u(....)", r"\\x{\1}", FORMULA)
    return f"if(regexp_matches({column}, '{pattern}'), '''' || {column}, {column})"
