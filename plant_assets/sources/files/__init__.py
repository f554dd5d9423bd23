"""Files as a source: csv, parquet and JSON lines in folders."""
