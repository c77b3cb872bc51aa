"""Read queries of the API: one module per subject, all run as the caller under row security."""
