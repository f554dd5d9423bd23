"""How each kind of source table is loaded: what is read, which rules its rows are validated by, and what is written."""
