"""
Health: what is asked, what is not, and how often.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from threading import Event, Thread
from typing import Any

import pytest
from falcon.testing import TestClient

from tests.rest.support import SettableClock
from tests.scenario_kit import LIMIT
from tests.waiting import eventually, told
from unomi_rest import health
from unomi_rest.app import create_health_app
from unomi_rest.health import EXAMINE_EVERY_MILLIS, LOOK_EVERY_MILLIS, WHAT_TO_DO, ReadyResource
from unomi_scheduler import ConfigurationError, Page, Scheduler, Settings, StoreUnavailable
from unomi_scheduler.clock import Instant
from unomi_scheduler.node.messages import Command

ALL = ("store", "index", "node", "accepting", "clock", "lease")


@pytest.fixture
def settings() -> Settings:
    """
    One store is enough here.
    """
    return Settings(store="memory://", node_id="a", purge_enabled=False)


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """
    What the store answers, and how often it was asked.
    """
    state: dict[str, Any] = {"error": None, "asked": 0}
    find = Scheduler.find_tasks

    def asked(scheduler: Scheduler, **query: Any) -> Page:
        state["asked"] += 1
        if state["error"] is not None:
            raise state["error"]
        return find(scheduler, **query)

    monkeypatch.setattr(Scheduler, "find_tasks", asked)
    return state


def ask(scheduler: Scheduler, path: str = "/readyz") -> tuple[int, Any]:
    """
    Return status and body of one request to the small port.
    """
    result = TestClient(create_health_app(scheduler)).simulate_get(path)
    return result.status_code, result.json


def test_life_does_not_depend_on_the_store(scheduler: Scheduler, store: dict[str, Any]) -> None:
    """
    An outage of the store must not restart every node.
    """
    store["error"] = StoreUnavailable("gone")

    assert ask(scheduler, "/livez") == (200, {"status": "UP"})
    assert store["asked"] == 0


def test_a_core_that_does_not_move_is_not_alive() -> None:
    """
    After a lease without a turn of it; it is again when it moves.
    """
    stopped = Event()
    with Scheduler(store="memory://stuck", node_id="a", purge_enabled=False, lease="1s") as node:
        core = node._wiring.node._cores
        advance = core.advance

        def stuck(now: Instant) -> list[Command]:
            stopped.wait(LIMIT)
            return advance(now)

        core.advance = stuck  # type: ignore[method-assign]
        status, body = eventually(
            lambda: ((answer := ask(node, "/livez"))[0] == 503 and answer) or None, "it seems alive"
        )
        core.advance = advance  # type: ignore[method-assign]
        stopped.set()
        eventually(lambda: ask(node, "/livez")[0] == 200, "the core did not go on")

    assert (status, body["error"]) == (503, "Stuck")


def test_without_a_node_readiness_is_the_store_alone(scheduler: Scheduler) -> None:
    """
    As in `unomi-scheduler api`.
    """
    assert ask(scheduler) == (200, {"status": "UP", "checks": {"store": True, "index": True}})


def test_a_node_is_ready_while_it_takes_part(scheduler: Scheduler) -> None:
    """
    Once it has stopped it is not.
    """
    ready = ReadyResource(scheduler, SettableClock())
    with scheduler:
        running = ready.checks()

    assert running == dict.fromkeys(ALL, True)
    after = ready.checks()
    assert (after["node"], after["accepting"], after["lease"]) == (False, False, False)


def test_a_node_that_drains_is_not_ready(scheduler: Scheduler) -> None:
    """
    It still runs what it runs, and takes nothing new.
    """
    begun, go = Event(), Event()

    def patient() -> None:
        begun.set()
        go.wait(LIMIT)

    ready = ReadyResource(scheduler, SettableClock())
    with scheduler:
        scheduler.new_task("patient").with_simple_executor(patient).schedule()
        assert begun.wait(LIMIT)
        assert ready.checks()["accepting"]
        leaving = Thread(target=scheduler.stop)
        leaving.start()
        drained = eventually(lambda: ready.checks() if not ready.checks()["accepting"] else None, "it does not drain")
        go.set()
        leaving.join(LIMIT)

    assert drained == dict.fromkeys(ALL, True) | {"accepting": False}


def test_a_node_without_its_lease_is_not_ready(scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    It starts nothing, so it should be given nothing.
    """
    with scheduler:
        bound = scheduler._wiring.node._bindings.bound
        assert bound is not None
        monkeypatch.setattr(bound, "holds", lambda *_: False)
        status, body = ask(scheduler)

    assert (status, body["message"]) == (503, "Not ready: lease")
    assert body["problems"] == {"lease": WHAT_TO_DO["lease"]}


