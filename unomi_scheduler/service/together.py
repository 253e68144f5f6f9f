"""
Together: what a bulk action does to the stored tasks of one batch, by few calls to the store.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum

from ..errors import SchedulerError
from ..metrics import Metric
from ..model import Stored, Task
from ..ports import Action, Result, TaskStore, Write
from ..rules import requests
from ..rules.purging import owned
from ..stores.homes import wherever
from . import batching, edits
from .changing import edited_task, gone, resumed_task
from .edits import Rule
from .steering import Steering

Became = bool | SchedulerError
"""What became of a task: whether it was changed, or what went wrong."""


class BulkAction(StrEnum):
    """
    What can be done to many tasks.
    """

    CANCEL = "cancel"
    DELETE = "delete"
    RETRY = "retry"
    RESUME = "resume"
    RUN = "run"
    ENABLE = "enable"
    DISABLE = "disable"


_METRICS = {
    BulkAction.CANCEL: Metric.CANCELLED,
    BulkAction.RETRY: Metric.RETRIED,
    BulkAction.RESUME: Metric.RESUMED,
}


class Together(Steering):
    """
    The part of a scheduler that changes stored tasks by the batch.
    """

    def _rule(self, action: BulkAction, *, reset_failure_count: bool) -> Rule:
        now, node_id = self._now(), self.node_id

        def resume(task: Task) -> Task:
            return resumed_task(task, refused=self._refuses_to_resume(task), now=now, node_id=node_id)

        rules: dict[BulkAction, Rule] = {
            BulkAction.CANCEL: lambda task: requests.cancel(task, now=now, node_id=node_id),
            BulkAction.DELETE: lambda task: gone(task, now=now, node_id=node_id),
            BulkAction.RETRY: lambda task: requests.retry(
                task, now=now, node_id=node_id, reset_failure_count=reset_failure_count
            ),
            BulkAction.RESUME: resume,
            BulkAction.RUN: lambda task: requests.run_now(task, now=now),
            BulkAction.ENABLE: lambda task: edited_task(task, {"enabled": True}, now),
            BulkAction.DISABLE: lambda task: edited_task(task, {"enabled": False}, now),
        }
        return rules[action]

    def _together(
        self, action: BulkAction, ids: Sequence[str], takes: Callable[[Task], bool], rule: Rule
    ) -> dict[str, Became]:
        """
        Return what became of the stored tasks among these, as far as one call settles it.
        """
        far = [task_id for task_id in ids if self._wiring.memory_get(task_id) is None]
        store = self._wiring.store() if far else None
        if store is None:
            return {}
        try:
            found = wherever(store, far)
        except SchedulerError as error:
            return dict.fromkeys(far, error)
        records = [(one.record, one.version) for one in found if one is not None]
        tasks = [Stored(task, version) for task, version in records if isinstance(task, Task) and not task.everywhere]
        taken = [one for one in tasks if takes(one.record)]
        passed: dict[str, Became] = {one.record.id: False for one in tasks if not takes(one.record)}
        if action is BulkAction.DELETE:
            return passed | self._removed(store, taken, rule)
        batch = self._applied(store, taken, rule)
        if action in _METRICS and batch.written:
            self._wiring.metrics.add(_METRICS[action], len(batch.written))
        if action is BulkAction.CANCEL:
            self._end_all(batch, taken)
        moved: dict[str, Became] = dict.fromkeys(batch.written, True)
        return {**passed, **batch.failed, **dict.fromkeys(batch.unmoved, False), **moved}

    def _applied(self, store: TaskStore, tasks: Sequence[Stored[Task]], rule: Rule) -> batching.Batch:
        batch = batching.apply(store, tasks, rule, keeping=self._wiring.keeping, now=self._now())
        for stored in batch.written.values():
            self._wiring.node.offer(stored, store)
        self._keep(store, *(one.record for one in batch.written.values()))
        return batch

    def _end_all(self, batch: batching.Batch, tasks: Sequence[Stored[Task]]) -> None:
        for one in batch.after(tasks):
            self._end(one.record)

    def _removed(self, store: TaskStore, tasks: Sequence[Stored[Task]], rule: Rule) -> dict[str, Became]:
        """
        Mark tasks for removal, and remove those of which no run is left, as `delete_task` does.
        """
        batch = self._applied(store, tasks, rule)
        ended = sum(batch.written.get(one.record.id, one).record.status is not one.record.status for one in tasks)
        if ended:
            self._wiring.metrics.add(Metric.CANCELLED, ended)
        marked = [one for one in batch.after(tasks) if one.record.delete_requested]
        done: dict[str, Became] = {**batch.failed, **dict.fromkeys([one.record.id for one in marked], True)}
        free = [one for one in marked if not owned(one.record)]
        if self._wiring.keeping.flush_if_possible(store, *(one.record for one in free), now=self._now()):
            outcomes = _deleted(store, free)
            done |= {task_id: became for task_id, became in outcomes.items() if became is not None}
            done = {task_id: became for task_id, became in done.items() if outcomes.get(task_id, became) is not None}
        self._end_all(batch, tasks)
        return done

    def _read_together(self, ids: Sequence[str]) -> dict[str, Task]:
        """
        Return the stored tasks among these, by id.
        """
        far = [task_id for task_id in ids if self._wiring.memory_get(task_id) is None]
        store = self._wiring.store() if far else None
        found = store.tasks(far) if store is not None else []
        return {one.record.id: one.record for one in found if one is not None and isinstance(one.record, Task)}


def _deleted(store: TaskStore, tasks: Sequence[Stored[Task]]) -> dict[str, Became | None]:
    """
    Remove marked tasks, and return what became of them by id: None where others were faster.
    """
    done: dict[str, Became | None] = {}
    outcomes = batching.send(store, [Write(Action.DELETE, one.record, one.version) for one in tasks])
    for one, (outcome, _) in zip(tasks, outcomes, strict=True):
        try:
            edits.raise_failure(outcome, one.record.id)
        except SchedulerError as error:
            done[one.record.id] = error
        else:
            done[one.record.id] = True if outcome.result is not Result.CONFLICT else None
    return done
