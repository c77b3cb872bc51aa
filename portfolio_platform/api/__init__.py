"""FastAPI only: the read layer."""
