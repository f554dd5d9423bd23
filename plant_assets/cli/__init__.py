"""The command line. Its modules import the rest of the project inside functions, which keeps `--help` fast."""

from plant_assets.cli import commands as commands
from plant_assets.cli import service_commands as service_commands
from plant_assets.cli.group import main as main
