"""The days and hours that can be filled in."""

from dagster import DailyPartitionsDefinition, HourlyPartitionsDefinition

from portfolio_platform.settings import Settings

_START = Settings().history_start.isoformat()
HOURS = HourlyPartitionsDefinition(start_date=f"{_START}-00:00", timezone="UTC")
DAYS = DailyPartitionsDefinition(start_date=_START, timezone="UTC")
DAYS_AND_TODAY = DailyPartitionsDefinition(start_date=_START, timezone="UTC", end_offset=1)
