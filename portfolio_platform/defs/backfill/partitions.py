"""The days that can be filled in."""

from dagster import DailyPartitionsDefinition

from portfolio_platform.settings import Settings

_START = Settings().history_start.isoformat()
DAYS = DailyPartitionsDefinition(start_date=_START, timezone="UTC")
DAYS_AND_TODAY = DailyPartitionsDefinition(start_date=_START, timezone="UTC", end_offset=1)
