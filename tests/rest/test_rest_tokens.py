"""
Tokens over REST: made, shown once, used, expired, revoked, and checked while the store is out of reach.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from falcon.testing import Result, TestClient

from tests.rest.support import ADMIN, VIEWER, SettableClock, basic, error
from unomi_rest.app import create_app
from unomi_rest.bearer import REMEMBERED_MILLIS
from unomi_rest.throttle import ATTEMPTS
from unomi_scheduler import ConfigurationError, SchedulerError, Settings, StoreUnavailable
from unomi_scheduler.service import Scheduler
from unomi_scheduler.stores.memory import MemoryStore

DAY = 86_400_000


class Guarded(MemoryStore):
    """
    A store that counts how often it was asked for tokens, and may be out of reach.
    """

    asked = 0
    failure: SchedulerError | None = None

    def notes(self, kind: str, *args: Any) -> Any:
        """
        Answer, or fail.
        """
        self.asked += kind == "token"
        if self.failure is not None:
            raise self.failure
        return super().notes(kind, *args)


@dataclass
class World:
    """
    Two servers on one store, and one clock.
    """

    clock: SettableClock
    store: Guarded
    clients: list[TestClient]

    def make(self, maker: dict[str, str] | None = None, **body: Any) -> Result:
        """
        Ask for a token.
        """
        headers = maker or basic("admin")
        return self.clients[0].simulate_post("/cxs/tokens", headers=headers, json={"name": "ci", **body})

    def use(self, token: str, server: int = 0, address: str = "127.0.0.1") -> Result:
        """
        Ask for the tasks with a token.
        """
        headers = {"Authorization": f"Bearer {token}"}
        return self.clients[server].simulate_get("/cxs/tasks", headers=headers, remote_addr=address)

    def revoke(self, token_id: str) -> Result:
        """
        Revoke a token.
        """
        return self.clients[0].simulate_delete(f"/cxs/tokens/{token_id}", headers=basic("admin"))

    def listed(self) -> list[dict[str, Any]]:
        """
        Return the tokens.
        """
        found: list[dict[str, Any]] = self.clients[0].simulate_get("/cxs/tokens", headers=basic("admin")).json["list"]
        return found


@pytest.fixture
def world() -> Iterator[World]:
    """
    Two servers.
    """
    clock = SettableClock()
    store = Guarded(clock)
    settings = Settings(store="memory://")
    schedulers = [Scheduler(store=store, clock=clock) for _ in range(2)]
    clients = [TestClient(create_app(one, settings, accounts=(ADMIN, VIEWER), clock=clock)) for one in schedulers]
    yield World(clock, store, clients)
    for scheduler in schedulers:
        scheduler.stop()


def at(text: str) -> int:
    """
    Return a date in epoch milliseconds.
    """
    return round(datetime.fromisoformat(text).timestamp() * 1_000)


def test_a_token_is_shown_once_and_works_everywhere(world: World) -> None:
    """
    The list says who made it, for how long, and when it was used; never its secret.
    """
    made = world.make(roles=["VIEWER"]).json
    secret = made["token"].split("_", 2)[2]

    assert [world.use(made["token"], server).status_code for server in (0, 1)] == [200, 200]
    (shown,) = world.listed()
    assert shown.keys() == {"id", "name", "roles", "createdBy", "createdAt", "expiresAt", "lastUsedAt"}
    assert {**shown, **made} == {**shown, "token": made["token"]}
    assert (shown["name"], shown["roles"], shown["createdBy"]) == ("ci", ["VIEWER"], "admin")
    assert at(shown["expiresAt"]) - at(shown["createdAt"]) == 90 * DAY
    assert secret not in str(world.listed())
    assert secret not in str(world.store.notes("token"))


def test_a_token_lasts_as_long_as_was_asked(world: World) -> None:
    """
    To the millisecond.
    """
    token = world.make(days=2).json["token"]

    world.clock.advance(2 * DAY - 1)
    assert world.use(token).status_code == 200
    world.clock.advance(1)
    assert error(world.use(token))[0] == 401
    assert [one["name"] for one in world.listed()] == ["ci"]
    world.clock.advance(30 * DAY)
    assert world.listed() == []


def test_its_end_may_be_a_date(world: World) -> None:
    """
    In place of days.
    """
    end = datetime.fromtimestamp(world.clock.now().wall / 1_000 + 60, UTC).isoformat()

    assert at(world.make(expiresAt=end).json["expiresAt"]) == world.clock.now().wall + 60_000


@pytest.mark.parametrize(
    "body",
    [
        {"days": 0}, {"days": 367}, {"expiresAt": "2020-01-01T00:00:00Z"}, {"expiresAt": "2999-01-01T00:00:00Z"},
        {"expiresAt": "0001-01-01T00:00:00Z"}, {"days": 1, "expiresAt": "2025-07-01T00:00:00Z"}, {"roles": []},
        {"roles": ["ROOT"]}, {"name": " "}, {"name": "n" * 101}, {"name": None}, {"scope": "all"},
    ],
)  # fmt: skip
def test_what_is_no_token_is_not_made(world: World, body: dict[str, Any]) -> None:
    """
    And told why.
    """
    assert error(world.make(**body))[0] == 400
    assert world.listed() == []


def test_a_token_does_not_outlive_the_one_that_made_it(world: World) -> None:
    """
    By default it ends with it; who wants more is told.
    """
    maker = world.make(roles=["ADMINISTRATOR"], days=2).json
    with_it = {"Authorization": f"Bearer {maker['token']}"}

    made = world.make(with_it).json
    assert made["expiresAt"] == maker["expiresAt"]
    assert made["createdBy"] == "ci"
    assert "not beyond that of the token" in error(world.make(with_it, days=3))[2]


def test_a_revoked_token_is_refused_within_five_seconds(world: World) -> None:
    """
    By a server that has just seen it, too; a use in between lengthens nothing.
    """
    made = world.make().json
    assert world.use(made["token"], 1).status_code == 200
    world.clock.advance(REMEMBERED_MILLIS - 1)
    assert world.revoke(made["id"]).status_code == 204

    assert world.use(made["token"], 1).status_code == 200
    world.clock.advance(1)
    assert error(world.use(made["token"], 1))[0] == 401
    assert REMEMBERED_MILLIS < 5_000
    assert error(world.revoke(made["id"]))[:2] == (404, "Token not found")


@pytest.mark.parametrize(("failure", "status"), [(StoreUnavailable("no answer"), 503), (ConfigurationError("x"), 500)])
def test_a_store_out_of_reach_accepts_nobody_new(world: World, failure: SchedulerError, status: int) -> None:
    """
    Who was seen just now is let in until the seconds are over, and is no guesser afterwards.
    """
    seen, unseen = world.make().json["token"], world.make().json["token"]
    world.use(seen)
    world.store.failure = failure

    assert error(world.use(unseen))[0] == status
    assert world.use(seen).status_code == 200
    world.clock.advance(REMEMBERED_MILLIS)
    assert [world.use(seen).status_code for _ in range(ATTEMPTS + 2)] == [status] * (ATTEMPTS + 2)
    world.store.failure = None
    assert world.use(seen).status_code == 200


def test_a_remembered_token_asks_the_store_once(world: World) -> None:
    """
    However often it is used.
    """
    token = world.make().json["token"]
    before = world.store.asked
    for _ in range(20):
        world.use(token)

    assert world.store.asked == before + 1


def test_guesses_are_throttled_by_address_and_hold_up_no_holder(world: World) -> None:
    """
    Guesses beyond the limit ask the store nothing; who held a good one goes on, from the same address too.
    """
    token = world.make().json["token"]
    world.use(token)
    statuses = [world.use(f"us_{number:016x}_{'g' * 43}").status_code for number in range(ATTEMPTS + 3)]
    asked = world.store.asked
    throttled = world.use(f"us_{'0' * 16}_{'g' * 43}")

    assert statuses == [401] * ATTEMPTS + [429] * 3
    assert error(throttled)[0] == 429
    assert int(throttled.headers["retry-after"]) > 0
    assert world.store.asked == asked
    assert world.use("nonsense").status_code == 429
    world.clock.advance(REMEMBERED_MILLIS)
    assert world.use(token).status_code == 200
    assert world.use(f"us_{'0' * 16}_{'g' * 43}", address="10.0.0.9").status_code == 401


def test_a_right_id_with_a_wrong_secret_is_a_guess(world: World) -> None:
    """
    Also where the token itself is remembered; and it stays so.
    """
    token = world.make().json["token"]
    world.use(token)
    wrong = token[:-1] + ("a" if token[-1] != "a" else "b")

    assert [world.use(wrong).status_code for _ in range(ATTEMPTS + 1)] == [401] * ATTEMPTS + [429]
    assert world.use(token).status_code == 200
