"""
Who may do what: every kind of caller with every method of every route.
"""

from __future__ import annotations

from itertools import product

import pytest

from tests.rest.support import Api, basic
from unomi_rest.auth import READING
from unomi_rest.routes import ROUTES
from unomi_scheduler import Settings

CALLERS = {
    "nobody": {},
    "a wrong password": basic("admin", "wrong"),
    "an unknown name": basic("mallory"),
    "a bearer of nothing": {"Authorization": "Bearer uts_nothing"},
    "no role": basic("guest"),
    "viewer": basic("viewer"),
    "admin": basic("admin"),
    "the original's admin": basic("unomi"),
}
STRANGERS = {"nobody", "a wrong password", "an unknown name", "a bearer of nothing"}
REQUESTS = [(route, operation.method) for route in ROUTES for operation in route.operations]


@pytest.fixture
def settings() -> Settings:
    """
    One store is enough here.
    """
    return Settings(store="memory://")


@pytest.mark.parametrize(
    ("caller", "path", "method", "public"),
    [(caller, route.path, method, route.public) for caller, (route, method) in product(CALLERS, REQUESTS)],
)
def test_who_may_do_what(api: Api, caller: str, path: str, method: str, *, public: bool) -> None:
    """
    Health is everybody's; else strangers get 401, and 403 those whose role does not suffice. Who may is told what is
    wrong with the request itself.
    """
    refused = {"no role"} if method in READING else {"no role", "viewer"}
    expected = None if public else 401 if caller in STRANGERS else 403 if caller in refused else None
    target = path.replace("{task_id}", "none").replace("{node_id}", "none")

    # A stream would go on for minutes.
    query = "timeout=0" if path.endswith("/events") else ""
    status = api.client.simulate_request(method, target, query_string=query, headers=CALLERS[caller]).status_code
    assert status == expected if expected else status in (200, 400, 404)
