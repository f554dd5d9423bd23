"""Tests of plant_assets, room by room as in the package."""
