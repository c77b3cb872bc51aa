"""Jobs and schedules: the whole platform as one run, and keeping the chain fresh."""

from __future__ import annotations

from dagster import (
    AssetSelection,
    DefaultScheduleStatus,
    ScheduleDefinition,
    define_asset_job,
)

everything = define_asset_job(
    "everything",
    selection=AssetSelection.all(),
    description="Chain bytes to weights, plans and reports in one run.",
)

refresh = define_asset_job(
    "refresh",
    selection=AssetSelection.groups("solana", "market", "portfolio"),
    description="Read the chain and history, and recompute what depends on them.",
)

answer_backtests = define_asset_job(
    "answer_backtests",
    selection=AssetSelection.groups("backtest"),
    description="Answer the open backtest requests.",
)

hourly_refresh = ScheduleDefinition(
    name="hourly_refresh",
    job=refresh,
    cron_schedule="3 * * * *",
    default_status=DefaultScheduleStatus.RUNNING,
    description="A few minutes after each hourly bar has closed.",
)

JOBS = [everything, refresh, answer_backtests]
SCHEDULES = [hourly_refresh]
