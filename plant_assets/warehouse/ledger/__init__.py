"""The bookkeeping of one warehouse: what was read, loaded and written, what is due, and what is known of the store.

The ledger owns the tables of `tables.py`, whose names begin with an underscore. No other room has SQL on them.
A method that writes does so in the caller's transaction, if there is one.
"""
