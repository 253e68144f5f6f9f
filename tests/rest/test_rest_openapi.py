"""
The description of the interface: it names every route there is, nothing is left open, and each status it names is seen.
"""

from __future__ import annotations

import inspect as inspection
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from typing import Any
from uuid import uuid4

import falcon
import pytest
from falcon import inspect
from falcon.testing import Result

from tests.factories import make_task
from tests.rest.support import Api, basic, plant
from unomi_rest import answers, openapi
from unomi_rest.limits import MOST_BODY_BYTES
from unomi_rest.openapi import EVERY_REQUEST, describe, statuses
from unomi_rest.routes import ROUTES, Operation, Route
from unomi_rest.throttle import ATTEMPTS
from unomi_scheduler import Audit, Conflict, Scheduler, Settings, StoreUnavailable, TaskStatus
from unomi_scheduler.service.tokens import Tokens

OPERATIONS = [(route, operation) for route in ROUTES for operation in route.operations]
EACH = [(route, operation, status) for route, operation in OPERATIONS for status in statuses(route, operation)]
BODIES: dict[str, dict[str, Any]] = {
    "TaskDefinition": {"taskType": "sample", "itemId": "new"},
    "ConfigChange": {"maxRetries": 1},
    "BulkOrder": {"action": "run", "filter": {"ids": ["f"]}},
    "TokenRequest": {"name": "ci"},
}


@pytest.fixture
def settings() -> Settings:
    """
    One store is enough here.
    """
    return Settings(store=f"memory://{uuid4().hex}")


@pytest.fixture
def stocked(api: Api) -> Api:
    """
    A task that is scheduled, one that failed, one that crashed, and one that is cancelled.
    """
    plant(
        api.scheduler,
        make_task(id="s"),
        make_task(id="f", status=TaskStatus.FAILED, failure_count=4),
        make_task(id="c", status=TaskStatus.CRASHED),
        make_task(id="x", status=TaskStatus.CANCELLED, enabled=False),
    )
    return api


def ask(api: Api, route: Route, operation: Operation, task_id: str = "f", query: str = "", **more: Any) -> Result:
    """
    Send an operation's request with what it needs.
    """
    return prepared(api, route, operation, task_id, query, **more)()


def prepared(
    api: Api, route: Route, operation: Operation, task_id: str = "f", query: str = "", **more: Any
) -> Callable[[], Result]:
    """
    Return what sends an operation's request; what it is about is there.
    """
    if operation.body is not None and "body" not in more:
        more = {"json": BODIES[operation.body.__name__]} | more
    if operation.stream is not None:
        # Else it goes on for minutes.
        query = f"{query}&timeout=0"
    headers = basic("admin") | more.pop("headers", {})
    path = route.path.replace("{task_id}", task_id).replace("{node_id}", api.scheduler.node_id)
    if not query and any(one.required for one in operation.query):
        query = "enabled=true"
    if "{token_id}" in path:
        made = "none" if task_id == "none" else api.scheduler.tokens.make("ci", ["VIEWER"], created_by="admin")[0].id
        path = path.replace("{token_id}", made)
    return partial(api.client.simulate_request, operation.method, path, query_string=query, headers=headers, **more)


Provoke = Callable[[Api, Route, Operation], Result]


def _sent(**how: Any) -> Provoke:
    return lambda api, route, operation: ask(api, route, operation, **how)


def _invalid(api: Api, route: Route, operation: Operation) -> Result:
    if operation.query:
        return ask(api, route, operation, query=f"{operation.query[0].name}=-x")
    return ask(api, route, operation, query="nobodyKnows=1")


def _started(api: Api, route: Route, operation: Operation) -> Result:
    with api.scheduler:
        return ask(api, route, operation)


def _too_often(api: Api, route: Route, operation: Operation) -> Result:
    for _ in range(ATTEMPTS):
        ask(api, route, operation, headers=basic("admin", "wrong"))
    return ask(api, route, operation)


def _verbs() -> set[str]:
    names = {name for kind in (Scheduler, Tokens, Audit) for name, _ in inspection.getmembers(kind, callable)}
    return {name for name in names if not name.startswith("_")}


def _conflict(api: Api, route: Route, operation: Operation) -> Result:
    if route.path.startswith("/cxs/tokens"):
        return _breaking(Conflict("too many"), verbs=("make", "revoke"))(api, route, operation)
    if operation.body is not None and operation.method == "POST":
        return ask(api, route, operation, json={"taskType": "sample", "itemId": "f"})
    if operation.body is not None:
        return ask(api, route, operation, task_id="x", json={"enabled": True})
    strict = any(one.name == "strict" for one in operation.query)
    return ask(api, route, operation, task_id="x", query="strict=true" if strict else "")


