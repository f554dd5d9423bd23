"""PostgreSQL as a source: live tables, read in one snapshot."""
