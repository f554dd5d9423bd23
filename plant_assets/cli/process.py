"""Tuning of a command's process: garbage collection and exit. Each setting has its measured reason."""

import gc
import os
import sys
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    import dagster as dg


# New objects between two garbage collections: with Python's default of 700, they take an eighth of a small run.
NEW_OBJECTS = 10_000


def dagster_records() -> "dg.DagsterInstance":
    """Return the instance of DAGSTER_HOME, and turn garbage collection on."""
    import dagster as dg

    instance = dg.DagsterInstance.get()
    gc.set_threshold(NEW_OBJECTS)
    gc.enable()
    return instance


def leave(code: int) -> NoReturn:
    """Exit without freeing objects, which would take Python half a second. Files are closed by now."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
