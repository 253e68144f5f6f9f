"""
Factories: records for tests in one line each, with only the fields that matter to the test.
"""

from __future__ import annotations

from itertools import count
from typing import Any

from ..model import Heartbeat, HistoryRow, Slot, Task, TaskStatus, evolve
from .clock import NOW

__all__ = ["NOW", "a_due_task", "a_heartbeat", "a_history_row", "a_running_task", "a_slot", "a_task"]

_numbers = count(1)


def a_task(**fields: Any) -> Task:
    """
    Return a scheduled task of the type `sample` without a due time; its id is new each time.
    """
    return Task(**{"id": f"task-{next(_numbers):06d}", "task_type": "sample", "creation_date": NOW, **fields})


def a_due_task(**fields: Any) -> Task:
    """
    Return a scheduled task that is due at `NOW`.
    """
    return a_task(**{"next_scheduled_execution": NOW, **fields})


def a_running_task(**fields: Any) -> Task:
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
    return evolve(a_due_task(), **{**owner, **fields})


def a_heartbeat(**fields: Any) -> Heartbeat:
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
    return Heartbeat(**{**first, **fields})


def a_slot(**fields: Any) -> Slot:
    """
    Return the free slot of the type `sample`.
    """
    return Slot(**{"task_type": "sample", **fields})


def a_history_row(**fields: Any) -> HistoryRow:
    """
    Return the row of a success of the task `one` that ended at `NOW`; its id follows from the task and the end.
    """
    row = {"task_id": "one", "task_type": "sample", "status": "SUCCESS", "end": NOW, **fields}
    return HistoryRow(**{"id": f"{row['task_id'][:99]}:{row['end']}", **row})
