"""The document of the admin API: every route that is served stands in it, and it is OpenAPI 3.1."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from starlette.routing import Route

from gateway.admin.api import AdminApi, all_routes
from gateway.admin.openapi import document
from gateway.admin.routing import bound

METHODS = {"get", "post"}
SCHEMA_WORDS = {
    "type", "properties", "required", "items", "prefixItems", "anyOf", "$ref", "title", "description", "default", "enum", "const",
    "additionalProperties", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength", "minItems",
    "maxItems", "format", "contentEncoding", "examples", "propertyNames", "pattern",
}  # fmt: skip


@pytest.fixture(scope="module")
def made() -> Any:
    """As it goes over the wire."""
    return json.loads(json.dumps(document(all_routes())))


class Nobody:
    """Nobody asks these orders anything: only the paths are looked at."""


def test_every_served_route_is_in_the_document_and_no_other(made: Any) -> None:
    """Paths and methods; a verb in a path stands for each of its words."""
    nobody: Any = Nobody()
    app = AdminApi(token="t", state=nobody, operations=nobody, orders=nobody, destinations=nobody, people=nobody).app()
    served = {
        (route.path, method) for route in app.routes if isinstance(route, Route) for method in route.methods or ()
    }
    told = {
        (one.path, method)
        for one in all_routes()
        for method in (one.method, *(["HEAD"] if one.method == "GET" else []))
    }
    assert served == told
    paths = {(path, method) for path, item in made["paths"].items() for method in item}
    assert paths == {(path, one.method.lower()) for one in all_routes() for path in one.paths}


def test_the_document_is_openapi_3_1(made: Any) -> None:
    """Its members, their types, unique operations, and parameters for every name in a path."""
    assert re.fullmatch(r"3\.1\.\d+", made["openapi"])
    assert set(made) == {"openapi", "info", "servers", "security", "tags", "paths", "components"}
    assert {"title", "version"} <= set(made["info"])
    tags = {one["name"] for one in made["tags"]}
    ids: list[str] = []
    for path, item in made["paths"].items():
        assert path.startswith("/")
        assert set(item) <= METHODS
        for method, operation in item.items():
            ids.append(operation["operationId"])
            assert set(operation["tags"]) <= tags
            assert operation["summary"].endswith(".")
            names = {(one["name"], one["in"]) for one in operation["parameters"]}
            assert len(names) == len(operation["parameters"])
            assert {name for name, where in names if where == "path"} == set(re.findall(r"\{(\w+)\}", path))
            assert all(one["required"] for one in operation["parameters"] if one["in"] == "path")
            assert method == "post" or "requestBody" not in operation
            assert "200" in operation["responses"]
            assert ("413" in operation["responses"]) is ("requestBody" in operation)
            for status, answer in operation["responses"].items():
                assert re.fullmatch(r"[1-5]\d\d", status)
                assert answer["description"]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"\w+", one) for one in ids)


def test_every_schema_is_one_and_every_reference_leads_somewhere(made: Any) -> None:
    """JSON Schema's own words, in `components` and wherever a schema stands."""
    schemas = made["components"]["schemas"]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+", name) for name in schemas)
    pending = [(name, one) for name, one in schemas.items()]
    for path, item in made["paths"].items():
        for operation in item.values():
            pending += [(path, one["schema"]) for one in operation["parameters"]]
            bodies = [operation.get("requestBody", {}), *operation["responses"].values()]
            pending += [(path, one["schema"]) for body in bodies for one in body.get("content", {}).values()]
    met = 0
    while pending:
        where, schema = pending.pop()
        met += 1
        assert set(schema) <= SCHEMA_WORDS, (where, schema)
        if "$ref" in schema:
            prefix, _, name = schema["$ref"].rpartition("/")
            assert (prefix, name in schemas) == ("#/components/schemas", True), where
        inner = [*schema.get("properties", {}).values(), *schema.get("anyOf", []), *schema.get("prefixItems", [])]
        inner += [schema[name] for name in ("items", "additionalProperties") if isinstance(schema.get(name), dict)]
        pending += [(where, one) for one in inner]
    assert met > 300


def test_what_is_marked_is_what_is_bound() -> None:
    """A class's marks and an object's routes are the same."""
    nobody: Any = Nobody()
    api = AdminApi(token="t", state=nobody, operations=nobody)
    assert [told for told, _handler in bound(api)] == [
        one for one in all_routes() if one in {told for told, _ in bound(api)}
    ]
