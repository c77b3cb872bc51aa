"""The clock sysvar: read in the same call as the accounts, it dates them exactly."""

from portfolio_platform.solana.layouts.base import Layout, fields

CLOCK = Layout(
    kind="clock",
    length=40,
    fields=fields(
        slot=("u64", 0),
        epoch_start_timestamp=("i64", 8),
        epoch=("u64", 16),
        leader_schedule_epoch=("u64", 24),
        unix_timestamp=("i64", 32),
    ),
)
