"""How patiently the network is asked."""

from pydantic import BaseModel, ConfigDict, Field

from portfolio_platform.solana.rpc.limits import (
    PUBLIC_PERIOD_SECONDS,
    PUBLIC_REQUESTS,
    PUBLIC_REQUESTS_PER_METHOD,
    Limits,
)


class PoolSettings(BaseModel):
    """How patiently the network is asked."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    deadline_seconds: float = Field(default=30.0, gt=0)
    request_timeout_seconds: float = Field(default=10.0, gt=0)
    attempts: int = Field(default=8, ge=1)
    backoff_seconds: float = Field(default=0.25, gt=0)
    backoff_limit_seconds: float = Field(default=8.0, gt=0)
    hedge_after_seconds: float | None = Field(default=1.0, gt=0)
    commitment: str = "finalized"
    requests_per_period: int = Field(default=PUBLIC_REQUESTS, ge=1)
    requests_per_method: int = Field(default=PUBLIC_REQUESTS_PER_METHOD, ge=1)
    period_seconds: float = Field(default=PUBLIC_PERIOD_SECONDS, gt=0)

    @property
    def limits(self) -> Limits:
        """The request limits of each endpoint."""
        return Limits(self.requests_per_period, self.requests_per_method, self.period_seconds)
