"""
Tasks and other records for tests: one line each, with only the fields that matter to the test.
"""

from __future__ import annotations

from itertools import count
from typing import Any

from unomi_scheduler.clock import Instant
from unomi_scheduler.model import Heartbeat, HistoryRow, Slot, Task, TaskStatus, evolve

NOW = 1_750_000_000_000
_numbers = count(1)


def make_task(**over: Any) -> Task:
    """
    Return a scheduled task without a due time; its id is new each time.
    """
    return Task(**{"id": f"task-{next(_numbers):06d}", "task_type": "sample", "creation_date": NOW, **over})


def make_due_task(**over: Any) -> Task:
    """
    Return a scheduled task that is due at `NOW`.
    """
    return make_task(**{"next_scheduled_execution": NOW, **over})


def make_running_task(**over: Any) -> Task:
    """
    Return a task that node `node-a` runs.
    """
    owner = {
        "status": TaskStatus.RUNNING,
        "lock_owner": "node-a",
        "lock_date": NOW,
        "lock_lease_millis": 10_000,
        "executing_node_id": "node-a",
        "owner_incarnation": "first",
        "claim_id": "claim-1",
        "fence": NOW,
    }
    return evolve(make_due_task(), **{**owner, **over})


def make_heartbeat(**over: Any) -> Heartbeat:
    """
    Return the first heartbeat of `node-a`.
    """
    first = {
        "node_id": "node-a",
        "incarnation": "first",
        "counter": 1,
        "lease_millis": 10_000,
        "started_at": NOW,
        "beat_at": NOW,
    }
    return Heartbeat(**{**first, **over})


def make_slot(**over: Any) -> Slot:
    """
    Return the free slot of the type `sample`.
    """
    return Slot(**{"task_type": "sample", **over})


def make_row(**over: Any) -> HistoryRow:
    """
    Return the row of a success of the task `one` that ended at `NOW`; its id follows from the task and the end.
    """
    row = {"task_id": "one", "task_type": "sample", "status": "SUCCESS", "end": NOW, **over}
    return HistoryRow(**{"id": f"{row['task_id'][:99]}:{row['end']}", **row})


class SetClock:
    """
    A clock that stands where it is set: `wall` and `boot` in milliseconds.
    """

    def __init__(self, wall: int = NOW) -> None:
        self.wall = wall
        self.boot = 1_000

    def now(self) -> Instant:
        """
        Return the moment set.
        """
        return Instant(self.wall, self.boot)

    def advance(self, millis: int) -> None:
        """
        Move on.
        """
        self.wall += millis
        self.boot += millis
