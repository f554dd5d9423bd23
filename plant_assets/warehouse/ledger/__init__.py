"""The bookkeeping of one warehouse: what was read, loaded and written, and what is known of the store.

The ledger owns `_meta`, `_files`, `_loads`, `_writes` and `_event_prices`. No other room has SQL on them. A method that
writes does so in the caller's transaction, if there is one.
"""
