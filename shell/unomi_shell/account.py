"""
The audit of what is done straight at a store: who, as far as this machine knows.

Whoever has the store's own credentials can do anything to it: such a row is a note for colleagues, not a proof.
"""

from __future__ import annotations

import os
import pwd
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from unomi_scheduler import (
    Conflict,
    InvalidTransition,
    Scheduler,
    SchedulerError,
    StoreUnavailable,
    TaskNotFound,
)

DONE, NO_CONTENT = 200, 204
_STATUSES: dict[type[SchedulerError], int] = {
    TaskNotFound: 404,
    InvalidTransition: 409,
    Conflict: 409,
    StoreUnavailable: 503,
}


def user() -> str:
    """
    Return the name of the user whose process this is; no variable can change it.
    """
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


@contextmanager
def audited(scheduler: Scheduler, action: str, *, status: int = DONE, **what: Any) -> Iterator[dict[str, Any]]:
    """
    Record what is done within, by how it ends; what is put into the dictionary becomes fields of the row.
    """
    more: dict[str, Any] = {}
    row = {"who": user(), "via": "SHELL", "address": socket.gethostname(), "action": action, **what}
    try:
        yield more
    except SchedulerError as error:
        refused = next((_STATUSES[kind] for kind in type(error).__mro__ if kind in _STATUSES), None)
        if refused is not None:
            scheduler.audit.record(**row, status=refused)
        raise
    scheduler.audit.record(**{**row, "status": status, **more})
