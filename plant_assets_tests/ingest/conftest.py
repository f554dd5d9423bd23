"""Stores of the same rows in files and in a database: a test that takes one runs on both."""

import functools
from collections.abc import Callable
from pathlib import Path

import pytest

from plant_assets_tests.support.small_stores import Store, new_duckdb_store, new_live_store, new_store


@pytest.fixture(params=["files", "database", "duckdb"])
def new_either(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., Store]:
    """Makes a store of the products p1 and p2, without events, by the settings given, in files or in a database.

    Unless `products` says where they are, files have them dated, and a database has the table.
    """
    if request.param == "files":
        return functools.partial(new_store, tmp_path)
    if request.param == "duckdb":
        return functools.partial(new_duckdb_store, tmp_path)
    return functools.partial(new_live_store, request.getfixturevalue("database"), tmp_path)
