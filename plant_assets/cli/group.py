"""The command `plant-assets` that all others are part of."""

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
    # Half a second of looking for garbage while modules are loaded, which is none.
    gc.disable()
    click.get_current_context().call_on_close(gc.enable)
    # Users can act on none of what the libraries say of each other; developers see it in the tests.
    warnings.simplefilter("ignore")
    os.umask(FOR_OWNER_ONLY)
