"""Pure functions from ibis tables to ibis tables: no Dagster, no clock, no environment, no engine."""
