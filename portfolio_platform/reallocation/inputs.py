"""Everything a plan is computed from, as one value that can be stored and computed again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from typing import Any

from portfolio_platform.amm import AmmPool, TransferFee, pool_from_json
from portfolio_platform.reallocation.rationals import ratio
from portfolio_platform.reallocation.reasons import Failure
from portfolio_platform.reallocation.settings import PlanSettings


def canonical(value: Any) -> str:
    """Return JSON text that is the same for the same content."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def content_hash(value: Any) -> str:
    """Return the sha256 of the canonical JSON, in hex."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def _moment(value: datetime | None) -> str | None:
    return None if value is None else value.isoformat()


def _parse(value: str | None) -> datetime | None:
    return None if value is None else datetime.fromisoformat(value)


@dataclass(frozen=True)
class Token:
    """What must be known of a mint; `decimals` is None where nobody told."""

    decimals: int | None
    symbol: str | None = None
    transfer_fee: TransferFee | None = None

    @property
    def charged_fee(self) -> TransferFee | None:
        """The transfer fee, None where the mint has one that is zero."""
        fee = self.transfer_fee
        return fee if fee is not None and fee.charges else None

    def to_json(self) -> dict[str, Any]:
        """Return the token as JSON."""
        fee = self.transfer_fee
        return {
            "decimals": self.decimals,
            "symbol": self.symbol,
            "transfer_fee": fee and {"bps": fee.bps, "max": str(fee.max)},
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Token:
        """Restore the token."""
        fee = data["transfer_fee"]
        return cls(
            data["decimals"],
            data["symbol"],
            TransferFee(fee["bps"], int(fee["max"])) if fee else None,
        )


@dataclass(frozen=True)
class Price:
    """Valuation price: hub base units per base unit of the asset."""

    value: Fraction
    observed_at: datetime | None = None
    source: str | None = None

    @classmethod
    def from_display(
        cls,
        value: Any,
        decimals: int,
        hub_decimals: int,
        *,
        observed_at: datetime | None = None,
        source: str | None = None,
    ) -> Price:
        """Build from a price as people quote it: whole hub tokens per whole asset token."""
        scale = Fraction(10) ** (hub_decimals - decimals)
        return cls(ratio(value) * scale, observed_at, source)

    def to_json(self) -> dict[str, Any]:
        """Return the price as JSON, exact."""
        return {
            "value": str(self.value),
            "observed_at": _moment(self.observed_at),
            "source": self.source,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Price:
        """Restore the price."""
        return cls(Fraction(data["value"]), _parse(data["observed_at"]), data["source"])


@dataclass(frozen=True)
class Portfolio:
    """Holdings at one slot.

    Parameters
    ----------
    id : str
        Identity of the portfolio.
    hub : str
        Mint in which values are counted and through which trades settle.
    holdings : mapping of str to int
        Base units by mint; the hub may be among them and counts as cash.
    cash : int
        Base units of the hub beside `holdings`.
    frozen : frozenset of str
        Mints whose token account is frozen.
    """

    id: str
    hub: str
    holdings: Mapping[str, int]
    cash: int = 0
    frozen: frozenset[str] = frozenset()

    @property
    def total_cash(self) -> int:
        """Hub base units held."""
        return self.cash + self.holdings.get(self.hub, 0)

    @property
    def assets(self) -> dict[str, int]:
        """Holdings without the hub, by mint in order."""
        return {mint: self.holdings[mint] for mint in sorted(self.holdings) if mint != self.hub}

    def to_json(self) -> dict[str, Any]:
        """Return the holdings as JSON; amounts are decimal strings."""
        return {
            "id": self.id,
            "hub": self.hub,
            "holdings": {mint: str(quantity) for mint, quantity in self.assets.items()},
            "cash": str(self.total_cash),
            "frozen": sorted(self.frozen),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Portfolio:
        """Restore the holdings."""
        return cls(
            data["id"],
            data["hub"],
            {mint: int(quantity) for mint, quantity in data["holdings"].items()},
            int(data["cash"]),
            frozenset(data["frozen"]),
        )


@dataclass(frozen=True)
class SnapshotInfo:
    """Where the on-chain part of the inputs comes from."""

    min_slot: int
    max_slot: int
    observed_at: datetime | None = None
    ids: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the provenance as JSON."""
        return {
            "min_slot": self.min_slot,
            "max_slot": self.max_slot,
            "observed_at": _moment(self.observed_at),
            "ids": sorted(self.ids),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> SnapshotInfo:
        """Restore the provenance."""
        return cls(
            data["min_slot"], data["max_slot"], _parse(data["observed_at"]), tuple(data["ids"])
        )


@dataclass(frozen=True)
class Outlook:
    """Expected returns and covariance of one period, for the report of a plan.

    Parameters
    ----------
    assets : tuple of str
        Mints, in the order of the numbers; what is not named (cash) counts as riskless.
    mean : tuple of float, shape (n,)
        Expected return per period.
    covariance : tuple of tuple of float, shape (n, n)
        Covariance per period.
    periods_per_year : float
        Annualises the figures.
    risk_free : float
        Annual rate earned by cash and subtracted in the Sharpe ratio.
    """

    assets: tuple[str, ...]
    mean: tuple[float, ...]
    covariance: tuple[tuple[float, ...], ...]
    periods_per_year: float = 365.0
    risk_free: float = 0.0

    def __post_init__(self) -> None:
        n = len(self.assets)
        if len(self.mean) != n or any(len(row) != n for row in (self.covariance, *self.covariance)):
            raise ValueError(f"mean and covariance must be of {n} assets")

    def to_json(self) -> dict[str, Any]:
        """Return the numbers as JSON."""
        return {
            "assets": list(self.assets),
            "mean": list(self.mean),
            "covariance": [list(row) for row in self.covariance],
            "periods_per_year": self.periods_per_year,
            "risk_free": self.risk_free,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Outlook:
        """Restore the numbers."""
        return cls(
            tuple(data["assets"]),
            tuple(data["mean"]),
            tuple(tuple(row) for row in data["covariance"]),
            data["periods_per_year"],
            data["risk_free"],
        )


@dataclass(frozen=True)
class PlanInputs:
    """The whole input of `compute`; two equal values give the same plan, byte for byte.

    `expected_benefit` is in hub base units over the horizon for which the caller holds the cost
    worth paying. `refusals` say why there is nothing to plan on (no target, no network): such
    inputs give a failed plan that still shows the portfolio.
    """

    portfolio: Portfolio
    targets: Mapping[str, Fraction]
    prices: Mapping[str, Price]
    tokens: Mapping[str, Token]
    pools: tuple[AmmPool, ...]
    settings: PlanSettings
    as_of: datetime
    snapshot: SnapshotInfo | None = None
    last_reallocation_at: datetime | None = None
    expected_benefit: Fraction | None = None
    outlook: Outlook | None = None
    references: Mapping[str, str] = field(default_factory=dict)
    refusals: tuple[Failure, ...] = ()

    @classmethod
    def build(
        cls,
        portfolio: Portfolio,
        targets: Mapping[str, Any],
        prices: Mapping[str, Any],
        pools: Iterable[AmmPool],
        settings: PlanSettings,
        *,
        tokens: Mapping[str, Token],
        as_of: datetime,
        snapshot: SnapshotInfo | None = None,
        last_reallocation_at: datetime | None = None,
        expected_benefit: Any = None,
        outlook: Outlook | None = None,
        references: Mapping[str, str] | None = None,
        refusals: Iterable[Failure] = (),
    ) -> PlanInputs:
        """Normalise loosely typed arguments: weights and prices become exact fractions."""
        for moment in (as_of, last_reallocation_at):
            if moment is not None and moment.tzinfo is None:
                raise ValueError("times must carry a timezone")
        return cls(
            portfolio=portfolio,
            targets={mint: ratio(weight) for mint, weight in targets.items()},
            prices={
                mint: price if isinstance(price, Price) else Price(ratio(price))
                for mint, price in prices.items()
                if price is not None
            },
            tokens=dict(tokens),
            pools=tuple(sorted(pools, key=lambda pool: pool.address)),
            settings=settings,
            as_of=as_of,
            snapshot=snapshot,
            last_reallocation_at=last_reallocation_at,
            expected_benefit=None if expected_benefit is None else ratio(expected_benefit),
            outlook=outlook,
            references=dict(references or {}),
            refusals=tuple(refusals),
        )

    def to_json(self) -> dict[str, Any]:
        """Return the inputs as JSON, sorted, amounts and rationals as text.

        `refusals` are named only where there are some.
        """
        refusals = {"refusals": [one.to_json() for one in self.refusals]} if self.refusals else {}
        return {
            "version": 1,
            "portfolio": self.portfolio.to_json(),
            "targets": {mint: str(self.targets[mint]) for mint in sorted(self.targets)},
            "prices": {mint: self.prices[mint].to_json() for mint in sorted(self.prices)},
            "tokens": {mint: self.tokens[mint].to_json() for mint in sorted(self.tokens)},
            "pools": [pool.to_json() for pool in self.pools],
            "settings": self.settings.model_dump(mode="json"),
            "as_of": _moment(self.as_of),
            "snapshot": self.snapshot and self.snapshot.to_json(),
            "last_reallocation_at": _moment(self.last_reallocation_at),
            "expected_benefit": None
            if self.expected_benefit is None
            else str(self.expected_benefit),
            "outlook": self.outlook and self.outlook.to_json(),
            "references": dict(sorted(self.references.items())),
            **refusals,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> PlanInputs:
        """Restore the inputs that `to_json` wrote."""
        if data.get("version") != 1:
            raise ValueError(f"unknown version of plan inputs: {data.get('version')!r}")
        benefit = data["expected_benefit"]
        return cls(
            portfolio=Portfolio.from_json(data["portfolio"]),
            targets={mint: Fraction(weight) for mint, weight in data["targets"].items()},
            prices={mint: Price.from_json(price) for mint, price in data["prices"].items()},
            tokens={mint: Token.from_json(token) for mint, token in data["tokens"].items()},
            pools=tuple(pool_from_json(pool) for pool in data["pools"]),
            settings=PlanSettings.model_validate(data["settings"]),
            as_of=datetime.fromisoformat(data["as_of"]),
            snapshot=SnapshotInfo.from_json(data["snapshot"]) if data["snapshot"] else None,
            last_reallocation_at=_parse(data["last_reallocation_at"]),
            expected_benefit=None if benefit is None else Fraction(benefit),
            outlook=Outlook.from_json(data["outlook"]) if data["outlook"] else None,
            references=data["references"],
            refusals=tuple(Failure.from_json(refusal) for refusal in data.get("refusals", ())),
        )

    @property
    def content_hash(self) -> str:
        """sha256 of the canonical JSON."""
        return content_hash(self.to_json())
