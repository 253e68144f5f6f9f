"""
Obstacles: what tasks and nodes keep a task from running, in sentences for a person.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from ..model import DependencyPolicy, Heartbeat, Task, TaskStatus
from ..rules.dependencies import awaited
from ..rules.placement import targets
from ..timestamps import to_iso

SHOWN = 10
"""How many dependencies are named; the rest is counted."""
UNKNOWN = "its document is in quarantine, so nothing is known of it"
SILENT = 3
"""Leases without a heartbeat after which a node is not counted on, though nobody has declared it dead yet."""


def waiting(task: Task, dependencies: Mapping[str, Task | None], now: int) -> Iterator[str]:
    """
    Yield what a WAITING task waits for, how each of those stands, and that it is not due yet anyhow.
    """
    names = awaited(task)
    for name in names[:SHOWN]:
        yield f"waiting on {name}: {_standing(dependencies[name], task) if name in dependencies else UNKNOWN}"
    if len(names) > SHOWN:
        yield f"waiting on {len(names) - SHOWN} more tasks"
    due = task.next_scheduled_execution
    if due is not None and due > now:
        yield f"not due until {to_iso(due)} even then"


def _standing(dependency: Task | None, task: Task) -> str:
    if dependency is None or dependency.delete_requested:
        return _absent(task)
    if dependency.status is TaskStatus.RUNNING:
        return f"RUNNING on node {dependency.executing_node_id or dependency.lock_owner}"
    if dependency.status is TaskStatus.FAILED:
        return f"FAILED, last error: {dependency.last_error}{_consequence(task)}"
    if dependency.status is TaskStatus.CANCELLED:
        return f"CANCELLED{_consequence(task)}"
    if dependency.everywhere and dependency.periodic:
        return f"it runs on all nodes in each period and is never done{_consequence(task)}"
    return _coming(dependency)


def _absent(task: Task) -> str:
    if not task.persistent:
        return "not in the store that is bound; this task waits for it there, unless it was deleted there"
    return f"there is no such task any more{_consequence(task)}"


def _coming(dependency: Task) -> str:
    if dependency.status is TaskStatus.SCHEDULED and dependency.next_scheduled_execution is not None:
        retried = f" after {dependency.failure_count} failures" if dependency.failure_count else ""
        return f"SCHEDULED for {to_iso(dependency.next_scheduled_execution)}{retried}"
    return dependency.status.value


def _consequence(task: Task) -> str:
    if task.dependency_policy is DependencyPolicy.WAIT:
        return "; this task waits until it has succeeded"
    return ", which a node will take up soon"


def candidates(task: Task, nodes: Iterable[Heartbeat], *, now: int, max_clock_offset: int) -> Iterator[str]:
    """
    Yield which nodes may run a due task, or why none can.
    """
    known = list(nodes)
    alive = [one for one in known if now - one.beat_at <= SILENT * one.lease_millis]
    named = [one for one in alive if targets(task, node_id=one.node_id, tags=one.tags)]
    skilled = [one for one in named if task.task_type in one.task_types]
    able = [one for one in skilled if one.executor_node or task.run_on_all_nodes]
    if able:
        yield from _able(able, max_clock_offset)
    elif task.targeted and not named:
        yield f"no live node is one of those it names ({', '.join((*task.on_nodes, *task.on_tags))})"
    elif not skilled:
        among = " among those it names" if task.targeted else ""
        yield f"no live node with an executor for type {task.task_type}{among}"
    else:
        yield (
            f"no live node with an executor for type {task.task_type} runs tasks: {_listed(skilled)} "
            f"{'is no executor node' if len(skilled) == 1 else 'are no executor nodes'}"
        )
    if not able:
        yield from _silent([one for one in known if one not in alive], task)


def _able(able: Sequence[Heartbeat], max_clock_offset: int) -> Iterator[str]:
    wrong = [one for one in able if abs(one.clock_offset) > max_clock_offset]
    full = [one for one in able if one.busy and one not in wrong]
    free = [one for one in able if not one.busy and one not in wrong]
    if free:
        yield f"nodes that may run it: {_listed(free)}"
    elif full:
        yield f"every node that may run it is full: {_listed(full)}"
    for one in wrong:
        yield (
            f"node {one.node_id} claims nothing: its clock is {one.clock_offset} ms off the store's "
            f"(limit {max_clock_offset} ms)"
        )


def _silent(silent: Iterable[Heartbeat], task: Task) -> Iterator[str]:
    for one in silent:
        if task.task_type in one.task_types and targets(task, node_id=one.node_id, tags=one.tags):
            yield f"node {one.node_id} could, and has not been heard of since {to_iso(one.beat_at)}"


def _listed(nodes: Iterable[Heartbeat]) -> str:
    return ", ".join(sorted(one.node_id for one in nodes))
