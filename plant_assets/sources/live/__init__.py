"""Databases as sources: live tables, read in one snapshot, events by week. Which database is in its own folder."""
