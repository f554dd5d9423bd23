"""Dagster's home of one warehouse: its records, its live runs, and the services that use them."""
