"""The sample store, which is made up."""
