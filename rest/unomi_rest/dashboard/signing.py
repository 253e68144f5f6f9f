"""
Signing in and out.
"""

from __future__ import annotations

import falcon

from ..accounts import ADMINISTRATOR, VIEWER
from ..auth import SignIn
from .actions import local, see
from .door import COOKIE, SIGN_IN, form_of, session_of
from .pages import Templates
from .sessions import LIFETIME_MILLIS, Sessions


class SignInPage:
    """
    `/sign-in`.
    """

    def __init__(self, sign_in: SignIn, sessions: Sessions, templates: Templates) -> None:
        self._sign_in = sign_in
        self._sessions = sessions
        self._templates = templates

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """
        Show the form.
        """
        self._templates.show(resp, "sign-in.html", next=local(req.get_param("next")), problem=None, user="")

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """
        Begin a session and go to the page that was asked for, or show the form again.
        """
        form = form_of(req)
        user, password = (str(form.get(name, "")) for name in ("user", "password"))
        back = local(form.get("next"))
        try:
            account = self._sign_in.check(user, password, address=req.remote_addr)
        except falcon.HTTPTooManyRequests as error:
            self._again(resp, back, user, str(error.description), falcon.HTTP_429)
            return
        if account is None:
            self._again(resp, back, user, "Wrong user or password", falcon.HTTP_401)
        elif not account.roles & {ADMINISTRATOR, VIEWER}:
            self._again(resp, back, user, f"{account.name} has no role that may look", falcon.HTTP_403)
        else:
            self._set_cookie(req, resp, self._sessions.open(account), LIFETIME_MILLIS // 1_000)
            see(resp, back)

    def _again(self, resp: falcon.Response, back: str, user: str, problem: str, status: str) -> None:
        self._templates.show(resp, "sign-in.html", next=back, problem=problem, user=user)
        resp.status = status

    def _set_cookie(self, req: falcon.Request, resp: falcon.Response, key: str, seconds: int) -> None:
        resp.set_cookie(
            COOKIE, key, max_age=seconds, path="/", secure=req.scheme == "https", http_only=True, same_site="Strict"
        )


class SignOut:
    """
    `/sign-out`.
    """

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """
        End the session.
        """
        self._sessions.end(session_of(req))
        resp.unset_cookie(COOKIE, path="/", same_site="Strict")
        see(resp, SIGN_IN)
