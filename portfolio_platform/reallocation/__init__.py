"""Utilization, liquidity, planner, outcome."""
