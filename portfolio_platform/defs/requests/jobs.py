"""Jobs of the per-key assets: one key each, or many keys of a burst in one run."""

from dagster import (
    AssetMaterialization,
    Config,
    JobDefinition,
    OpExecutionContext,
    define_asset_job,
    job,
    op,
)
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from portfolio_platform.defs.requests import assets, keyed, partitions
from portfolio_platform.defs.resources import Platform
from portfolio_platform.defs.sensors import watches
from portfolio_platform.store import batches


class UnknownBatch(LookupError):
    """The configuration names a batch that is not stored (any more)."""


class KeysOfBatch(Config):
    """A range of the keys of a batch of events, in their order."""

    consumer: str
    batch_id: str
    start: int
    stop: int


@op
def settle_keys(context: OpExecutionContext, config: KeysOfBatch, platform: Platform) -> None:
    """Materialise the keys of the range that still need it, newest state of each."""
    how, watch = keyed.BY_CONSUMER[config.consumer], watches.KEYED[config.consumer]
    with platform.connect() as conn:
        batch = batches.find(conn, config.consumer, config.batch_id)
        if batch is None:
            raise UnknownBatch(f"no batch {config.batch_id} of {config.consumer}")
        mine = sorted(batch.work)[config.start : config.stop]
        needed = watch.needed(conn, {key: batch.work[key] for key in mine})
    todo = [key for key in mine if key in needed]
    context.log.info(f"{len(todo)} of {len(mine)} keys of {how.asset} still need it")
    known = set(context.instance.get_dynamic_partitions(how.partitions))
    missing = [key for key in todo if key not in known]
    if missing:
        context.instance.add_dynamic_partitions(how.partitions, missing)
    if not todo:
        return
    for key, said in how.materialise(platform, todo, context.run_id, context.log.info):
        context.log_event(
            AssetMaterialization(
                asset_key=how.asset,
                partition=key,
                metadata=keyed.shown(said),
            )
        )


@job(description="Keys of a burst of events in one run.")
def settle_many() -> None:
    """Many keys in one run."""
    settle_keys()


weigh_strategy = define_asset_job(
    "weigh_strategy",
    selection=[assets.strategy_weights],
    partitions_def=partitions.STRATEGIES,
    description="Weights of one strategy.",
)
plan_portfolio = define_asset_job(
    "plan_portfolio",
    selection=[assets.portfolio_plan],
    partitions_def=partitions.PORTFOLIOS,
    description="State and plan of one portfolio.",
)
answer_optimization = define_asset_job(
    "answer_optimization",
    selection=[assets.optimization_answer],
    partitions_def=partitions.OPTIMIZATIONS,
    description="Answer of one optimization request.",
)
answer_backtest = define_asset_job(
    "answer_backtest",
    selection=[assets.backtest_report],
    partitions_def=partitions.BACKTESTS,
    description="Answer of one backtest request.",
)

JOBS: list[JobDefinition | UnresolvedAssetJobDefinition] = [
    weigh_strategy,
    plan_portfolio,
    answer_optimization,
    answer_backtest,
    settle_many,
]
