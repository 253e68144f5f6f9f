"""
The door of the dashboard: who may see a page, whose forms are taken, and the headers that keep a browser safe.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlsplit

import falcon

from .sessions import Session, Sessions

COOKIE = "unomi_session"
SIGN_IN = "/sign-in"
FORM_TOKEN = "formToken"  # noqa: S105 - the name of a field
STATIC = "/static/"
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'"
)
_READING = frozenset({"GET", "HEAD"})


class Door:
    """
    The middleware: without a session there is nothing but the sign-in page and what it looks like.
    """

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:
        """
        Find the session, send those without one to the sign-in page, and check that a form is one of ours.

        Raises:
            HTTPForbidden: the form came from elsewhere, or this account may only look.
        """
        if req.method not in _READING and _from_elsewhere(req):
            raise falcon.HTTPForbidden(title="Not allowed", description="This form was sent by a page of another site")
        if req.path == SIGN_IN or req.path.startswith(STATIC):
            return
        keys = req.get_cookie_values(COOKIE) or [""]
        session = self._sessions.find(keys[0], req.remote_addr)
        if session is None:
            _send_to_sign_in(req, resp)
            return
        req.context.session = session
        if req.method not in _READING:
            _check_form(req, session)

    def process_response(
        self, req: falcon.Request, resp: falcon.Response, resource: object, req_succeeded: object
    ) -> None:
        """
        Set the headers.
        """
        resp.set_header("Content-Security-Policy", _POLICY)
        resp.set_header("Referrer-Policy", "same-origin")
        resp.set_header("X-Content-Type-Options", "nosniff")
        if not req.path.startswith(STATIC):
            resp.set_header("Cache-Control", "no-store")


def session_of(req: falcon.Request) -> Session:
    """
    Return the session that the door found.
    """
    session: Session = req.context.session
    return session


def form_of(req: falcon.Request) -> dict[str, Any]:
    """
    Return the fields of the form that was sent.
    """
    if "form" not in req.context:
        req.context.form = req.get_media(default_when_empty={}) if req.content_length else {}
    form = req.context.form
    if not isinstance(form, dict):
        raise falcon.HTTPUnsupportedMediaType(
            title="Not a form", description="A form is expected (application/x-www-form-urlencoded)"
        )
    return form


def _check_form(req: falcon.Request, session: Session) -> None:
    if not session.accepts(form_of(req).get(FORM_TOKEN)):
        raise falcon.HTTPForbidden(
            title="Not allowed", description="This form is of an earlier session; go back, reload the page, try again"
        )
    if not session.may_change and req.path != "/sign-out":
        raise falcon.HTTPForbidden(
            title="Not allowed", description=f"{session.name} may look, and needs the role ADMINISTRATOR to change this"
        )


def _from_elsewhere(req: falcon.Request) -> bool:
    site = req.get_header("Sec-Fetch-Site")
    if site is not None:
        return site not in {"same-origin", "none"}
    origin = req.get_header("Origin")
    return origin is not None and urlsplit(origin).netloc != req.netloc


def _send_to_sign_in(req: falcon.Request, resp: falcon.Response) -> None:
    back = f"?next={quote(req.relative_uri, safe='')}" if req.method in _READING and req.path != "/" else ""
    resp.complete = True
    if req.get_header("HX-Request"):
        resp.status = falcon.HTTP_401
        resp.set_header("HX-Redirect", SIGN_IN + back)
        return
    resp.status = falcon.HTTP_303
    resp.location = SIGN_IN + back
