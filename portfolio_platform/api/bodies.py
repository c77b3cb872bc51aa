"""Request bodies: strict JSON, `extra=forbid`, and specs checked against their JSON Schema."""

from __future__ import annotations

import hashlib
import re
from datetime import datetime
from functools import cache
from importlib import resources
from typing import Any, Literal, TypeVar

import orjson
from fastapi import Request
from jsonschema import Draft202012Validator, FormatChecker
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from portfolio_platform.api.problems import Problem

MAX_DEPTH = 24
_MAX_ERRORS = 20
_MAX_MESSAGE = 300

SpecKind = Literal["strategy", "backtest", "settings"]
Body = TypeVar("Body", bound="StrictBody")


def _whole(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


# JSON has one kind of number: 64.0 is an integer to JSON Schema, and so it is here.
WHOLE = BeforeValidator(_whole)


class StrictBody(BaseModel):
    """Base of request bodies: unknown members are refused, not ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)


async def parse(request: Request, model: type[Body]) -> tuple[Body, str]:
    """The validated body and the sha256 of its canonical JSON.

    Raises
    ------
    Problem
        ``unsupported-media-type``, ``bad-request`` (not JSON, or nested too deep) or ``invalid``.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise Problem("unsupported-media-type", "the body must be application/json")
    try:
        document = orjson.loads(await request.body())
    except orjson.JSONDecodeError as error:
        raise Problem("bad-request", f"the body is not JSON: {error.msg}") from error
    _inspect(document)
    try:
        # As JSON: strict, yet text may be a UUID. Integers beyond 64 bits are floats by now.
        body = model.model_validate_json(orjson.dumps(document), strict=True)
    except ValidationError as error:
        raise Problem(
            "invalid",
            "the body does not validate",
            errors=[
                {"loc": ["body", *e["loc"]], "msg": e["msg"], "type": e["type"]}
                for e in error.errors(include_url=False, include_context=False)[:_MAX_ERRORS]
            ],
        ) from error
    canonical = orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
    return body, hashlib.sha256(canonical).hexdigest()


@cache
def schema(kind: SpecKind) -> dict[str, Any]:
    """The JSON Schema document of a spec, from package data."""
    text = resources.files("portfolio_platform.api").joinpath("schemas", f"{kind}.json")
    return orjson.loads(text.read_bytes())


_FORMATS = FormatChecker(("date", "uuid"))
_INSTANT = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")


@_FORMATS.checks("date-time", raises=ValueError)
def _is_instant(value: object) -> bool:
    """RFC 3339: a time without a zone is nobody's time."""
    if not isinstance(value, str):
        return True
    return bool(_INSTANT.fullmatch(value) and datetime.fromisoformat(value.upper()))


@cache
def _validator(kind: SpecKind) -> Draft202012Validator:
    document = schema(kind)
    Draft202012Validator.check_schema(document)
    return Draft202012Validator(document, format_checker=_FORMATS)


def check_spec(kind: SpecKind, spec: dict[str, Any], *location: str) -> None:
    """Check a spec against its schema.

    Raises
    ------
    Problem
        ``invalid`` with the path and the rule of each violation.
    """
    violations = sorted(_validator(kind).iter_errors(spec), key=lambda e: list(map(str, e.path)))
    if violations:
        raise Problem(
            "invalid",
            f"the {kind} does not agree with its schema (see /schemas/{kind}.json)",
            errors=[
                {
                    "loc": ["body", *location, *map(str, violation.absolute_path)],
                    "msg": violation.message[:_MAX_MESSAGE],
                    "type": str(violation.validator),
                }
                for violation in violations[:_MAX_ERRORS]
            ],
        )


def _inspect(document: Any) -> None:
    """Refuse what the store cannot hold, before anything is done with it."""
    depth, level = 0, [document]
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise Problem("bad-request", f"the body is nested deeper than {MAX_DEPTH}")
        if any(isinstance(node, str) and "\0" in node for node in level):
            raise Problem("invalid", "text may not contain the character U+0000", errors=[])
        level = [
            child
            for node in level
            if isinstance(node, dict | list)
            for child in ([*node, *node.values()] if isinstance(node, dict) else node)
        ]


def body_schema(model: type[BaseModel] | str) -> dict[str, Any]:
    """`openapi_extra` that documents a body parsed by `parse`."""
    name = model if isinstance(model, str) else model.__name__
    reference = {"$ref": f"#/components/schemas/{name}"}
    return {
        "requestBody": {"required": True, "content": {"application/json": {"schema": reference}}}
    }
