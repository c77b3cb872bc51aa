"""What one API process is told; it reads no environment of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet
from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator


class ApiSettings(BaseModel):
    """Settings of the read layer.

    Raises
    ------
    pydantic.ValidationError
        A field is unknown, missing or out of its range.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    database_url: SecretStr = Field(
        description="libpq URL of a login role that can become only anon and authenticated."
    )
    jwks: str | Path | dict[str, Any] = Field(
        description="Key set: http(s) URL, path of a file, or the document itself."
    )
    issuer: str = Field(min_length=1, description="Required `iss` of every token.")
    audience: str = Field("authenticated", min_length=1, description="Required `aud`.")
    allow_hs256_secret: SecretStr | None = Field(
        None, description="Legacy shared secret; only naming it here admits HS256 at all."
    )
    jwks_refetch_cooldown: float = Field(30.0, ge=0, description="Seconds between two fetches.")
    jwks_max_age: float = Field(600.0, gt=0, description="Seconds before keys are fetched anew.")
    jwks_outage_age: float = Field(
        86_400.0, gt=0, description="Seconds for which cached keys outlive an outage."
    )
    token_cache_size: int = Field(4096, ge=0, description="Verified tokens remembered.")
    max_token_bytes: int = Field(8192, gt=0)

    pool_min_size: int = Field(2, ge=1)
    pool_max_size: int = Field(8, ge=1)
    pool_timeout: float = Field(2.0, gt=0, description="Seconds a request waits for a connection.")
    statement_timeout: float = Field(2.0, gt=0, description="Seconds a statement may run.")
    prepared_statements: bool = Field(True, description="Off behind a transaction-mode pooler.")
    listen: bool = Field(
        True, description="Hold one LISTEN connection to wake streams; off behind such a pooler."
    )

    secret_key: SecretStr | None = Field(
        None,
        description="Fernet key that seals users' notification addresses; without it channels can "
        "be read and not written. It decrypts nothing here: the login role cannot read them.",
    )
    cursor_secret: SecretStr | None = Field(
        None, description="Key of page cursors; random per process unless several serve together."
    )
    body_cache_size: int = Field(512, ge=0, description="Immutable bodies kept in memory.")
    stale_after_seconds: float = Field(
        172_800.0, gt=0, description="Age of data_as_of from which an answer says stale."
    )
    settle_seconds: float = Field(
        300.0, ge=0, description="Age from which an as_of answer can no longer change."
    )
    ready_max_age_seconds: float | None = Field(
        None, gt=0, description="Oldest chain snapshot with which /readyz still says ready."
    )

    max_body_bytes: int = Field(262_144, gt=0)
    max_url_bytes: int = Field(4096, gt=0)
    rate_per_second: float = Field(
        200.0, ge=0, description="Sustained requests per subject; 0 removes the limit."
    )
    rate_burst: int = Field(400, ge=1)
    max_open_requests: int = Field(
        20, ge=1, description="Queued or running requests a user may have of each kind."
    )
    max_wait_seconds: float = Field(60.0, ge=0, description="Longest `Prefer: wait`.")

    stream_heartbeat: float = Field(15.0, gt=0)
    stream_poll: float = Field(1.0, gt=0, description="Seconds between looks at the outbox.")
    stream_send_timeout: float = Field(30.0, gt=0, description="Slower readers are dropped.")
    max_streams_per_subject: int = Field(5, ge=1)
    max_streams: int = Field(200, ge=1)

    telemetry: bool = Field(
        False,
        description="OpenTelemetry spans and metrics, to OTEL_EXPORTER_OTLP_ENDPOINT where no "
        "provider is configured; the exporter needs the extra `telemetry`.",
    )

    @field_validator("secret_key")
    @classmethod
    def _fernet(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            try:
                Fernet(value.get_secret_value())
            except ValueError as error:
                raise ValueError("a Fernet key is needed: 32 bytes, url-safe base64") from error
        return value

    @field_validator("jwks", mode="before")
    @classmethod
    def _path_or_url(cls, value: Any) -> Any:
        if isinstance(value, str) and not value.startswith(("http://", "https://")):
            return Path(value)
        return value
