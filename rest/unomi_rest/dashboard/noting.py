"""
The audit of what is done at the dashboard: each change, what was refused, and failed sign-ins.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

import falcon

from unomi_scheduler import Audit, Clock

from ..auditing import SIGN_IN, UNKNOWN, Ration
from ..auth import READING
from . import door

_log = logging.getLogger(__name__)
_DONE = 200
_REFUSED = frozenset({403, 404, 409})
_NOT_SIGNED_IN = frozenset({401, 403, 429})
_FAILED = 500


def note(req: falcon.Request, action: str, **what: Any) -> None:
    """
    Say what a form is about to do: `task_id`, or `asked` and later `counts`.
    """
    req.context.noted = {"action": action, **what}


class Noting:
    """
    The middleware. It stands before the door, and never turns an answer into another one.
    """

    def __init__(self, audit: Audit, names: Iterable[str], clock: Clock) -> None:
        self._audit = audit
        self._names = frozenset(names)
        self._ration = Ration(clock)

    def process_response(
        self, req: falcon.Request, resp: falcon.Response, resource: object, req_succeeded: object
    ) -> None:
        """
        Record what became of a form.
        """
        if req.method in READING:
            return
        try:
            self._record(req, resp.status_code)
        except Exception:  # noqa: BLE001 - whatever it is, the answer stands
            _log.exception("A form is not in the audit", extra={"action": "audit", "path": req.path})

    def _record(self, req: falcon.Request, status: int) -> None:
        if req.path == door.SIGN_IN:
            if status in _NOT_SIGNED_IN:
                claimed = door.form_of(req).get("user")
                self._refused(SIGN_IN, who=claimed if claimed in self._names else UNKNOWN, action=SIGN_IN,
                              status=status, address=req.remote_addr)  # fmt: skip
            return
        noted, session = getattr(req.context, "noted", None), getattr(req.context, "session", None)
        if session is None or noted is None:
            return
        row = {"who": session.name, "address": req.remote_addr, **noted}
        if status in _REFUSED:
            self._refused(session.name, status=status, **row)
        elif status >= _FAILED or not row.pop("changed_nothing", False):
            # A form that was done sends the browser on, which is no status of its own.
            outcome = status if status >= _FAILED else _DONE
            self._audit.record(status=outcome, **row)
            action, changed = getattr(req.context, "each", ("", ()))
            self._audit.record_each(changed, who=session.name, address=req.remote_addr, action=action, status=outcome)

    def _refused(self, kind: str, **row: Any) -> None:
        left_out = self._ration.take(kind)
        if left_out is not None:
            self._audit.record(**row, left_out=left_out or None)
