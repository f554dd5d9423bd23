"""Writes the mapping that `guess.py` guesses, as YAML with the reason of each line."""

import contextlib
import datetime as dt
import json
import re
from pathlib import Path

from plant_assets.doctor.guess import Guess, guess
from plant_assets.doctor.source import engine
from plant_assets.settings import Settings, UsageError
from plant_assets.sources.errors import SourceError
from plant_assets.sources.open import source_of
from plant_assets.text import MOST_SHOWN, printable, some_of

_HEAD = "# Written by `plant-assets doctor --write-mapping`. Each line says why: check them."
_SECTIONS = ("tables", "columns", "event_types", "sum_over", "nulls", "csv", "time")
# Words that YAML takes for something else than text.
_NO_TEXT = ("yes", "no", "on", "off", "y", "n", "null", "true", "false")


def write_mapping(settings: Settings, path: Path, as_of: dt.datetime) -> Settings:
    """Write a mapping for the source to a new file, and return the settings with it.

    Raises:
        UsageError: there is such a file, or no source is named.
        SourceError: the source cannot be read, or no table of it looks like events.
    """
    if path.exists() or path.is_symlink():
        raise UsageError(f"{path} exists already: name another file as --write-mapping, or remove it")
    if settings.is_sample:
        raise UsageError("the sample store needs no mapping: name the source to map as --source or PLANT_SOURCE")
    unmapped = settings.model_copy(update={"mapping": None})
    with contextlib.closing(source_of(unmapped, as_of)) as source, engine(settings) as connection:
        samples = source.samples(connection)
    found = guess(samples, settings.timezone)
    if not found:
        tables = [f"{each.table} ({', '.join(each.columns[:MOST_SHOWN])})" for each in samples]
        raise SourceError(
            f"{settings.source_name}: no table looks like events, which have an instant, a type and a session or user;"
            f" tables found: {some_of(tables[:MOST_SHOWN], len(tables)) or 'none'}; write the mapping by hand"
            " (docs/your-own-store.md)"
        )
    try:
        with path.open("x", encoding="utf-8") as stream:
            stream.write(as_yaml(found))
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error
    return settings.model_copy(update={"mapping": path.resolve()})


def as_yaml(found: list[Guess]) -> str:
    """Return a mapping as YAML, with the reason of each line as its comment."""
    lines, before = [_HEAD], tuple[str, ...]()
    for each in sorted(found, key=lambda each: _SECTIONS.index(each.path[0])):
        for depth, name in enumerate(each.path[:-1]):
            if each.path[: depth + 1] != before[: depth + 1]:
                lines.append(f"{'  ' * depth}{_scalar(name)}:")
        before = each.path[:-1]
        name, indent = _scalar(each.path[-1]), "  " * len(before)
        lines.append(f"{indent}{name}: {_value(each.value)}  # {printable(each.why)}")
    return "\n".join(lines) + "\n"


def _value(value: object) -> str:
    return f"[{', '.join(map(_scalar, value))}]" if isinstance(value, list) else _scalar(str(value))


def _scalar(text: str) -> str:
    is_word = re.fullmatch(r"[A-Za-z_][\w./-]*", text, re.ASCII) and text.lower() not in _NO_TEXT
    return text if is_word else json.dumps(text, ensure_ascii=False)