def test_a_node_that_does_not_know_its_clock_is_not_ready(
    scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    It claims nothing, so it should be given nothing.
    """
    monkeypatch.setattr(Scheduler, "clock_trusted", False)
    with scheduler:
        status, body = ask(scheduler)

    assert (status, body["message"]) == (503, "Not ready: clock")


def test_a_store_that_does_not_answer_makes_it_not_ready(scheduler: Scheduler, store: dict[str, Any]) -> None:
    """
    The answer names the check, what to do, and no host; it has the form of an error beside.
    """
    store["error"] = StoreUnavailable("no answer from http://inner-host:9200")

    assert ask(scheduler) == (
        503,
        {
            "error": "Not ready",
            "code": "503",
            "message": "Not ready: store",
            "checks": {"store": False},
            "problems": {"store": WHAT_TO_DO["store"]},
        },
    )


def test_an_index_that_is_missing_makes_it_not_ready(
    scheduler: Scheduler, store: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """
    The store is well; which index it is stands in the log, not in what everybody may read.
    """
    store["error"] = ConfigurationError("the index inner-scheduledtask is missing")
    status, body = ask(scheduler)

    assert (status, body["checks"]) == (503, {"store": True, "index": False})
    assert "inner" not in str(body)
    assert any("inner-scheduledtask is missing" in line for line in told(caplog, "rest.readyz"))


def test_what_is_wrong_with_the_index_makes_it_not_ready(scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Its mapping may be of another version, or writes may be blocked; it is looked at twice a minute.
    """
    asked: list[Scheduler] = []

    def wrong(one: Scheduler) -> tuple[str, ...]:
        asked.append(one)
        return ("of version 7",)

    monkeypatch.setattr(Scheduler, "store_defects", wrong)
    clock = SettableClock()
    ready = ReadyResource(scheduler, clock)
    for _ in range(5):
        assert ready.checks() == {"store": True, "index": False}
        clock.advance(LOOK_EVERY_MILLIS)
    assert len(asked) == 1

    clock.advance(EXAMINE_EVERY_MILLIS)
    ready.checks()
    assert len(asked) == 2


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> Iterator[Event]:
    """
    A store that says nothing until the event is set.
    """
    go = Event()
    find = Scheduler.find_tasks
    monkeypatch.setattr(Scheduler, "find_tasks", lambda scheduler, **query: go.wait(LIMIT) and find(scheduler, **query))
    monkeypatch.setattr(health, "LIMIT_MILLIS", 50)
    yield go
    go.set()


def test_a_store_that_is_silent_makes_it_not_ready(scheduler: Scheduler, silent: Event) -> None:
    """
    However long its requests may take; and it is ready again once the store has answered.
    """
    clock = SettableClock()
    ready = ReadyResource(scheduler, clock)
    first = ready.checks()
    clock.advance(LOOK_EVERY_MILLIS)
    second = ready.checks()
    silent.set()

    assert (first, second) == ({"store": False}, {"store": False})
    eventually(lambda: ready.checks() == {"store": True, "index": True}, "it is not ready again")


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


def test_what_is_wrong_is_logged_once(
    scheduler: Scheduler, store: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """
    However often it is asked.
    """
    store["error"] = StoreUnavailable("no answer from http://inner-host:9200")
    caplog.set_level(logging.WARNING)
    clock = SettableClock()
    ready = ReadyResource(scheduler, clock)
    for _ in range(3):
        ready.checks()
        clock.advance(LOOK_EVERY_MILLIS)

    assert told(caplog, "rest.readyz") == ["Not ready: no answer from http://inner-host:9200", "Not ready: store"]
