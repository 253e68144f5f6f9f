"""
Changing: what users ask of tasks that exist.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, NamedTuple

from ..errors import InvalidTask, InvalidTransition, TaskNotFound
from ..metrics import Metric
from ..model import Task, TaskStatus
from ..ports import TaskStore
from ..rules import requests
from ..rules.dependencies import MANY
from ..rules.history import flushed_of
from ..rules.lifecycle import ENDED
from . import edits
from .definitions import checked, edit_values
from .dependents import Dependents
from .edits import Rule
from .everywhere import follow
from .purge import purge
from .reading import Reading
from .wiring import Wiring

_MILLISECOND = timedelta(milliseconds=1)


class Edited(NamedTuple):
    """
    A task after a request: as the request's own write left it, or as it stood when nothing was changed.
    """

    task: Task
    changed: bool


class Changing(Reading):
    """
    The part of a scheduler that changes tasks.

    A request whose state does not allow it changes nothing; with `strict` it raises `InvalidTransition`.
    """

    def __init__(self, wiring: Wiring) -> None:
        super().__init__(wiring)
        self._dependents = Dependents(
            metrics=wiring.metrics,
            clock=wiring.clock,
            node_id=lambda: self.node_id,
            offer=lambda stored, store: wiring.node.offer(stored, store),  # noqa: PLW0108 - the node is made at its first use
            keeping=wiring.keeping,
            keep=self._keep,
        )

    def cancel_task(self, task_id: str, *, strict: bool = False) -> bool:
        """
        Cancel a task for good, and tell its run to stop; answer whether that changed something.

        With a task for all nodes its open run records are cancelled too, on each node.

        Raises:
            TaskNotFound: no task has this id.
            Conflict, StoreUnavailable: the request was not written, or it is not known.
        """
        return self.cancelled(task_id, strict=strict).changed

    def cancelled(self, task_id: str, *, strict: bool = False) -> Edited:
        """
        Cancel as `cancel_task` does, and return the task.
        """
        now = self._now()

        def rule(task: Task) -> Task:
            return requests.cancel(task, now=now, node_id=self.node_id)

        edited = self._request(task_id, rule, strict=strict, metric=Metric.CANCELLED)
        self._end(edited.task)
        if edited.changed and edited.task.everywhere:
            follow(self._bound(task_id), task_id, lambda record_id: self._change(record_id, _open_only(rule)))
        return edited

    def retry_task(self, task_id: str, reset_failure_count: bool = False, *, strict: bool = False) -> bool:  # noqa: FBT001, FBT002 - the original's argument
        """
        Schedule a FAILED task for now; answer whether that changed something.

        A task for all nodes without a period runs again on those nodes that have not succeeded, as their run records
        say; with the reset, on every node.

        Args:
            reset_failure_count: give it all its retries again; without, one attempt follows.

        Raises:
            TaskNotFound: no task has this id.
            Conflict, StoreUnavailable: the request was not written, or it is not known.
        """
        return self.retried(task_id, reset_failure_count=reset_failure_count, strict=strict).changed

    def retried(self, task_id: str, *, reset_failure_count: bool = False, strict: bool = False) -> Edited:
        """
        Retry as `retry_task` does, and return the task.
        """
        now = self._now()

        def rule(task: Task) -> Task:
            return requests.retry(task, now=now, node_id=self.node_id, reset_failure_count=reset_failure_count)

        return self._request(task_id, rule, strict=strict, metric=Metric.RETRIED)

    def resume_task(self, task_id: str, *, strict: bool = False) -> bool:
        """
        Let a CRASHED task go on from its checkpoint now; answer whether that changed something.

        Where an executor of the type is registered in this process, it must be able to resume the task.

        Raises:
            TaskNotFound: no task has this id.
            Conflict, StoreUnavailable: the request was not written, or it is not known.
        """
        return self.resumed(task_id, strict=strict).changed

    def resumed(self, task_id: str, *, strict: bool = False) -> Edited:
        """
        Resume as `resume_task` does, and return the task.
        """
        now = self._now()
        # Users' code is asked here, outside of any lock of the memory tasks.
        refused = self._refuses_to_resume(self.get_task(task_id))

        def rule(task: Task) -> Task:
            return resumed_task(task, refused=refused, now=now, node_id=self.node_id)

        return self._request(task_id, rule, strict=strict, metric=Metric.RESUMED)

    def _refuses_to_resume(self, task: Task) -> bool:
        executor = self._wiring.registry.body(task.task_type)
        return task.status is TaskStatus.CRASHED and executor is not None and not executor.can_resume(task)

    def run_now(self, task_id: str) -> Task:
        """
        Ask for one run at once, beside the schedule, and return the task; a running task runs once more afterwards.

        Raises:
            TaskNotFound: no task has this id.
            InvalidTransition: it is cancelled, or waits for other tasks.
        """
        now = self._now()
        return self._change(task_id, lambda task: requests.run_now(task, now=now))

    def update_task_config(self, task_id: str, **changes: Any) -> Task:
        """
        Change parts of a task's definition and return the task; None means unchanged.

        Args:
            changes: `max_retries`, `retry_delay` (ms or a timedelta), `enabled`, `parameters`, `period` (a timedelta,
                `(number, unit)` or a number in the task's unit), and the others of `rules.requests.EDITABLE`.

        Raises:
            TaskNotFound: no task has this id.
            InvalidTask: a field cannot be edited, or a value breaks a rule.
        """
        values = edit_values(changes)
        now = self._now()
        return self._change(task_id, lambda task: edited_task(task, values, now))

    def delete_task(self, task_id: str) -> None:
        """
        Cancel a task and remove it: now, or by its node when the run in flight has returned.

        Raises:
            TaskNotFound: no task has this id.
            Conflict, StoreUnavailable: the request was not written, or it is not known.
        """
        now, cancelled = self._now(), False

        def mark(task: Task) -> Task:
            nonlocal cancelled
            marked = gone(task, now=now, node_id=self.node_id)
            cancelled = not task.delete_requested and marked.status is not task.status
            return marked

        def mark_record(record: Task) -> Task:
            return gone(record, now=now, node_id=self.node_id)

        node = self._wiring.node
        if node.memory_get(task_id) is not None:
            node.memory_delete(task_id, mark)
        else:
            store = self._bound(task_id)
            marked = self._delete(store, task_id, mark)
            self._end(marked)
            if marked.everywhere:
                follow(store, task_id, lambda record_id: self._delete(store, record_id, mark_record))
        if cancelled:
            self._wiring.metrics.add(Metric.CANCELLED)

    def _delete(self, store: TaskStore, task_id: str, mark: Rule) -> Task:
        keeping = self._wiring.keeping
        marked = edits.delete(
            store,
            task_id,
            keeping.guarded(store, mark, now=self._now),
            may_go=lambda task: keeping.flush_if_possible(store, task, now=self._now()),
        )
        self._wiring.node.offer(marked, store)
        return marked.record

    def recover_crashed_tasks(self) -> None:
        """
        Make this node look for broken-off runs now instead of at its next turn.
        """
        self._wiring.node.recover()

    def purge_old_tasks(self, days: float | None = None, *, older_than: timedelta | None = None) -> int:
        """
        Remove tasks that completed for good long enough ago, and return how many were removed.

        Stored ones, and the memory tasks of this process; FAILED, CANCELLED, CRASHED and recurring tasks stay. Of its
        own accord a process also forgets memory tasks that were cancelled `completed_task_ttl` ago.

        Args:
            days: how long ago; or `older_than`. By default the setting `completed_task_ttl`.
        """
        if days is not None and older_than is not None:
            raise InvalidTask("Invalid age: days and older_than exclude each other; give one of them")
        age = timedelta(days=days) if days is not None else older_than
        age = self._wiring.settings.completed_task_ttl if age is None else age
        if age < timedelta():
            raise InvalidTask(f"Invalid age: expected 0 or more, got {age}")
        now = self._now()
        before = now - age // _MILLISECOND
        removed = self._wiring.node.memory.purge(before=before, cancelled=False)
        store = self._wiring.store()
        if store is not None:
            removed += purge(store, before=before, keeping=self._wiring.keeping, now=now)
        return removed

    def _request(self, task_id: str, rule: Rule, *, strict: bool, metric: Metric) -> Edited:
        try:
            task = self._change(task_id, rule)
        except InvalidTransition:
            if strict:
                raise
            return Edited(self.get_task(task_id), changed=False)
        self._wiring.metrics.add(metric)
        return Edited(task, changed=True)

    def _change(self, task_id: str, rule: Callable[[Task], Task]) -> Task:
        node = self._wiring.node
        if node.memory_get(task_id) is not None:
            return node.memory_change(task_id, rule)
        store = self._bound(task_id)
        stored = edits.change(store, task_id, self._wiring.keeping.guarded(store, rule, now=self._now))
        node.offer(stored, store)
        self._keep(store, stored.record)
        return stored.record

    def _keep(self, store: TaskStore, *tasks: Task) -> None:
        # A node that runs flushes it with others.
        left = [task for task in tasks if flushed_of(task) < len(task.history)]
        if left and not self._wiring.node.running:
            self._wiring.keeping.flush_if_possible(store, *left, now=self._now())

    def _bound(self, task_id: str) -> TaskStore:
        store = self._wiring.store()
        if store is None:
            raise TaskNotFound(task_id)
        return store

    def _end(self, task: Task) -> None:
        store = self._wiring.store()
        if store is not None and task.persistent:
            self._dependents.ended(store, task)


def _open_only(rule: Rule) -> Rule:
    return lambda task: task if task.status in ENDED else rule(task)


def resumed_task(task: Task, *, refused: bool, now: int, node_id: str) -> Task:
    """
    Return a CRASHED task that goes on now.

    Args:
        refused: its executor here does not resume it.

    Raises:
        InvalidTransition: it is not CRASHED, or is refused.
    """
    if refused:
        raise InvalidTransition(task.id, task.status, "resumed: its executor does not resume it")
    return requests.resume(task, now=now, node_id=node_id)


def gone(task: Task, *, now: int, node_id: str) -> Task:
    """
    Return a task marked for removal, once.
    """
    return task if task.delete_requested else requests.mark_deleted(task, now=now, node_id=node_id)


def edited_task(task: Task, values: dict[str, Any], now: int) -> Task:
    """
    Return a task with another definition.

    Raises:
        InvalidTask, InvalidTransition: it cannot be like that.
    """
    changed = checked(requests.edit(task, now=now, **values))
    if changed.status is TaskStatus.CANCELLED and changed.enabled:
        raise InvalidTransition(task.id, task.status, "enabled")
    if changed.everywhere and changed.periodic and task.dependents and not task.periodic:
        waiting = "other tasks wait" if MANY in task.dependents else f"{', '.join(task.dependents)} may wait"
        raise InvalidTask(
            f"Invalid period: expected none for {task.id}, as {waiting} for it and it would never be done; "
            "cancel those, or schedule another task for all nodes"
        )
    return changed
