"""`python -m plant_assets.cli`."""

from plant_assets.cli import main

main()
