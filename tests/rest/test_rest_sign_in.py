"""
Sign-in: who gets in, who does not, and how often one may guess.
"""

from __future__ import annotations

import base64
import logging
from typing import Any

import pytest
from falcon.testing import TestClient

from tests.rest.support import ADMIN, PASSWORD, Api, basic, error, make_api
from unomi_rest.accounts import Account
from unomi_rest.app import create_app
from unomi_rest.auth import CHALLENGES, READING
from unomi_rest.routes import ROUTES
from unomi_rest.throttle import ATTEMPTS, REFILL_MILLIS
from unomi_scheduler import ConfigurationError, Scheduler, Settings

PRIVATE = [route.path.replace("{task_id}", "x") for route in ROUTES if not route.public]
METHODS = ["GET", "DELETE", "POST", "PUT", "PATCH", "HEAD", "OPTIONS"]


@pytest.fixture
def settings() -> Settings:
    """
    One store is enough here.
    """
    return Settings(store="memory://")


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """
    The passwords that were really checked.
    """
    checked: list[str] = []
    accepts = Account.accepts

    def count(account: Account, password: str) -> bool:
        checked.append(password)
        return accepts(account, password)

    monkeypatch.setattr(Account, "accepts", count)
    return checked


@pytest.mark.parametrize("path", [*PRIVATE, "/", "/nothing", "//livez", "/cxs/tasks/x/retry", "/metrics"])
@pytest.mark.parametrize("method", METHODS)
def test_nothing_is_answered_to_strangers(api: Api, method: str, path: str) -> None:
    """
    Not even whether a path exists.
    """
    result = api.client.simulate_request(method, path)

    assert result.status_code == 401
    assert result.headers["www-authenticate"] == ", ".join(CHALLENGES)
    assert method == "HEAD" or error(result)[1] == "Not signed in"


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
def test_health_is_for_everyone(api: Api, path: str) -> None:
    """
    And for those whose password is wrong.
    """
    assert api.client.simulate_get(path).status_code == 200
    assert api.client.simulate_get(path, headers=basic("admin", "wrong")).status_code == 200


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Basic",
        "Basic !!!",
        "Basic " + base64.b64encode(b"no colon").decode(),
        "Basic " + base64.b64encode(b"\xff\xfe:x").decode(),
        "Bearer abc",
        "Digest username=admin",
        basic("admin", "wrong")["Authorization"],
        basic("admin", "")["Authorization"],
        basic("admin", PASSWORD + " ")["Authorization"],
        basic("", PASSWORD)["Authorization"],
        basic("", "")["Authorization"],
        basic("nobody")["Authorization"],
        basic("ADMIN")["Authorization"],
    ],
)
def test_wrong_credentials_are_refused(api: Api, header: str) -> None:
    """
    Whatever is wrong with them, the answer is the same.
    """
    assert error(api.client.simulate_get("/cxs/tasks", headers={"Authorization": header}))[:2] == (401, "Not signed in")


@pytest.mark.parametrize(("user", "status"), [("admin", 200), ("unomi", 200), ("guest", 403)])
@pytest.mark.parametrize("path", ["/cxs/tasks"])
def test_the_role_decides(api: Api, path: str, user: str, status: int) -> None:
    """
    ADMINISTRATOR, or the original's name for it.
    """
    assert api.get(path, user=user).status_code == status


@pytest.mark.parametrize("path", PRIVATE)
@pytest.mark.parametrize("method", METHODS)
def test_without_the_role_no_method_is_allowed(api: Api, method: str, path: str) -> None:
    """
    The message says which role is missing.
    """
    result = api.client.simulate_request(method, path, headers=basic("guest"))

    private = any(route.path == path and route.private for route in ROUTES)
    needed = "ADMINISTRATOR or VIEWER" if method in READING and not private else "ADMINISTRATOR"
    assert result.status_code == 403
    assert method == "HEAD" or error(result) == (403, "Not allowed", f"guest needs the role {needed}")


def test_a_password_is_checked_once_a_minute(api: Api, counted: list[str]) -> None:
    """
    Then the slow check is done again.
    """
    for _ in range(3):
        assert api.get("/cxs/tasks").status_code == 200
    assert len(counted) == 1

    api.clock.advance(59_999)
    api.get("/cxs/tasks")
    assert len(counted) == 1

    api.clock.advance(1)
    api.get("/cxs/tasks")
    assert len(counted) == 2


def test_a_wrong_password_is_never_remembered(api: Api, counted: list[str]) -> None:
    """
    Each one is checked, and the right one goes on working.
    """
    api.get("/cxs/tasks")
    for _ in range(2):
        assert api.client.simulate_get("/cxs/tasks", headers=basic("admin", "wrong")).status_code == 401

    assert counted == [PASSWORD, "wrong", "wrong"]
    assert api.get("/cxs/tasks").status_code == 200


