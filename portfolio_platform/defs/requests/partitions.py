"""Dynamic partitions: one per strategy, portfolio and request, kept in step with their tables."""

from dagster import DynamicPartitionsDefinition

STRATEGIES = DynamicPartitionsDefinition(name="strategies")
PORTFOLIOS = DynamicPartitionsDefinition(name="portfolios")
OPTIMIZATIONS = DynamicPartitionsDefinition(name="optimization_requests")
BACKTESTS = DynamicPartitionsDefinition(name="backtest_requests")
