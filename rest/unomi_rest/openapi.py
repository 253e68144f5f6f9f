"""
The description of the interface: OpenAPI 3.1, made of the table of routes and the models that read and answer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from http import HTTPStatus
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import falcon
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from unomi_scheduler import ChangeKind

from . import answers
from .auth import READING
from .pages import send
from .schemas import JSON_REF, BulkOrder, ConfigChange, TaskDefinition, TokenRequest

if TYPE_CHECKING:
    from .routes import Operation, Route

Json = dict[str, Any]
REFS = "#/components/schemas/{model}"
EVERY_REQUEST = (400, 401, 403, 429, 500, 503)
"""What may become of any request that needs sign-in."""
MEDIA_EVENTS = "text/event-stream"
WITH_BODY = (411, 413, 415)
_ANY_JSON: Json = {
    "description": "Any JSON value.",
    "anyOf": [
        {"type": ["null", "boolean", "number", "string"]},
        {"type": "array", "items": {"$ref": JSON_REF}},
        {"type": "object", "additionalProperties": {"$ref": JSON_REF}},
    ],
}
_EVENT: Json = {
    "description": "One event as its fields are sent; data is JSON.",
    "type": "object",
    "properties": {
        "event": {"enum": [*ChangeKind]},
        "id": {"type": "string"},
        "data": {"type": "string", "contentMediaType": falcon.MEDIA_JSON},
        "retry": {"type": "integer"},
    },
    "additionalProperties": False,
}
_IN_PATH = {
    "task_id": "The task's itemId; a slash in it is %2F.",
    "token_id": "The token's id.",
    "node_id": "The node's nodeId; a slash in it is %2F.",
}


class OpenApiResource:
    """
    `GET /openapi.json`.
    """

    def __init__(self, routes: Callable[[], Iterable[Route]]) -> None:
        self._routes = routes

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """
        Answer the description.
        """
        send(resp, self._document)

    @cached_property
    def _document(self) -> Json:
        return describe(self._routes())


def describe(routes: Iterable[Route]) -> Json:
    """
    Return the OpenAPI document of a table of routes.
    """
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "unomi-scheduler",
            "version": _version(),
            "description": "Tasks of a cluster: see and steer them. To look, the role VIEWER is enough; to change "
            "something one must be ADMINISTRATOR.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": {route.path: _path(route) for route in routes},
        "components": {
            "schemas": _schemas(),
            "securitySchemes": {name: {"type": "http", "scheme": name} for name in ("basic", "bearer")},
        },
        "security": [{"basic": []}, {"bearer": []}],
    }


def statuses(route: Route, operation: Operation) -> tuple[int, ...]:
    """
    Return every status that an operation may answer.
    """
    common = () if route.public else EVERY_REQUEST
    body = WITH_BODY if operation.body is not None else ()
    return tuple(sorted({operation.status, *operation.errors, *common, *body}))


def _path(route: Route) -> Json:
    named = [name for name in _IN_PATH if f"{{{name}}}" in route.path]
    shared: Json = {"parameters": [_in_path(name) for name in named]} if named else {}
    return shared | {one.method.lower(): _operation(route, one) for one in route.operations}


def _in_path(name: str) -> Json:
    schema = {"type": "string", "minLength": 1}
    return {"name": name, "in": "path", "required": True, "description": _IN_PATH[name], "schema": schema}


def _operation(route: Route, one: Operation) -> Json:
    described: Json = {
        "operationId": re.sub(r"\W+", "_", f"{one.method.lower()}{route.path}".replace("/cxs", "")).strip("_"),
        "summary": one.summary,
        "responses": dict(_responses(route, one)),
    }
    if one.query:
        described["parameters"] = [
            {
                "name": each.name,
                "in": "query",
                "description": each.about,
                "schema": dict(each.schema),
                **({"required": True} if each.required else {}),
            }
            for each in one.query
        ]
    for name, about in one.headers:
        header = {"name": name, "in": "header", "description": about, "schema": {"type": "string"}}
        described.setdefault("parameters", []).append(header)
    if one.body is not None:
        described["requestBody"] = {"required": one.body_needed, "content": _content(one.body.__name__)}
    if route.public:
        described["security"] = []
    else:
        viewers = one.method in READING and not route.private
        described["description"] = f"Role {'VIEWER' if viewers else 'ADMINISTRATOR'}."
    return described


def _responses(route: Route, one: Operation) -> Iterator[tuple[str, Json]]:
    for status in statuses(route, one):
        text = HTTPStatus(status).phrase
        if status != one.status:
            yield str(status), {"description": text, "content": _content(answers.Error.__name__)}
        elif one.text is not None:
            yield str(status), {"description": text, "content": {one.text: {"schema": {"type": "string"}}}}
        elif one.stream is not None:
            yield str(status), {"description": one.stream, "content": {MEDIA_EVENTS: {"schema": _EVENT}}}
        elif one.answer is None:
            yield str(status), {"description": text}
        else:
            yield str(status), {"description": text, "content": _content(one.answer.__name__)}


def _content(name: str) -> Json:
    return {falcon.MEDIA_JSON: {"schema": {"$ref": REFS.format(model=name)}}}


def _schemas() -> Json:
    models: list[type[BaseModel]] = [*answers.ANSWERS, TaskDefinition, ConfigChange, BulkOrder, TokenRequest]
    _, made = models_json_schema([(one, "validation") for one in models], ref_template=REFS)
    schemas: Json = {name: _closed(schema) for name, schema in made["$defs"].items()}
    return schemas | {"Json": _ANY_JSON}


def _closed(schema: Json) -> Json:
    # What may have further fields has JSON in them.
    if schema.get("additionalProperties") is True:
        return schema | {"additionalProperties": {"$ref": JSON_REF}}
    return schema


def _version() -> str:
    try:
        return version("unomi-scheduler")
    except PackageNotFoundError:
        return "unknown"
