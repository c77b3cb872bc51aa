"""Errors as `application/problem+json` (RFC 9457): one catalogue, stable types, no SQL text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

MEDIA_TYPE = "application/problem+json"


@dataclass(frozen=True)
class ProblemType:
    """One kind of error: what it is called and what to do about it."""

    code: str
    status: int
    title: str
    remedy: str

    @property
    def uri(self) -> str:
        """Stable `type`; the API serves a description there."""
        return f"/problems/{self.code}"


CATALOGUE: dict[str, ProblemType] = {
    kind.code: kind
    for kind in (
        ProblemType("bad-request", 400, "Malformed request", "Correct what the detail names."),
        ProblemType(
            "bad-cursor",
            400,
            "The page cursor is not valid here",
            "Start again without `cursor`; a cursor belongs to one user, path and filter.",
        ),
        ProblemType(
            "token-required",
            401,
            "A bearer token is required",
            "Send `Authorization: Bearer TOKEN`; in embedded mode `portfolio-platform token` "
            "prints one.",
        ),
        ProblemType(
            "token-invalid",
            401,
            "The bearer token is not valid",
            "Sign in again; in embedded mode `portfolio-platform token` prints a new token.",
        ),
        ProblemType(
            "token-expired",
            401,
            "The bearer token has expired",
            "Refresh the Supabase session, or run `portfolio-platform token`.",
        ),
        ProblemType(
            "role-refused",
            403,
            "The token's role may not use this API",
            "Use a user's token; service_role belongs to the pipeline.",
        ),
        ProblemType("forbidden", 403, "Not allowed for this user", "Use a token of the owner."),
        ProblemType(
            "not-found", 404, "Not found", "Check the id; what belongs to others looks missing."
        ),
        ProblemType(
            "nothing-yet",
            404,
            "No result has been published yet",
            "Materialise the asset, or wait for its schedule or sensor.",
        ),
        ProblemType("method-not-allowed", 405, "Method not allowed", "See `Allow`."),
        ProblemType("not-acceptable", 406, "No such representation", "See the detail for types."),
        ProblemType("conflict", 409, "The request contradicts what is stored", "Read and retry."),
        ProblemType(
            "idempotency-conflict",
            409,
            "This Idempotency-Key was used with another body",
            "Use a new key for a new request.",
        ),
        ProblemType(
            "not-cancellable", 409, "The request is already finished", "Read its outcome instead."
        ),
        ProblemType("body-too-large", 413, "The body is too large", "Send less."),
        ProblemType("url-too-long", 414, "The URL is too long", "Shorten the query."),
        ProblemType(
            "unsupported-media-type", 415, "Unsupported media type", "Send application/json."
        ),
        ProblemType("invalid", 422, "The request does not validate", "See `errors`."),
        ProblemType(
            "as-of-in-future", 422, "as_of lies in the future", "Ask for a past instant, or none."
        ),
        ProblemType(
            "precondition-failed", 412, "The resource has changed", "Read it again, then retry."
        ),
        ProblemType("rate-limited", 429, "Too many requests", "Wait for `Retry-After` seconds."),
        ProblemType(
            "quota-exceeded",
            429,
            "Too many open requests",
            "Wait until some are finished, or cancel them.",
        ),
        ProblemType(
            "too-many-streams", 429, "Too many open streams", "Close one, or share it between tabs."
        ),
        ProblemType("internal", 500, "Internal error", "Report the trace_id."),
        ProblemType(
            "not-offered",
            501,
            "This installation does not offer that",
            "Its operator can: see the detail, and PORTFOLIO_SECRET_KEY in the README.",
        ),
        ProblemType(
            "database-unavailable",
            503,
            "The database cannot be reached",
            "Retry after `Retry-After` seconds; `portfolio-platform doctor` says what is wrong.",
        ),
        ProblemType(
            "database-busy", 503, "The database is busy", "Retry after `Retry-After` seconds."
        ),
        ProblemType(
            "query-timeout", 503, "The query took too long", "Ask for less, e.g. a smaller `limit`."
        ),
        ProblemType(
            "keys-unavailable",
            503,
            "Tokens cannot be verified now",
            "The key set (JWKS) cannot be fetched; retry after `Retry-After` seconds.",
        ),
        ProblemType("not-ready", 503, "Not ready", "See `checks`."),
    )
}


class ProblemBody(BaseModel):
    """RFC 9457 problem details."""

    model_config = ConfigDict(extra="allow", title="Problem")

    type: str = Field(description="Stable URI of the kind of problem.")
    title: str
    status: int
    detail: str
    instance: str
    code: str
    remedy: str
    trace_id: str
    errors: list[dict[str, Any]] | None = None


class Problem(Exception):
    """Raise to answer with a problem document."""

    def __init__(
        self,
        code: str,
        detail: str | None = None,
        *,
        errors: Sequence[Mapping[str, Any]] | None = None,
        headers: Mapping[str, str] | None = None,
        retry_after: float | None = None,
        **members: Any,
    ) -> None:
        self.kind = CATALOGUE[code]
        super().__init__(detail or self.kind.title)
        self.detail = detail or self.kind.title
        self.errors = errors
        self.headers = dict(headers or {})
        self.members = members
        if retry_after is not None:
            self.headers["Retry-After"] = str(max(1, round(retry_after)))

    def response(self, instance: str, trace_id: str) -> Response:
        """The document as an HTTP response; `instance` is the path asked for."""
        body: dict[str, Any] = {
            "type": self.kind.uri,
            "title": self.kind.title,
            "status": self.kind.status,
            "detail": self.detail,
            "instance": instance,
            "code": self.kind.code,
            "remedy": self.kind.remedy,
            "trace_id": trace_id,
            **self.members,
        }
        if self.errors is not None:
            body["errors"] = list(self.errors)
        return Response(
            orjson.dumps(body),
            status_code=self.kind.status,
            media_type=MEDIA_TYPE,
            headers={"Cache-Control": "no-store", "Vary": "Authorization", **self.headers},
        )


def responses(*codes: str) -> dict[int | str, dict[str, Any]]:
    """OpenAPI `responses` of these problems, grouped by status."""
    grouped: dict[int | str, list[str]] = {}
    for code in codes:
        kind = CATALOGUE[code]
        grouped.setdefault(kind.status, []).append(f"`{code}`: {kind.title}")
    return {
        status: {
            "description": "; ".join(lines),
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status, lines in grouped.items()
    }
