"""Strategy spec, moments, engines, solution: from known prices to optimal weights.

``decide(spec, panel, as_of)`` is the one step, live and in the past.
"""

from portfolio_platform.optimization.decide import Decider, decide, solve
from portfolio_platform.optimization.frontier import efficient_frontier
from portfolio_platform.optimization.moments import Moments, estimate_moments
from portfolio_platform.optimization.panel import PanelError, PricePanel
from portfolio_platform.optimization.risk_report import risk_report
from portfolio_platform.optimization.solution import Attempt, NoAnswer, Solution
from portfolio_platform.optimization.spec import StrategySpec
from portfolio_platform.optimization.walk_forward import WalkForward, walk_forward

__all__ = [
    "Attempt",
    "Decider",
    "Moments",
    "NoAnswer",
    "PanelError",
    "PricePanel",
    "Solution",
    "StrategySpec",
    "WalkForward",
    "decide",
    "efficient_frontier",
    "estimate_moments",
    "risk_report",
    "solve",
    "walk_forward",
]
