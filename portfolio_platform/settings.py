"""Every setting and environment variable of the platform, in one typed place.

With nothing set, everything runs embedded: PostgreSQL and a local Solana chain under
``PORTFOLIO_HOME``, whose addresses ``portfolio-platform up`` leaves in ``services.json``.
"""

from __future__ import annotations

import json
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import AliasChoices, Field, SecretStr, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, SettingsConfigDict

SERVICES_FILE = "services.json"


class ServicesNotRunning(RuntimeError):
    """A needed service is neither configured nor running embedded."""


class Settings(BaseSettings):
    """Settings read from the environment.

    A value that is not set falls back to the embedded services that ``portfolio-platform up`` or
    ``make demo`` started under `home`; nothing falls back silently to another network.
    """

    model_config = SettingsConfigDict(
        env_prefix="PORTFOLIO_", env_nested_delimiter="__", extra="ignore", frozen=True
    )

    home: Path = Field(
        default=Path(".portfolio"), description="Directory of the embedded services and local keys."
    )
    database_url: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices("DATABASE_URL", "PORTFOLIO_DATABASE_URL"),
        description="Supabase or any Postgres >= 15. Unset: the embedded server.",
    )
    dagster_postgres_url: SecretStr | None = Field(
        default=None,
        validation_alias="DAGSTER_POSTGRES_URL",
        description="Storage of Dagster, `postgresql+psycopg2://…`. Unset: the embedded server.",
    )
    api_database_url: SecretStr | None = Field(
        default=None,
        description="Login of the API: a role that can only become `anon` or `authenticated`.",
    )
    rpc_urls: str | None = Field(
        default=None,
        validation_alias=AliasChoices("SOLANA_RPC_URLS", "PORTFOLIO_RPC_URLS"),
        description="Comma-separated JSON-RPC endpoints, best first. Unset: the local chain.",
    )
    rpc_requests_per_10s: int | None = Field(
        default=None,
        ge=1,
        description="Requests per endpoint and ten seconds. Unset: the public endpoints' limit of "
        "100; none for a loopback address.",
    )
    rpc_requests_per_method_per_10s: int | None = Field(
        default=None, ge=1, description="The same per method. Unset: 40."
    )
    ws_url: str | None = Field(
        default=None,
        validation_alias=AliasChoices("SOLANA_WS_URL", "PORTFOLIO_WS_URL"),
        description="WebSocket endpoint for `portfolio-platform stream`.",
    )
    universe: str | None = Field(
        default=None,
        description="File or URL of the universe (tokens and accounts to watch). "
        "Unset: what the database holds, or the local chain's own.",
    )
    swap_first_look: int = Field(
        default=50,
        ge=1,
        description="Transactions from which back a pool is followed when it never was before.",
    )
    swap_seconds: float = Field(
        default=30.0,
        gt=0,
        description="A run reads transactions for no longer; what is left is read by the next.",
    )
    history_base_url: str | None = Field(
        default=None,
        description="TradingView-UDF history service. Unset: the local chain's.",
    )
    history_api_key: SecretStr | None = Field(
        default=None, description="Bearer key of the history service, where it wants one."
    )
    history_symbol_prefix: str = Field(
        default="", description="Put before each token's history symbol."
    )
    history_venue: str = Field(
        default="udf",
        min_length=1,
        description="Venue of the series that the history service fills. Another service needs "
        "another name: its bars are other series.",
    )
    history_instrument: Literal["spot", "perp", "oracle"] = Field(
        default="oracle", description="What the history service's bars are bars of."
    )
    history_start: date = Field(
        default=date(2021, 1, 1), description="First day that can be filled in day by day."
    )
    history_days_daily: int = Field(default=730, ge=1, description="Days of daily bars kept.")
    history_days_hourly: int = Field(default=90, ge=0, description="Days of hourly bars kept.")
    history_requests_per_10s: int = Field(
        default=30, ge=1, description="Requests to the history service per ten seconds."
    )
    bar_preference: str = Field(
        default="spot,oracle,pool,perp",
        description="Which instrument's bars stand for a token, best first; never mixed.",
    )
    otlp_endpoint: str | None = Field(
        default=None,
        validation_alias="OTEL_EXPORTER_OTLP_ENDPOINT",
        description="OpenTelemetry collector (OTLP over HTTP) for the API's spans; needs the extra "
        "`telemetry`.",
    )
    supabase_url: str | None = Field(
        default=None,
        validation_alias="SUPABASE_URL",
        description="Supabase project: its Auth keys verify users, its Data API serves the feed.",
    )
    supabase_publishable_key: SecretStr | None = Field(
        default=None, validation_alias="SUPABASE_PUBLISHABLE_KEY", description="`sb_publishable_…`"
    )
    supabase_secret_key: SecretStr | None = Field(
        default=None,
        validation_alias="SUPABASE_SECRET_KEY",
        description="`sb_secret_…`: lets the change feed be read over HTTPS.",
    )
    jwks_url: str | None = Field(
        default=None, description="Keys that verify users' tokens. Unset: Supabase's, or local."
    )
    jwt_issuer: str | None = Field(
        default=None, description="Expected `iss`. Unset: Supabase's, or the local issuer."
    )
    jwt_audience: str = Field(default="authenticated", description="Expected `aud`.")
    api_host: str = Field(default="127.0.0.1", description="Address the API listens on.")
    api_port: int = Field(default=8000, ge=0, le=65535, description="Port of the API; 0: any free.")
    ui_port: int = Field(
        default=3000, ge=0, le=65535, description="Port of the Dagster UI; 0: any free."
    )
    secret_key: SecretStr | None = Field(
        default=None,
        description="Fernet keys (newest first, comma-separated) that encrypt users' notification "
        "channels. Unset: a key kept under the home.",
    )
    sensor_interval_seconds: int = Field(
        default=5, ge=0, description="Seconds between two looks of a sensor at the change feed."
    )
    sensor_max_attempts: int = Field(
        default=3, ge=1, description="Runs of the same work before its events are set aside."
    )
    sensor_retry_seconds: float = Field(
        default=10.0, ge=0, description="Wait after a first failed run; doubled after each further."
    )
    sensor_silence_seconds: float = Field(
        default=60.0, gt=0, description="A started run without any sign of life is then dead."
    )
    sensor_launch_grace_seconds: float = Field(
        default=30.0, gt=0, description="A requested run that did not appear is then asked again."
    )
    sensor_rest_seconds: float = Field(
        default=30.0,
        ge=0,
        description="Pause between two recomputations after market data changed; a stream of "
        "prices must not keep the optimisers busy without end.",
    )
    demo_seed: int = Field(default=7, description="Seed of the demo market.")
    max_price_age_seconds: float = Field(
        default=120.0, gt=0, description="Older oracle prices are refused."
    )
    max_price_confidence: float = Field(
        default=0.02, gt=0, description="Widest accepted confidence, as a share of the price."
    )
    max_price_deviation: float = Field(
        default=0.05, gt=0, description="Largest accepted gap between oracle and pool."
    )
    max_price_age_slots: int = Field(
        default=600, gt=0, description="Oracle prices of older slots are refused."
    )
    min_price_depth: float = Field(
        default=100.0,
        ge=0,
        description="US dollars that must at least move a pool by 1 %; thinner ones are refused.",
    )
    reference_interval: Literal["1m", "1h", "1d"] = Field(
        default="1h", description="Bars whose newest clean close is a voice beside the chain's."
    )
    reference_max_intervals: int = Field(
        default=2, ge=1, description="Older closes, in intervals, are no voice any more."
    )
    max_reference_deviation: float = Field(
        default=0.25,
        gt=0,
        description="How far a token's only source may lie from a venue's last close: crashes are "
        "real. With several sources the close is one voice among them.",
    )
    max_concentration: float = Field(
        default=0.6, gt=0, le=1, description="Larger single weights are warned about."
    )
    max_version_turnover: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description="Larger changes of a strategy's weights between two versions are warned about, "
        "as a share of the portfolio.",
    )
    max_bars_behind: float = Field(
        default=3.0,
        gt=0,
        description="Where bars lie further behind the newest oracle price, counted in bars, "
        "nothing is planned on the weights made from them.",
    )
    stale_after_seconds: float = Field(
        default=7200.0, gt=0, description="Results older than this are served as stale."
    )
    executor: Literal["in_process", "multiprocess", "dask"] = Field(
        default="in_process", description="Where the steps of a run execute."
    )
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @field_validator("rpc_urls")
    @classmethod
    def _endpoints(cls, joined: str | None) -> str | None:
        urls = _listed(joined or "")
        if joined and not urls:
            raise ValueError("there is no endpoint between the commas")
        for url in urls:
            _address(url, ("https", "http"))
        return joined

    @field_validator("ws_url")
    @classmethod
    def _socket(cls, url: str | None) -> str | None:
        return _address(url, ("wss", "ws")) if url else url

    @field_validator("history_base_url", "supabase_url", "otlp_endpoint")
    @classmethod
    def _service(cls, url: str | None) -> str | None:
        return _address(url, ("https", "http")) if url else url

    @cached_property
    def home_path(self) -> Path:
        """Absolute `home`."""
        return self.home.expanduser().resolve()

    def services(self) -> dict[str, Any]:
        """Addresses of the running embedded services; empty where none was started."""
        path = self.home_path / SERVICES_FILE
        return json.loads(path.read_text()) if path.exists() else {}

    def _resolve(self, configured: str | None, service: str, variable: str) -> str:
        value = configured or self.services().get(service)
        if not value:
            raise ServicesNotRunning(
                f"{variable} is not set and no embedded service is running under {self.home_path}; "
                "run `portfolio-platform up`, or set it"
            )
        return str(value)

    def resolve_database_url(self) -> str:
        """Database of the platform, as the role that owns its tables."""
        secret = self.database_url.get_secret_value() if self.database_url else None
        return self._resolve(secret, "DATABASE_URL", "DATABASE_URL")

    def resolve_dagster_url(self) -> str:
        """Storage of Dagster (always with the psycopg2 scheme)."""
        secret = self.dagster_postgres_url.get_secret_value() if self.dagster_postgres_url else None
        return self._resolve(secret, "DAGSTER_POSTGRES_URL", "DAGSTER_POSTGRES_URL")

    def resolve_api_database_url(self) -> str:
        """Database as the API logs in."""
        secret = self.api_database_url.get_secret_value() if self.api_database_url else None
        return self._resolve(secret, "PORTFOLIO_API_DATABASE_URL", "PORTFOLIO_API_DATABASE_URL")

    def resolve_rpc_urls(self) -> list[str]:
        """JSON-RPC endpoints, best first."""
        joined = self._resolve(self.rpc_urls, "SOLANA_RPC_URLS", "SOLANA_RPC_URLS")
        return _listed(joined)

    def resolve_ws_url(self) -> str:
        """WebSocket endpoint."""
        return self._resolve(self.ws_url, "SOLANA_WS_URL", "SOLANA_WS_URL")

    def resolve_history_url(self) -> str:
        """Base of the UDF history service."""
        return self._resolve(
            self.history_base_url, "PORTFOLIO_HISTORY_BASE_URL", "PORTFOLIO_HISTORY_BASE_URL"
        )

    def resolve_jwks(self) -> str:
        """Address or file of the keys that verify users' tokens."""
        if self.jwks_url:
            return self.jwks_url
        if self.supabase_url:
            return f"{self.supabase_url.rstrip('/')}/auth/v1/.well-known/jwks.json"
        return str(self.home_path / "jwks.json")

    def resolve_issuer(self, local: str) -> str:
        """Expected ``iss``: set, Supabase's, or that of the local keys."""
        if self.jwt_issuer:
            return self.jwt_issuer
        return f"{self.supabase_url.rstrip('/')}/auth/v1" if self.supabase_url else local

    def resolve_universe(self) -> str:
        """Where the universe is described."""
        return self._resolve(self.universe, "PORTFOLIO_UNIVERSE", "PORTFOLIO_UNIVERSE")


def _listed(joined: str) -> list[str]:
    """What stands between commas."""
    return [url.strip() for url in joined.split(",") if url.strip()]


def _address(url: str, schemes: tuple[str, ...]) -> str:
    """`url`, when it has one of the schemes and a host; it may hold a key and is not repeated."""
    parts = urlsplit(url)
    if parts.scheme not in schemes or not parts.hostname:
        raise ValueError(f"an address begins with {schemes[0]}:// (or {schemes[1]}://) and a host")
    if parts.port == 0:  # reading it raises ValueError beyond 65535
        raise ValueError("no address has port 0")
    return url


def variable_of(name: str, field: FieldInfo) -> str:
    """The environment variable of a setting."""
    alias = field.validation_alias
    if isinstance(alias, AliasChoices):
        return str(alias.choices[0])
    return str(alias) if alias else f"PORTFOLIO_{name.upper()}"


def environment_table() -> list[tuple[str, str, str]]:
    """Name, default and meaning of every environment variable, for the README and `doctor`."""
    return [
        (
            variable_of(name, field),
            "" if field.default is None else str(field.default),
            field.description or "",
        )
        for name, field in Settings.model_fields.items()
    ]
