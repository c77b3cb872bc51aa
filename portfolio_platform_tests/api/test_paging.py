"""Pages by signed keyset cursors."""

from __future__ import annotations

import uuid

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from portfolio_platform.api.cursors import CursorSigner
from portfolio_platform.api.problems import Problem
from portfolio_platform_tests.api import seed
from portfolio_platform_tests.api.server import Served
from portfolio_platform_tests.store.postgres import Database


def _pages(client: httpx.Client, path: str, **params: object) -> list[dict[str, object]]:
    items: list[dict[str, object]] = []
    cursor: str | None = None
    while True:
        query = {k: str(v) for k, v in params.items()} | ({"cursor": cursor} if cursor else {})
        body = client.get(path, params=query).json()
        items += body["items"]
        cursor = body["next_cursor"]
        if cursor is None:
            return items


@pytest.mark.parametrize(
    "path", ["/v1/tokens", "/v1/strategies", "/v1/weights", "/v1/backtests", "/v1/portfolios"]
)
def test_a_cursor_serves_one_user_one_path_and_one_filter(
    served: Served, a: httpx.Client, b: httpx.Client, database: Database, path: str
) -> None:
    params = {"limit": "1"} | ({"strategy": "paged"} if path == "/v1/weights" else {})
    _paged(database)
    _two_of_each(a)
    cursor = a.get(path, params=params).json()["next_cursor"]
    assert cursor is not None
    assert a.get(path, params=params | {"cursor": cursor}).status_code == 200
    stolen = b.get(path, params=params | {"cursor": cursor})
    assert (stolen.status_code, stolen.json()["code"]) == (400, "bad-cursor")
    for other in ("/v1/tokens", "/v1/strategies", "/v1/optimizations"):
        if other != path:
            assert a.get(other, params={"cursor": cursor}).status_code == 400
    for position in range(0, len(cursor), 7):
        swapped = "A" if cursor[position] != "A" else "B"
        tampered = cursor[:position] + swapped + cursor[position + 1 :]
        answer = a.get(path, params=params | {"cursor": tampered})
        assert (answer.status_code, answer.json()["code"]) == (400, "bad-cursor")


def test_a_cursor_does_not_fit_another_filter(a: httpx.Client) -> None:
    cursor = a.get("/v1/tokens", params={"limit": 1}).json()["next_cursor"]
    answer = a.get("/v1/tokens", params={"symbol": "SOL", "cursor": cursor})
    assert (answer.status_code, answer.json()["code"]) == (400, "bad-cursor")


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    stored=st.integers(1, 12),
    size=st.integers(1, 5),
    inserts=st.lists(st.integers(0, 3), min_size=1, max_size=6),
)
def test_inserts_while_paging_neither_skip_nor_repeat_what_was_there(
    a: httpx.Client, database: Database, stored: int, size: int, inserts: list[int]
) -> None:
    slug = f"busy-{uuid.uuid4().hex[:8]}"
    with database.connect() as conn:
        strategy_id = seed.platform_strategy(conn, slug)
        first = {
            str(seed.weights(conn, strategy_id, slug, salt=f"old{n}").version)
            for n in range(stored)
        }
        seen: list[str] = []
        cursor: str | None = None
        for turn in range(100):
            params = {"strategy": slug, "limit": str(size)} | ({"cursor": cursor} if cursor else {})
            body = a.get("/v1/weights", params=params).json()
            seen += [item["version"] for item in body["items"]]
            cursor = body["next_cursor"]
            if cursor is None:
                break
            for n in range(inserts[turn % len(inserts)]):
                seed.weights(conn, strategy_id, slug, salt=f"new{turn}.{n}")
    assert len(seen) == len(set(seen))
    assert set(seen) == first


def test_rows_of_one_instant_are_paged_by_their_id(a: httpx.Client, database: Database) -> None:
    slug = f"instant-{uuid.uuid4().hex[:8]}"
    with database.connect(autocommit=False) as conn:
        strategy_id = seed.platform_strategy(conn, slug)
        made = {str(seed.weights(conn, strategy_id, slug, salt=str(n)).version) for n in range(9)}
    versions = [item["version"] for item in _pages(a, "/v1/weights", strategy=slug, limit=2)]
    assert len(versions) == 9
    assert set(versions) == made


def test_a_page_may_not_be_larger_than_the_limit(a: httpx.Client) -> None:
    answer = a.get("/v1/tokens", params={"limit": 501})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
    assert a.get("/v1/tokens", params={"limit": 0}).status_code == 422


@given(position=st.lists(st.one_of(st.text(max_size=20), st.integers(-(2**53), 2**53)), max_size=3),
       scope=st.lists(st.text(max_size=8), max_size=3),
       other=st.lists(st.text(max_size=8), max_size=3))  # fmt: skip
def test_a_signature_covers_position_and_scope(
    position: list[object], scope: list[str], other: list[str]
) -> None:
    signer = CursorSigner(b"k" * 32)
    cursor = signer.sign(position, *scope)
    assert signer.read(cursor, *scope) == position
    if scope != other:
        with pytest.raises(Problem):
            signer.read(cursor, *other)
    with pytest.raises(Problem):
        CursorSigner(b"j" * 32).read(cursor, *scope)


def _paged(database: Database) -> None:
    with database.connect() as conn:
        known = conn.execute("select 1 from public.strategies where slug = 'paged'").fetchone()
        if known is None:
            strategy_id = seed.platform_strategy(conn, "paged")
            for n in range(3):
                seed.weights(conn, strategy_id, "paged", salt=str(n))


def _two_of_each(client: httpx.Client) -> None:
    client.post(
        "/v1/backtests",
        json={"spec": {"version": 1, "strategies": ["x"]}},
        headers={"Idempotency-Key": "p"},
    )
    if len(client.get("/v1/portfolios").json()["items"]) < 2:
        body = {"name": "second", "wallet": seed.WALLET["a"], "hub_mint": seed.USDC}
        assert client.post("/v1/portfolios", json=body).status_code == 201
