"""The group of all commands, `plant-assets`."""

import gc
import os
import warnings

import click

from plant_assets.cli.console import open_streams
from plant_assets.settings import FOR_OWNER_ONLY


def _print_versions(context: click.Context, _parameter: click.Parameter, is_asked: bool) -> None:
    if is_asked:
        from plant_assets.version import versions

        click.echo(versions())
        context.exit()


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version", is_flag=True, expose_value=False, is_eager=True, callback=_print_versions, help="Show versions."
)
def main() -> None:
    """Product and stock analytics of a plant store."""
    open_streams()
    # Importing allocates hundreds of thousands of objects, none of them garbage: collecting would take 0.5 s.
    gc.disable()
    click.get_current_context().call_on_close(gc.enable)
    # Users can do nothing about warnings of libraries. Tests turn warnings into errors.
    warnings.simplefilter("ignore")
    os.umask(FOR_OWNER_ONLY)
