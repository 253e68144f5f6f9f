"""
When a task may be claimed.
"""

from __future__ import annotations

from ..model import Task, TaskStatus

ALWAYS_DUE = 0
EVERYWHERE_DUE = -1
"""Stands in the definition of an all-nodes task: ahead of everything that can be claimed, so that each search for due
work brings it, whatever the node's share, and no node takes it for something to claim."""


def due_at(task: Task) -> int | None:
    """
    Return the moment (epoch ms) from which the task may be claimed, or None while it may not.

    A crashed task is always due; a request to run now stands beside the schedule and does not move it (P14). The
    definition of an all-nodes task is found by every search and never claimed.
    """
    if not task.enabled or task.delete_requested:
        return None
    if task.everywhere:
        # One that others wrote may have been broken off there; here nobody ever runs it.
        return EVERYWHERE_DUE if task.status in (TaskStatus.SCHEDULED, TaskStatus.CRASHED) else None
    if task.status is TaskStatus.CRASHED:
        return ALWAYS_DUE
    if task.status is not TaskStatus.SCHEDULED:
        return None
    if task.run_requests:
        requested = task.run_requested_at or ALWAYS_DUE
        return requested if task.next_scheduled_execution is None else min(requested, task.next_scheduled_execution)
    return task.next_scheduled_execution
