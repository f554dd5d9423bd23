"""The group of all commands, `plant-assets`."""

import gc
import os
import warnings

import click

from plant_assets import __version__
from plant_assets.cli.console import open_streams
from plant_assets.settings import FOR_OWNER_ONLY


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="plant-assets")
def main() -> None:
    """Product and stock analytics of a plant store."""
    open_streams()
    # Importing allocates hundreds of thousands of objects, none of them garbage: collecting would take 0.5 s.
    gc.disable()
    click.get_current_context().call_on_close(gc.enable)
    # Users can do nothing about warnings of libraries. Tests turn warnings into errors.
    warnings.simplefilter("ignore")
    os.umask(FOR_OWNER_ONLY)
