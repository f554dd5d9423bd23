"""Dagster's home of one warehouse: its records, the runs that are alive, and the services on them."""
