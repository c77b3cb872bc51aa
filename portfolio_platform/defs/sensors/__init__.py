"""Sensors on the change feed: what changed is recomputed, exactly once in effect."""
