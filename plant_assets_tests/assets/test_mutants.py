"""Changed transforms: their fingerprints differ, and no table stays as the transform before made it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.mutants import FIRST_OF_EACH, MUTANTS, change_of, meet
from plant_assets.assets.fingerprints import compute
from plant_assets.settings import Settings, read_settings
from plant_assets_tests.support.changed_code import ROOT, copy_package

SHOW = """
import json
from plant_assets.assets.fingerprints import compute
from plant_assets.settings import read_settings
print(json.dumps(compute(read_settings(source='/', warehouse='/tmp/none.duckdb'))))
"""


def test_there_are_forty_mutants_each_of_one_place() -> None:
    assert len(set(MUTANTS)) >= 40
    for module, old, _new in map(change_of, MUTANTS):
        assert (ROOT / module).read_text().count(old) == 1, old


@pytest.mark.slow
@pytest.mark.parametrize("mutant", FIRST_OF_EACH, ids=lambda mutant: mutant[0])
def test_a_mutant_changes_fingerprints(mutant: tuple[str, str, str], tmp_path: Path) -> None:
    code = copy_package(tmp_path / "code", change_of(mutant))
    environment = {"PYTHONPATH": str(code), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", SHOW]
    done = subprocess.run(command, cwd=code, env=environment, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) != compute(read_settings(source="/", warehouse=tmp_path / "w.duckdb"))


@pytest.mark.slow
@pytest.mark.parametrize("mutant", FIRST_OF_EACH, ids=lambda mutant: mutant[0])
def test_after_a_run_of_a_mutant_all_tables_are_its_own(
    mutant: tuple[str, str, str], built: Settings, tmp_path: Path
) -> None:
    assert meet(built, mutant, tmp_path) in ("found", "made again")
