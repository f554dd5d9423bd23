"""The sample store: made-up data."""
