"""
The life of a task: the one table of transitions, and the one function that sets a status.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import InvalidTransition
from ..model import Task, TaskStatus, evolve

_S = TaskStatus

TRANSITIONS: Mapping[TaskStatus, frozenset[TaskStatus]] = {
    _S.SCHEDULED: frozenset({_S.RUNNING, _S.WAITING, _S.CANCELLED, _S.CRASHED}),
    _S.WAITING: frozenset({_S.SCHEDULED, _S.RUNNING, _S.CANCELLED, _S.FAILED}),
    _S.RUNNING: frozenset({_S.COMPLETED, _S.FAILED, _S.CANCELLED, _S.CRASHED, _S.WAITING}),
    _S.COMPLETED: frozenset({_S.SCHEDULED, _S.CANCELLED}),
    _S.FAILED: frozenset({_S.SCHEDULED, _S.CANCELLED}),
    _S.CRASHED: frozenset({_S.SCHEDULED, _S.RUNNING, _S.FAILED, _S.CANCELLED}),
    _S.CANCELLED: frozenset(),
}
"""From each state, the states that one edge leads to (contract section 2, P19)."""

ENDED = frozenset({_S.COMPLETED, _S.FAILED, _S.CANCELLED})
"""What a task stays in by itself: nothing more is due."""


def allows(current: TaskStatus, target: TaskStatus) -> bool:
    """
    Tell whether one edge leads from `current` to `target`.
    """
    return target in TRANSITIONS[current]


def advance(task: Task, *path: TaskStatus, **changes: Any) -> Task:
    """
    Return the task after the edges of `path`, each checked, with `changes` applied in the same step.

    One write may carry several edges (P19), e.g. COMPLETED then SCHEDULED.

    Raises:
        InvalidTransition: an edge is not in the table.
    """
    status = task.status
    for target in path:
        if not allows(status, target):
            raise InvalidTransition(task.id, status, target)
        status = target
    return evolve(task, status=status, **changes)
