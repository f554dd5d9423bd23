"""Words of messages, and text of a store made harmless where it is shown: terminals, logs, JSON and spreadsheets.

The warehouse and its parquet exports keep text as the source has it.
"""

import re
from collections.abc import Sequence

# So many things of a list are shown.
MOST_SHOWN = 10
_LINE_BREAKS = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
# Terminals obey C0, DEL and C1, and direction marks show text in another order. Other invisible characters stay:
# Persian words and emoji need them. Surrogates are bytes that are not UTF-8.
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
# A cell that a spreadsheet runs as a formula, after blank and invisible characters that it ignores.
# The pattern means the same in RE2, Python and JavaScript, but RE2 writes characters differently. page.js repeats it.
FORMULA = (
    r"^(?:[\t\r\n]|[\u0000-\u0020\u007f-\u00a0\u00ad\u061c\u1680\u180e\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\ufeff]*"
    r"[=+\-@\uff0b\uff0d\uff1d\uff20])"
)


def counted(number: int, noun: str) -> str:
    """Return a number with its noun."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def some_of(shown: Sequence[str], count: int) -> str:
    """Return the first of `count` things, and how many more there are."""
    return ", ".join(shown) + (f" and {count - len(shown)} more" if count > len(shown) else "")


def printable(text: str) -> str:
    """Return text as one line: line breaks become spaces, other control characters escapes like `\\x1b`."""
    return _CONTROLS.sub(lambda found: ascii(found[0])[1:-1], _LINE_BREAKS.sub(" ", text))


def printable_json(text: str) -> str:
    """Return the same JSON with every control character as a JSON escape."""
    return _CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def guarded_cell(column: str) -> str:
    """Return the SQL of a text column that puts an apostrophe before each value that a spreadsheet would run."""
    pattern = re.sub(r"\\u(....)", r"\\x{\1}", FORMULA)
    return f"if(regexp_matches({column}, '{pattern}'), '''' || {column}, {column})"
