"""
Outcomes: how a run ends, as a function of the document that stands now (P4), so that edits made during the run are
kept.
"""

from __future__ import annotations

from ..errors import InvalidTransition
from ..model import Task, TaskStatus
from ..timestamps import to_iso
from . import history
from .claims import UNOWNED
from .lifecycle import advance
from .retry import retry_at
from .schedule import next_run

SHUTDOWN = "Interrupted by scheduler shutdown"


def complete(task: Task, *, now: int, duration: int) -> Task:
    """
    Return the task after a successful run of `duration` ms: COMPLETED, or armed for its next run in the same step.
    """
    added = history.entry(task, history.SUCCESS, at=now, node_id=task.executing_node_id, executionTime=duration)
    again = task.periodic or task.run_requests > 0
    return advance(
        task,
        TaskStatus.COMPLETED,
        *((TaskStatus.SCHEDULED,) if again else ()),
        **UNOWNED,
        **history.recorded(task, added),
        current_step=None,
        waiting_for_task_type=None,
        last_execution_date=now,
        last_executed_by=task.executing_node_id,
        failure_count=0,
        crash_count=0,
        success_count=task.success_count + 1,
        dependents=(),
        next_scheduled_execution=_next_after_success(task, now=now),
        enabled=task.enabled and (again or not task.one_shot),
    )


def _next_after_success(task: Task, *, now: int) -> int | None:
    if task.periodic:
        return next_run(task, now=now)
    return None


def fail(task: Task, *, error: str, now: int, duration: int) -> Task:
    """
    Return the task after a failed run: armed for a retry, or for its next period, or FAILED for good.
    """
    if task.status is not TaskStatus.RUNNING:
        # The table lets WAITING and CRASHED become FAILED too, but not by the end of a run.
        raise InvalidTransition(task.id, task.status, TaskStatus.FAILED)
    text = history.clipped(error)
    added = history.entry(
        task, history.FAILED, at=now, node_id=task.executing_node_id, error=text, executionTime=duration
    )
    failures = task.failure_count + 1
    again = retry_at(task, failures=failures, now=now)
    exhausted_period = again is None and task.periodic
    return advance(
        task,
        TaskStatus.FAILED,
        *((TaskStatus.SCHEDULED,) if again is not None or task.periodic or task.run_requests else ()),
        **UNOWNED,
        **history.recorded(task, added),
        current_step=None,
        waiting_for_task_type=None,
        last_execution_date=now,
        last_executed_by=task.executing_node_id,
        last_error=text,
        failure_count=0 if exhausted_period else failures,
        crash_count=0,
        next_scheduled_execution=again if again is not None else next_run(task, now=now),
    )


def crash(task: Task, *, now: int, found_by: str, reason: str, counted: bool = True) -> Task:
    """
    Return a RUNNING task whose run was broken off: CRASHED and free, or FAILED beyond its crash limit (P11).

    A stop is not counted as a crash (P18). The claim is forgotten, so whatever its run still writes is refused (P4).
    """
    crashes = task.crash_count + (1 if counted else 0)
    over = crashes > task.max_crashes
    text = history.clipped(reason)
    if over:
        text = history.clipped(f"{reason} ({crashes} crashes in a row, limit {task.max_crashes})")
    due = task.next_scheduled_execution
    if task.everywhere and due is None:
        # Nobody ever claims it: its turns count from its date, and others write none while one of them runs it.
        due = now
    added = history.entry(
        task,
        history.CRASHED,
        at=now,
        node_id=task.lock_owner,
        type="crash",
        previousOwner=task.lock_owner,
        recoveryNode=found_by,
        error=text,
        **history.took(task, until=now),
    )
    return advance(
        task,
        TaskStatus.CRASHED,
        *((TaskStatus.FAILED,) if over else ()),
        **UNOWNED,
        claim_id=None,
        **history.recorded(task, added),
        status_details={**task.status_details, "crashTime": to_iso(now), "crashedNode": task.lock_owner},
        current_step=None if over else TaskStatus.CRASHED.value,
        last_execution_date=now if over else task.last_execution_date,
        last_error=text,
        crash_count=crashes,
        next_scheduled_execution=due,
    )
