"""A DuckDB file as a source: its tables and views, read in one snapshot."""
