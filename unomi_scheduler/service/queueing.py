"""
Queueing: which tasks are due and wait for nothing but their type's slot, as it stands when they are read (P15).

`waitingForTaskType` is computed for the reader and never stored: a write for each task that waits, and one more when it
does not wait any more, would cost more than the runs, and would be old news whenever it is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..model import Task, TaskStatus, evolve
from ..ports import TaskStore
from ..rules.readiness import due_at


def with_waits(tasks: Sequence[Task], *, memory: Iterable[Task], store: TaskStore | None, now: int) -> list[Task]:
    """
    Return tasks as read, those that wait for the slot of their type with `waiting_for_task_type`.

    Args:
        memory: all memory tasks of this process, within which they are exclusive.
        now: epoch ms.
    """
    queued = [task for task in tasks if _queued(task, now)]
    if not queued:
        return list(tasks)
    near = {one.task_type: one.id for one in memory if one.exclusive and one.status is TaskStatus.RUNNING}
    types = sorted({task.task_type for task in queued if task.persistent})
    slots = store.slots(types) if store is not None and types else []
    far = {one.record.task_type: one.record.task_id for one in slots if one.record.claim_id is not None}
    waits = {task.id for task in queued if (far if task.persistent else near).get(task.task_type, task.id) != task.id}
    return [evolve(task, waiting_for_task_type=task.task_type) if task.id in waits else task for task in tasks]


def _queued(task: Task, now: int) -> bool:
    due = due_at(task) if task.exclusive else None
    return due is not None and due <= now
