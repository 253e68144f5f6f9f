"""
What the tests of REST share: an application over a real scheduler, and one who is signed in.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

from falcon.testing import Result, TestClient

from unomi_rest.accounts import make_account
from unomi_rest.app import create_app
from unomi_scheduler import Scheduler, Settings, Task
from unomi_scheduler.clock import Instant
from unomi_scheduler.ports import Action, Write

PASSWORD = "correct horse"
ADMIN = make_account("admin", PASSWORD)
GUEST = make_account("guest", PASSWORD, ())
VIEWER = make_account("viewer", PASSWORD, ("VIEWER",))
UNOMI = make_account("unomi", PASSWORD, ("ROLE_UNOMI_ADMIN",))


def basic(user: str, password: str = PASSWORD) -> dict[str, str]:
    """
    Return the header of one who signs in.
    """
    token = base64.b64encode(f"{user}:{password}".encode()).decode()
    return {"Authorization": f"Basic {token}"}


class SettableClock:
    """
    A clock that stands still until it is moved.
    """

    def __init__(self) -> None:
        self.boot = 1_000_000

    def now(self) -> Instant:
        """
        Return the moment it was set to.
        """
        return Instant(1_750_000_000_000 + self.boot, self.boot)

    def advance(self, millis: int) -> None:
        """
        Move on.
        """
        self.boot += millis


@dataclass
class Api:
    """
    The application, its scheduler and its clock.
    """

    client: TestClient
    scheduler: Scheduler
    clock: SettableClock

    def get(self, path: str, user: str = "admin", **more: Any) -> Result:
        """
        Ask as this user.
        """
        return self.client.simulate_get(path, headers=basic(user), **more)

    def delete(self, path: str, user: str = "admin", **more: Any) -> Result:
        """
        Delete as this user.
        """
        return self.client.simulate_delete(path, headers=basic(user), **more)

    def post(self, path: str, user: str = "admin", **more: Any) -> Result:
        """
        Post as this user.
        """
        return self.client.simulate_post(path, headers=basic(user), **more)

    def put(self, path: str, user: str = "admin", **more: Any) -> Result:
        """
        Put as this user.
        """
        return self.client.simulate_put(path, headers=basic(user), **more)


def make_api(scheduler: Scheduler, settings: Settings | None = None) -> Api:
    """
    Return an application with the four users of these tests.
    """
    clock = SettableClock()
    app = create_app(scheduler, settings or scheduler.settings, accounts=(ADMIN, GUEST, UNOMI, VIEWER), clock=clock)
    return Api(TestClient(app), scheduler, clock)


def error(result: Result) -> tuple[int, str, str]:
    """
    Return status, short text and message of an error; its body has the promised form and no other member.
    """
    body = result.json
    assert set(body) == {"error", "code", "message"}
    assert body["code"] == str(result.status_code)
    assert result.headers["content-type"] == "application/json"
    return result.status_code, body["error"], body["message"]


def plant(scheduler: Scheduler, *tasks: Task) -> None:
    """
    Put tasks into the scheduler's store as they are, whatever state they are in.
    """
    store = scheduler._wiring.required_store()
    outcomes = store.write([Write(Action.CREATE, task) for task in tasks])
    assert {outcome.result.value for outcome in outcomes} == {"written"}
    store.refresh()
