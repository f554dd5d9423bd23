"""The documents say what is: their commands run and print what they show, generated pages are current."""

import os
import re
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from docs.graph import PAGE, graph_page
from docs.names import names_section
from plant_assets.contracts import MARTS, TABLES
from plant_assets.settings import PREFIX, Settings
from plant_assets_tests.support.machine import ROOT

README = (ROOT / "README.md").read_text()
# A document, or those whose commands use what the first one's made.
RUN = (
    ("README.md", "docs/using-the-data.md"),
    ("docs/your-own-store.md",),
    ("docs/exports.md",),
    ("docs/coming-from-dbt.md",),
)


def _commands(document: str) -> list[tuple[str, list[str]]]:
    """The commands of a document's console and python blocks with what they print, those of make left to CI."""
    found: list[tuple[str, list[str]]] = []
    for kind, block in re.findall(r"```(console|python|text)\n(.*?)```", document, re.DOTALL):
        if kind == "python":
            found.append((f"python - <<'END'\n{block}END", []))
            continue
        for line in block.splitlines():
            if line.startswith("$ ") and kind == "console":
                found.append((line[2:], []))
            else:
                found[-1][1].append(line)
    return [(command, output) for command, output in found if not command.startswith("make")]


@pytest.mark.parametrize("names", RUN, ids=" ".join)
def test_what_documents_run_prints_what_they_show(tmp_path: Path, names: tuple[str, ...]) -> None:
    documents = [(ROOT / name).read_text() for name in names]
    for name, content in re.findall(r"```\w+ (\S+)\n(.*?)```", "".join(documents), re.DOTALL):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    script, expected = [], []
    for command, output in [each for document in documents for each in _commands(document)]:
        script += [command, "echo ---"]
        expected.append(output)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    done = subprocess.run(
        ["bash", "-e", "-c", "\n".join(script)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    # Dagster's code server outlives the command that started it, and says so when it ends.
    said = "".join(line for line in done.stdout.splitlines(keepends=True) if "dagster.code_server" not in line)
    shown_at = said.replace(str(tmp_path), "/stores")
    printed = [part.rstrip().splitlines() for part in shown_at.split("---\n")][:-1]
    assert len(printed) == len(expected) >= 5
    for output, shown in zip(printed, expected, strict=True):
        if shown:
            assert [_without_versions(line) for line in output] == [_without_versions(line) for line in shown]


def _without_versions(line: str) -> str:
    """Return a line as it is on any machine: `doctor` names versions and platform."""
    return re.sub(r"^(  versions +)plant-assets \d.*", r"\1...", line.rstrip())


RECIPES = re.findall(r"```sql\n(.*?)```", (ROOT / "docs" / "questions.md").read_text(), re.DOTALL)


@pytest.mark.parametrize("recipe", RECIPES, ids=[recipe.split(" from ")[0][:40] for recipe in RECIPES])
def test_recipes_are_statements_on_the_marts(recipe: str, built_once: Settings) -> None:
    assert len(RECIPES) == 5
    with duckdb.connect(built_once.marts_path, read_only=True) as marts:
        marts.execute(recipe)
        # Nothing need be out of stock now.
        found = marts.execute(recipe.replace("where s.is_ongoing\n", "")).fetchall()
    assert found
    assert all(any(value is not None for value in column) for column in zip(*found, strict=True))


def test_a_question_has_tables_that_are_published() -> None:
    section = (ROOT / "docs" / "questions.md").read_text().split("| question |")[1].split("\n\n")[0]
    named = set(re.findall(r"`(\w+)`", section))
    assert named <= set(MARTS)
    assert set(MARTS) - named <= {"weeks", "product_snapshot_dbt", "funnel_to_date", "funnel_until_week"}


def test_the_graph_page_is_current() -> None:
    assert PAGE.read_text() == graph_page()


def test_the_names_that_are_known_are_current() -> None:
    assert (ROOT / "docs" / "exports.md").read_text().endswith(names_section())


def test_readme_names_every_setting_and_no_other() -> None:
    settings = {PREFIX + name.upper() for name in Settings.model_fields}
    assert set(re.findall(r"^\| `(PLANT_\w+)` \|", README, re.MULTILINE)) == settings


def test_readmes_graph_names_every_asset() -> None:
    section = README.split("## The graph")[1].split("## ")[0]
    assert set(re.findall(r"`(\w+)`", section)) >= set(TABLES) - {"weeks"}


def test_constraints_name_exact_versions_and_no_registry() -> None:
    lines = (ROOT / "constraints.txt").read_text().split()
    assert len(lines) > 50
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9._+]+", line)] == []


def test_the_workflow_calls_the_check_that_a_store_calls() -> None:
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    assert "plant-assets check" in workflow
    assert "make test" in workflow
