"""What a signed-in user reads."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import httpx
import pyarrow as pa
import pytest

from portfolio_platform.store.publish import Input, publish
from portfolio_platform_tests.api.seed import JUP, NOW, SOL, USDC, World
from portfolio_platform_tests.api.server import Served, settings_for
from portfolio_platform_tests.store.postgres import Database


def test_latest_weights_name_their_strategy_age_and_lineage(a: httpx.Client, world: World) -> None:
    answer = a.get("/v1/weights/latest", params={"strategy": "min-variance"})
    assert answer.status_code == 200
    body = answer.json()
    assert body["version"] == str(world.versions["weights"])
    assert body["strategy"]["slug"] == "min-variance"
    assert body["weights"] == [
        {"mint": SOL, "symbol": "SOL", "weight": 0.6},
        {"mint": USDC, "symbol": "USDC", "weight": 0.4},
    ]
    assert body["data_as_of"] == NOW.isoformat().replace("+00:00", "Z")
    assert body["status"] == "optimal"
    assert body["stale"] is False
    assert 0 <= body["age_seconds"] < 3600
    assert a.get(body["lineage"]).status_code == 200


def test_lineage_reaches_account_bytes(a: httpx.Client, world: World) -> None:
    nodes = a.get(f"/v1/weights/{world.versions['weights']}/lineage").json()["nodes"]
    accounts = [node for node in nodes if node["kind"] == "account"]
    assert [node["sha256"] for node in accounts] == ["ab" * 32]
    assert accounts[0]["detail"]["slot"] == 7


@pytest.mark.parametrize(
    "path",
    [
        "/v1/tokens",
        f"/v1/tokens/{SOL}",
        f"/v1/prices/{SOL}",
        f"/v1/metrics/{SOL}",
        f"/v1/bars/{SOL}",
        "/v1/strategies",
        "/v1/strategies/{a.strategy_id}",
        "/v1/portfolios",
        "/v1/portfolios/{a.portfolio_id}",
        "/v1/portfolios/{a.portfolio_id}/state/latest",
        "/v1/portfolios/{a.portfolio_id}/reallocation/latest",
        "/v1/portfolios/{a.portfolio_id}/reallocation",
        "/v1/backtests",
        "/v1/backtests/{a.backtest_id}",
        "/v1/backtests/{a.backtest_id}/report.html",
        "/v1/optimizations",
        "/v1/optimizations/{a.optimization_id}",
        "/v1/alerts",
        "/v1/alerts/{a.alert_id}",
        "/v1/alert-rules",
        "/v1/alert-rules/{a.rule_id}",
        "/v1/settings",
        "/v1/freshness",
        "/v1/weights?strategy=mine",
        "/livez",
        "/readyz",
        "/metrics",
        "/problems",
        "/problems/not-found",
        "/schemas/strategy.json",
        "/openapi.json",
        "/docs",
        "/docs/docs.js",
    ],
)
def test_everything_answers(a: httpx.Client, world: World, path: str) -> None:
    answer = a.get(path.format(a=world.a))
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-trace-id"]
    assert "total;dur=" in answer.headers["server-timing"]


def test_the_answer_of_an_optimization_is_a_version_its_owner_reads(
    a: httpx.Client, b: httpx.Client, database: Database, world: World
) -> None:
    request = world.a.optimization_id
    with database.connect() as conn:
        made = publish(
            conn,
            kind="weights",
            subject=str(request),
            user_id=world.a.user_id,
            content={"asked": str(request)},
            inputs=[Input("request", str(request), "cd" * 32)],
            rows={
                "weight_sets": [{"request_id": request, "status": "optimal", "solution": {}}],
                "weights": [{"mint": SOL, "weight": 1.0}],
            },
            as_of=NOW,
            code_version="test",
        )
    answer = a.get(f"/v1/weights/{made.version}")
    assert answer.status_code == 200
    body = answer.json()
    assert (body["strategy"], body["request"]) == (None, f"/v1/optimizations/{request}")
    assert [(one["mint"], one["weight"]) for one in body["weights"]] == [(SOL, 1.0)]
    assert a.get(body["request"]).status_code == 200
    assert a.get(body["lineage"]).status_code == 200
    tag = {"If-None-Match": answer.headers["etag"]}
    assert a.get(f"/v1/weights/{made.version}", headers=tag).status_code == 304
    for path in (f"/v1/weights/{made.version}", body["lineage"], body["request"]):
        assert b.get(path).status_code == 404


def test_price_shows_the_accepted_source_and_the_refused_one(a: httpx.Client) -> None:
    body = a.get(f"/v1/prices/{SOL}").json()
    assert (body["price"], body["source"]) == (150.25, "pyth")
    assert {(s["source"], s["verdict"]) for s in body["sources"]} == {
        ("pyth", "accepted"),
        ("pool", "refused"),
    }
    missing = a.get(f"/v1/prices/{JUP}")
    assert (missing.status_code, missing.json()["code"]) == (404, "nothing-yet")


def test_amounts_are_exact_decimal_strings(a: httpx.Client, world: World) -> None:
    state = a.get(f"/v1/portfolios/{world.a.portfolio_id}/state/latest").json()
    assert state["nav"] == "12345678901234567890"
    plan = a.get(f"/v1/portfolios/{world.a.portfolio_id}/reallocation/latest").json()
    assert plan["trades"][0]["amount_in"] == "1000000000000000000000000"
    assert plan["outcome"] == "reallocation"


def test_metrics_round_trip_float64(a: httpx.Client) -> None:
    assert a.get(f"/v1/metrics/{SOL}").json()["metrics"]["volatility"] == 0.8123456789012345


def test_bars_agree_as_json_csv_and_arrow(a: httpx.Client) -> None:
    path = f"/v1/bars/{SOL}"
    rows = a.get(path).json()["items"]
    assert len(rows) == 60
    text = a.get(path, headers={"Accept": "text/csv"})
    assert text.headers["content-type"].startswith("text/csv")
    table = list(csv.DictReader(io.StringIO(text.text)))
    arrow = a.get(path, headers={"Accept": "application/vnd.apache.arrow.stream"})
    batch = pa.ipc.open_stream(arrow.content).read_all()
    closes = [row["close"] for row in rows]
    assert [float(row["close"]) for row in table] == closes
    assert batch.column("close").to_pylist() == closes
    assert batch.schema.metadata[b"venue"] == b"pyth"


def test_bars_in_an_unknown_representation_are_refused(a: httpx.Client) -> None:
    answer = a.get(f"/v1/bars/{SOL}", headers={"Accept": "image/png"})
    assert (answer.status_code, answer.json()["code"]) == (406, "not-acceptable")


def test_bars_page_by_link_header_without_gap_or_repeat(a: httpx.Client) -> None:
    whole = [row["observed_at"] for row in a.get(f"/v1/bars/{SOL}").json()["items"]]
    seen: list[str] = []
    url: str | None = f"/v1/bars/{SOL}?limit=7"
    while url:
        answer = a.get(url)
        seen += [row["observed_at"] for row in answer.json()["items"]]
        url = answer.links.get("next", {}).get("url")
    assert seen == whole


def test_field_selection_returns_those_fields_only(a: httpx.Client) -> None:
    params = {"strategy": "min-variance", "fields": "version,stale"}
    assert set(a.get("/v1/weights/latest", params=params).json()) == {"version", "stale"}
    answer = a.get("/v1/weights/latest", params=params | {"fields": "version,secret"})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")


def test_a_strategy_without_weights_says_so(a: httpx.Client) -> None:
    answer = a.get("/v1/weights/latest", params={"strategy": "never-run"})
    assert (answer.status_code, answer.json()["code"]) == (404, "nothing-yet")


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("gzip", "gzip"),
        ("br", "br"),
        ("gzip, deflate, br, zstd", "br"),
        ("GZIP;q=0.8, br;q=0.2", "gzip"),
        ("br;q=0, *", "gzip"),
        ("*", "br"),
        ("", None),
        ("identity", None),
        ("identity;q=1, gzip;q=0.5", None),
        ("gzip;q=0", None),
        ("brotli, xgzip", None),
        ("br;q=2", None),
    ],
)
def test_large_answers_are_compressed_as_asked_and_equal(
    a: httpx.Client, accepted: str, coding: str | None
) -> None:
    plain = a.get(f"/v1/bars/{SOL}", headers={"Accept-Encoding": "identity"})
    packed = a.get(f"/v1/bars/{SOL}", headers={"Accept-Encoding": accepted})
    assert "content-encoding" not in plain.headers
    assert packed.headers.get("content-encoding") == coding
    assert "Accept-Encoding" in packed.headers["vary"]
    assert packed.json()["items"] == plain.json()["items"]


def test_every_page_of_the_documentation_is_self_contained(a: httpx.Client) -> None:
    for path in ("/docs", "/docs/docs.js", "/docs/docs.css"):
        text = a.get(path).text
        assert "https://" not in text
        assert "http://" not in text


def test_head_answers_like_get_without_the_body(a: httpx.Client) -> None:
    path = "/v1/weights/latest?strategy=min-variance"
    got, headed = a.get(path), a.head(path)
    assert (headed.status_code, headed.content) == (200, b"")
    assert headed.headers["etag"] == got.headers["etag"]
    assert a.head("/v1/nothing").status_code == 404
    assert a.head("/v1/stream").status_code == 405


def test_the_api_works_behind_a_transaction_pooler(
    database: Database, world: World, home: Path
) -> None:
    settings = settings_for(database, home, prepared_statements=False, listen=False, telemetry=True)
    with Served(settings, home) as server, server.client(world.a.user_id) as client:
        assert client.get("/v1/weights/latest?strategy=mine").json()["strategy"]["name"] == "of a"
        assert not server.services.wakeup.listening
        assert client.get("/v1/bars/" + SOL).status_code == 200
