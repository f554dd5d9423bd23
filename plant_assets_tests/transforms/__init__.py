"""Tests of the pure transforms: given rows, expected rows, no Dagster and no warehouse."""
