"""The assets: one function per table, a thin layer around a transform."""
