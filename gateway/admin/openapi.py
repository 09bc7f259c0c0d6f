"""The OpenAPI 3.1 document of the admin API, made from the marks on its handlers and the types of what they read and answer."""

from __future__ import annotations

import re
from collections.abc import Sequence
from http import HTTPStatus
from importlib.metadata import version
from typing import Final

import msgspec

from gateway.admin.answers import Refusal
from gateway.admin.routing import ApiRoute

OPENAPI_VERSION: Final = "3.1.0"

_INTRODUCTION: Final = """Everything an operator can see and order of a running gateway.

Lists come in pages: `next` of an answer is the `after` (or `before`) of the following page, null at the end. Every answer other
than 2xx is `{"success": false, "code", "message"}`: `invalid_request` (400) where something cannot be read,
`payload_too_large` (413) where the body is too large, further words for what is refused. Moments ending in `_us` are Unix
microseconds. Answers hold no personal data unless `reveal` asks for it."""

_ALWAYS: Final = ((400, "What was given cannot be read."), (401, "The token is missing or wrong."),
                  (503, "The store cannot be used now; see Retry-After."))  # fmt: skip
_TOO_LARGE: Final = (413, "The body is too large.")
_INTEGERS: Final = frozenset({"id", "run", "older", "audience"})
_FOUND = re.compile(r"\{(\w+)\}")


def document(routes: Sequence[ApiRoute]) -> dict[str, object]:
    """The whole document, JSON-ready."""
    types = [one for told in routes for one in (*_answers(told), told.body) if one is not None]
    schemas, components = msgspec.json.schema_components(
        [*types, Refusal], ref_template="#/components/schemas/{name}", schema_hook=_anything
    )
    by_type = dict(zip(map(str, [*types, Refusal]), schemas, strict=True))
    paths: dict[str, dict[str, object]] = {}
    for told in routes:
        for path in told.paths:
            paths.setdefault(path, {})[told.method.lower()] = _operation(told, path, by_type)
    return {
        "openapi": OPENAPI_VERSION,
        "info": {
            "title": "Audience gateway, admin API",
            "version": version("audience-gateway"),
            "description": _INTRODUCTION,
        },
        "servers": [{"url": "http://127.0.0.1:8081", "description": "GATEWAY_ADMIN_HOST and GATEWAY_ADMIN_PORT"}],
        "security": [{"token": []}],
        "tags": [{"name": tag} for tag in dict.fromkeys(told.tag for told in routes)],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "GATEWAY_ADMIN_TOKEN, or admin.key of the data folder",
                }
            },
        },
    }


def _anything(wanted: type) -> dict[str, object]:
    """The schema of `object`: whatever JSON there is."""
    if wanted is not object:
        raise NotImplementedError
    return {"description": "Any JSON value."}  # an empty schema would say the same, and msgspec takes it for none


def _answers(told: ApiRoute) -> tuple[object, ...]:
    return told.answer if isinstance(told.answer, tuple) else () if told.answer is None else (told.answer,)


def _operation(told: ApiRoute, path: str, by_type: dict[str, dict[str, object]]) -> dict[str, object]:
    names = _FOUND.findall(path)
    parameters: list[dict[str, object]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "integer" if name in _INTEGERS else "string"}}
        for name in names
    ]
    parameters += [
        {"name": one.name, "in": "query", "description": one.meaning, "schema": msgspec.json.schema(one.kind)}
        for one in told.query
    ]
    if told.versioned and told.method == "POST":
        parameters.append(
            {
                "name": "If-Match",
                "in": "header",
                "description": "The `ETag` of what the order is for; refused with 412 where it has changed since.",
                "schema": {"type": "string"},
            }
        )
    operation: dict[str, object] = {
        "operationId": _operation_id(told, path),
        "summary": told.summary,
        "tags": [told.tag],
        "parameters": parameters,
        "responses": _responses(told, by_type),
    }
    if told.body is not None:
        operation["requestBody"] = {"content": {"application/json": {"schema": by_type[str(told.body)]}}}
    if told.is_open:
        operation["security"] = []
    return operation


def _responses(told: ApiRoute, by_type: dict[str, dict[str, object]]) -> dict[str, object]:
    shapes = [by_type[str(one)] for one in _answers(told)]
    schema: dict[str, object] = {"anyOf": shapes} if len(shapes) > 1 else shapes[0] if shapes else {}
    good: dict[str, object] = {
        "description": "Done." if told.method == "POST" else "What was asked for.",
        "content": {media: {"schema": schema if media == "application/json" else {}} for media in told.media},
    }
    if told.versioned and told.method == "GET":
        good["headers"] = {"ETag": {"description": "The version, for `If-Match`.", "schema": {"type": "string"}}}
    problem = {"application/json": {"schema": by_type[str(Refusal)]}}
    others = list(told.others)
    if told.versioned and told.method == "POST":
        others.append((412, "It has changed since you looked."))
    if told.body is not None:
        others.append(_TOO_LARGE)
    if not told.is_open:
        others += _ALWAYS
    responses: dict[str, object] = {"200": good}
    for status, meaning in sorted(others):
        is_good = status < HTTPStatus.BAD_REQUEST
        responses[str(status)] = {"description": meaning, "content": good["content"] if is_good else problem}
    return responses


def _operation_id(told: ApiRoute, path: str) -> str:
    """`GET /api/syncs/{name}/runs` → `get_syncs_name_runs`."""
    words = re.findall(r"[A-Za-z0-9]+", path.removeprefix("/api"))
    return "_".join([told.method.lower(), *words])
