"""
Errors: one form for all of them, whoever raised them.
"""

from __future__ import annotations

import logging

import pytest

from tests.rest.support import Api, basic, error
from unomi_rest.limits import MOST_BODY_BYTES
from unomi_rest.problems import PROBLEMS
from unomi_scheduler import (
    ConfigurationError,
    Conflict,
    InvalidTask,
    InvalidTransition,
    LeaseLost,
    Scheduler,
    SchedulerError,
    Settings,
    StoreRefused,
    StoreUnavailable,
    TaskNotFound,
)


@pytest.fixture
def settings() -> Settings:
    """
    One store is enough here.
    """
    return Settings(store="memory://")


def failing(api: Api, monkeypatch: pytest.MonkeyPatch, raised: BaseException) -> None:
    """
    Have the scheduler raise this from now on.
    """

    def fail(scheduler: Scheduler, task_id: str) -> None:
        raise raised

    monkeypatch.setattr(Scheduler, "get_task", fail)


@pytest.mark.parametrize(
    ("raised", "status", "short"),
    [
        (InvalidTask("no period"), 400, "Invalid request"),
        (TaskNotFound("x"), 404, "Task not found"),
        (InvalidTransition("x", "RUNNING", "SCHEDULED"), 409, "Wrong state"),
        (Conflict("lost each race"), 409, "Conflict"),
        (LeaseLost("gone"), 409, "Conflict"),
        (ConfigurationError("no index"), 500, "Configuration error"),
        (SchedulerError("odd"), 500, "Scheduler error"),
        (StoreUnavailable("no answer"), 503, "Store unavailable"),
        (StoreRefused("disk full"), 503, "Store unavailable"),
    ],
)
def test_each_error_of_the_scheduler_has_its_answer(
    api: Api, monkeypatch: pytest.MonkeyPatch, raised: SchedulerError, status: int, short: str
) -> None:
    """
    A subclass is answered as its nearest class; the message is the error's own.
    """
    failing(api, monkeypatch, raised)

    assert error(api.get("/cxs/tasks/x")) == (status, short, str(raised))


def test_every_error_of_the_scheduler_stands_in_the_table() -> None:
    """
    By itself or by the class it comes from.
    """
    kinds = [kind for kind in SchedulerError.__subclasses__() if kind.__module__ == SchedulerError.__module__]

    assert [kind for kind in kinds if kind not in PROBLEMS] == []


def test_a_slash_at_the_end_makes_no_difference(api: Api) -> None:
    """
    It is no task with an empty id.
    """
    assert api.get("/cxs/tasks/").json == api.get("/cxs/tasks").json
    assert api.delete("/cxs/tasks/").status_code == 405


def test_a_store_out_of_reach_says_when_to_ask_again(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    In the header made for it.
    """
    failing(api, monkeypatch, StoreUnavailable("no answer"))

    assert api.get("/cxs/tasks/x").headers["retry-after"] == "1"


def test_what_nobody_expected_is_told_by_a_number_in_the_log(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """
    The answer shows nothing of it; the log has the trace.
    """
    failing(api, monkeypatch, RuntimeError("inner secret"))

    status, short, message = error(api.get("/cxs/tasks/x"))

    (line,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert (status, short) == (500, "Internal error")
    assert "secret" not in message
    assert vars(line)["error_id"] in message
    assert line.exc_info is not None
    assert line.exc_info[0] is RuntimeError


@pytest.mark.parametrize("path", ["/", "/nothing", "/cxs", "/cxs/tasks/x/y"])
def test_an_unknown_path_is_not_found(api: Api, path: str) -> None:
    """
    For those who are signed in.
    """
    assert error(api.get(path)) == (404, "Not Found", f"Not Found: GET {path}")


@pytest.mark.parametrize(
    ("path", "allowed"),
    [("/cxs/tasks", {"GET", "POST"}), ("/cxs/tasks/x", {"GET", "DELETE"}), ("/cxs/tasks/x/retry", {"POST"})],
)
@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_an_unknown_method_is_not_allowed(api: Api, method: str, path: str, allowed: set[str]) -> None:
    """
    The answer names those that are.
    """
    result = api.client.simulate_request(method, path, headers=basic("admin"))

    assert error(result)[:2] == (405, "Method Not Allowed")
    assert allowed <= set(result.headers["allow"].split(", "))


def test_a_long_body_is_refused(api: Api) -> None:
    """
    By the length it announces.
    """
    fits = api.client.simulate_get("/cxs/tasks", headers=basic("admin"), body=b"x" * MOST_BODY_BYTES)
    too_long = api.client.simulate_get("/cxs/tasks", headers=basic("admin"), body=b"x" * (MOST_BODY_BYTES + 1))

    assert fits.status_code == 200
    assert error(too_long)[:2] == (413, "Body too large")


def test_a_body_of_unknown_length_is_refused(api: Api) -> None:
    """
    Chunks could go on for ever.
    """
    result = api.client.simulate_get("/cxs/tasks", headers={**basic("admin"), "Transfer-Encoding": "chunked"})

    assert error(result)[:2] == (411, "Length required")


def test_answers_stay_out_of_caches(api: Api) -> None:
    """
    Errors too.
    """
    for result in (api.get("/cxs/tasks"), api.get("/nothing"), api.client.simulate_get("/cxs/tasks")):
        assert result.headers["cache-control"] == "no-store"
        assert result.headers["x-content-type-options"] == "nosniff"
