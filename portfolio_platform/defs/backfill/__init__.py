"""Time-partitioned assets: history filled in day by day, and stored bytes decoded anew."""
