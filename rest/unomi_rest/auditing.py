"""
The audit of what is asked over REST: each change that was made, and what was refused.

The table of routes decides: whatever a method changes that is not for reading is recorded, new routes too. What was
wrong in itself (400 and the like) changed nothing and is not recorded. Refusals are rationed, so that nobody fills the
store with them; the next row of their kind says how many were left out.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from threading import Lock
from typing import Any

import falcon

from unomi_scheduler import Audit, Clock

from .auth import READING
from .routes import Route
from .throttle import Throttle

_log = logging.getLogger(__name__)
SIGN_IN = "sign-in"
UNKNOWN = "unknown"
ROWS_AT_ONCE = 60
REFILL_MILLIS = 10_000
_DONE = range(200, 300)
_NOT_ALLOWED = 403
_REFUSED = frozenset({_NOT_ALLOWED, 404, 409})
_NOT_SIGNED_IN = frozenset({401, 429})
_FAILED = 500
_ACTIONS = {
    ("POST", "/cxs/tasks"): "create",
    ("DELETE", "/cxs/tasks/{task_id}"): "cancel",
    ("POST", "/cxs/tokens"): "create token",
    ("DELETE", "/cxs/tokens/{token_id}"): "revoke token",
}
_TOKEN_ID = re.compile(r"us_([0-9a-f]{16})_")
_SUBJECTS = ("task_id", "node_id", "token_id")


class Auditing:
    """
    The middleware. It stands before sign-in, and never turns an answer into another one.
    """

    def __init__(self, audit: Audit, routes: Iterable[Route], account_names: Iterable[str], clock: Clock) -> None:
        self._audit = audit
        self._public = {route.path for route in routes if route.public}
        self._names = frozenset(account_names)
        self._ration = Ration(clock)

    def process_resource(
        self, req: falcon.Request, resp: falcon.Response, resource: object, params: dict[str, Any]
    ) -> None:
        """
        Keep what the path names.
        """
        req.context.subjects = {name: params[name] for name in _SUBJECTS if name in params}

    def process_response(
        self, req: falcon.Request, resp: falcon.Response, resource: object, req_succeeded: object
    ) -> None:
        """
        Record what was answered.
        """
        try:
            self._record(req, resp)
        except Exception:  # noqa: BLE001 - whatever it is, the answer stands
            # The change is done, or refused: a mistake here must not tell otherwise.
            _log.exception("A request is not in the audit", extra={"action": "audit", "path": req.path})

    def _record(self, req: falcon.Request, resp: falcon.Response) -> None:
        status = resp.status_code
        if status in _NOT_SIGNED_IN:
            if req.auth:
                self._refused(SIGN_IN, who=self._claimed(req), action=SIGN_IN, status=status, **_sign_in(req))
            return
        caller = getattr(req.context, "account", None)
        if caller is None or req.method in READING or not req.uri_template or req.uri_template in self._public:
            return
        row = {
            "who": caller.name,
            "by_token": caller.token_id,
            "action": action_of(req),
            "status": status,
            "address": req.remote_addr,
            **getattr(req.context, "subjects", {}),
            **getattr(resp.context, "subjects", {}),
        }
        if status == _NOT_ALLOWED:
            # Nobody has looked at what it asked for.
            self._refused(caller.name, **row)
        elif status in _REFUSED:
            self._refused(caller.name, **_made(req), **row, asked=_asked(req))
        elif (status in _DONE and not getattr(resp.context, "changed_nothing", False)) or status >= _FAILED:
            counts = getattr(resp.context, "counts", None)
            self._audit.record(**row, asked=_asked(req), counts=counts)
            action, changed = getattr(resp.context, "each", ("", ()))
            # So that the change stands beside each task's runs too.
            self._audit.record_each(changed, **{**row, "action": action})

    def _refused(self, kind: str, **row: Any) -> None:
        left_out = self._ration.take(kind)
        if left_out is not None:
            self._audit.record(**row, left_out=left_out or None)

    def _claimed(self, req: falcon.Request) -> str:
        # A name that nobody has may be a password in the wrong field.
        claimed = getattr(req.context, "claimed", None)
        return claimed if claimed in self._names else UNKNOWN


def action_of(req: falcon.Request) -> str:
    """
    Return the word for what a request does: the end of its path, where there is no better one.
    """
    template = req.uri_template or ""
    word = _ACTIONS.get((req.method, template))
    if word == "cancel" and (req.get_param("remove") or "").strip().lower() == "true":
        return "delete"
    last = template.rpartition("/")[2]
    return word or (last if "{" not in last else f"{req.method} {template}")


def _asked(req: falcon.Request) -> Mapping[str, Any]:
    return {**req.params, **getattr(req.context, "asked", {})}


def _made(req: falcon.Request) -> dict[str, Any]:
    # A task that could not be made has its id in the body alone.
    item_id = getattr(req.context, "asked", {}).get("itemId") if action_of(req) == "create" else None
    return {} if item_id is None else {"task_id": item_id}


def _sign_in(req: falcon.Request) -> dict[str, Any]:
    # The id of a token is no secret; anything else that was sent may be.
    found = _TOKEN_ID.match((req.auth or "").partition(" ")[2].strip())
    return {"address": req.remote_addr, "token_id": found[1] if found else None}


class Ration:
    """
    So many rows at once of each kind of refusal, then one every ten seconds.
    """

    def __init__(self, clock: Clock) -> None:
        self._throttle = Throttle(clock, attempts=ROWS_AT_ONCE, refill_millis=REFILL_MILLIS)
        self._lock = Lock()
        self._left_out: dict[str, int] = {}

    def take(self, kind: str) -> int | None:
        """
        Return how many were left out before this one, or None when this one is left out.
        """
        with self._lock:
            if not self._throttle.take((kind, "")):
                return self._left_out.pop(kind, 0)
            self._left_out[kind] = self._left_out.get(kind, 0) + 1
            return None
