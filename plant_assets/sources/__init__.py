"""Sources of rows: files and PostgreSQL, read into typed staged tables. Nothing here writes a warehouse's tables."""
