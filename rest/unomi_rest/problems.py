"""
Errors as answers: one table from the error's class to status and short text, and one body for all of them.

The body is `{"error": short text, "code": the status as a text, "message": detail}`.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping
from typing import Any, NamedTuple

import falcon
import orjson

from unomi_scheduler import (
    ConfigurationError,
    Conflict,
    InvalidTask,
    InvalidTransition,
    LeaseLost,
    NodeNotFound,
    NodeUnavailable,
    SchedulerError,
    StoreUnavailable,
    TaskNotFound,
    WatchRefused,
)

_log = logging.getLogger(__name__)


class Problem(NamedTuple):
    """
    How one kind of error is answered.
    """

    status: int
    error: str


# An error is answered as the nearest of its classes that stands here.
PROBLEMS: Mapping[type[Exception], Problem] = {
    InvalidTask: Problem(400, "Invalid request"),
    TaskNotFound: Problem(404, "Task not found"),
    NodeNotFound: Problem(404, "Node not found"),
    InvalidTransition: Problem(409, "Wrong state"),
    Conflict: Problem(409, "Conflict"),
    LeaseLost: Problem(409, "Conflict"),
    WatchRefused: Problem(503, "No more streams"),
    ConfigurationError: Problem(500, "Configuration error"),
    SchedulerError: Problem(500, "Scheduler error"),
    NodeUnavailable: Problem(503, "Node unavailable"),
    StoreUnavailable: Problem(503, "Store unavailable"),
}
UNEXPECTED = Problem(500, "Internal error")
RETRY_AFTER_SECONDS = "1"


class InvalidParameter(falcon.HTTPBadRequest):
    """
    A query parameter has a value it cannot have.
    """

    def __init__(self, name: str, value: str, expected: str) -> None:
        super().__init__(title="Invalid parameter", description=f"{name}: expected {expected}, got {value!r:.100}")


def describe(problem: Problem, message: str, **members: Any) -> bytes:
    """
    Return the body of an error.
    """
    return orjson.dumps({"error": problem.error, "code": str(problem.status), "message": message, **members})


def answer(resp: falcon.Response, problem: Problem, message: str) -> None:
    """
    Make a response the answer to an error.
    """
    resp.status = problem.status
    resp.content_type = falcon.MEDIA_JSON
    resp.data = describe(problem, message)
    if problem.status == PROBLEMS[StoreUnavailable].status:
        resp.set_header("Retry-After", RETRY_AFTER_SECONDS)


def log_unexpected(req: falcon.Request, error: Exception) -> str:
    """
    Log an error that nobody expected, and return the number under which the log has it.
    """
    error_id = secrets.token_hex(6)
    _log.error(
        "A request failed unexpectedly",
        exc_info=error,
        extra={"action": "rest.error", "error_id": error_id, "method": req.method, "path": req.path},
    )
    return error_id


def install(app: falcon.App[falcon.Request, falcon.Response]) -> None:
    """
    Have an application answer every error in this form: ours, Falcon's own, and what nobody expected.
    """
    answers = _Answers()
    app.add_error_handler(Exception, answers.unexpected)
    app.add_error_handler(falcon.HTTPError, answers.http)
    for kind in PROBLEMS:
        app.add_error_handler(kind, answers.known)


class _Answers:
    def known(self, req: falcon.Request, resp: falcon.Response, error: Exception, params: dict[str, Any]) -> None:
        """
        Answer an error of the scheduler.
        """
        kind = next(one for one in type(error).__mro__ if one in PROBLEMS)
        answer(resp, PROBLEMS[kind], str(error))

    def http(self, req: falcon.Request, resp: falcon.Response, error: falcon.HTTPError, params: dict[str, Any]) -> None:
        """
        Answer an error of Falcon's, or one raised as such here.
        """
        text = falcon.code_to_http_status(error.status).partition(" ")[2]
        own_title = error.title if error.title and not error.title[:3].isdigit() else text
        for name, value in dict(error.headers or {}).items():
            resp.set_header(name, value)
        answer(resp, Problem(error.status_code, own_title), error.description or f"{text}: {req.method} {req.path}")

    def unexpected(self, req: falcon.Request, resp: falcon.Response, error: Exception, params: dict[str, Any]) -> None:
        """
        Answer anything else by a number under which the log has it.
        """
        error_id = log_unexpected(req, error)
        answer(resp, UNEXPECTED, f"Something failed here that should not; the log has the details under {error_id}")
