"""The mapping file that PLANT_MAPPING names: its YAML, and where in it an error is. Nothing here reads the store.

What a mapping says is in `mapping.py`.
"""

import itertools
import reprlib
import stat
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from plant_assets.contracts import TABLES
from plant_assets.settings import Settings
from plant_assets.sources.errors import SourceError
from plant_assets.sources.mapping import NONE, PRICE_OF_EVENT, CsvForm, StoreMapping, Time
from plant_assets.sources.tables import LISTED_TABLES, OBSERVED_AT

# Limits far above any real mapping: YAML is slow to read, and a few lines of aliases can expand to billions of nodes.
MOST_BYTES, MOST_THINGS = 1_000_000, 100_000


class MappingError(SourceError):
    """The mapping file cannot be used. The message names file, line and field."""


def mapping_of(settings: Settings) -> StoreMapping:
    """Return the mapping of the settings' source. The sample store needs none.

    Raises:
        MappingError: the file cannot be used. The message names file, line and field.
    """
    return read_mapping(settings.mapping) if settings.mapping and not settings.is_sample else StoreMapping()


def require_mapped_source(settings: Settings) -> None:
    """Check that a mapping is set only with a source: the sample store has our names.

    Raises:
        MappingError: PLANT_MAPPING is set, and no source is.
    """
    if settings.mapping and settings.is_sample:
        raise MappingError(
            f"PLANT_MAPPING={settings.mapping} is set, and no source is: name the source that it maps as --source or"
            " PLANT_SOURCE, or do not set PLANT_MAPPING for the sample store"
        )


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
        fields = {"time": Time.model_fields, "csv": CsvForm.model_fields}.get(
            error["loc"][0], StoreMapping.model_fields
        )
        return f"not known; allowed: {', '.join(fields)}"
    if error["type"] == "literal_error":
        return f"{given} is not allowed; allowed: {error['ctx']['expected']}".replace("'", "")
    if error["type"] == "string_pattern_mismatch":
        return f"{given} is not allowed: a name without quotes, backslashes and control characters"
    if error["type"] == "string_type":
        one = "one name" if isinstance(error["input"], list | tuple) else "text, in quotes"
        return f"{given} is not allowed: expected {one}"
    if error["type"] in ("tuple_type", "dict_type", "model_type"):
        many = "a list, as in [a, b]" if error["type"] == "tuple_type" else "names with values, as in {a: b}"
        return f"{given} is not allowed: expected {many}"
    if error["type"] == "value_error":
        return f"{given} is not allowed: {message}"
    return message[0].lower() + message[1:]


def _require_sense(mapping: StoreMapping, lines: _Lines) -> None:
    """Check what no field can check alone: columns against tables, and constants against columns."""
    if mapping.table("events") is None:
        raise lines.error(("tables", "events"), "a store without events has nothing to read")
    if mapping.sum_over and (mapping.makes_products or NONE in mapping.sum_over.values()):
        what = "the table products" if mapping.makes_products else "the place"
        raise lines.error(("sum_over", "products"), f"{what} is {NONE}")
    for section, given in (("columns", mapping.columns), ("constants", mapping.constants)):
        for table, names in given.items():
            source, constants = LISTED_TABLES[table], mapping.constants.get(table, {})
            target, allowed = TABLES[source.target], list(source.columns)
            if table == "products" and section == "columns":
                allowed.insert(0, OBSERVED_AT)
            if table == "events" and mapping.makes_products and section == "columns":
                allowed.append(PRICE_OF_EVENT)
            if mapping.table(table) is None:
                raise lines.error((section, table), f"the table {table} is {NONE}")
            for name in names:
                field = section, table, name
                if name not in allowed:
                    raise lines.error(field, f"not known; allowed: {', '.join(allowed)}")
                theirs = names[name]
                parts = theirs if isinstance(theirs, tuple) else ()
                if parts and name != "session_id":
                    raise lines.error(field, "several columns make a session_id only: name one")
                if NONE in parts:
                    raise lines.error(field, f"{NONE} is not a column: name those that make the session")
                if section == "constants":
                    if mapping.columns.get(table, {}).get(name, NONE) != NONE:
                        raise lines.error(field, "is a column already: keep one of them")
                    if name in target.key:
                        raise lines.error(field, "identifies rows: it cannot be a constant")
                elif names[name] == NONE and name in source.required and name not in ("event_id", *constants):
                    raise lines.error(field, f"must be there: a row without {name} cannot be loaded")
