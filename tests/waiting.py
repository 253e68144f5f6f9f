"""
Waiting for what a test can see: ends of tasks, lines of the log, anything that becomes true.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Event
from typing import TypeVar

import pytest

from unomi_scheduler import Scheduler, Task, TaskStatus

T = TypeVar("T")
PATIENCE = 40
LOOK_EVERY = 0.02
_ENDED = (TaskStatus.COMPLETED, TaskStatus.FAILED)
_wait = Event().wait


def eventually(look: Callable[[], T | None], what: str, within: float = PATIENCE) -> T:
    """
    Return what a look gives once it gives something.
    """
    deadline = time.monotonic() + within
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < deadline, what
        _wait(LOOK_EVERY)


def ended(scheduler: Scheduler, task_id: str, within: float = PATIENCE) -> Task:
    """
    Return a task once its run has ended.
    """

    def look() -> Task | None:
        task = scheduler.get_task(task_id)
        return task if task.status in _ENDED else None

    return eventually(look, f"{task_id} has not ended", within)


def told(caplog: pytest.LogCaptureFixture, action: str) -> list[str]:
    """
    Return the lines of the log with an action.
    """
    return [record.getMessage() for record in list(caplog.records) if getattr(record, "action", None) == action]