def _breaking(raised: Exception, verbs: tuple[str, ...] = ()) -> Provoke:
    def fail(*_: Any, **__: Any) -> Any:
        raise raised

    def provoke(api: Api, route: Route, operation: Operation) -> Result:
        # Whatever a resource may ask the scheduler for.
        request = prepared(api, route, operation)
        with pytest.MonkeyPatch.context() as patch:
            for kind, name in product((Scheduler, Tokens, Audit), verbs or _verbs()):
                if hasattr(kind, name):
                    patch.setattr(kind, name, fail)
            patch.setattr(Scheduler, "progressing", False)
            return request()

    return provoke


PROVOKED: dict[int, Provoke] = {
    400: _invalid,
    401: _sent(headers={"Authorization": ""}),
    403: _sent(headers=basic("guest")),
    404: _sent(task_id="none"),
    409: _conflict,
    411: _sent(headers={"Transfer-Encoding": "chunked"}),
    413: _sent(body=b"x" * (MOST_BODY_BYTES + 1)),
    415: _sent(body=b"x", content_type="text/plain"),
    429: _too_often,
    500: _breaking(RuntimeError("odd")),
    503: _breaking(StoreUnavailable("no answer")),
}


@pytest.mark.parametrize(
    ("route", "operation", "status"),
    [pytest.param(*one, id=f"{one[1].method} {one[0].path} {one[2]}") for one in EACH],
)
def test_each_documented_status_is_seen(stocked: Api, route: Route, operation: Operation, status: int) -> None:
    """
    And each answer is as described: every error has the one form.
    """
    resumed = _sent(task_id="c") if route.path.endswith("/resume") else _sent()
    resumed = _started if "{node_id}" in route.path else resumed
    result = PROVOKED.get(status, resumed)(stocked, route, operation)
    model = operation.answer if status == operation.status else answers.Error

    assert result.status_code == status, result.text
    if model is None and operation.text is not None and status == operation.status:
        assert result.headers["content-type"].startswith(operation.text)
    elif operation.stream is not None and status == operation.status:
        assert result.text.startswith("retry: ")
    elif model is None:
        assert result.content == b""
    else:
        model.model_validate(result.json)


def test_the_description_names_every_route_and_no_other(api: Api) -> None:
    """
    As Falcon itself lists them.
    """
    app = api.client.app
    assert isinstance(app, falcon.App)
    served = {
        (route.path, method.method)
        for route in inspect.inspect_routes(app)
        for method in route.methods
        if not method.internal
    }
    described = api.client.simulate_get("/openapi.json").json["paths"]
    documented = {
        (path, method.upper()) for path, item in described.items() for method in item if method != "parameters"
    }

    assert served == documented


def _schemas(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        if {"type", "$ref", "anyOf", "enum"} & value.keys():
            yield value
        for name, inner in value.items():
            if name != "example":
                yield from _schemas(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _schemas(inner)


def test_no_schema_is_open() -> None:
    """
    An object says what is in it, a list of what it is, and every reference leads somewhere.
    """
    document = describe(ROUTES)
    known = document["components"]["schemas"]

    for schema in _schemas([known, document["paths"]]):
        if schema.get("type") == "object":
            assert schema.get("additionalProperties", True) is not True, schema
        if schema.get("type") == "array":
            assert schema.get("items"), schema
        if "$ref" in schema:
            assert schema["$ref"].removeprefix("#/components/schemas/") in known


def test_every_operation_says_who_may_do_it_and_has_a_name_of_its_own() -> None:
    """
    As the matrix of callers tests it.
    """
    names = set()
    for route in ROUTES:
        described = describe(ROUTES)["paths"][route.path]
        for operation in route.operations:
            one = described[operation.method.lower()]
            names.add(one["operationId"])
            assert route.public or set(map(str, EVERY_REQUEST)) <= one["responses"].keys()
            assert (one.get("security") == []) is route.public

    assert len(names) == len(OPERATIONS)


def test_the_description_is_for_everyone(api: Api) -> None:
    """
    It tells nothing that a user does.
    """
    result = api.client.simulate_get("/openapi.json")

    assert (result.status_code, result.json["openapi"]) == (200, "3.1.0")
    answers.Interface.model_validate(result.json)
    assert result.json["info"]["version"] == openapi._version()
