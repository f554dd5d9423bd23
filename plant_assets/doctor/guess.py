"""Guesses a mapping from the names of a source's tables and columns, and from what its first rows hold.

A guess is lines of YAML, each with a comment on why. The names are in `names.py`; nothing here reads or writes a file.
"""

import collections
import dataclasses
import datetime as dt
import re
from collections.abc import Collection, Iterable, Iterator

from plant_assets.doctor import names
from plant_assets.doctor.names import known, plain
from plant_assets.sources.base import Sample

FORMATS = (
    "%d.%m.%Y %H:%M:%S",
    "%d.%m.%Y %H:%M",
    "%d.%m.%y %H:%M",
    "%d/%m/%Y %H:%M:%S",
    "%d/%m/%Y %H:%M",
    "%m/%d/%Y %H:%M:%S",
    "%m/%d/%Y %H:%M",
    "%m/%d/%Y %I:%M:%S %p",
    "%d-%m-%Y %H:%M:%S",
    "%d-%m-%Y %H:%M",
    "%Y/%m/%d %H:%M:%S",
    "%Y%m%d%H%M%S",
    "%d.%m.%Y",
    "%d/%m/%Y",
    "%m/%d/%Y",
    "%Y%m%d",
)
# What needs no format: ISO 8601, and numbers since 1970 of at least as many digits as seconds have.
_ISO = re.compile(
    r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d([.]\d+)?)?( ?(Z|UTC|GMT|[+-]\d\d(:?\d\d)?))?)?$|\d{10,19}([.]\d+)?$"
)
_OWN_NAME = "by its name"
# What each of our tables must have to be guessed.
_NEEDED = {
    "events": (("created_at",), ("event_type",), ("session_id", "user_id")),
    "stock": (("observed_at",), ("product_id",), ("inventory",)),
    "products": (("product_id",), ("name", "price", "inventory")),
    "order_items": (("order_id",), ("product_id",)),
    "orders": (("order_id",), ("created_at", "status", "order_total", "user_id")),
}
_KNOWN_TYPES = {name: stage for stage, theirs in names.STAGES.items() for name in known(theirs)}
_NUMBERS = ("inventory", "quantity", "price", "order_total")


@dataclasses.dataclass(frozen=True)
class Guess:
    """One line of a mapping: where it is in, its value, and why."""

    path: tuple[str, ...]
    value: object
    why: str


@dataclasses.dataclass(frozen=True)
class Table:
    """A sample taken for one of our tables, with the store's names of our columns."""

    name: str
    sample: Sample
    columns: dict[str, str]
    score: int

    def values(self, column: str) -> list[str]:
        """Return the values of one of our columns in the first rows."""
        theirs = self.columns.get(column)
        return [row[theirs] for row in self.sample.rows if theirs in row] if theirs else []


def guess(samples: Iterable[Sample], zone: str) -> list[Guess]:
    """Return a mapping for a store of these tables; none if no table holds events."""
    tables = _tables(samples)
    if "events" not in tables:
        return []
    pattern, why = time_format(tables["events"].values("created_at"))
    found = list(_table_lines(tables))
    for table in tables.values():
        found += _column_lines(table, there=tables.keys(), pattern=pattern)
    found += _stages(tables["events"])
    found += [Guess(("time", "format"), pattern, why)] if pattern else []
    found.append(Guess(("time", "zone"), zone, "check: the zone of instants without an offset, here PLANT_TIMEZONE"))
    for table in tables.values():
        found += [*_form(table), *_places(table)]
    return found + _nulls(tables.values())


def _tables(samples: Iterable[Sample]) -> dict[str, Table]:
    """Return the sample for each of our tables: the best pair of both first, then the best of the rest."""
    pairs = [found for sample in samples for name in _NEEDED if (found := _as_table(name, sample))]
    tables: dict[str, Table] = {}
    for each in sorted(pairs, key=lambda each: -each.score):
        if each.name not in tables and each.sample.table not in {other.sample.table for other in tables.values()}:
            tables[each.name] = each
    return {name: tables[name] for name in names.TABLES if name in tables}


