"""Postgres: embedded server, Supabase floor, migrations, bulk writes, change feed, reads."""
