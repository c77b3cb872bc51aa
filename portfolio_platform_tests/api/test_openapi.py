"""The OpenAPI document tells the truth: generated requests as two users, every answer checked."""

from __future__ import annotations

import contextlib
import itertools
import re
import uuid
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import (
    negative_data_rejection,
    positive_data_acceptance,
    response_schema_conformance,
)

from portfolio_platform.api.problems import CATALOGUE
from portfolio_platform_tests.api.seed import SOL, World
from portfolio_platform_tests.api.server import Served

# Postgres cannot hold U+0000 in text; that it is refused has a test of its own.
_CONFIG = schemathesis.Config.from_dict({"generation": {"allow-x00": False}})
_turn = itertools.count()


_QUIET = [HealthCheck.filter_too_much, HealthCheck.too_slow, HealthCheck.data_too_large]


def _known(world: World, name: str, path: str, turn: int) -> object:
    person = (world.a, world.b)[turn // 3 % 2]
    version = "plan" if "/plans/" in path else "weights"
    return {
        "mint": SOL,
        "strategy_id": person.strategy_id,
        "portfolio_id": person.portfolio_id,
        "rule_id": person.rule_id,
        "alert_id": person.alert_id,
        "channel_id": person.channel_id,
        "request_id": person.backtest_id if "backtest" in path else person.optimization_id,
        "version": person.versions[version],
    }.get(name)


def _check(case: Any, served: Served, world: World, mode: GenerationMode) -> None:
    turn = next(_turn)
    user = (world.a.user_id, world.b.user_id)[turn % 2]
    if turn % 3 and case.method == "GET" and mode is GenerationMode.POSITIVE:
        for name in case.path_parameters or {}:
            known = _known(world, name, case.path, turn)
            if known is not None:
                case.path_parameters[name] = str(known)
    response = case.call(
        base_url=served.url, headers={"Authorization": f"Bearer {served.token(user)}"}
    )
    case.validate_response(response, excluded_checks=_not_expressible(case, response))
    assert response.status_code < 500


def _not_expressible(case: Any, response: Any) -> list[Any]:
    """Rules that no JSON Schema can state: past instants, cursors handed out, partial answers."""
    excluded = [response_schema_conformance] if "fields" in (case.query or {}) else []
    if response.headers["content-type"][0] == "application/problem+json" and response.json()[
        "code"
    ] in ("as-of-in-future", "bad-cursor", "url-too-long", "body-too-large"):
        excluded += [positive_data_acceptance, negative_data_rejection]
    return excluded


def _sweep(
    served: Served, world: World, mode: GenerationMode, examples: int, *, fixed: bool
) -> int:
    """Generated requests to every operation but the endless stream; how many were sent."""
    raw = httpx.get(f"{served.url}/openapi.json").json()
    for operations in raw["paths"].values():
        for operation in operations.values():
            operation.pop("security", None)  # every request carries a token
    document = schemathesis.openapi.from_dict(raw, config=_CONFIG)
    sent = 0
    for result in document.exclude(path="/v1/stream").get_all_operations():
        operation = result.ok()

        @settings(max_examples=examples, deadline=None, database=None, derandomize=fixed,
                  suppress_health_check=_QUIET)  # fmt: skip
        @given(case=operation.as_strategy(generation_mode=mode))
        def check(case: Any) -> None:
            nonlocal sent
            sent += 1
            _check(case, served, world, mode)

        with contextlib.suppress(Unsatisfiable):  # nothing about it can be wrong
            check()
    return sent


@pytest.mark.parametrize("mode", list(GenerationMode))
def test_every_operation_keeps_its_description(
    served: Served, world: World, mode: GenerationMode
) -> None:
    assert _sweep(served, world, mode, 5, fixed=True) > 100


@pytest.mark.nightly
@pytest.mark.parametrize("mode", list(GenerationMode))
def test_every_operation_keeps_its_description_at_length(
    served: Served, world: World, mode: GenerationMode
) -> None:
    assert _sweep(served, world, mode, 400, fixed=False) > 5000


def test_every_kind_of_problem_is_described(a: httpx.Client) -> None:
    document = a.get("/openapi.json").json()
    assert set(document["x-problems"]) == set(CATALOGUE)
    for code, kind in CATALOGUE.items():
        page = a.get(kind.uri)
        assert page.status_code == 200
        assert page.json()["code"] == code
    assert a.get(f"/problems/{uuid.uuid4()}").status_code == 404


def test_every_operation_of_users_requires_a_token(served: Served, a: httpx.Client) -> None:
    document = a.get("/openapi.json").json()
    with served.client() as nobody:
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                url = path.replace("{mint}", SOL)
                for name in re.findall(r"{(\w+_id|version)}", path):
                    url = url.replace(f"{{{name}}}", str(uuid.uuid4()))
                if path.startswith("/v1/"):
                    assert operation["security"] == [{"bearer": []}]
                    assert nobody.request(method, url).status_code == 401, (method, path)
                else:
                    assert "security" not in operation
