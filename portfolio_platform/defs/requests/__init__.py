"""Per-key assets: one strategy, one portfolio, one request at a time."""
