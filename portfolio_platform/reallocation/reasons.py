"""The vocabulary of a plan: outcomes, reasons and triggers are part of the stored format."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NamedTuple


class Outcome(StrEnum):
    """What every computation ends in."""

    REALLOCATION = "reallocation"
    NO_REALLOCATION_NEEDED = "no_reallocation_needed"
    FAILED = "failed"


class Reason(StrEnum):
    """Why a plan is what it is."""

    WITHIN_BAND = "within_band"
    BELOW_MIN_NOTIONAL = "below_min_notional"
    COOLDOWN = "cooldown"
    COST_EXCEEDS_BENEFIT = "cost_exceeds_benefit"
    STALE_DATA = "stale_data"
    SNAPSHOT_INCOHERENT = "snapshot_incoherent"
    EMPTY_PORTFOLIO = "empty_portfolio"
    INSUFFICIENT_LIQUIDITY = "insufficient_liquidity"
    ZERO_LIQUIDITY = "zero_liquidity"
    IMPACT_LIMIT = "impact_limit"
    CAP_REACHED = "cap_reached"
    DUST = "dust"
    PRICE_MISSING = "price_missing"
    DECIMALS_MISSING = "decimals_missing"
    UNKNOWN_TOKEN = "unknown_token"
    NO_POOL = "no_pool"
    POOL_PAUSED = "pool_paused"
    INVALID_POOL = "invalid_pool"
    ADAPTIVE_FEE_UNSUPPORTED = "adaptive_fee_unsupported"
    ACCOUNT_FROZEN = "account_frozen"
    TRANSFER_FEE_MINT = "transfer_fee_mint"
    TARGETS_NOT_NORMALISED = "targets_not_normalised"
    AMOUNT_OUT_OF_RANGE = "amount_out_of_range"
    FEE_RESERVE = "fee_reserve"
    RPC_UNAVAILABLE = "rpc_unavailable"
    SOLVER_INFEASIBLE = "solver_infeasible"
    NO_TARGET = "no_target"
    INVALID_SETTINGS = "invalid_settings"


class Trigger(StrEnum):
    """What put the portfolio outside its band."""

    DEPLOYMENT_UTILIZATION = "deployment_utilization"
    WEIGHT_BAND = "weight_band"


class Failure(NamedTuple):
    """One thing that stops a plan, or that a partial plan had to leave out.

    `need` and `available` are base units of what would be sold (the asset for a sell, the hub for
    a buy); both are None where the refusal is not about an amount.
    """

    asset: str | None
    side: str | None
    need: int | None
    available: int | None
    reason: Reason
    detail: str

    @property
    def parts(self) -> int | None:
        """Number of equal trades that would fit one by one, if the pools recovered in between."""
        if not self.need or not self.available or self.available >= self.need:
            return None
        return -(-self.need // self.available)

    def to_json(self) -> dict[str, Any]:
        """Return the entry as JSON; amounts are decimal strings."""
        return {
            "asset": self.asset,
            "side": self.side,
            "need": None if self.need is None else str(self.need),
            "available": None if self.available is None else str(self.available),
            "reason": self.reason.value,
            "parts_if_pools_recover": self.parts,
            "detail": self.detail,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Failure:
        """Restore the entry."""
        need, available = data["need"], data["available"]
        return cls(
            data["asset"],
            data["side"],
            None if need is None else int(need),
            None if available is None else int(available),
            Reason(data["reason"]),
            data["detail"],
        )
