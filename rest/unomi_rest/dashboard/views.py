"""
What the pages show, worked out of what the scheduler tells. Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from unomi_scheduler import Heartbeat, Task, TaskStatus, TypeSummary

MOST_GROUPS = 10
NEXT_RUNS = 5
LATEST_FIRST = "lastExecutionDate:desc"
_SUBJECT_LETTERS = 120
_CAN = {
    "run": frozenset({TaskStatus.SCHEDULED, TaskStatus.WAITING, TaskStatus.COMPLETED}),
    "retry": frozenset({TaskStatus.FAILED}),
    "resume": frozenset({TaskStatus.CRASHED}),
    "cancel": frozenset(
        {TaskStatus.SCHEDULED, TaskStatus.WAITING, TaskStatus.RUNNING, TaskStatus.FAILED, TaskStatus.CRASHED}
    ),
}


@dataclass(frozen=True, slots=True)
class Group:
    """
    Failed tasks with the same error: its first line, how many, and the one that failed last.
    """

    subject: str
    count: int
    latest: Task


@dataclass(frozen=True, slots=True)
class Progress:
    """
    How far a run says it is: `done` of `total`.
    """

    done: float
    total: float

    @property
    def percent(self) -> int:
        """
        The share that is done, 0 to 100.
        """
        return min(100, max(0, int(100 * self.done / self.total)))


def counts_of(types: Iterable[TypeSummary]) -> dict[TaskStatus, int]:
    """
    Return how many tasks there are in each state, in the order of the states.
    """
    total: Counter[TaskStatus] = Counter()
    for one in types:
        total.update(one.counts)
    return {status: total[status] for status in TaskStatus}


def subject(error: str | None) -> str:
    """
    Return the first line of an error, cut to fit a line.
    """
    first = (error or "no reason was given").strip().partition("\n")[0]
    return first if len(first) <= _SUBJECT_LETTERS else first[: _SUBJECT_LETTERS - 1] + "…"


def grouped(failed: Iterable[Task]) -> list[Group]:
    """
    Return failed tasks by their error, the most frequent first.
    """
    groups: dict[str, list[Task]] = {}
    for task in failed:
        groups.setdefault(subject(task.last_error), []).append(task)
    made = [Group(text, len(tasks), max(tasks, key=_last)) for text, tasks in groups.items()]
    return sorted(made, key=lambda group: (-group.count, group.subject))[:MOST_GROUPS]


def _last(task: Task) -> tuple[int, str]:
    return task.last_execution_date or 0, task.id


def progress_of(task: Task) -> Progress | None:
    """
    Return the progress of a task's details, None where they tell none.
    """
    done, total = (task.status_details.get(name) for name in ("processedCount", "totalCount"))
    if not isinstance(done, int | float) or not isinstance(total, int | float) or total <= 0:
        return None
    return Progress(done, total)


def next_runs(task: Task) -> list[int]:
    """
    Return when the next runs begin (epoch ms), as far as the schedule alone decides it.
    """
    first = task.next_scheduled_execution
    if first is None or not task.enabled or task.status not in {TaskStatus.SCHEDULED, TaskStatus.WAITING}:
        return []
    several = NEXT_RUNS if task.periodic and task.fixed_rate else 1
    return [first + place * task.period_millis for place in range(several)]


def actions_of(task: Task) -> list[str]:
    """
    Return what may be done to a task as it stands, the most usual first.
    """
    usual = [name for name, states in _CAN.items() if task.status in states]
    return [*usual, "disable" if task.enabled else "enable"]


def details_of(task: Task) -> dict[str, Any]:
    """
    Return the status details that are not shown elsewhere.
    """
    return {name: value for name, value in task.status_details.items() if name != "executionHistory"}


@dataclass(frozen=True, slots=True)
class Query:
    """
    What a list of tasks was asked for, and the addresses of its neighbours.
    """

    status: str = ""
    type: str = ""
    sort: str = LATEST_FIRST
    offset: int = 0
    limit: int = 50

    def address(self, **changes: object) -> str:
        """
        Return the address of this list with some things changed; it begins anew unless `offset` is given.
        """
        wanted = {"status": self.status, "type": self.type, "sort": self.sort, "offset": 0, **changes}
        kept = {name: value for name, value in wanted.items() if value not in ("", 0, None)}
        return "/tasks" + (f"?{urlencode(kept)}" if kept else "")

    def sorted_by(self, field: str) -> str:
        """
        Return the address that sorts by a field; by the one it is sorted by, the other way round.
        """
        turned = field if self.sort == f"{field}:desc" else f"{field}:desc"
        return self.address(sort=turned)

    def direction(self, field: str) -> str:
        """
        Return the order of a column as `aria-sort` names it.
        """
        name, _, way = self.sort.partition(":")
        return "none" if name != field else "descending" if way == "desc" else "ascending"


def type_rows(types: Sequence[TypeSummary], nodes: Sequence[Heartbeat]) -> list[dict[str, Any]]:
    """
    Return the rows of the page of types: those with tasks or runs, and those that a node can run.
    """
    known = {one.task_type: one for one in types}
    names = sorted({*known, *(name for node in nodes for name in node.task_types)})
    return [_type_row(known.get(name) or TypeSummary(task_type=name), nodes) for name in names]


def _type_row(one: TypeSummary, nodes: Sequence[Heartbeat]) -> dict[str, Any]:
    return {
        "name": one.task_type,
        "tasks": sum(one.counts.values()),
        "running": one.counts.get(TaskStatus.RUNNING, 0),
        "failed": one.counts.get(TaskStatus.FAILED, 0),
        "runs": one.runs,
        "failures": one.failures,
        "share": 100 * one.failures / one.runs if one.runs else 0.0,
        "mean": one.run_millis / one.runs if one.runs else None,
        "longest": one.longest_millis if one.runs else None,
        "nodes": sorted({node.node_id for node in nodes if one.task_type in node.task_types}),
    }
