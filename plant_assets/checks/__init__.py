"""The asset checks: facts that should hold, each an expression of the keys of failing rows."""
