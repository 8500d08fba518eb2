"""`/v1/openapi.json`: what FastAPI knows of the routes, and what only this project knows."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from orchestrator_api.examples import EXAMPLES

Schema = dict[str, Any]
_TOKEN: Final = "token"  # noqa: S105 - a scheme's name
_BEARER: Final = {
    "type": "http",
    "scheme": "bearer",
    "description": "An API token (`orc_...`), or a run pod's token of audience `orchestrator-api`.",
}
_KEY: Final = ("Idempotency-Key", "With the same key the same call is done once in 24 hours.")
_MATCH: Final = ("If-Match", "Only if it still has this `ETag`; else it is `version_conflict`.")
_NONE_MATCH: Final = ("If-None-Match", "Answers 304 while it still has this `ETag`.")
_USER: Final = (
    "Orchestrator-User",
    "Whom the caller takes itself for; another one than the token's is refused.",
)
# What has versions: by the route's path.
_VERSIONED: Final = ("/v1/projects/{project_id}", "/v1/tasks/{task_id}")
_CONDITIONAL: Final = _VERSIONED[:1]


def describe(app: FastAPI) -> Callable[[], Schema]:
    """What answers for the application's schema; it is made once."""

    def schema() -> Schema:
        if app.openapi_schema is None:
            found = get_openapi(
                title=app.title, version=app.version, description=app.description, routes=app.routes
            )
            app.openapi_schema = completed(found)
        return app.openapi_schema

    return schema


def completed(found: Schema) -> Schema:
    """The schema with who may call, the headers that are understood, and an example of each answer."""
    components = found["components"]
    schemas = {name: _with_example(name, one) for name, one in components["schemas"].items()}
    paths = {
        path: {method: _operation(path, method, one) for method, one in operations.items()}
        for path, operations in found["paths"].items()
    }
    return {
        **found,
        "paths": paths,
        "security": [{_TOKEN: []}],
        "components": {**components, "schemas": schemas, "securitySchemes": {_TOKEN: _BEARER}},
    }


def _with_example(name: str, schema: Schema) -> Schema:
    page = re.fullmatch(r"Page_(\w+?)_", name)
    if page and page[1] in EXAMPLES:
        return {**schema, "examples": [{"items": [EXAMPLES[page[1]]], "next_cursor": None}]}
    return {**schema, "examples": [EXAMPLES[name]]} if name in EXAMPLES else schema


def _operation(path: str, method: str, operation: Schema) -> Schema:
    headers = [_header(*said) for said in _headers(path, method)]
    changed = {**operation, "parameters": [*operation.get("parameters", ()), *headers]}
    if path in _VERSIONED and method in ("get", "patch"):
        etag = {"etag": {"description": "Its version.", "schema": {"type": "string"}}}
        answers: Mapping[str, Schema] = operation["responses"]
        changed["responses"] = {**answers, "200": {**answers["200"], "headers": etag}}
    return changed


def _headers(path: str, method: str) -> Iterator[tuple[str, str]]:
    yield _USER
    if method == "get":
        if path in _VERSIONED:
            yield _NONE_MATCH
        return
    yield _KEY
    if path in _CONDITIONAL:
        yield _MATCH


def _header(name: str, description: str) -> Schema:
    return {
        "name": name,
        "in": "header",
        "required": False,
        "description": description,
        "schema": {"type": "string"},
    }