def _as_table(name: str, sample: Sample) -> Table | None:
    """Return a sample as one of our tables, with how well it fits; None if it lacks what is needed."""
    columns = _columns(name, sample)
    table = Table(name, sample, columns, 0)
    if not all(any(each in columns for each in group) for group in _NEEDED[name]):
        return None
    if name == "products" and not _repeats(table):
        columns.pop("observed_at", None)
    called = plain(sample.table)
    is_named = [each for each in known(names.TABLES[name]) if called == each or called.startswith(each)]
    score = len(columns) + 20 * bool(is_named) + max(map(len, is_named), default=0)
    return dataclasses.replace(table, score=score)


def _columns(name: str, sample: Sample) -> dict[str, str]:
    """Return the store's names of our columns, by the lists of names and by what the columns hold."""
    found: dict[str, str] = {}
    for ours, theirs in names.COLUMNS[name].items():
        free = [each for each in _candidates(theirs, sample) if each not in found.values()]
        if ours == "event_type":
            free.sort(key=lambda column: not _holds_types(sample, column))
        if free:
            found[ours] = free[0]
    return found


def _holds_types(sample: Sample, column: str) -> bool:
    """Return whether a column holds event types that are known."""
    return not _KNOWN_TYPES.keys().isdisjoint(plain(row[column]) for row in sample.rows if column in row)


def _candidates(theirs: str, sample: Sample) -> Iterator[str]:
    """Yield the columns that have one of the names, or nested ones that end with it, in the order of the names."""
    for wanted in known(theirs):
        for depth in (0, 1, 2):
            for column in sample.columns:
                if column.count(".") == depth and plain(column.rpartition(".")[2]) == wanted:
                    yield column


def _repeats(table: Table) -> bool:
    """Return whether products have several rows, each with a date or instant of its own."""
    ids, instants = table.values("product_id"), table.values("observed_at")
    are_instants = all(_ISO.match(each) or time_format([each])[0] for each in instants[:100])
    return are_instants and len(set(ids)) < len(ids) and len(set(instants)) > 1


def time_format(values: list[str]) -> tuple[str | None, str]:
    """Return the format of strptime in which all values are, and why; no format for what is read without one."""
    if all(_ISO.match(each) for each in values):
        return None, ""
    fits = [each for each in FORMATS if all(_reads(value, each) for value in values)]
    if not fits:
        return None, ""
    more = f"; check: {fits[1]} fits too" if len(fits) > 1 else ""
    return fits[0], f"as in {values[0]}{more}"


def _reads(value: str, pattern: str) -> bool:
    try:
        dt.datetime.strptime(value, pattern)
    except ValueError:
        return False
    return True


def _table_lines(tables: dict[str, Table]) -> Iterator[Guess]:
    for name in names.TABLES:
        if name in tables:
            theirs = tables[name].sample.table
            why = _OWN_NAME if tables[name].score >= 20 else f"has {', '.join(tables[name].columns.values())}"
            if theirs != name:
                yield Guess(("tables", name), theirs, why)
        elif name == "products" and "stock" not in tables:
            yield Guess(("tables", name), "none", "no table has products: they are made from the events")
        elif name in ("order_items", "orders"):
            yield Guess(("tables", name), "none", "no table has them")


