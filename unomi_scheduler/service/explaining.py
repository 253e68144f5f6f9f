"""
Explanations: why a task does not run, or when it will, in sentences for a person.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ..model import Heartbeat, Slot, Task, TaskStatus
from ..rules.placement import targets
from ..rules.readiness import due_at
from ..timestamps import to_iso
from .everywhere import NodeRun, told
from .obstacles import candidates, waiting


@dataclass(frozen=True, kw_only=True, slots=True)
class View:
    """
    What is known around a task when it is explained. `nodes` are not declared dead; `slot` is that of its type;
    `dependencies` are those it waits for, None where there is no such task, left out where the document is in
    quarantine; `runs` is what each node made of an all-nodes task; `now` is the store's clock. `elsewhere`: all of this
    is of another process, whose memory the task is in.
    """

    now: int
    node_id: str
    tags: tuple[str, ...] = ()
    running: bool
    executor_node: bool = True
    nodes: Sequence[Heartbeat] = ()
    local_types: frozenset[str] = frozenset()
    slot: Slot | None = None
    dependencies: Mapping[str, Task | None] = field(default_factory=dict)
    max_clock_offset: int = 1_000
    runs: Mapping[str, NodeRun] = field(default_factory=dict)
    elsewhere: bool = False


def explain(task: Task, view: View) -> tuple[str, ...]:
    """
    Return the reasons, the weightiest first.
    """
    return tuple(_reasons(task, view))


def _reasons(task: Task, view: View) -> Iterator[str]:
    if task.delete_requested:
        yield "marked for removal; it goes when no run of it is left"
    if task.status is TaskStatus.RUNNING:
        yield from _running(task, view)
        return
    if task.lock_owner is not None and task.status is TaskStatus.CANCELLED:
        yield f"its run on node {task.lock_owner} has not returned yet"
    yield from _state(task)
    if task.status is TaskStatus.WAITING:
        yield from waiting(task, view.dependencies, view.now)
    if task.everywhere:
        yield from told(task, view.runs)
    elif due_at(task) is not None:
        yield from _due(task, view)


def _running(task: Task, view: View) -> Iterator[str]:
    since = f" since {to_iso(task.lock_date)}" if task.lock_date is not None else ""
    yield f"running on node {task.executing_node_id or task.lock_owner}{since}"
    alive = {one.incarnation for one in view.nodes}
    if task.persistent and task.owner_incarnation is not None and task.owner_incarnation not in alive:
        yield "that node shows no sign of life; the others take the task over when its lease has ended"


def _state(task: Task) -> Iterator[str]:
    if task.status is TaskStatus.CANCELLED:
        yield "cancelled; it does not run again"
    elif not task.enabled and task.status is not TaskStatus.COMPLETED:
        yield "disabled; set enabled to let it run"
    if task.status is TaskStatus.COMPLETED:
        yield f"completed{_at(task.last_execution_date)}; nothing more is due"
    if task.status is TaskStatus.FAILED:
        yield f"FAILED{_at(task.last_execution_date)} after {_times(task.failure_count)}, last error: {task.last_error}"
        yield "a retry schedules it again"
    if task.status is TaskStatus.CRASHED:
        limit = (
            f"crash {task.crash_count} of {task.max_crashes} in a row" if task.crash_count else "not counted as a crash"
        )
        yield f"crashed ({limit}), last error: {task.last_error}"
    if task.status is TaskStatus.SCHEDULED and task.failure_count:
        yield f"to be tried again after {_times(task.failure_count)}, last error: {task.last_error}"
    if task.status is TaskStatus.SCHEDULED and task.enabled and due_at(task) is None:
        yield "no next run is set"


def _due(task: Task, view: View) -> Iterator[str]:
    due = due_at(task) or 0
    if due > view.now:
        yield f"not due until {to_iso(due)}"
    elif task.status is TaskStatus.CRASHED or not due:
        yield "due now"
    else:
        yield f"due since {to_iso(due)}"
    if task.persistent:
        yield from candidates(task, view.nodes, now=view.now, max_clock_offset=view.max_clock_offset)
    else:
        yield from _here(task, view)
    slot = view.slot
    if task.exclusive and slot is not None and slot.claim_id is not None and slot.task_id != task.id:
        since = f" since {to_iso(slot.since)}" if slot.since is not None else ""
        yield f"task {slot.task_id} of the same type runs on node {slot.owner}{since}, and the type runs one at a time"


def _here(task: Task, view: View) -> Iterator[str]:
    whose = f"node {view.node_id}" if view.elsewhere else "the node of this process"
    where = f"on {whose}" if view.elsewhere else "in this process"
    if not view.running:
        yield f"a memory task, and {whose} is not started"
    elif not view.executor_node and not task.run_on_all_nodes:
        yield f"a memory task, and {whose} runs no tasks (executor_node is false)"
    elif task.task_type not in view.local_types:
        yield f"a memory task, and no executor for type {task.task_type} is registered {where}"
    elif not targets(task, node_id=view.node_id, tags=view.tags):
        yield f"a memory task that names other nodes ({', '.join((*task.on_nodes, *task.on_tags))})"


def _at(moment: int | None) -> str:
    return "" if moment is None else f" at {to_iso(moment)}"


def _times(failures: int) -> str:
    return "1 failure" if failures == 1 else f"{failures} failures"