def test_guessing_is_slowed_down(api: Api, counted: list[str]) -> None:
    """
    After a handful of wrong passwords nothing is checked any more, not even the right one, until time has passed.
    """
    for _ in range(ATTEMPTS):
        assert api.client.simulate_get("/cxs/tasks", headers=basic("admin", "wrong")).status_code == 401
    throttled = api.get("/cxs/tasks")

    assert error(throttled)[:2] == (429, "Too many attempts")
    assert throttled.headers["retry-after"] == str(REFILL_MILLIS // 1000)
    assert len(counted) == ATTEMPTS

    api.clock.advance(REFILL_MILLIS - 1)
    assert api.get("/cxs/tasks").status_code == 429
    api.clock.advance(1)
    assert api.get("/cxs/tasks").status_code == 200


def test_guessing_slows_down_nobody_else(api: Api) -> None:
    """
    Neither another user, nor the same one from elsewhere, nor who is signed in already.
    """
    api.get("/cxs/tasks", user="unomi")
    for user in ("admin", "unomi"):
        for _ in range(ATTEMPTS + 1):
            api.client.simulate_get("/cxs/tasks", headers=basic(user, "wrong"))

    assert api.get("/cxs/tasks").status_code == 429
    assert api.get("/cxs/tasks", remote_addr="10.0.0.9").status_code == 200
    assert api.get("/cxs/tasks", user="unomi").status_code == 200
    assert api.get("/cxs/tasks", user="guest").status_code == 403


def test_a_right_password_forgives_the_wrong_ones(api: Api) -> None:
    """
    Typing errors do not add up.
    """
    for _ in range(3):
        for _ in range(ATTEMPTS - 1):
            assert api.client.simulate_get("/cxs/tasks", headers=basic("admin", "wrong")).status_code == 401
        api.clock.advance(60_000)
        assert api.get("/cxs/tasks").status_code == 200


def test_no_password_is_logged(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    """
    Neither a right nor a wrong one.
    """
    with caplog.at_level(logging.DEBUG):
        api.get("/cxs/tasks")
        api.client.simulate_get("/cxs/tasks", headers=basic("admin", "wrong-secret"))

    assert PASSWORD not in caplog.text
    assert "wrong-secret" not in caplog.text


def test_an_application_needs_somebody_who_can_sign_in(scheduler: Scheduler) -> None:
    """
    Without any user it is not made.
    """
    with pytest.raises(ConfigurationError, match="Nobody could sign in"):
        create_app(scheduler, scheduler.settings)


@pytest.mark.parametrize(
    "rest",
    [
        {"admin_password": PASSWORD},
        {"users": [{"name": "admin", "password_hash": ADMIN.password_hash, "roles": ["ADMINISTRATOR"]}]},
        {"users": [{"name": "admin", "password_hash": ADMIN.password_hash, "roles": ["ROLE_UNOMI_ADMIN"]}]},
    ],
)
def test_users_come_from_the_settings(scheduler: Scheduler, rest: dict[str, Any]) -> None:
    """
    By password or by hash.
    """
    client = TestClient(create_app(scheduler, Settings(rest=rest)))

    assert client.simulate_get("/cxs/tasks", headers=basic("admin")).status_code == 200
    assert client.simulate_get("/cxs/tasks", headers=basic("admin", "wrong")).status_code == 401


def test_origins_of_the_settings_may_ask_first(scheduler: Scheduler) -> None:
    """
    A browser's question needs no sign-in; what follows it does, and other origins get no permission.
    """
    api = make_api(scheduler, Settings(rest={"cors_origins": ["https://ops.example"]}))
    asked = {"Access-Control-Request-Method": "DELETE"}
    ours = api.client.simulate_options("/cxs/tasks/x", headers={"Origin": "https://ops.example", **asked})
    theirs = api.client.simulate_options("/cxs/tasks/x", headers={"Origin": "https://evil.example", **asked})
    stranger = api.client.simulate_get("/cxs/tasks", headers={"Origin": "https://ops.example"})

    assert (ours.status_code, ours.headers["access-control-allow-origin"]) == (204, "https://ops.example")
    assert "DELETE" in ours.headers["access-control-allow-methods"]
    assert theirs.status_code == 401
    assert "access-control-allow-origin" not in theirs.headers
    assert stranger.status_code == 401


def test_without_origins_nothing_is_said_about_them(api: Api) -> None:
    """
    CORS is off by default.
    """
    result = api.client.simulate_get("/cxs/tasks", headers={**basic("admin"), "Origin": "https://ops.example"})

    assert not [name for name in result.headers if name.startswith("access-control")]


@pytest.mark.parametrize("scheme", ["Basic", "Bearer"])
def test_how_many_guesses_are_free_is_a_setting(scheduler: Scheduler, scheme: str) -> None:
    """
    Of passwords and of tokens.
    """
    api = make_api(scheduler, Settings(rest={"sign_in_attempts": 2}))
    headers = basic("admin", "wrong") if scheme == "Basic" else {"Authorization": "Bearer us_a_b"}
    statuses = [api.client.simulate_get("/cxs/tasks", headers=headers).status_code for _ in range(3)]

    assert statuses == [401, 401, 429]
