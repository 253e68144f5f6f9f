"""
The dashboard as an application of its own, beside REST.
"""

from __future__ import annotations

from typing import Any

import falcon

from unomi_scheduler import Clock, Scheduler, SchedulerError

from ..auth import SignIn
from ..limits import BodyLimit
from ..problems import PROBLEMS, UNEXPECTED, log_unexpected
from ..raw_path import RawPath
from .actions import BulkPage, TaskAction
from .door import Door
from .noting import Noting
from .pages import PAGES, Templates
from .sessions import Sessions
from .signing import SignInPage, SignOut
from .static_files import StaticFile

App = falcon.App[falcon.Request, falcon.Response]


def create_dashboard(scheduler: Scheduler, sign_in: SignIn, clock: Clock) -> App:
    """
    Return the WSGI application of the pages.
    """
    templates, sessions = Templates(clock), Sessions(scheduler.sessions, sign_in, clock)
    noting = Noting(scheduler.audit, sign_in.names, clock)
    app: App = falcon.App(middleware=[RawPath(), noting, BodyLimit(), Door(sessions)])
    for path, page in PAGES:
        app.add_route(path, page(scheduler, templates))
    app.add_route("/tasks/{task_id}/{action}", TaskAction(scheduler, templates))
    app.add_route("/bulk", BulkPage(scheduler, templates))
    app.add_route("/sign-in", SignInPage(sign_in, sessions, templates))
    app.add_route("/sign-out", SignOut(sessions))
    app.add_route("/static/{name}", StaticFile())
    errors = _Errors(templates)
    app.add_error_handler(Exception, errors.unexpected)
    app.add_error_handler(falcon.HTTPError, errors.http)
    app.add_error_handler(SchedulerError, errors.known)
    return app


class _Errors:
    def __init__(self, templates: Templates) -> None:
        self._templates = templates

    def known(self, req: falcon.Request, resp: falcon.Response, error: Exception, params: dict[str, Any]) -> None:
        """
        Show an error of the scheduler.
        """
        kind = next(one for one in type(error).__mro__ if one in PROBLEMS)
        self._show(req, resp, PROBLEMS[kind].status, PROBLEMS[kind].error, str(error))

    def http(self, req: falcon.Request, resp: falcon.Response, error: falcon.HTTPError, params: dict[str, Any]) -> None:
        """
        Show an error of the request.
        """
        text = falcon.code_to_http_status(error.status).partition(" ")[2]
        own = error.title if error.title and not error.title[:3].isdigit() else text
        self._show(req, resp, error.status_code, own, error.description or f"There is nothing at {req.path}")

    def unexpected(self, req: falcon.Request, resp: falcon.Response, error: Exception, params: dict[str, Any]) -> None:
        """
        Show the number under which the log has it.
        """
        number = log_unexpected(req, error)
        message = f"Something failed here that should not; the log has the details under {number}"
        self._show(req, resp, UNEXPECTED.status, UNEXPECTED.error, message)

    def _show(self, req: falcon.Request, resp: falcon.Response, status: int, error: str, message: str) -> None:
        session = getattr(req.context, "session", None)
        self._templates.show(
            resp, "error.html", session=session, address=req.relative_uri, done=None, error=error, message=message
        )
        resp.status = status
