"""
Who may do what: every kind of caller with every method of every route.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import product

import pytest

from tests.rest.support import Api, basic
from unomi_rest.auth import CHALLENGES, READING
from unomi_rest.routes import ROUTES, Route
from unomi_scheduler import Settings

Headers = Mapping[str, str]


def bearer(text: str) -> dict[str, str]:
    """
    Return the header of one who holds this token.
    """
    return {"Authorization": f"Bearer {text}"}


def _token(api: Api, *roles: str) -> str:
    # The application's clock stands long before the scheduler's: made good for its time.
    return api.scheduler.tokens.make("program", roles, created_by="admin")[1]


def _expired(api: Api) -> Headers:
    text = _token(api, "ADMINISTRATOR")
    api.clock.advance(10**12)
    return bearer(text)


def _revoked(api: Api) -> Headers:
    text = _token(api, "ADMINISTRATOR")
    api.scheduler.tokens.revoke(text.split("_")[1])
    return bearer(text)


STRANGERS: dict[str, Callable[[Api], Headers]] = {
    "nobody": lambda _api: {},
    "a wrong password": lambda _api: basic("admin", "wrong"),
    "an unknown name": lambda _api: basic("mallory"),
    "another scheme": lambda _api: {"Authorization": "Digest admin"},
    "a bearer of nothing": lambda _api: bearer(""),
    "a bearer of something": lambda _api: bearer("uts_nothing"),
    "an unknown token": lambda _api: bearer(f"us_{'0' * 16}_{'s' * 43}"),
    "a token with a wrong secret": lambda api: bearer(_token(api, "ADMINISTRATOR")[:-1] + "-"),
    "a token as a password": lambda api: basic("admin", _token(api, "ADMINISTRATOR")),
    "an expired token": _expired,
    "a revoked token": _revoked,
}
NOBODYS: dict[str, Callable[[Api], Headers]] = {
    "no role": lambda _api: basic("guest"),
    "a token with another role": lambda api: bearer(_token(api, "NOTHING")),
}
VIEWERS: dict[str, Callable[[Api], Headers]] = {
    "viewer": lambda _api: basic("viewer"),
    "a viewer's token": lambda api: bearer(_token(api, "VIEWER")),
}
ADMINISTRATORS: dict[str, Callable[[Api], Headers]] = {
    "admin": lambda _api: basic("admin"),
    "the original's admin": lambda _api: basic("unomi"),
    "an administrator's token": lambda api: bearer(_token(api, "ADMINISTRATOR")),
}
CALLERS = STRANGERS | NOBODYS | VIEWERS | ADMINISTRATORS
REQUESTS = [(route, operation.method) for route in ROUTES for operation in route.operations]


@pytest.fixture
def settings() -> Settings:
    """
    One store is enough here.
    """
    return Settings(store="memory://")


def _refusal(caller: str, route: Route, method: str) -> int | None:
    if route.public:
        return None
    if caller in STRANGERS:
        return 401
    looks = method in READING and not route.private
    return 403 if caller in NOBODYS or (caller in VIEWERS and not looks) else None


@pytest.mark.parametrize(
    ("caller", "route", "method"),
    [
        pytest.param(caller, route, method, id=f"{caller}: {method} {route.path}")
        for caller, (route, method) in product(CALLERS, REQUESTS)
    ],
)
def test_who_may_do_what(api: Api, caller: str, route: Route, method: str) -> None:
    """
    Health is everybody's; else strangers get 401, and 403 those whose role does not suffice. Who may is told what is
    wrong with the request itself.
    """
    target = route.path
    for name in ("task_id", "node_id", "token_id"):
        target = target.replace(f"{{{name}}}", "none")
    expected = _refusal(caller, route, method)

    # A stream would go on for minutes.
    query = "timeout=0" if target.endswith("/events") else ""
    result = api.client.simulate_request(method, target, query_string=query, headers=CALLERS[caller](api))
    assert result.status_code == expected if expected else result.status_code in (200, 400, 404)
    if expected == 401:
        assert result.headers["www-authenticate"] == ", ".join(CHALLENGES)