def _column_lines(table: Table, there: Collection[str], pattern: str | None) -> Iterator[Guess]:
    """Yield the lines of a table's columns whose names differ from ours, or that are not there.

    Args:
        table: the table.
        there: our names of all tables that the store has.
        pattern: the form of the events' instants, if they need one.
    """
    has_products = not {"products", "stock"}.isdisjoint(there)
    lines = dict(table.columns)
    for ours in names.COLUMNS[table.name]:
        path, theirs = ("columns", table.name, ours), lines.get(ours)
        if ours == "observed_at" and not theirs:
            continue
        if (table.name, ours) == ("events", "price") and has_products:
            continue
        if (table.name, ours) == ("products", "inventory") and not theirs and "stock" in there:
            continue
        if (table.name, ours) == ("orders", "created_at") and theirs and not _fits(table.values(ours), pattern):
            yield Guess(path, "none", f"{theirs} has another form than the events' instants")
        elif ours == "session_id" and not theirs:
            yield Guess(path, lines["user_id"], "there is no session: each user is one")
        elif ours == "session_id" and _are_shared(table):
            yield Guess(path, [lines["user_id"], theirs], "users number their own sessions")
        elif not theirs and (table.name, ours) == ("products", "name"):
            yield Guess(path, lines["product_id"], "no column has a name")
        elif not theirs:
            why = "made from what the event holds" if ours == "event_id" else "no column is called so"
            yield Guess(path, "none", why)
        elif theirs != ours:
            yield Guess(path, theirs, f"by its name{_example(table, ours)}")


def _fits(values: list[str], pattern: str | None) -> bool:
    return all(_reads(each, pattern) if pattern else _ISO.match(each) for each in values)


def _example(table: Table, column: str) -> str:
    values = table.values(column)
    return f", as in {values[0][:40]}" if values else ""


def _are_shared(table: Table) -> bool:
    """Return whether sessions are of several users."""
    user, session = table.columns.get("user_id"), table.columns["session_id"]
    if not user:
        return False
    pairs = {(row[session], row[user]) for row in table.sample.rows if user in row and session in row}
    return len(pairs) > len({session for session, _user in pairs})


def _stages(events: Table) -> Iterator[Guess]:
    """Yield the stage of each event type that is known; none if types have our names."""
    counts = collections.Counter(events.values("event_type"))
    found = {theirs: _KNOWN_TYPES[plain(theirs)] for theirs in counts if plain(theirs) in _KNOWN_TYPES}
    if all(theirs == stage for theirs, stage in found.items()):
        return
    for theirs, stage in sorted(found.items(), key=lambda each: (list(names.STAGES).index(each[1]), each[0])):
        why = f"by its name, {counts[theirs]} of the first {counts.total()} events"
        yield Guess(("event_types", theirs), stage, why)


def _form(table: Table) -> Iterator[Guess]:
    """Yield how a table's csv files are written, where that is not found by itself, or could be taken otherwise."""
    sample, path = table.sample, ("csv", table.name)
    numbers = [value for column in _NUMBERS for value in table.values(column)]
    if sample.separator != ",":
        yield Guess((*path, "separator"), sample.separator, "it finds most columns in the header")
    if sample.encoding:
        yield Guess((*path, "encoding"), sample.encoding, "check: the file is not UTF-8")
    commas = [each for each in numbers if re.search(r"\d,\d{1,2}\D*$", each)]
    if sample.separator != "," and commas:
        yield Guess((*path, "decimal"), ",", f"as in {commas[0]}")
        points = [each for each in numbers if re.search(r"\d[.]\d{3}(\D|$)", each)]
        if points:
            yield Guess((*path, "thousands"), ".", f"as in {points[0]}")


def _places(table: Table) -> Iterator[Guess]:
    """Yield the column over which inventories are summed: a product has a row for each of its values."""
    column = next(iter(_candidates(names.PLACES, table.sample)), None)
    if not column or "inventory" not in table.columns:
        return
    key = [table.columns[each] for each in ("observed_at", "product_id") if each in table.columns]
    keys = [tuple(row.get(each) for each in key) for row in table.sample.rows]
    if len(set(keys)) < len(keys):
        yield Guess(("sum_over", table.name), column, "a product has a row for each of its values")


def _nulls(tables: Iterable[Table]) -> list[Guess]:
    """Return the words that stand where numbers of inventory do."""
    values = [value for table in tables for value in table.values("inventory")]
    words = sorted({value for value in values if not re.search(r"\d", value)})
    return [Guess(("nulls",), words, "they stand where inventory has numbers")] if 0 < len(words) < 10 else []
