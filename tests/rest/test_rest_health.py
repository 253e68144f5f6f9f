"""
Health: what is asked, what is not, and how often.
"""

from __future__ import annotations

from typing import Any

import pytest
from falcon.testing import TestClient

from tests.rest.support import SettableClock
from unomi_rest.app import create_health_app
from unomi_rest.health import LOOK_EVERY_MILLIS, ReadyResource
from unomi_scheduler import Page, Scheduler, Settings, StoreUnavailable


@pytest.fixture
def settings() -> Settings:
    """
    One store is enough here.
    """
    return Settings(store="memory://", node_id="a", purge_enabled=False)


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """
    Whether the store answers, and how often it was asked.
    """
    state: dict[str, Any] = {"answers": True, "asked": 0}
    find = Scheduler.find_tasks

    def asked(scheduler: Scheduler, **query: Any) -> Page:
        state["asked"] += 1
        if not state["answers"]:
            raise StoreUnavailable("no answer from http://inner-host:9200")
        return find(scheduler, **query)

    monkeypatch.setattr(Scheduler, "find_tasks", asked)
    return state


def test_life_does_not_depend_on_the_store(scheduler: Scheduler, store: dict[str, Any]) -> None:
    """
    An outage of the store must not restart every node.
    """
    store["answers"] = False
    result = TestClient(create_health_app(scheduler)).simulate_get("/livez")

    assert (result.status_code, result.json, store["asked"]) == (200, {"status": "UP"}, 0)


def test_without_a_node_readiness_is_the_store_alone(scheduler: Scheduler) -> None:
    """
    As in `unomi-scheduler api`.
    """
    result = TestClient(create_health_app(scheduler)).simulate_get("/readyz")

    assert (result.status_code, result.json) == (200, {"status": "UP", "checks": {"store": True}})


def test_a_node_is_ready_while_it_takes_part(scheduler: Scheduler) -> None:
    """
    Once it drains it is not.
    """
    clock = SettableClock()
    ready = ReadyResource(scheduler, clock)
    with scheduler:
        running = ready.checks()
    clock.advance(LOOK_EVERY_MILLIS)

    assert running == {"store": True, "node": True, "clock": True}
    assert ready.checks()["node"] is False


def test_a_node_that_does_not_know_its_clock_is_not_ready(
    scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    It claims nothing, so it should be given nothing.
    """
    monkeypatch.setattr(Scheduler, "clock_trusted", False)
    with scheduler:
        result = TestClient(create_health_app(scheduler)).simulate_get("/readyz")

    assert (result.status_code, result.json["message"]) == (503, "Not ready: clock")


def test_a_store_that_does_not_answer_makes_it_not_ready(scheduler: Scheduler, store: dict[str, Any]) -> None:
    """
    The answer names the check and no host; it has the form of an error beside.
    """
    store["answers"] = False
    result = TestClient(create_health_app(scheduler)).simulate_get("/readyz")

    assert result.status_code == 503
    assert result.json == {
        "error": "Not ready",
        "code": "503",
        "message": "Not ready: store",
        "checks": {"store": False},
    }


def test_the_store_is_asked_once_a_second_however_many_ask(scheduler: Scheduler, store: dict[str, Any]) -> None:
    """
    Whoever needs no sign-in must not be able to keep the store busy.
    """
    clock = SettableClock()
    ready = ReadyResource(scheduler, clock)
    for _ in range(10):
        ready.checks()
    assert store["asked"] == 1

    clock.advance(LOOK_EVERY_MILLIS)
    ready.checks()
    assert store["asked"] == 2
