"""
Claims: how a run begins, how one that never began is given back, and whose a task is (P2, P4, P10).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from ..model import Task, TaskStatus, evolve
from ..timestamps import to_iso
from . import history
from .lifecycle import advance, allows
from .readiness import due_at


@dataclass(frozen=True, kw_only=True, slots=True)
class Claimant:
    """
    The node on whose behalf a claim is made.
    """

    node_id: str
    incarnation: str
    lease_millis: int


class Standing(Enum):
    """
    What a document says about one claim.
    """

    HELD = auto()
    """The claim is the present one and its run has not ended."""
    ENDED = auto()
    """The run's own outcome is in the document."""
    LOST = auto()
    """Somebody else decided: cancelled, crashed, deleted, or claimed again."""


def claimable(task: Task, *, now: int) -> bool:
    """
    Tell whether the task is due and in a state that a claim may leave.
    """
    due = due_at(task)
    return due is not None and not task.everywhere and due <= now and allows(task.status, TaskStatus.RUNNING)


def hands_checkpoint(task: Task) -> bool:
    """
    Tell whether the next run gets the checkpoint: through retries and crashes always, after a success only if the
    task keeps it.
    """
    return task.keep_checkpoint or history.last_outcome(task) != history.SUCCESS


def resumes(task: Task) -> bool:
    """
    Tell whether the next run should go on from the last one instead of starting again.
    """
    return task.status is TaskStatus.CRASHED or task.resume_requested


def notes_resumption(task: Task) -> bool:
    """
    Tell whether the claim of a run that goes on from a crash adds an entry to the history.
    """
    return task.status is TaskStatus.CRASHED


def claim(task: Task, *, by: Claimant, claim_id: str, now: int, resuming: bool = False) -> Task:
    """
    Return the task as the claim of one run leaves it: RUNNING, owned, its fence one higher, requests and waits
    consumed.

    Args:
        resuming: the executor goes on with crashed runs; the history says so, unless a user's request is in it already.
    """
    kept = task.status_details if resumes(task) else {}
    noted: dict[str, Any] = {}
    if resuming and notes_resumption(task):
        noted = history.recorded(task, history.entry(task, history.RESUMED, at=now, node_id=by.node_id))
    return advance(
        task,
        TaskStatus.RUNNING,
        **noted,
        status_details={**kept, "startTime": to_iso(now), "executingNode": by.node_id},
        checkpoint_data=task.checkpoint_data if hands_checkpoint(task) else None,
        current_step=None,
        waiting_for_task_type=None,
        waiting_on_tasks=(),
        run_requests=0,
        run_requested_at=None,
        resume_requested=False,
        lock_owner=by.node_id,
        lock_date=now,
        lock_lease_millis=by.lease_millis,
        executing_node_id=by.node_id,
        owner_incarnation=by.incarnation,
        claim_id=claim_id,
        fence=max(task.fence, task.creation_date) + 1,
    )


UNOWNED = {
    "lock_owner": None,
    "lock_date": None,
    "lock_lease_millis": 0,
    "executing_node_id": None,
    "owner_incarnation": None,
}


def give_back(claimed: Task, *, before: Task) -> Task:
    """
    Return a claimed task whose run never began as it was before the claim; the fence stays, so it is never used again
    (P10).
    """
    path = {
        TaskStatus.SCHEDULED: (TaskStatus.CRASHED, TaskStatus.SCHEDULED),
        TaskStatus.CRASHED: (TaskStatus.CRASHED,),
        TaskStatus.WAITING: (TaskStatus.WAITING,),
    }[before.status]
    return advance(
        claimed,
        *path,
        **UNOWNED,
        claim_id=before.claim_id,
        status_details=before.status_details,
        checkpoint_data=before.checkpoint_data,
        current_step=before.current_step,
        waiting_for_task_type=before.waiting_for_task_type,
        waiting_on_tasks=before.waiting_on_tasks,
        run_requests=claimed.run_requests + before.run_requests,
        run_requested_at=claimed.run_requested_at or before.run_requested_at,
        resume_requested=before.resume_requested,
        history=before.history,
        history_flushed=before.history_flushed,
    )


def released(task: Task) -> Task:
    """
    Return an ended task (cancelled while it ran) without its owner: its body has returned.
    """
    return evolve(task, **UNOWNED, claim_id=None)


def standing(task: Task | None, claim_id: str) -> Standing:
    """
    Tell what a document, as read now, says about a claim of ours.
    """
    if task is None:
        return Standing.LOST
    if task.claim_id == claim_id and task.status is TaskStatus.RUNNING:
        return Standing.HELD
    for one in reversed(task.history):
        if one.get("claimId") == claim_id:
            return Standing.ENDED if one.get("status") in (history.SUCCESS, history.FAILED) else Standing.LOST
    return Standing.LOST
