"""What this machine has."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
IS_COMPLETE = bool(os.environ.get("PLANT_TEST_ALL"))


def need(part: str, is_there: bool) -> None:
    """Skip, by name, a test of a part that this machine lacks; where all must be there, fail."""
    if not is_there:
        (pytest.fail if IS_COMPLETE else pytest.skip)(f"{part} is not on this machine")
