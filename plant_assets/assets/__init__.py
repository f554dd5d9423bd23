"""The assets: one function for each table, thin around a transform."""
