"""The warehouse: its file, its tables, and all that is done to them. Nothing here knows Dagster or reads a source."""
