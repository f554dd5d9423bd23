"""Loading: which rows of a source are new, valid and written to the raw tables, in which weeks."""
