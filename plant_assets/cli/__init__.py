"""The command line. Its modules import the rest of the project inside functions, which keeps `--help` fast."""

from plant_assets.cli.commands import main as main
