"""How the process of a command uses Python: garbage, and its end. Each setting has its measured reason."""

import gc
import os
import sys
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    import dagster as dg


# Between two looks for garbage; Python's own 700 take an eighth of a small run.
NEW_OBJECTS = 10_000


def dagster_records() -> "dg.DagsterInstance":
    """The instance of DAGSTER_HOME."""
    import dagster as dg

    instance = dg.DagsterInstance.get()
    gc.set_threshold(NEW_OBJECTS)
    gc.enable()
    return instance


def leave(code: int) -> NoReturn:
    """Exit with all closed, and nothing freed: Python would take half a second to free each object for itself."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
