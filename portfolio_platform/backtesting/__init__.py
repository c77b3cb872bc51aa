"""Walk-forward, simulator, statistics, report."""
