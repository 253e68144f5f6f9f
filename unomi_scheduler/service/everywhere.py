"""
All-nodes tasks as people see them: what each node made of a definition, and when it runs next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from ..errors import SchedulerError
from ..model import Heartbeat, Task, TaskStatus, evolve
from ..ports import TaskQuery, TaskStore
from ..rules import everywhere as rules
from ..rules.placement import targets
from ..rules.readiness import due_at
from ..timestamps import to_iso


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeRun:
    """
    What one node made of an all-nodes task. Moments are epoch ms.

    `record_id` is the id of its run record, a task with a history of its own, and `status` that record's; both are None
    while it has not run. `period` is when its newest period began, `ended` when its last run did, `error` why that
    failed; `next_at` is None where nothing is to come. `alive` tells whether the node takes part and has the executor.
    """

    node_id: str
    alive: bool
    record_id: str | None = None
    status: TaskStatus | None = None
    period: int | None = None
    ended: int | None = None
    error: str | None = None
    success_count: int = 0
    failure_count: int = 0
    next_at: int | None = None


def read_records(store: TaskStore, definition_id: str, nodes: Iterable[str] = ()) -> list[Task]:
    """
    Return the run records of a definition as they stand: those that a search shows, and those of these nodes.
    """
    found = store.find(TaskQuery(record_of=definition_id, limit=-1, sort_by="id")).list
    ids = {one.id for one in found} | {rules.record_id(definition_id, one) for one in nodes}
    read = [one.record for one in store.tasks(sorted(ids)) if one is not None]
    return [one for one in read if isinstance(one, Task) and one.all_nodes_of == definition_id]


def node_runs(
    definition: Task, *, records: Iterable[Task], nodes: Sequence[Heartbeat], now: int
) -> Mapping[str, NodeRun]:
    """
    Return what each node made of a definition, by node id: nodes that may run it, and those that have.
    """
    able = {one.node_id for one in nodes if _able(definition, one)}
    by_node = {one.on_nodes[0]: one for one in records if one.on_nodes}
    coming = rules.next_turn(definition, now=now) if due_at(definition) is not None else None
    return {
        node_id: _run_of(node_id, by_node.get(node_id), coming if node_id in able else None, alive=node_id in able)
        for node_id in sorted(able | by_node.keys())
    }


def _able(definition: Task, node: Heartbeat) -> bool:
    return definition.task_type in node.task_types and targets(definition, node_id=node.node_id, tags=node.tags)


def _run_of(node_id: str, record: Task | None, coming: int | None, *, alive: bool) -> NodeRun:
    if record is None:
        return NodeRun(node_id=node_id, alive=alive, next_at=coming)
    retried = record.status is TaskStatus.SCHEDULED and rules.in_progress(record)
    failed = record.failure_count or record.status in (TaskStatus.FAILED, TaskStatus.CRASHED)
    return NodeRun(
        node_id=node_id,
        alive=alive,
        record_id=record.id,
        status=record.status,
        period=record.all_nodes_period,
        ended=record.last_execution_date,
        error=record.last_error if failed else None,
        success_count=record.success_count,
        failure_count=record.failure_count,
        next_at=record.next_scheduled_execution if retried else coming,
    )


def own_run(task: Task, *, node_id: str, alive: bool) -> NodeRun:
    """
    Return what this process made of a memory task that each process runs for itself.
    """
    return replace(_run_of(node_id, task, task.next_scheduled_execution, alive=alive), record_id=task.id, period=None)


def told(definition: Task, runs: Mapping[str, NodeRun]) -> Iterator[str]:
    """
    Return what to say of an all-nodes task: one sentence a node.
    """
    every = f" in each period of {definition.period} {definition.time_unit}" if definition.period else " once"
    yield f"runs on all nodes{every}, by a run record on each"
    for one in runs.values():
        yield f"on node {one.node_id}: {', '.join(_words(one))}"
    if not any(one.alive for one in runs.values()):
        yield f"no live node that it names has an executor for type {definition.task_type}"


def _words(one: NodeRun) -> Iterator[str]:
    if one.status is None:
        yield "has not run yet"
    else:
        yield f"{one.status} in the period of {to_iso(one.period or 0)}"
    if one.ended is not None:
        yield f"last run ended at {to_iso(one.ended)}"
    if one.error:
        yield f"last error: {one.error}"
    if not one.alive:
        yield "does not take part now"
    elif one.next_at is not None:
        yield f"next at {to_iso(one.next_at)}"
    else:
        yield "nothing more is due"


def as_shown(task: Task, *, now: int) -> Task:
    """
    Return a task as people see it: the definition of an all-nodes task with its next period, which no node writes down.
    """
    if not task.everywhere or due_at(task) is None:
        return task
    return evolve(task, next_scheduled_execution=rules.next_turn(task, now=now))


def follow(store: TaskStore, definition_id: str, step: Callable[[str], object]) -> None:
    """
    Take a step with every record of a definition that a search shows.

    What is missed here, because it began this moment or a write was not done, the nodes do when they see the definition
    gone.
    """
    with suppress(SchedulerError):
        for record in store.find(TaskQuery(record_of=definition_id, limit=-1, sort_by="id")).list:
            with suppress(SchedulerError):
                step(record.id)
