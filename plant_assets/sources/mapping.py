"""The mapping file that PLANT_MAPPING names: a store's own names of tables, columns, event types and instants.

Nothing here reads the store. Names from the file reach SQL only as quoted names and literals.
"""

import datetime as dt
import hashlib
import itertools
import re
import reprlib
import stat
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictFloat,
    StrictInt,
    StrictStr,
    StringConstraints,
    ValidationError,
    field_validator,
)

from plant_assets.calendar import known_zone
from plant_assets.contracts import STAGES, TABLES
from plant_assets.settings import Settings
from plant_assets.sources.errors import SourceError
from plant_assets.sources.instants import EPOCHS

NONE = "none"
# Words that stand for no value in ids, numbers and instants, as an empty field does everywhere.
NULL_WORDS = ("NULL", "null", "\\N", "NaN", "nan", "NA", "N/A", "None")
# Limits far above any real mapping: YAML is slow to read, and a few lines of aliases can expand to billions of nodes.
MOST_BYTES, MOST_THINGS = 1_000_000, 100_000
# A column of events that is read only if products are made from events.
PRICE_OF_EVENT = "price"

TableName = Literal["events", "products", "order_items", "orders", "products_snapshot"]
IdName = Literal["session_id", "user_id", "order_id", "product_id"]
IdForm = Literal["integer", "text", "lower"]
Stage = Literal["page_view", "add_to_cart", "checkout", "package_shipped"]
# Names are quoted in SQL. A quote inside a name would need another rule for each file format.
FileStem = Annotated[str, StringConstraints(pattern=r"""^[^."'\\/\x00-\x1f][^"'\\/\x00-\x1f]*$""")]
ColumnName = Annotated[str, StringConstraints(pattern=r"""^[^"'\\\x00-\x1f]+$""")]
Constant = StrictStr | StrictInt | StrictFloat


class MappingError(SourceError):
    """The mapping file cannot be used. The message names file, line and field."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Time(_Section):
    """How the store writes instants: a strptime format, and the zone of instants without an offset."""

    format: str | None = None
    zone: str = "UTC"

    @field_validator("format")
    @classmethod
    def _names_an_instant(cls, value: str | None) -> str | None:
        instant = dt.datetime(2001, 12, 31, tzinfo=dt.UTC)
        try:
            if value is None or value in EPOCHS:
                return value
            if dt.datetime.strptime(instant.strftime(value), value).date() == instant.date():
                return value
        except (ValueError, re.error):
            # A directive that is given twice makes strptime build an invalid pattern.
            pass
        raise ValueError(
            f"a format of strptime that names year, month and day, like %d.%m.%Y %H:%M:%S; or {', '.join(EPOCHS)}"
        )

    _known_zone = field_validator("zone")(known_zone)


class StoreMapping(_Section):
    """A store's names for what we read. Without a mapping file, every name is ours."""

    tables: dict[TableName, FileStem] = {}
    columns: dict[TableName, dict[str, ColumnName]] = {}
    constants: dict[TableName, dict[str, Constant]] = {}
    event_types: Annotated[dict[str, Stage], Field(min_length=1)] | None = None
    time: Time = Time()
    nulls: tuple[StrictStr, ...] | None = None
    ids: dict[IdName, IdForm] = {}
    not_sold: tuple[StrictStr, ...] = ()

    @cached_property
    def digest(self) -> str:
        """A hash of what rows are read by, so that rows read by another mapping are known; empty if all is ours."""
        given = self.model_dump_json(exclude_defaults=True, exclude={"not_sold"})
        return "" if given == "{}" else hashlib.sha256(given.encode()).hexdigest()[:16]

    def table(self, name: str) -> str | None:
        """Return the store's name of a table; None if the mapping says that the store does not have it."""
        theirs = next((theirs for ours, theirs in self.tables.items() if ours == name), name)
        return None if theirs == NONE else theirs

    @property
    def makes_products(self) -> bool:
        """Whether products are made from the events that name them."""
        return self.table("products") is None

    @property
    def has_order_items(self) -> bool:
        """Whether the store has order items; without them, each event counts for the product that it names."""
        return self.table("order_items") is not None

    @property
    def null_words(self) -> tuple[str, ...]:
        """The words that stand for no value: ours and those that are given; an empty list turns all off."""
        return NULL_WORDS + (self.nulls or ()) if self.nulls != () else ()

    def id_form(self, name: str) -> str | None:
        """Return the form in which the ids of a column are compared; None for those that stay as they are."""
        return next((form for column, form in self.ids.items() if column == name), None)

    @property
    def stages(self) -> tuple[str, ...]:
        """The funnel stages that the store has, in order."""
        return STAGES if self.event_types is None else tuple(s for s in STAGES if s in self.event_types.values())

    def columns_read(self, table: str, names: Iterable[str]) -> dict[str, str]:
        """Return those of our columns that the store has, each with the store's name."""
        given, constants = self._of(self.columns, table), self._of(self.constants, table)
        theirs = {name: given.get(name, name) for name in names if name not in constants}
        return {name: column for name, column in theirs.items() if column != NONE}

    def constant(self, table: str, name: str) -> str | None:
        """Return the constant value of a column that the store does not have, or None."""
        value = self._of(self.constants, table).get(name)
        return None if value is None else str(value)

    @property
    def makes_event_ids(self) -> bool:
        """Whether events get a hash of their values as id, because the store gives them none."""
        return self._of(self.columns, "events").get("event_id") == NONE

    def _of(self, section: dict[Any, dict[str, Any]], table: str) -> dict[str, Any]:
        return section.get(table, {})


def mapping_of(settings: Settings) -> StoreMapping:
    """Return the mapping of the settings' source. The sample store needs none.

    Raises:
        MappingError: the file cannot be used. The message names file, line and field.
    """
    return read_mapping(settings.mapping) if settings.mapping and not settings.is_sample else StoreMapping()


