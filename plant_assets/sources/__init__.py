"""Where a store's tables are read from. Each source stages typed rows; refusals keep their reason."""
