"""`plant-assets` as a user runs it."""

import os
import subprocess
import sys


def plant_assets(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command with an environment without settings but those given."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PLANT_")}
    return subprocess.run(
        [sys.executable, "-m", "plant_assets.cli", *map(str, arguments)],
        env={**clean, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def one_sentence(done: subprocess.CompletedProcess[str]) -> str:
    """The message of a command that ended badly: one line, without a traceback."""
    last = done.stderr.strip().splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert last.startswith("plant-assets: ")
    return last.removeprefix("plant-assets: ")
