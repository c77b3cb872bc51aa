"""Clean bars as JSON, CSV or Arrow, chosen by `Accept`."""

from __future__ import annotations

import csv
import io
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel

from portfolio_platform.api.auth import SignedIn
from portfolio_platform.api.conditional import VARY
from portfolio_platform.api.parameters import AsOf, Cursor, Instant, Mint, cache_for
from portfolio_platform.api.problems import Problem, responses
from portfolio_platform.api.queries import many
from portfolio_platform.api.representation import json_response
from portfolio_platform.api.services import services_of
from portfolio_platform.store.reads import bars
from portfolio_platform.store.reads.exchange import Row

router = APIRouter(prefix="/v1", tags=["market"])

JSON = "application/json"
CSV = "text/csv"
MAX_BARS = 20_000
ARROW = "application/vnd.apache.arrow.stream"

_COLUMNS = ("observed_at", "open", "high", "low", "close", "volume", "state", "flags")
_LENGTH = {"1m": timedelta(minutes=1), "1h": timedelta(hours=1), "1d": timedelta(days=1)}


class Series(BaseModel):
    """Where bars come from."""

    series_id: int
    venue: str
    symbol: str
    instrument: str
    multiplier: float
    quote: str


class Bar(BaseModel):
    """One bar; `observed_at` is its open time, it is known only at its close."""

    observed_at: datetime
    open: float | None
    high: float | None
    low: float | None
    close: float | None
    volume: float | None
    state: str
    flags: list[str]
    recorded_at: datetime


class BarPage(BaseModel):
    """Bars of one series in order of time."""

    mint: str
    interval: str
    series: Series
    other_series: list[Series]
    data_as_of: datetime | None
    items: list[Bar]
    next_cursor: str | None


@router.get(
    "/bars/{mint}",
    responses={
        200: {
            "description": "Bars in order of time; `Link: rel=next` leads to the next page.",
            "content": {
                JSON: {"schema": {"$ref": "#/components/schemas/BarPage"}},
                CSV: {"schema": {"type": "string"}},
                ARROW: {"schema": {"type": "string", "format": "binary"}},
            },
        },
        **responses(
            "bad-cursor", "token-required", "role-refused", "not-found", "nothing-yet",
            "not-acceptable", "invalid", "as-of-in-future", "rate-limited", "database-busy",
        ),
    },
)  # fmt: skip
async def token_bars(
    request: Request,
    caller: SignedIn,
    mint: Mint,
    interval: Annotated[Literal["1m", "1h", "1d"], Query()] = "1d",
    venue: Annotated[str | None, Query(pattern=r"^[A-Za-z0-9_.-]{1,40}$")] = None,
    instrument: Annotated[Literal["spot", "perp", "oracle", "pool"] | None, Query()] = None,
    since: Annotated[Instant | None, Query(alias="from")] = None,
    until: Annotated[Instant | None, Query(alias="to", description="Exclusive.")] = None,
    as_of: AsOf = None,
    cursor: Cursor = None,
    limit: Annotated[int, Query(ge=1, le=MAX_BARS)] = 1000,
) -> Response:
    """Clean bars of a token, from one series, as known at `as_of`."""
    services = services_of(request)
    kind = negotiate(request.headers.get("accept", "*/*"))
    cache_control = cache_for(as_of, services.settings)
    chosen, others = _choose(await many(request, caller, bars.SERIES, mint), venue, instrument)
    scope = (caller.subject, "bars", chosen["series_id"], interval, until, as_of)
    start = services.cursors.read(cursor, *scope)[0] if cursor else since
    rows = await many(
        request, caller, bars.PAGE, chosen["series_id"], interval, start, until, as_of, limit + 1
    )
    following = None
    if len(rows) > limit:
        following = services.cursors.sign([rows[limit]["observed_at"]], *scope)
        rows = rows[:limit]
    known_at = rows[-1]["observed_at"] + _LENGTH[interval] if rows else None
    headers = {"Cache-Control": cache_control, "Vary": VARY}
    if following is not None:
        query = dict(request.query_params) | {"cursor": following}
        headers["Link"] = f'<{request.url.path}?{urlencode(query)}>; rel="next"'
    if kind == JSON:
        body = {
            "mint": mint,
            "interval": interval,
            "series": chosen,
            "other_series": others,
            "data_as_of": known_at,
            "items": rows,
            "next_cursor": following,
        }
        return json_response(body, cache_control=cache_control, headers=headers)
    content = to_csv(rows) if kind == CSV else to_arrow(rows, chosen, interval)
    return Response(content, media_type=kind, headers=headers)


def negotiate(accept: str) -> str:
    """The representation a client prefers.

    Raises
    ------
    Problem
        ``not-acceptable``: none of ours is on its list.
    """
    offered = {
        JSON: JSON,
        CSV: CSV,
        ARROW: ARROW,
        "*/*": JSON,
        "application/*": JSON,
        "text/*": CSV,
    }
    wanted: list[tuple[float, int, str]] = []
    for position, part in enumerate(accept.split(",")):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        quality = next((p[2:] for p in parameters if p.startswith("q=")), "1")
        try:
            weight = float(quality)
        except ValueError:
            weight = 0.0
        if name.lower() in offered and weight > 0:
            wanted.append((-weight, position, offered[name.lower()]))
    if not wanted:
        raise Problem("not-acceptable", f"bars are served as {JSON}, {CSV} or {ARROW}")
    return min(wanted)[2]


def to_csv(rows: list[Row]) -> bytes:
    """Bars as CSV with a header; missing values are empty, flags are joined by ``|``."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(_COLUMNS)
    for row in rows:
        writer.writerow(
            [row["observed_at"].strftime("%Y-%m-%dT%H:%M:%SZ")]
            + ["" if row[name] is None else repr(row[name]) for name in _COLUMNS[1:6]]
            + [row["state"], "|".join(row["flags"])]
        )
    return text.getvalue().encode()


def to_arrow(rows: list[Row], series: Row, interval: str) -> bytes:
    """Bars as one Arrow IPC stream; series and interval stand in the schema's metadata."""
    import pyarrow as pa

    numbers = {name: pa.float64() for name in _COLUMNS[1:6]}
    schema = pa.schema(
        {
            "observed_at": pa.timestamp("us", tz="UTC"),
            **numbers,
            "state": pa.string(),
            "flags": pa.list_(pa.string()),
        },
        metadata={
            "interval": interval,
            **{name: str(series[name]) for name in ("venue", "symbol", "instrument", "quote")},
        },
    )
    table = pa.table({name: [row[name] for row in rows] for name in _COLUMNS}, schema=schema)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def _choose(
    listed: list[Row], venue: str | None, instrument: str | None
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    if not listed:
        raise Problem("not-found", "there is no such token")
    every = [row for row in listed if row["series_id"] is not None]
    fitting = [
        row
        for row in every
        if venue in (None, row["venue"]) and instrument in (None, row["instrument"])
    ]
    if not fitting:
        there = ", ".join(f"{row['venue']}/{row['instrument']}" for row in every) or "none"
        raise Problem("nothing-yet", f"no such series of bars; there are: {there}")
    return fitting[0], [row for row in every if row is not fitting[0]]
