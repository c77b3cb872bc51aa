"""Time-partitioned assets: history filled in by day or hour, and stored bytes decoded anew."""
