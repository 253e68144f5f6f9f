"""
Requests: what a user asks of a task. Each returns the changed task, or raises `InvalidTransition` where the state
does not allow it.
"""

from __future__ import annotations

from typing import Any

from ..errors import InvalidTask, InvalidTransition
from ..model import Task, TaskStatus, evolve
from . import history
from .claims import UNOWNED
from .lifecycle import advance

EDITABLE = frozenset(
    {
        "enabled",
        "parameters",
        "initial_delay",
        "initial_delay_unit",
        "period",
        "time_unit",
        "fixed_rate",
        "one_shot",
        "allow_parallel_execution",
        "max_retries",
        "retry_delay",
        "max_crashes",
        "keep_checkpoint",
        "on_nodes",
        "on_tags",
        "next_scheduled_execution",
    }
)
"""The fields that `edit` may change."""


def cancel(task: Task, *, now: int, node_id: str) -> Task:
    """
    Return the task cancelled, without a next run. A run in flight keeps its owner in the document until its body
    returned (P17).
    """
    running = task.status is TaskStatus.RUNNING
    added = history.entry(task, history.CANCELLED, at=now, node_id=node_id, **history.took(task, until=now))
    return advance(
        task,
        TaskStatus.CANCELLED,
        **({} if running else UNOWNED),
        claim_id=None,
        enabled=False,
        **history.recorded(task, added),
        next_scheduled_execution=None,
        run_requests=0,
        run_requested_at=None,
        resume_requested=False,
        waiting_for_task_type=None,
    )


def mark_deleted(task: Task, *, now: int, node_id: str) -> Task:
    """
    Return the task marked for removal: cancelled where it can be, never due again, removed when no run is left (P17).
    """
    live = task.status in (TaskStatus.RUNNING, TaskStatus.SCHEDULED, TaskStatus.WAITING, TaskStatus.CRASHED)
    ended = cancel(task, now=now, node_id=node_id) if live else task
    return evolve(ended, delete_requested=True, enabled=False)


def retry(task: Task, *, now: int, node_id: str, reset_failure_count: bool) -> Task:
    """
    Return a FAILED task scheduled for now; without a reset the count stays, so exactly one attempt follows.
    """
    if task.status is not TaskStatus.FAILED:
        raise InvalidTransition(task.id, task.status, TaskStatus.SCHEDULED)
    return advance(
        task,
        TaskStatus.SCHEDULED,
        failure_count=0 if reset_failure_count else task.failure_count,
        crash_count=0,
        last_execution_date=None,
        next_scheduled_execution=now,
        enabled=True,
        **history.recorded(task, history.entry(task, history.RETRIED, at=now, node_id=node_id)),
    )


def resume(task: Task, *, now: int, node_id: str) -> Task:
    """
    Return a CRASHED task scheduled for now, marked so that its next run goes on from the checkpoint.
    """
    if task.status is not TaskStatus.CRASHED:
        raise InvalidTransition(task.id, task.status, TaskStatus.SCHEDULED)
    return advance(
        task,
        TaskStatus.SCHEDULED,
        next_scheduled_execution=now,
        resume_requested=True,
        enabled=True,
        **history.recorded(task, history.entry(task, history.RESUMED, at=now, node_id=node_id)),
    )


def run_now(task: Task, *, now: int) -> Task:
    """
    Return the task with a request to run at once, beside its schedule (P14); a running task runs once more afterwards.
    """
    # No claim consumes the request of an all-nodes task: each node runs once for the newest one.
    since = None if task.everywhere else task.run_requested_at
    asked = {"run_requests": task.run_requests + 1, "run_requested_at": since or now, "enabled": True}
    if task.status in (TaskStatus.COMPLETED, TaskStatus.FAILED):
        return advance(task, TaskStatus.SCHEDULED, next_scheduled_execution=None, **asked)
    if task.status in (TaskStatus.CANCELLED, TaskStatus.WAITING):
        raise InvalidTransition(task.id, task.status, TaskStatus.RUNNING)
    return evolve(task, **asked)


def edit(task: Task, *, now: int, **changes: Any) -> Task:
    """
    Return the task with user-owned fields changed; a new period or delay of a waiting schedule counts from now.

    Raises:
        InvalidTask: a field cannot be edited.
    """
    unknown = changes.keys() - EDITABLE
    if unknown:
        raise InvalidTask(f"{', '.join(sorted(unknown))}: cannot be edited; these can: {', '.join(sorted(EDITABLE))}")
    edited = evolve(task, **changes)
    if "next_scheduled_execution" in changes:
        return edited
    # Values count, not names: the same period set again at every start must not put the next run off for ever.
    delayed = edited.initial_delay_millis != task.initial_delay_millis and not edited.history
    if delayed and edited.status is TaskStatus.SCHEDULED:
        return evolve(edited, next_scheduled_execution=now + edited.initial_delay_millis)
    moved = edited.period_millis and edited.period_millis != task.period_millis
    if moved and edited.status is TaskStatus.SCHEDULED and not edited.failure_count:
        return evolve(edited, next_scheduled_execution=now + edited.period_millis)
    if moved and edited.status is TaskStatus.COMPLETED:
        return advance(edited, TaskStatus.SCHEDULED, next_scheduled_execution=now + edited.period_millis)
    return edited
