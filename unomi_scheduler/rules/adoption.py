"""
Adoption: how a document that Apache Unomi wrote becomes one of ours. Its definition, counters, history and every field
that we do not know stay as they are.

The id of a task is its `itemId`; that of a system task is its type, so that there is one of each. `importedFrom` in
the document says where it came from.
"""

from __future__ import annotations

from ..model import Task, TaskStatus, evolve
from . import history
from .claims import UNOWNED
from .lifecycle import advance
from .outcomes import crash
from .schedule import first_run, next_run

ORIGIN = "importedFrom"


def home_of(task: Task) -> str:
    """
    Return the id that a task has with us.
    """
    return task.task_type if task.system_task else task.id


def moved(task: Task, task_id: str, origin: str) -> Task:
    """
    Return a task under its id, with the place it came from; rows of its history are of an id, so it has none yet.
    """
    return evolve(task, id=task_id, history_flushed=0, extra={**task.extra, ORIGIN: origin})


def landed(task: Task, *, now: int, found_by: str) -> Task:
    """
    Return a task as it has to stand among ours: what nobody runs is not RUNNING, what may run has a due time.

    Only a task that no node of ours ever claimed is touched. A run that names an owner is left to the lock's date (P9).
    """
    if task.fence:
        return task
    if notes_crash(task):
        return broken_off(task, now=now, found_by=found_by)
    if task.status is TaskStatus.RUNNING:
        return task
    free = evolve(task, **UNOWNED)
    scheduled = task.status is TaskStatus.SCHEDULED and not task.run_requests
    if scheduled and _exhausted(task):
        # The original leaves a single run without retries SCHEDULED for ever (contract section 7).
        return advance(free, TaskStatus.CRASHED, TaskStatus.FAILED)
    # The turns of a definition for all nodes count from its date, also of one that was broken off.
    dated = scheduled or (task.everywhere and task.status is TaskStatus.CRASHED)
    if not dated or task.next_scheduled_execution is not None:
        return free
    return evolve(free, next_scheduled_execution=_due(task, now))


def notes_crash(task: Task) -> bool:
    """
    Tell whether a task lands with one more entry in its history: nobody runs what it says is RUNNING.
    """
    return not task.fence and task.status is TaskStatus.RUNNING and not task.lock_owner


def broken_off(task: Task, *, now: int, found_by: str) -> Task:
    """
    Return a RUNNING task whose run is gone: CRASHED and free, with an entry in its history.
    """
    lock = f"the lock of {task.lock_owner} has expired" if task.lock_owner else "it names no owner"
    return crash(task, now=now, found_by=found_by, reason=f"node failure: {lock}")


def folded(task: Task, *, document_id: str, now: int, node_id: str) -> Task:
    """
    Return a second document of a system type set aside: CANCELLED, under its own id, so that the type runs once.
    """
    text = f"the system task {task.task_type} exists already; this one was folded into it"
    added = history.entry(task, history.CANCELLED, at=now, node_id=node_id, error=text)
    changes = {**UNOWNED, "id": document_id, "enabled": False, "last_error": text}
    if task.status is TaskStatus.CANCELLED:
        return evolve(task, **changes)
    return advance(task, TaskStatus.CANCELLED, **changes, **history.recorded(task, added))


def _exhausted(task: Task) -> bool:
    return not task.periodic and task.last_execution_date is not None and task.failure_count > task.max_retries


def _due(task: Task, now: int) -> int | None:
    return first_run(task, now=now) if task.last_execution_date is None else next_run(task, now=now)
