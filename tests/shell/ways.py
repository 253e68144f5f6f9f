"""
The ways to a cluster: through REST and straight to its store. What holds on one holds on the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.shell import routes
from tests.shell.support import ADMIN, PASSWORD, USER, served
from unomi_rest.app import create_app
from unomi_scheduler import Scheduler

STORE = "sqlite:///tasks.db"
WAYS = ("rest", "store")


@contextmanager
def way_to(way: str, scheduler: Scheduler, patch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """
    Give the options that lead to a scheduler's store, `STORE`.
    """
    if way == "store":
        yield ["--store", STORE]
        return
    patch.setenv("UNOMI_TASK_USER", USER)
    patch.setenv("UNOMI_TASK_PASSWORD", PASSWORD)
    app = create_app(scheduler, scheduler.settings, accounts=[ADMIN])
    with served(routes.complete(app, scheduler)) as url:
        yield ["--url", url]
