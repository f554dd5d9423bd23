"""A rejected row in words: where it is, the text that was found, and what was expected of it."""

import json
import re
from dataclasses import dataclass
from typing import Any

from plant_assets.ingest.validation import ENDS_BEFORE
from plant_assets.settings import Settings
from plant_assets.sources.base import SourceFile
from plant_assets.sources.files.lines import named_fields
from plant_assets.sources.files.listing import extension_of
from plant_assets.sources.mapping_file import mapping_of
from plant_assets.sources.tables import OTHERS, STOCK, SourceTable, source_table
from plant_assets.text import printable
from plant_assets.warehouse.store import STAGED
from plant_assets.warehouse.warehouse import Warehouse

MOST_TEXT, MOST_COLUMNS, MOST_ROWS = 60, 5, 10
_REJECTED = """
    select reason, count(*) over (partition by reason), file, line, column_name, reason, found_text, rowid
    from {staged} where reason is not null and reason not in ('duplicate', 'merged')
    qualify row_number() over (partition by reason order by file, line, rowid) <= $most
    order by reason, file, line, rowid
"""
# The first line that is kept has the quantities of all.
_LINES = f"""
    select file, coalesce(any_value(quantity) filter (where reason is null), sum(quantity)), count(*)
    from {STAGED}order_items
    where (order_id, product_id) = (select (order_id, product_id) from {STAGED}order_items where rowid = $row)
        and (file = $file or reason is null or reason = 'merged')
    group by file order by file <> $file
"""
_EXPECTED = {
    "not a timestamp": "instants are text like 2026-10-05T09:00:00Z, or as time.format of a mapping says",
    "not a whole number": "expected digits, as in 12",
    "not a number": "expected digits with a decimal point, as in 12.50",
    "not true or false": "expected true or false",
}
# What a text is, by the reason for which its row is rejected.
_IS = {
    "missing": "no value",
    "future": "in the future: later runs look at it again",
    "before_start": "before PLANT_START",
    ENDS_BEFORE: "before dbt_valid_from",
    "conflict": "in conflict with a row that is loaded",
    "conflict dbt_valid_to": "in conflict with the next version of the product, which begins before",
}
# A time with the abbreviation of a zone.
_ZONE = re.compile(r":\d\d(?:[.]\d+)?\s*[(]?((?!UTC|GMT|Z\b|[AP]M\b)[A-Z]{2,5})\b", re.IGNORECASE)


@dataclass(frozen=True)
class RejectedRow:
    """A staged row that cannot be loaded; `found` is the text of its column, `staged_row` where it is staged."""

    file: str | None
    line: int | None
    column: str | None
    reason: str
    found: str | None = None
    staged_row: int | None = None

    def in_words(self, why: str | None = None) -> str:
        """Return the place, and why the row is rejected: by default its reason, with the text that was found."""
        place = ", ".join(str(part) for part in (self.file, self.line and f"line {self.line}", self.column) if part)
        return f"{place}: {why or self._why()}"

    def _why(self) -> str:
        if self.reason == "not UTF-8":
            return f"{self.reason} (give its encoding in PLANT_MAPPING, as in `csv: {{encoding: cp1252}}`)"
        if self.reason == "too_few_products":
            return f"{self.reason} (PLANT_MIN_PRODUCTS says how many an observation needs)"
        if not self.found:
            return self.reason
        text = printable(self.found if len(self.found) <= MOST_TEXT else self.found[: MOST_TEXT - 3] + "...")
        if not self.column:
            return f"{self.reason}: '{text}'"
        expected = _EXPECTED.get(self.reason)
        zone = _ZONE.search(self.found) if self.reason == "not a timestamp" else None
        if zone:
            expected = f"{zone[1]} is ambiguous: give time.format and time.zone"
        what = _IS.get(f"{self.reason} {self.column}") or _IS.get(self.reason, self.reason)
        return f"'{text}' is {what} ({expected})" if expected else f"'{text}' is {what}"


def first_in_words(warehouse: Warehouse, table: str, row: RejectedRow) -> str:
    """Return a rejected row in words; one in conflict names the other row and the columns in which they differ."""
    mapped = source_table(table, mapping_of(warehouse.settings))
    why = _conflict(warehouse, mapped, row) if row.reason == "conflict" else None
    return row.in_words(why)


def rejected_in_words(warehouse: Warehouse, table: str) -> list[str]:
    """Return the first `MOST_ROWS` staged rows of each reason in words, and how many more have it."""
    found: dict[str, list[tuple[Any, ...]]] = {}
    for reason, *row in warehouse.rows(_REJECTED.format(staged=STAGED + table), {"most": MOST_ROWS}):
        found.setdefault(reason, []).append(tuple(row))
    said = []
    for reason, rows in found.items():
        said += [first_in_words(warehouse, table, RejectedRow(*row)) for _count, *row in rows]
        if rows[0][0] > len(rows):
            said.append(f"and {rows[0][0] - len(rows):,} more: {reason}")
    return said


def _conflict(warehouse: Warehouse, table: SourceTable, row: RejectedRow) -> str | None:
    """Return with which row another one is in conflict; None if that row is not staged."""
    key, staged = ", ".join(table.key), STAGED + table.name
    select = f"select raw_text, file, line, {', '.join(table.compared)} from {staged}"
    given = warehouse.rows(f"{select} where rowid = $row", {"row": row.staged_row})[0]
    if table.name == "order_items":
        return _other_lines(warehouse, row)
    kept = warehouse.rows(
        f"{select} where reason is null and ({key}) = (select ({key}) from {staged} where rowid = $row) limit 1",
        {"row": row.staged_row},
    )
    if not kept:
        return None
    # The text of a row of a file has all of its columns.
    names = () if given[2] and kept[0][2] else table.compared
    ours, others = (_fields(warehouse.settings, table.name, names, each) for each in (given, kept[0]))
    differing = [
        f"{name} {_shown(value)} and {_shown(others.get(name))}"
        for name, value in ours.items()
        if value != others.get(name)
    ]
    file, line = kept[0][1:3]
    place = [part for part in (file if file != row.file else None, line and f"line {line}") if part]
    return f"conflict with {', '.join(place) or 'another row'}: {', '.join(differing[:MOST_COLUMNS])}"


def _other_lines(warehouse: Warehouse, row: RejectedRow) -> str:
    """Return with which lines of another file the lines of an order's product are in conflict."""
    lines = warehouse.rows(_LINES, {"row": row.staged_row, "file": row.file})
    (_file, ours, number), (other, others, other_number) = lines
    in_lines = f" in {number} and {other_number} lines" if number != other_number else ""
    return f"conflict with {other}: quantity {_shown(ours)} and {_shown(others)}{in_lines}"


def _fields(settings: Settings, table: str, names: Any, row: tuple[Any, ...]) -> dict[str, Any]:
    """Return the values of a staged row by our `names`; without names, those of its text by the store's names."""
    raw_text, file, _line, *values = row
    if names:
        fields: dict[str, Any] = dict(zip(names, values, strict=True))
        fields |= json.loads(fields.pop(OTHERS, None) or "{}")
        return fields
    path = settings.source_path / file
    mapping = mapping_of(settings)
    is_stock = file.replace("/", ".").split(".")[0] == mapping.table(STOCK.name)
    form = mapping.csv_form(STOCK.name if is_stock and table == "products" else table)
    return named_fields(SourceFile(table, file, path, extension_of(file) or "", 0, 0, form=form), raw_text)


def _shown(value: object) -> str:
    return "nothing" if value in (None, "") else printable(str(value))
