"""Price paths of the demo market on a five-minute grid, extended block by block.

The log return of a token over one step is
``drift + regime * (beta * market + group + idiosyncratic) + jumps`` where the innovations are
Student-t, the regime is a persistent two-state Markov chain common to all tokens, and jumps are
rare, mostly downward for the market and two-sided for single tokens.
"""

from __future__ import annotations

import numpy as np

from portfolio_platform.localnet.tokens import DEMO_TOKENS

GRID = 300
_STEPS_PER_YEAR = 365 * 86_400 / GRID
_STEPS_PER_DAY = 86_400 // GRID
_BLOCK = _STEPS_PER_DAY * 7
_REGIME_SCALE = (0.75, 1.9)
_REGIME_LEAVE = (1 / (18 * _STEPS_PER_DAY), 1 / (4 * _STEPS_PER_DAY))
_STAKING_RATE, _STAKING_YIELD = 1.2137, 0.068
_MARKET_VOLATILITY = 0.62
_HOUR = 3600 // GRID
# Memory of the small deviations of the stablecoin and of the staked token, in steps.
_MEMORY = 0.97 ** np.arange(160)


class PathSource:
    """Grid of log prices and volumes from `start` (Unix seconds) to wherever it is asked for."""

    def __init__(self, seed: int, start: int, anchor: int) -> None:
        self.seed = seed
        self.start = start - start % GRID
        self.anchor = anchor
        self._column = {token.symbol: i for i, token in enumerate(DEMO_TOKENS)}
        self._regime = 0
        self._shocks = {name: np.zeros(len(_MEMORY) - 1) for name in ("USDC", "jitoSOL")}
        self._blocks = 0
        self._log = np.zeros((1, len(DEMO_TOKENS)))
        self._volume = np.zeros((0, len(DEMO_TOKENS)))
        self._offset = np.zeros(len(DEMO_TOKENS))
        self._cumulative: dict[str, np.ndarray] = {}
        self._grow(anchor)
        level = np.log([token.price for token in DEMO_TOKENS])
        nudge = np.random.default_rng([seed, 1]).uniform(-0.02, 0.02, len(DEMO_TOKENS))
        for i, token in enumerate(DEMO_TOKENS):
            if token.stable or token.staked_sol:
                nudge[i] = 0.0
        self._offset = level + nudge - self._raw(np.array([float(anchor)]))[0]

    def staking_rate(self, at: float) -> float:
        """SOL per staked SOL, growing at a constant continuous rate."""
        return float(_STAKING_RATE * np.exp(_STAKING_YIELD * (at - self.anchor) / (365 * 86_400)))

    def prices(self, symbol: str, times: np.ndarray) -> np.ndarray:
        """Prices in USD at Unix seconds `times` (ascending float64), same shape."""
        self._grow(float(times[-1]))
        return self._levels(symbol, times)

    def _levels(self, symbol: str, times: np.ndarray) -> np.ndarray:
        token = DEMO_TOKENS[self._column[symbol]]
        own = self._interpolate(times, self._column[symbol])
        if token.stable:
            return np.exp(own)
        if token.staked_sol:
            sol = self._column["SOL"]
            base = self._interpolate(times, sol) + self._offset[sol]
            growth = _STAKING_YIELD * (times - self.anchor) / (365 * 86_400)
            return np.exp(base + own + growth + np.log(_STAKING_RATE))
        return np.exp(own + self._offset[self._column[symbol]])

    def volumes(self, symbol: str, times: np.ndarray) -> np.ndarray:
        """Whole tokens traded in each [times[k], times[k+1]); shape (len(times) - 1,)."""
        self._grow(float(times[-1]))
        place = (times - self.start) / GRID
        traded = self._traded(symbol)
        low, high = int(place[0]), int(place[-1]) + 2
        return np.diff(np.interp(place - low, np.arange(high - low), traded[low:high]))

    def _traded(self, symbol: str) -> np.ndarray:
        """Tokens traded since the start of the grid, at each grid point."""
        known = self._cumulative.get(symbol)
        if known is None or len(known) != len(self._log):
            points = self.start + GRID * np.arange(len(self._log), dtype=np.float64)
            # No trade begins at the last point: the grid ends there.
            prices = self._levels(symbol, points)[:-1]
            tokens = self._volume[:, self._column[symbol]] / prices
            known = self._cumulative[symbol] = np.concatenate([[0.0], np.cumsum(tokens)])
        return known

    def _interpolate(self, times: np.ndarray, column: int) -> np.ndarray:
        place = (times - self.start) / GRID
        low = int(place[0])
        high = min(int(place[-1]) + 2, len(self._log))
        return np.interp(place - low, np.arange(high - low), self._log[low:high, column])

    def _raw(self, times: np.ndarray) -> np.ndarray:
        return np.column_stack([self._interpolate(times, i) for i in range(len(DEMO_TOKENS))])

    def _grow(self, until: float) -> None:
        needed = int((until - self.start) // GRID) + 3
        if needed <= len(self._log):
            return
        pieces, volumes, level = [self._log], [self._volume], self._log[-1]
        size = len(self._log)
        while size < needed:
            returns, volume = self._block()
            path = np.cumsum(returns, axis=0) + level
            self._mean_revert(path)
            level = path[-1]
            pieces.append(path)
            volumes.append(volume)
            size += len(path)
        self._log = np.concatenate(pieces)
        self._volume = np.concatenate(volumes)

    def _block(self) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng([self.seed, 2, self._blocks])
        self._blocks += 1
        n, m = _BLOCK, len(DEMO_TOKENS)
        scale = self._regimes(rng, n)
        groups = sorted({token.group for token in DEMO_TOKENS})
        step = np.sqrt(1 / _STEPS_PER_YEAR)
        common = _student(rng, 4, n) * _MARKET_VOLATILITY
        shared = {group: _student(rng, 5, n) * 0.25 for group in groups}
        own = np.column_stack([_student(rng, 5, n) for _ in range(m)])
        crash = _rare(rng, n, 45, -0.035, 0.03)
        jumps = np.column_stack([_rare(rng, n, 60, 0.0, 0.09) for _ in range(m)])
        noise = np.exp(0.6 * rng.standard_normal((n // _HOUR, m)) - 0.18).repeat(_HOUR, axis=0)
        returns = np.zeros((n, m))
        for i, token in enumerate(DEMO_TOKENS):
            if token.stable or token.staked_sol:
                continue
            explained = (token.beta * _MARKET_VOLATILITY) ** 2 + 0.25**2
            rest = np.sqrt(max(token.volatility**2 - explained, 0.1**2))
            returns[:, i] = (
                token.drift / _STEPS_PER_YEAR
                + scale * step * (token.beta * common + shared[token.group] + rest * own[:, i])
                + token.beta * crash
                + jumps[:, i]
            )
        activity = noise * scale[:, None] * (1 + 0.35 * np.abs(common)[:, None])
        per_step = np.array([token.daily_volume for token in DEMO_TOKENS]) / _STEPS_PER_DAY
        returns[:, self._column["USDC"]] = own[:, self._column["USDC"]] * 2e-5
        returns[:, self._column["jitoSOL"]] = own[:, self._column["jitoSOL"]] * 4e-5
        return returns, activity * per_step

    def _mean_revert(self, path: np.ndarray) -> None:
        for symbol, past in self._shocks.items():
            column = self._column[symbol]
            shocks = np.diff(path[:, column], prepend=path[0, column])
            joined = np.concatenate([past, shocks])
            path[:, column] = np.convolve(joined, _MEMORY, mode="valid")
            self._shocks[symbol] = joined[-len(past) :]

    def _regimes(self, rng: np.random.Generator, n: int) -> np.ndarray:
        out, place = np.empty(n), 0
        while place < n:
            length = int(rng.geometric(_REGIME_LEAVE[self._regime]))
            out[place : place + length] = _REGIME_SCALE[self._regime]
            place += length
            if place <= n:
                self._regime = 1 - self._regime
        return out


def _student(rng: np.random.Generator, nu: int, n: int) -> np.ndarray:
    """Unit-variance Student-t returns whose scale is drawn once an hour."""
    scale = np.sqrt((nu - 2) / rng.chisquare(nu, n // _HOUR))
    return rng.standard_normal(n) * scale.repeat(_HOUR)


def _rare(rng: np.random.Generator, n: int, days: float, mean: float, spread: float) -> np.ndarray:
    """Jumps that come once in `days` on average; zero elsewhere."""
    out = np.zeros(n)
    count = int(rng.poisson(n / (days * _STEPS_PER_DAY)))
    out[rng.integers(0, n, count)] = rng.normal(mean, spread, count)
    return out
