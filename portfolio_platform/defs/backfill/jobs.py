"""Jobs over days and hours: the names that `dagster job backfill` takes."""

from dagster import define_asset_job

from portfolio_platform.defs.backfill import assets

fill_history = define_asset_job(
    "fill_history",
    selection=[assets.price_history_by_day],
    description="Bars of chosen days from the history service.",
)
fill_hours = define_asset_job(
    "fill_hours",
    selection=[assets.price_history_by_hour],
    description="Hourly bars of chosen hours from the history service.",
)
redecode = define_asset_job(
    "redecode",
    selection=[assets.redecoded_facts],
    description="Facts of chosen days from the bytes that were stored then.",
)

JOBS = [fill_history, fill_hours, redecode]
