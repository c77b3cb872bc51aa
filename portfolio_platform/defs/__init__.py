"""Dagster only: assets, checks, sensors, schedules, resources."""
