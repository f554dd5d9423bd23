"""Statements that ibis compiled, kept in the user's cache by what their expression says.

Fingerprints of the tables' definitions are kept there too (`assets/fingerprints.py`).

To compile one takes 15 ms, to find it 0.3 ms. The key is a digest of the whole expression, of this package's contracts
and compiler and of the versions of ibis and sqlglot, so a statement that is found is the one that would be compiled.
The file is only appended to, a line per statement with its checksum: a torn line is one that is not found.
"""

import contextlib
import datetime as dt
import hashlib
import os
import zlib
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from types import NoneType
from typing import Any
from uuid import UUID

import ibis
import platformdirs
from ibis.expr.datatypes import DataType
from ibis.expr.operations import Namespace, Node

# A larger file begins anew. A store's week is about 0.5 MB.
MOST_BYTES = 8 * 1024**2
# What a node may have beside other nodes: types whose `repr` says all of a value.
WRITTEN = (str, int, float, Decimal, dt.date, dt.time, dt.timedelta, UUID, Enum, NoneType, DataType, Namespace)


class Statements:
    """The statements in a file, by the digest of what each was compiled from; without a file, this process's."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._found: dict[bytes, str] = {}
        self._lines: dict[bytes, bytes] = {}
        with contextlib.suppress(OSError):
            self._lines = dict(_lines_of(path)) if path else {}

    @classmethod
    @lru_cache(maxsize=1)
    def of_user(cls) -> "Statements":
        """Return the statements in the user's cache. Who has no home, as a service may, keeps none."""
        with contextlib.suppress(OSError, RuntimeError):
            folder = platformdirs.user_cache_path("plant-assets", appauthor=False)
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            return cls(folder / "statements")
        return cls(None)

    def of(self, expression: ibis.Expr, compiled_by: str, compile_it: Callable[[ibis.Expr], str]) -> str:
        """Return an expression's statement: the kept one, or the one that `compile_it` makes, which is kept.

        `compiled_by` says what else than the expression makes the statement; where it differs, another is made.
        """
        key = _key(expression, compiled_by)
        return compile_it(expression) if key is None else self.kept(key, lambda: compile_it(expression))

    def kept(self, key: bytes, make: Callable[[], str]) -> str:
        """Return the text kept by a digest of all that makes it; else the one that `make` makes, which is kept."""
        return self._find(key) or self._add(key, make())

    def _find(self, key: bytes) -> str | None:
        if key not in self._found and key in self._lines:
            checksum, _, text = self._lines.pop(key).partition(b" ")
            if checksum == _checksum(text):
                self._found[key] = text.decode("unicode_escape")
        return self._found.get(key)

    def _add(self, key: bytes, statement: str) -> str:
        self._found[key] = statement
        text = statement.encode("unicode_escape")
        with contextlib.suppress(OSError):
            if self._path:
                # One write, so that lines of processes at once do not mix.
                with self._path.open("ab", buffering=0) as file:
                    file.write(b"%b %b %b\n" % (key, _checksum(text), text))
        return statement


def _lines_of(path: Path) -> Iterator[tuple[bytes, bytes]]:
    if path.exists() and path.stat().st_size > MOST_BYTES:
        path.unlink()
    for line in path.read_bytes().splitlines():
        key, _, rest = line.partition(b" ")
        yield key, rest


def _checksum(text: bytes) -> bytes:
    return b"%08x" % zlib.crc32(text)


def _key(expression: ibis.Expr, compiled_by: str) -> bytes | None:
    """Return the digest of an expression; None where it holds what cannot be written down, such as rows."""
    try:
        text = "\n".join([_versions(), compiled_by, *_described(expression.op())])
    except TypeError:
        return None
    return hashlib.sha256(text.encode()).hexdigest().encode()


@lru_cache(maxsize=1)
def _versions() -> str:
    return f"ibis {version('ibis-framework')}, sqlglot {version('sqlglot')}, process {os.name}"


def _described(root: Node) -> list[str]:
    """Return a line per node of an expression, arguments before those who have them and each only once.

    Raises:
        TypeError: a node has an argument that is not of a type in WRITTEN.
    """
    numbers: dict[Node, int] = {}
    lines: list[str] = []

    def told(value: Any) -> Any:
        if isinstance(value, Node):
            if value not in numbers:
                line = f"{type(value).__name__}{[told(each) for each in value.args]}"
                numbers[value] = len(lines)
                lines.append(line)
            return f"#{numbers[value]}"
        if isinstance(value, tuple):
            return [told(each) for each in value]
        if isinstance(value, frozenset):
            return sorted(str(told(each)) for each in value)
        if isinstance(value, Mapping):
            return [(name, told(each)) for name, each in value.items()]
        if not isinstance(value, WRITTEN):
            raise TypeError(f"{type(value)} cannot be written down")
        return repr(value)

    told(root)
    return lines
