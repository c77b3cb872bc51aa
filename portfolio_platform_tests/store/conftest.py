"""The store's tests run on a real Postgres."""

from portfolio_platform_tests.store.postgres import cluster, database, fresh_database

__all__ = ["cluster", "database", "fresh_database"]
