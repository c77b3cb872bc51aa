"""`portfolio-platform doctor`: what is configured and reachable, and what is not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import httpx

from portfolio_platform.settings import ServicesNotRunning, Settings

State = Literal["ok", "off", "wrong"]


@dataclass(frozen=True)
class Finding:
    """One line: the subject, whether it is in order, and what was found or what to do."""

    subject: str
    state: State
    detail: str


def _ask(subject: str, question: Callable[[], Finding], *, optional: bool = False) -> Finding:
    from portfolio_platform.cli.errors import domain_errors

    explained_errors: tuple[type[Exception], ...] = (*domain_errors(), httpx.HTTPError)

    try:
        return question()
    except ServicesNotRunning as error:
        return Finding(subject, "off" if optional else "wrong", str(error))
    except explained_errors as error:
        return Finding(subject, "wrong", f"{type(error).__name__}: {error}")


def _database(settings: Settings) -> Finding:
    from portfolio_platform.store.database import check_version, connect, place
    from portfolio_platform.store.migrate import pending

    url = settings.resolve_database_url()
    with connect(url, connect_timeout=5) as conn:
        major = check_version(conn)
        missing = pending(conn)
        row = (
            conn.execute(
                "select count(*) filter (where kind = 'weights'), max(recorded_at) from versions"
            ).fetchone()
            if not missing
            else None
        )
    kind = "configured" if settings.database_url else "embedded"
    if missing:
        detail = f"{len(missing)} migrations are not applied; run `portfolio-platform up`"
        return Finding("database", "wrong", f"{kind} {place(url)}, PostgreSQL {major}: {detail}")
    stored = f"{row[0]} weight sets, newest result {row[1]}" if row else ""
    return Finding("database", "ok", f"{kind} {place(url)}, PostgreSQL {major}, {stored}")


def _dagster(settings: Settings) -> Finding:
    from portfolio_platform.store.database import connect, place

    url = settings.resolve_dagster_url()
    if not url.startswith("postgresql+psycopg2://"):
        return Finding(
            "dagster storage",
            "wrong",
            "DAGSTER_POSTGRES_URL must begin with postgresql+psycopg2://",
        )
    with connect(url, connect_timeout=5):
        return Finding("dagster storage", "ok", place(url))


def _api_login(settings: Settings) -> Finding:
    from portfolio_platform.store.database import connect

    with connect(settings.resolve_api_database_url(), connect_timeout=5) as conn:
        roles = [
            row[0]
            for row in conn.execute(
                "select rolname from pg_roles where pg_has_role(session_user, oid, 'SET') "
                "and rolname <> session_user order by 1"
                if conn.info.server_version >= 160000
                else "select rolname from pg_roles where pg_has_role(session_user, oid, 'MEMBER') "
                "and rolname <> session_user order by 1"
            )
        ]
    if set(roles) - {"anon", "authenticated"}:
        return Finding(
            "api login", "wrong", f"can also become {', '.join(roles)}; use its own role"
        )
    return Finding("api login", "ok", "can become anon and authenticated only")


def _rpc(settings: Settings) -> Finding:
    from portfolio_platform.solana.rpc import PoolSettings, RpcError, RpcPool

    urls = settings.resolve_rpc_urls()

    async def slot() -> int:
        patience = PoolSettings(deadline_seconds=6, request_timeout_seconds=5)
        async with RpcPool(urls, patience) as pool:
            return int(await pool.call("getSlot", [{"commitment": "finalized"}]))

    kind = "configured" if settings.rpc_urls else "local chain"
    try:
        return Finding(
            "solana rpc", "ok", f"{kind}, {len(urls)} endpoint(s), slot {asyncio.run(slot())}"
        )
    except RpcError as error:
        return Finding(
            "solana rpc", "wrong", f"{kind}: {error}; check SOLANA_RPC_URLS or run `up` again"
        )


def _universe(settings: Settings) -> Finding:
    from portfolio_platform.defs.solana.snapshots import read_universe
    from portfolio_platform.solana.universe import UniverseError

    try:
        universe = read_universe(settings.resolve_universe())
    except UniverseError as error:
        return Finding("universe", "wrong", str(error))
    return Finding(
        "universe",
        "ok",
        f"{universe.name}: {len(universe.tokens)} tokens, {len(universe.accounts)} accounts",
    )


def _history(settings: Settings) -> Finding:
    base = settings.resolve_history_url()
    key = settings.history_api_key
    headers = {"Authorization": f"Bearer {key.get_secret_value()}"} if key else {}
    answer = httpx.get(f"{base.rstrip('/')}/config", headers=headers, timeout=5)
    if answer.status_code in (401, 403):
        remedy = "refuses the key in" if key else "wants a key: set"
        return Finding("history", "wrong", f"{base} {remedy} PORTFOLIO_HISTORY_API_KEY")
    return Finding("history", "ok", f"{base} answers HTTP {answer.status_code}")


def _keys(settings: Settings) -> Finding:
    place = settings.resolve_jwks()
    if place.startswith("http"):
        found = httpx.get(place, timeout=5).raise_for_status().json()["keys"]
        return Finding("user keys", "ok", f"{len(found)} keys at {place}")
    return Finding("user keys", "ok", "local key; `portfolio-platform token` issues tokens")


def _supabase(settings: Settings) -> Finding:
    if not settings.supabase_url:
        return Finding("supabase", "off", "SUPABASE_URL is not set; the embedded floor stands in")
    key = "set" if settings.supabase_secret_key else "not set (the feed is read by SQL)"
    return Finding("supabase", "ok", f"{settings.supabase_url}, secret key {key}")


def examine(settings: Settings) -> list[Finding]:
    """Ask every part in turn."""
    return [
        Finding("home", "ok", str(settings.home_path)),
        _ask("database", lambda: _database(settings)),
        _ask("dagster storage", lambda: _dagster(settings)),
        _ask("api login", lambda: _api_login(settings), optional=True),
        _ask("solana rpc", lambda: _rpc(settings)),
        _ask("universe", lambda: _universe(settings)),
        _ask("history", lambda: _history(settings), optional=True),
        _ask("user keys", lambda: _keys(settings)),
        _supabase(settings),
    ]
