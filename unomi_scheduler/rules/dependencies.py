"""
Whether a waiting task may run: what its dependencies say, and what a broken one means (P14, P19).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, auto

from ..model import DependencyPolicy, JsonObject, Task, TaskStatus, evolve
from ..timestamps import from_iso
from . import history
from .lifecycle import advance

MANY = "*"
"""Stands for the ids of dependents where there are too many to name: whoever ends the task searches for them."""
MOST_DEPENDENTS = 100


class Readiness(Enum):
    """
    What to do with a waiting task.
    """

    READY = auto()
    WAIT = auto()
    BROKEN = auto()


@dataclass(frozen=True, slots=True)
class Judgement:
    """
    The readiness of a waiting task, what it still waits for, and why it is broken.
    """

    readiness: Readiness
    unmet: tuple[str, ...] = ()
    reason: str = ""


def awaited(task: Task) -> tuple[str, ...]:
    """
    Return the ids of the tasks that a WAITING task still waits for; a document of others may name none there.
    """
    return task.waiting_on_tasks or task.depends_on


def satisfied(dependency: Task, *, since: int) -> bool:
    """
    Tell whether a dependency has succeeded: it is COMPLETED, or it recurs and had a success at or after `since`
    (epoch ms).
    """
    if dependency.status is TaskStatus.COMPLETED:
        return True
    return dependency.periodic and any(
        one.get("status") == history.SUCCESS and _at(one) >= since for one in dependency.history
    )


def _at(entry: JsonObject) -> int:
    # The history of a document that others wrote may hold anything; a date that cannot be read proves nothing.
    try:
        return from_iso(str(entry.get("timestamp")))
    except ValueError:
        return -1


def _broken(dependency_id: str, dependency: Task | None) -> str | None:
    if dependency is None or dependency.delete_requested:
        return f"dependency {dependency_id} was deleted"
    if dependency.status is TaskStatus.CANCELLED:
        return f"dependency {dependency_id} was cancelled"
    if dependency.status is TaskStatus.FAILED:
        return f"dependency {dependency_id} failed: {dependency.last_error}"
    if dependency.everywhere and dependency.periodic:
        return f"dependency {dependency_id} runs on all nodes in each period and is never done"
    return None


def judge(task: Task, known: Mapping[str, Task | None]) -> Judgement:
    """
    Judge a waiting task by its dependencies as read; one that could not be found is None.
    """
    unmet: list[str] = []
    for name in awaited(task):
        dependency = known.get(name)
        if dependency is not None and satisfied(dependency, since=task.creation_date):
            continue
        reason = _broken(name, dependency)
        if reason is not None and task.dependency_policy is DependencyPolicy.FAIL:
            return Judgement(Readiness.BROKEN, reason=reason)
        if reason is None or task.dependency_policy is DependencyPolicy.WAIT:
            unmet.append(name)
    return Judgement(Readiness.WAIT, tuple(unmet)) if unmet else Judgement(Readiness.READY)


def judge_known(task: Task, known: Mapping[str, Task | None]) -> Judgement:
    """
    Judge a waiting task by those of its dependencies that are known; the others count as unmet.
    """
    names = awaited(task)
    there = tuple(name for name in names if name in known)
    judgement = judge(evolve(task, waiting_on_tasks=there), known) if there else Judgement(Readiness.WAIT)
    if judgement.readiness is Readiness.BROKEN:
        return judgement
    unmet = tuple(name for name in names if name not in known or name in judgement.unmet)
    return Judgement(Readiness.WAIT, unmet) if unmet else judgement


def with_dependents(task: Task, ids: Iterable[str]) -> Task:
    """
    Return a task that names these others as waiting for it, so that whoever ends it knows whom to wake; a success
    clears the list.
    """
    named = tuple(dict.fromkeys((*task.dependents, *ids)))
    if named == task.dependents or MANY in task.dependents:
        return task
    return evolve(task, dependents=named if len(named) <= MOST_DEPENDENTS else (MANY,))


def settled(task: Task, judgement: Judgement, *, now: int, node_id: str) -> Task:
    """
    Return a WAITING task after its judgement: scheduled, or failed with the reason. Its due time is not moved ahead.

    While it goes on waiting, what was met is taken off its list: a dependency that has succeeded may be purged.
    """
    if judgement.readiness is Readiness.WAIT:
        return evolve(task, waiting_on_tasks=judgement.unmet)
    if judgement.readiness is Readiness.BROKEN:
        text = history.clipped(judgement.reason)
        return advance(
            task,
            TaskStatus.FAILED,
            last_error=text,
            last_execution_date=now,
            **history.recorded(task, history.entry(task, history.FAILED, at=now, node_id=node_id, error=text)),
        )
    due = task.next_scheduled_execution
    return advance(
        task,
        TaskStatus.SCHEDULED,
        waiting_on_tasks=(),
        next_scheduled_execution=now if due is None else due,
    )