def read_mapping(path: Path) -> StoreMapping:
    """Read and validate a mapping file.

    Raises:
        MappingError: the file cannot be used. The message names file, line and field.
    """
    text = _text_of(path)
    try:
        root = yaml.compose(text, yaml.SafeLoader)
        if _things(root, {}) > MOST_THINGS:
            raise MappingError(f"{path}: has more than {MOST_THINGS:,} values once its aliases are expanded")
        given = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f", line {mark.line + 1}" if mark else ""
        raise MappingError(f"{path}{place}: not valid YAML: {error.problem}") from error
    except RecursionError as error:
        raise MappingError(f"{path}: nested too deeply: a mapping has three levels") from error
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        raise MappingError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
    lines = _Lines(path, root)
    if given is not None and not isinstance(given, dict):
        raise lines.error((), f"expected the sections {', '.join(StoreMapping.model_fields)}")
    lines.require_distinct_keys()
    try:
        mapping = StoreMapping.model_validate(given or {})
    except ValidationError as error:
        first = error.errors()[0]
        raise lines.error(first["loc"], _what_is_allowed(first)) from None
    _require_sense(mapping, lines)
    return mapping


def _text_of(path: Path) -> str:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise MappingError(f"PLANT_MAPPING={path} cannot be read: it is not a regular file")
        if status.st_size > MOST_BYTES:
            raise MappingError(f"PLANT_MAPPING={path} cannot be read: it is larger than {MOST_BYTES:,} bytes")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise MappingError(f"PLANT_MAPPING={path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise MappingError(f"PLANT_MAPPING={path} cannot be read: it is not UTF-8") from error


def _things(node: yaml.Node | None, known: dict[int, int]) -> int:
    """Return the number of YAML nodes once aliases are expanded; an alias inside its own node counts once."""
    if id(node) not in known:
        known[id(node)] = 1
        parts = node.value if isinstance(node, yaml.CollectionNode) else []
        within = itertools.chain.from_iterable(each if isinstance(each, tuple) else (each,) for each in parts)
        known[id(node)] += sum(_things(each, known) for each in within)
    return known[id(node)]


class _Lines:
    """The line of each field of a mapping file."""

    def __init__(self, path: Path, root: yaml.Node | None) -> None:
        self._path, self._root = path, root

    def error(self, field: tuple[int | str, ...], problem: str) -> MappingError:
        """Return the error of a field, with the line of its key."""
        line, node, names = 1, self._root, []
        for part in field:
            keys = node.value if isinstance(node, yaml.MappingNode) else []
            found = next(((key, value) for key, value in keys if key.value == str(part)), None)
            if found is None:
                break
            names.append(str(part))
            line, node = found[0].start_mark.line + 1, found[1]
        place = f"{'.'.join(names)}: " if names else ""
        return MappingError(f"{self._path}, line {line}: {place}{problem}")

    def require_distinct_keys(self) -> None:
        """Check that no key is given twice: a YAML parser silently takes the last one.

        Raises:
            MappingError: a key is given twice.
        """
        # An alias may be inside the node that it names.
        nodes, known = [self._root], set[int]()
        while nodes:
            node = nodes.pop()
            if not isinstance(node, yaml.MappingNode) or id(node) in known:
                continue
            known.add(id(node))
            seen: dict[str, int] = {}
            for key, value in node.value:
                line = key.start_mark.line + 1
                if key.value in seen:
                    raise MappingError(
                        f"{self._path}, line {line}: {key.value}: given twice, first in line {seen[key.value]}"
                    )
                seen[str(key.value)] = line
                nodes.append(value)


def _what_is_allowed(error: Any) -> str:
    message, given = str(error["msg"]).removeprefix("Value error, "), reprlib.repr(error["input"])
    if error["type"] == "extra_forbidden":
        fields = Time.model_fields if error["loc"][0] == "time" else StoreMapping.model_fields
        return f"not known; allowed: {', '.join(fields)}"
    if error["type"] == "literal_error":
        return f"{given} is not allowed; allowed: {error['ctx']['expected']}".replace("'", "")
    if error["type"] == "string_pattern_mismatch":
        return f"{given} is not allowed: a name without quotes, backslashes and control characters"
    if error["type"] == "value_error":
        return f"{given} is not allowed: {message}"
    return message[0].lower() + message[1:]


def _require_sense(mapping: StoreMapping, lines: _Lines) -> None:
    """Check what no field can check alone: columns against tables, and constants against columns."""
    if mapping.table("events") is None:
        raise lines.error(("tables", "events"), "a store without events has nothing to read")
    for section, given in (("columns", mapping.columns), ("constants", mapping.constants)):
        for table, names in given.items():
            target, constants = TABLES[f"raw_{table}"], mapping.constants.get(table, {})
            allowed = [name for name in target.names if name != "observed_at"]
            if table == "events" and mapping.makes_products and section == "columns":
                allowed.append(PRICE_OF_EVENT)
            if mapping.table(table) is None:
                raise lines.error((section, table), f"the table {table} is {NONE}")
            for name in names:
                field = (section, table, name)
                if name not in allowed:
                    raise lines.error(field, f"not known; allowed: {', '.join(allowed)}")
                if section == "constants":
                    if mapping.columns.get(table, {}).get(name, NONE) != NONE:
                        raise lines.error(field, "is a column already: keep one of them")
                    if name in target.key:
                        raise lines.error(field, "identifies rows: it cannot be a constant")
                elif names[name] == NONE and name in target.required and name not in ("event_id", *constants):
                    raise lines.error(field, f"must be there: a row without {name} cannot be loaded")
