"""
The checker: what the executors' own logs and the store, taken together, say went wrong.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

from tests.cluster.nodes import Said
from unomi_scheduler import Task, TaskStatus


def faults(
    ids: Iterable[str], *, tasks: Iterable[Task], said: Iterable[Said], dead: Mapping[int, float] | None = None
) -> list[str]:
    """
    Return every way in which one-shot tasks were not executed exactly once; empty is good.

    A run may be followed by another only if its process died with the run in flight: the document says CRASHED of its
    claim, and the next run began after the death, with a higher fence.

    Args:
        said: the run logs, in the order of time.
        dead: the pids of killed processes, with the time of the kill.
    """
    documents = {task.id: task for task in tasks}
    starts: dict[str, list[Said]] = defaultdict(list)
    for one in said:
        if one.event == "start":
            starts[one.task].append(one)
    found: list[str] = []
    for task_id in ids:
        task = documents.get(task_id)
        found += [f"{task_id}: {fault}" for fault in _of_task(task, starts.get(task_id, []), dead or {})]
    return found


def reruns(said: Iterable[Said]) -> int:
    """
    Return how many runs were not their task's first.
    """
    seen: set[str] = set()
    again = 0
    for one in said:
        if one.event == "start":
            again += one.task in seen
            seen.add(one.task)
    return again


def _of_task(task: Task | None, starts: Sequence[Said], dead: Mapping[int, float]) -> list[str]:
    if task is None:
        return ["the document is lost"]
    found = []
    if task.status is not TaskStatus.COMPLETED or task.lock_owner is not None:
        found.append(f"it is left {task.status}, owner {task.lock_owner}")
    if not starts:
        return [*found, "never executed"]
    committed = _claims(task, "SUCCESS")
    if [starts[-1].claim] != committed or task.success_count != 1:
        found.append(f"committed {committed} ({task.success_count} times), last executed {starts[-1].claim}")
    for run, following in pairwise(starts):
        found += _again(run, following, crashed=run.claim in _claims(task, "CRASHED"), died=dead.get(run.pid))
    return found


def _again(run: Said, following: Said, *, crashed: bool, died: float | None) -> list[str]:
    found = []
    if died is None:
        found.append(f"executed again while {run.node} lives")
    elif following.at < died:
        found.append(f"executed again before {run.node} died")
    if not crashed:
        found.append("executed again though the document does not say that the run crashed")
    if following.fence <= run.fence:
        found.append(f"executed again with fence {following.fence}, not above {run.fence}")
    return found


def _claims(task: Task, status: str) -> list[object]:
    return [entry.get("claimId") for entry in task.history if entry.get("status") == status]
