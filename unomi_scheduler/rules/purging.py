"""
Purging: which tasks are old enough to leave, from a store and from a process's memory (contract sections 9 and 16.26).
"""

from __future__ import annotations

from ..model import Task, TaskStatus
from ..timestamps import from_iso
from . import history


def owned(task: Task) -> bool:
    """
    Tell whether a run of the task may be left somewhere.
    """
    return task.owner_incarnation is not None or task.lock_owner is not None


def purgeable(task: Task, *, before: int) -> bool:
    """
    Tell whether a task may be removed: it completed at or before `before` for good, or was marked for removal.
    """
    if owned(task):
        return False
    if task.delete_requested:
        return True
    last = task.last_execution_date
    return task.status is TaskStatus.COMPLETED and not task.periodic and last is not None and last <= before


def forgettable(task: Task, *, before: int) -> bool:
    """
    Tell whether a process may forget a memory task by itself: it is purgeable, or was cancelled at or before `before`.

    A store keeps what was cancelled as a record; memory must not grow for ever.
    """
    if task.status is TaskStatus.CANCELLED and not owned(task):
        return _cancelled_at(task) <= before
    return purgeable(task, before=before)


def _cancelled_at(task: Task) -> int:
    for entry in reversed(task.history):
        if entry.get("status") == history.CANCELLED:
            return from_iso(str(entry["timestamp"]))
    return task.last_execution_date or task.creation_date
