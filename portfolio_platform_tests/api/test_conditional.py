"""Entity tags, immutability, `as_of`, and the last good answer after a failed attempt."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from portfolio_platform.store.publish import Published
from portfolio_platform_tests.api import seed
from portfolio_platform_tests.api.seed import SOL, World
from portfolio_platform_tests.api.server import Served
from portfolio_platform_tests.store.postgres import Database

TAGGED = [
    "/v1/weights/latest?strategy=min-variance",
    "/v1/weights/{versions[weights]}",
    "/v1/weights/{versions[weights]}/lineage",
    "/v1/portfolios/{portfolio_id}",
    "/v1/portfolios/{portfolio_id}/state/latest",
    "/v1/portfolios/{portfolio_id}/reallocation/latest",
    "/v1/plans/{versions[plan]}",
    "/v1/backtests/{backtest_id}",
    "/v1/backtests/{backtest_id}/report.html",
    f"/v1/prices/{SOL}",
    f"/v1/metrics/{SOL}",
    "/v1/strategies/{strategy_id}",
    "/v1/channels/{channel_id}",
]


def _strategy(database: Database, slug: str) -> tuple[str, uuid.UUID]:
    name = f"{slug}-{uuid.uuid4().hex[:6]}"
    with database.connect() as conn:
        return name, seed.platform_strategy(conn, name)


def _publish(
    database: Database, slug: str, strategy_id: uuid.UUID, recorded_at: datetime | None = None,
    **options: object,
) -> Published:  # fmt: skip
    with database.connect() as conn:
        made = seed.weights(conn, strategy_id, slug, **options)  # type: ignore[arg-type]
        if recorded_at is not None:
            conn.execute(
                "update public.versions set recorded_at = %s where version = %s",
                (recorded_at, made.version),
            )
    return made


@pytest.mark.parametrize("template", TAGGED)
def test_a_held_tag_is_answered_304_with_the_same_headers(
    a: httpx.Client, world: World, template: str
) -> None:
    path = template.format(**vars(world.a))
    first = a.get(path)
    tag = first.headers["etag"]
    assert tag.startswith('"')
    for held in (tag, f'"other", {tag}', "*", f"W/{tag}"):
        again = a.get(path, headers={"If-None-Match": held})
        assert again.status_code == 304, held
        assert again.content == b""
        assert again.headers["etag"] == tag
        assert again.headers["cache-control"] == first.headers["cache-control"]
        assert again.headers["vary"] == first.headers["vary"]
    assert a.get(path, headers={"If-None-Match": '"other"'}).status_code == 200


def test_compressed_and_plain_answers_have_tags_of_their_own(a: httpx.Client, world: World) -> None:
    path = f"/v1/weights/{world.versions['weights']}/lineage"
    plain = a.get(path, headers={"Accept-Encoding": "identity"}).headers["etag"]
    packed = a.get(path, headers={"Accept-Encoding": "gzip"}).headers["etag"]
    smaller = a.get(path, headers={"Accept-Encoding": "br"}).headers["etag"]
    assert len({plain, packed, smaller}) == 3
    for tag in (plain, packed, smaller):
        again = a.get(path, headers={"If-None-Match": tag})
        assert (again.status_code, again.headers["etag"]) == (304, tag)


def test_versions_are_immutable_and_latest_is_not(a: httpx.Client, world: World) -> None:
    version = a.get(f"/v1/weights/{world.versions['weights']}")
    latest = a.get("/v1/weights/latest?strategy=min-variance")
    assert "immutable" in version.headers["cache-control"]
    assert "must-revalidate" in latest.headers["cache-control"]


def test_a_new_version_changes_the_tag_at_once(a: httpx.Client, database: Database) -> None:
    slug, strategy_id = _strategy(database, "moving")
    _publish(database, slug, strategy_id, sol=0.5)
    first = a.get("/v1/weights/latest", params={"strategy": slug})
    second = _publish(database, slug, strategy_id, sol=0.7)
    again = a.get(
        "/v1/weights/latest",
        params={"strategy": slug},
        headers={"If-None-Match": first.headers["etag"]},
    )
    assert again.status_code == 200
    assert again.json()["version"] == str(second.version)


def test_a_failed_attempt_leaves_the_last_good_weights_and_says_why(
    a: httpx.Client, database: Database
) -> None:
    slug, strategy_id = _strategy(database, "failing")
    good = _publish(database, slug, strategy_id, as_of=seed.NOW - timedelta(days=3))
    first = a.get("/v1/weights/latest", params={"strategy": slug})
    failed = _publish(database, slug, strategy_id, status="infeasible")
    answer = a.get(
        "/v1/weights/latest",
        params={"strategy": slug},
        headers={"If-None-Match": first.headers["etag"]},
    )
    body = answer.json()
    assert body["version"] == str(good.version)
    assert body["status"] == "optimal"
    assert body["latest_attempt"]["version"] == str(failed.version)
    assert body["latest_attempt"]["status"] == "infeasible"
    assert body["latest_attempt"]["reason"] == "caps sum to 0.9"
    assert body["stale"] is True
    assert body["age_seconds"] > 3 * 86_400 - 60
    attempt = a.get(f"/v1/weights/{failed.version}").json()
    assert (attempt["status"], attempt["weights"]) == ("infeasible", [])
    listed = a.get("/v1/weights", params={"strategy": slug}).json()["items"]
    assert [item["status"] for item in listed] == ["infeasible", "optimal"]


def test_only_failed_attempts_are_reported_as_no_result(
    a: httpx.Client, database: Database
) -> None:
    slug, strategy_id = _strategy(database, "hopeless")
    _publish(database, slug, strategy_id, status="infeasible")
    answer = a.get("/v1/weights/latest", params={"strategy": slug})
    assert (answer.status_code, answer.json()["code"]) == (404, "nothing-yet")
    assert "infeasible: caps sum to 0.9" in answer.json()["detail"]


def test_as_of_answers_with_what_was_known_and_never_changes(
    a: httpx.Client, database: Database
) -> None:
    slug, strategy_id = _strategy(database, "as-of")
    now = datetime.now(UTC)
    early = _publish(database, slug, strategy_id, now - timedelta(hours=3), sol=0.5)
    instant = (now - timedelta(hours=2)).isoformat()
    params = {"strategy": slug, "as_of": instant}
    first = a.get("/v1/weights/latest", params=params)
    assert first.json()["version"] == str(early.version)
    assert "immutable" in first.headers["cache-control"]
    _publish(database, slug, strategy_id, sol=0.9)
    again = a.get("/v1/weights/latest", params=params)
    clock = ("age_seconds", "stale")
    assert {k: v for k, v in again.json().items() if k not in clock} == {
        k: v for k, v in first.json().items() if k not in clock
    }
    assert again.headers["etag"] == first.headers["etag"]


def test_as_of_too_close_to_now_is_not_stored_and_the_future_is_refused(a: httpx.Client) -> None:
    params = {"strategy": "min-variance"}
    now = datetime.now(UTC)
    recent = a.get("/v1/weights/latest", params=params | {"as_of": now.isoformat()})
    assert recent.headers["cache-control"] == "no-store"
    later = (now + timedelta(minutes=5)).isoformat()
    future = a.get("/v1/weights/latest", params=params | {"as_of": later})
    assert (future.status_code, future.json()["code"]) == (422, "as-of-in-future")
    before_all = a.get("/v1/weights/latest", params=params | {"as_of": "2020-01-01T00:00:00Z"})
    assert (before_all.status_code, before_all.json()["code"]) == (404, "nothing-yet")


@pytest.mark.parametrize("text", ["1700000000", "2026-01-01", "2026-01-01T00:00:00", "yesterday"])
def test_as_of_must_be_an_rfc_3339_instant(a: httpx.Client, text: str) -> None:
    answer = a.get("/v1/weights/latest", params={"strategy": "min-variance", "as_of": text})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")


def test_a_remembered_body_is_not_shown_before_the_database_allows_it(
    served: Served, a: httpx.Client, b: httpx.Client, world: World
) -> None:
    path = f"/v1/weights/{world.a.versions['weights']}"
    assert a.get(path).status_code == 200
    assert served.services.bodies.get("weights", world.a.versions["weights"].hex) is not None
    assert b.get(path).status_code == 404
