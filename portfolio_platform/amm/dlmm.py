"""Meteora DLMM: bins of one price each, with a fee that rises with volatility.

Inside a bin X -> Y gives ``floor(in*p)`` and Y -> X ``floor(in/p)`` at the price p of the bin. The
fee is counted in 1e-9: a base fee, and a variable fee that grows with the square of the distance
that trades have covered lately, in bins.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property, lru_cache
from math import isqrt
from typing import Any, ClassVar, NamedTuple, Self

from portfolio_platform.amm.dlmm_fee import (
    FEE_UNIT,
    FeeParameters,
    Volatility,
    base_fee,
    fee_of_gross,
    fee_on_net,
    total_fee,
    variable_fee,
)
from portfolio_platform.amm.errors import InsufficientLiquidity, InvalidPool, ZeroLiquidity
from portfolio_platform.amm.integers import BPS, Q64, ceil_div
from portfolio_platform.amm.pool import AmmPool
from portfolio_platform.amm.quote import Swap
from portfolio_platform.amm.remembered import Remembered
from portfolio_platform.amm.transfer_fee import TransferFee

BINS_PER_ARRAY = 70


@lru_cache(maxsize=1 << 14)
def bin_price(bin_step: int, bin_id: int) -> int:
    """Return ``(1 + step/10^4)^id`` in Q64.64, rounded down.

    The program computes the power in fixed point and may differ in the last digits; where a bin
    account holds its price, that one counts.
    """
    up, down = (BPS + bin_step) ** abs(bin_id), BPS ** abs(bin_id)
    return (up << 64) // down if bin_id >= 0 else (down << 64) // up


class Bin(NamedTuple):
    """Reserves and Q64.64 price of a bin; a price of 0 is computed from its id."""

    x: int
    y: int
    price: int = 0


class _Offer(NamedTuple):
    """What a bin sells: all of it (`out`) for `paid`, to which `rate` adds the fee."""

    position: int
    bin_id: int
    price: int
    out: int
    paid: int
    rate: int
    accumulator: int


class _Path(NamedTuple):
    used: int
    other: int
    fee: int
    protocol_fee: int
    net_in: int
    real_out: int
    crossed: int
    filled: bool
    state: tuple[Any, ...]


@dataclass(frozen=True, kw_only=True)
class DlmmPool(AmmPool):
    """Pool of bins; mint a is X, mint b is Y.

    Parameters
    ----------
    active_id : int
        Bin of the current price.
    bin_step : int
        Distance of two bins in basis points.
    fees, volatility : FeeParameters, Volatility
        As decoded from the pair account.
    now : int
        Clock of the snapshot in unix seconds; the variable fee decays with time.
    ids : tuple of int
        Fetched bins that hold something, rising.
    bins : tuple of Bin
        Their content. Open limit orders are not counted, so depth is a lower bound.
    lower_id, upper_id : int
        Ends of what the fetched bin arrays cover, both included.
    protocol_share_bps : int
        Share of the fee that leaves the pool.
    """

    kind: ClassVar[str] = "dlmm"

    active_id: int
    bin_step: int
    fees: FeeParameters
    volatility: Volatility
    now: int
    ids: tuple[int, ...]
    bins: tuple[Bin, ...]
    lower_id: int
    upper_id: int
    protocol_share_bps: int = 0

    @classmethod
    def of(
        cls,
        *,
        bins: Mapping[int, Bin],
        array_indexes: tuple[int, ...] | None = None,
        transfer_fee_a: TransferFee | None = None,
        transfer_fee_b: TransferFee | None = None,
        **state: Any,
    ) -> DlmmPool:
        """Build the pool from a map of bins and the indexes of its fetched arrays.

        Of the arrays, those that lie next to each other around the active bin count. Without
        `array_indexes` the bins are taken as contiguous and complete.
        """
        active = state["active_id"]
        if array_indexes is None:
            lower, upper = min(bins, default=active), max(bins, default=active)
        else:
            home = active // BINS_PER_ARRAY
            known = set(array_indexes)
            first = last = home
            while first - 1 in known:
                first -= 1
            while last + 1 in known:
                last += 1
            inside = home in known
            lower = first * BINS_PER_ARRAY if inside else active
            upper = last * BINS_PER_ARRAY + BINS_PER_ARRAY - 1 if inside else active
        held = sorted(i for i, b in bins.items() if lower <= i <= upper and (b.x or b.y))
        return DlmmPool(
            ids=tuple(held),
            bins=tuple(bins[i] for i in held),
            lower_id=min(lower, active),
            upper_id=max(upper, active),
            transfer_fee_a=transfer_fee_a,
            transfer_fee_b=transfer_fee_b,
            **state,
        )

    def _validate(self) -> None:
        if not 0 < self.bin_step <= BPS or len(self.ids) != len(self.bins):
            raise InvalidPool(f"bin step {self.bin_step}", pool=self.address)
        if any(low >= high for low, high in zip(self.ids, self.ids[1:], strict=False)):
            raise InvalidPool("bin ids must rise", pool=self.address)
        if any(min(held) < 0 for held in self.bins):
            raise InvalidPool("a bin holds a negative amount", pool=self.address)

    def spot_price(self) -> Fraction:
        if not any(held.x or held.y for held in self.bins):
            raise ZeroLiquidity("no bin holds anything", pool=self.address, available=0)
        return Fraction(self._price(self.active_id), Q64)

    def fee_rate(self) -> int:
        """Return the fee of a trade in the active bin now, in 1e-9."""
        volatility = self.volatility.referenced(self.active_id, self.now, self.fees)
        return self._rate(volatility.at(self.active_id, self.fees))

    def _rate(self, accumulator: int) -> int:
        fees = self.fees
        base = base_fee(self.bin_step, fees.base_factor, fees.base_fee_power)
        return total_fee(base, variable_fee(self.bin_step, accumulator, fees.variable_fee_control))

    def _price(self, bin_id: int) -> int:
        position = bisect_left(self.ids, bin_id)
        if position < len(self.ids) and self.ids[position] == bin_id and self.bins[position].price:
            return self.bins[position].price
        return bin_price(self.bin_step, bin_id)

    @cached_property
    def _references(self) -> Volatility:
        return self.volatility.referenced(self.active_id, self.now, self.fees)

    @cached_property
    def _offers_of_y(self) -> Remembered[_Offer]:
        return Remembered(self._ahead(True))

    @cached_property
    def _offers_of_x(self) -> Remembered[_Offer]:
        return Remembered(self._ahead(False))

    def _offers(self, x_to_y: bool) -> Remembered[_Offer]:
        """Return what the bins ahead sell, the best price first."""
        return self._offers_of_y if x_to_y else self._offers_of_x

    def _ahead(self, x_to_y: bool) -> Iterator[_Offer]:
        start = bisect_left(self.ids, self.active_id + x_to_y)
        ahead = range(start - 1, -1, -1) if x_to_y else range(start, len(self.ids))
        for position in ahead:
            bin_id, held = self.ids[position], self.bins[position]
            out = held.y if x_to_y else held.x
            if not out:
                continue
            price = held.price or bin_price(self.bin_step, bin_id)
            paid = ceil_div(out << 64, price) if x_to_y else ceil_div(out * price, Q64)
            accumulator = self._references.at(bin_id, self.fees)
            rate = self._rate(accumulator)
            yield _Offer(position, bin_id, price, out, paid, rate, accumulator)

    def _path(self, x_to_y: bool, amount: int, exact_in: bool) -> _Path:
        rest, other, fees, protocol, net_in, real_out, crossed = amount, 0, 0, 0, 0, 0, 0
        changes: list[tuple[int, int, int]] = []
        active, accumulator = self.active_id, self.volatility.accumulator
        for offer in self._offers(x_to_y):
            if rest == 0:
                break
            paid, out, rate = offer.paid, offer.out, offer.rate
            fee = fee_on_net(paid, rate)
            if exact_in and rest <= paid + fee:
                fee = fee_of_gross(rest, rate)
                paid = rest - fee
                scaled = paid * offer.price >> 64 if x_to_y else (paid << 64) // offer.price
                out = min(scaled, out)
                rest = 0
            elif exact_in:
                rest -= paid + fee
            elif rest < out:
                out = rest
                paid = (
                    ceil_div(out << 64, offer.price) if x_to_y else ceil_div(out * offer.price, Q64)
                )
                fee = fee_on_net(paid, rate)
                rest = 0
            else:
                rest -= out
            other += out if exact_in else paid + fee
            fees += fee
            protocol += fee * self.protocol_share_bps // BPS
            net_in += paid
            real_out += min(_real_out(paid, offer.price, x_to_y), offer.out << 64)
            crossed += active != offer.bin_id
            active, accumulator = offer.bin_id, offer.accumulator
            changes.append((offer.position, paid, out))
        state = (active, accumulator, tuple(changes), x_to_y)
        return _Path(
            amount - rest, other, fees, protocol, net_in, real_out, crossed, rest == 0, state
        )

    def _swap_in(self, a_to_b: bool, gross: int) -> Swap:
        path = self._filled(a_to_b, gross, True)
        return self._swap(a_to_b, gross, path.other, path)

    def _swap_out(self, a_to_b: bool, out: int) -> Swap:
        path = self._filled(a_to_b, out, False)
        return self._swap(a_to_b, path.other, out, path)

    def _filled(self, a_to_b: bool, amount: int, exact_in: bool) -> _Path:
        path = self._path(a_to_b, amount, exact_in)
        if path.filled:
            return path
        if not path.used:
            raise ZeroLiquidity(
                "no bin ahead holds anything in this direction", pool=self.address, available=0
            )
        raise InsufficientLiquidity(
            f"{amount} runs past the fetched bins after {path.used}",
            pool=self.address,
            available=path.used,
            lower_id=self.lower_id,
            upper_id=self.upper_id,
        )

    def _swap(self, a_to_b: bool, gross: int, out: int, path: _Path) -> Swap:
        shortfall, worth = self._impact(a_to_b, path.net_in, path.real_out)
        return Swap(
            gross, out, path.fee, 0, path.protocol_fee, shortfall, worth, path.crossed, path.state
        )

    def _impact(self, a_to_b: bool, net_in: int, real_out: int) -> tuple[int, int]:
        if net_in == 0:
            return 0, 1
        price = self._price(self.active_id)
        if a_to_b:
            worth, got = net_in * price, real_out
        else:
            worth, got = net_in << 128, real_out * price
        return max(worth - got, 0), worth

    def _max_gross(self, a_to_b: bool, impact_bps: int) -> int:
        """Return the largest input within the limit, to a base unit of the last bin."""
        gross = net_in = real_out = 0

        def within(paid: int, out: int) -> bool:
            shortfall, worth = self._impact(a_to_b, net_in + paid, real_out + out)
            return shortfall * BPS <= impact_bps * worth

        for offer in self._offers(a_to_b):
            whole = min(_real_out(offer.paid, offer.price, a_to_b), offer.out << 64)
            if within(offer.paid, whole):
                gross += offer.paid + fee_on_net(offer.paid, offer.rate)
                net_in += offer.paid
                real_out += whole
                continue
            low, high = 0, offer.paid
            while high - low > 1:
                middle = (low + high) // 2
                part = min(_real_out(middle, offer.price, a_to_b), offer.out << 64)
                if within(middle, part):
                    low = middle
                else:
                    high = middle
            if low:
                gross += ((low + 1) * FEE_UNIT - 1) // (FEE_UNIT - offer.rate)
            break
        return gross

    def _root(self, a_to_b: bool) -> int:
        for offer in self._offers(a_to_b):
            return _marginal_root(offer, a_to_b)
        raise ZeroLiquidity(
            "no bin ahead holds anything in this direction", pool=self.address, available=0
        )

    def _gross_to_root(self, a_to_b: bool, root: int) -> int:
        gross = 0
        for offer in self._offers(a_to_b):
            if _marginal_root(offer, a_to_b) < root:
                break
            gross += offer.paid + fee_on_net(offer.paid, offer.rate)
        return gross

    def _moved(self, state: tuple[Any, ...]) -> Self:
        active, accumulator, changes, x_to_y = state
        bins = list(self.bins)
        for position, paid, out in changes:
            held = bins[position]
            change = (paid, -out) if x_to_y else (-out, paid)
            bins[position] = held._replace(x=held.x + change[0], y=held.y + change[1])
        volatility = self._references._replace(accumulator=accumulator, last_update=self.now)
        return replace(self, active_id=active, bins=tuple(bins), volatility=volatility)

    def _state_json(self) -> dict[str, Any]:
        return {
            "active_id": self.active_id,
            "bin_step": self.bin_step,
            "fees": self.fees._asdict(),
            "volatility": self.volatility._asdict(),
            "now": self.now,
            "ids": list(self.ids),
            "bins": [[str(value) for value in held] for held in self.bins],
            "lower_id": self.lower_id,
            "upper_id": self.upper_id,
            "protocol_share_bps": self.protocol_share_bps,
        }

    @classmethod
    def _state_from_json(cls, data: dict[str, Any]) -> dict[str, Any]:
        plain = ("active_id", "bin_step", "now", "lower_id", "upper_id", "protocol_share_bps")
        return {name: data[name] for name in plain} | {
            "fees": FeeParameters(**data["fees"]),
            "volatility": Volatility(**data["volatility"]),
            "ids": tuple(data["ids"]),
            "bins": tuple(Bin(*(int(value) for value in held)) for held in data["bins"]),
        }


def _real_out(paid: int, price: int, x_to_y: bool) -> int:
    """Return the output of a bin in Q64.64, without rounding to base units."""
    return paid * price if x_to_y else (paid << 128) // price


def _marginal_root(offer: _Offer, x_to_y: bool) -> int:
    """Return the square root of the price of a bin after its fee (out per in) in Q64.64."""
    kept = FEE_UNIT - offer.rate
    if x_to_y:
        return isqrt((offer.price * kept << 64) // FEE_UNIT)
    return isqrt((kept << 192) // (offer.price * FEE_UNIT))
