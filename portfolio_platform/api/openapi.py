"""The OpenAPI document: security, the problem catalogue and the bodies that `parse` reads."""

from __future__ import annotations

import copy
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from portfolio_platform.api.bodies import schema
from portfolio_platform.api.problems import CATALOGUE, MEDIA_TYPE, ProblemBody
from portfolio_platform.api.routes.alert_rules import AlertRuleChange, NewAlertRule
from portfolio_platform.api.routes.bars import BarPage
from portfolio_platform.api.routes.channels import ChannelChange, NewChannel
from portfolio_platform.api.routes.portfolios import NewPortfolio, PortfolioChange
from portfolio_platform.api.routes.settings import NewSettings
from portfolio_platform.api.routes.strategies import NewStrategy, StrategyChange
from portfolio_platform.api.submissions import Submission

_MODELS = (
    AlertRuleChange, NewAlertRule, ChannelChange, NewChannel,
    BarPage, NewPortfolio, PortfolioChange, NewSettings, NewStrategy, StrategyChange, Submission,
)  # fmt: skip
_REFERENCE = "#/components/schemas/{model}"
_ALWAYS = ("method-not-allowed", "url-too-long", "internal", "database-unavailable")


def install(application: FastAPI) -> None:
    """Serve the completed document at /openapi.json."""

    def document() -> dict[str, Any]:
        if application.openapi_schema is None:
            application.openapi_schema = complete(application)
        return application.openapi_schema

    application.openapi = document  # type: ignore[method-assign]


def complete(application: FastAPI) -> dict[str, Any]:
    """The document with everything FastAPI does not know of."""
    document = get_openapi(
        title=application.title,
        version=application.version,
        description=application.description,
        routes=application.routes,
    )
    components = document.setdefault("components", {})
    schemas: dict[str, Any] = components.setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    for model in (ProblemBody, *_MODELS):
        own = model.model_json_schema(ref_template=_REFERENCE)
        schemas.update(own.pop("$defs", {}))
        schemas[own["title"] if model is ProblemBody else model.__name__] = own
    for kind in ("strategy", "backtest", "settings"):
        schemas[f"{kind}_spec"] = _embedded(schema(kind), f"{kind}_spec")  # type: ignore[arg-type]
    for submission, kind in (("NewOptimization", "strategy"), ("NewBacktest", "backtest")):
        schemas[submission] = copy.deepcopy(schemas["Submission"]) | {"title": submission}
        _point(schemas, submission, "spec", f"{kind}_spec")
    del schemas["Submission"]
    _point(schemas, "NewStrategy", "spec", "strategy_spec")
    _point(schemas, "StrategyChange", "spec", "strategy_spec", nullable=True)
    _point(schemas, "NewSettings", "settings", "settings_spec")
    components["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
    }
    for path, operations in document["paths"].items():
        for operation in operations.values():
            _finish(operation, signed_in=path.startswith("/v1/"))
    document["x-problems"] = {
        code: {"type": kind.uri, "status": kind.status, "title": kind.title, "remedy": kind.remedy}
        for code, kind in CATALOGUE.items()
    }
    return document


def _finish(operation: dict[str, Any], *, signed_in: bool) -> None:
    answers = operation["responses"]
    if signed_in:
        operation["security"] = [{"bearer": []}]
        answers.setdefault("400", _problem("bad-request"))
    for code in _ALWAYS:
        answers.setdefault(str(CATALOGUE[code].status), _problem(code))
    if "422" in answers:
        answers["422"] = _problem("invalid") | {
            "description": answers["422"].get("description", CATALOGUE["invalid"].title)
        }
    for answer in answers.values():
        content = answer.get("content", {})
        if MEDIA_TYPE in content:
            # FastAPI adds a JSON schema of its own beside ours; problems have one media type.
            content.pop("application/json", None)


def _problem(code: str) -> dict[str, Any]:
    kind = CATALOGUE[code]
    return {
        "description": f"`{code}`: {kind.title}",
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }


def _point(
    schemas: dict[str, Any], model: str, member: str, target: str, *, nullable: bool = False
) -> None:
    reference: dict[str, Any] = {"$ref": f"#/components/schemas/{target}"}
    schemas[model]["properties"][member] = (
        {"anyOf": [reference, {"type": "null"}]} if nullable else reference
    )


def _embedded(document: dict[str, Any], name: str) -> dict[str, Any]:
    """A schema document with its internal references made to hold inside the OpenAPI file."""

    def moved(node: Any) -> Any:
        if isinstance(node, dict):
            return {
                key: (
                    f"#/components/schemas/{name}{value[1:]}"
                    if key == "$ref" and isinstance(value, str) and value.startswith("#/")
                    else moved(value)
                )
                for key, value in node.items()
                if key not in ("$schema", "$id")
            }
        return [moved(item) for item in node] if isinstance(node, list) else node

    return moved(document)
