"""
Purge: old completed tasks leave the store (contract section 9).

Never purged: FAILED, CANCELLED, CRASHED and recurring tasks. What was marked for removal goes too, once no run of it is
left. A task goes only when every entry of its history has a row, which lives on for `history_ttl` (P20). Each process
forgets its own memory tasks itself (`node.local`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta

from ..clock import Clock
from ..model import Stored, Task
from ..ports import Action, Callback, Result, TaskStore, Write
from ..rules.purging import purgeable
from .edits import raise_failure
from .history import Keeping

PURGE_TYPE = "task-purge"
PAGE = 1_000
_MILLISECOND = timedelta(milliseconds=1)


def purge(store: TaskStore, *, before: int, keeping: Keeping, now: int) -> int:
    """
    Remove what is purgeable, each on condition that it did not change since it was found; return how many were.

    Args:
        before: when they must have completed, at the latest (epoch ms).
        keeping: what becomes of their history; a store that does not take it keeps its tasks.

    Raises:
        StoreUnavailable: the store refused or did not answer; what was removed until then stays removed.
    """
    removed = 0
    while True:
        # Without a refresh the next search would find what this round removed.
        store.refresh()
        found = store.find_purgeable(before=before, limit=PAGE)
        old = [one for one in found.tasks if purgeable(one.record, before=before)]
        keeping.flush(store, [one.record for one in old], now=now)
        gone = _remove(store, old)
        removed += gone
        if not gone:
            return removed
        if found.after is None:
            # Whoever lists the tasks now must not find what was removed.
            store.refresh()
            return removed


def _remove(store: TaskStore, tasks: Sequence[Stored[Task]]) -> int:
    if not tasks:
        return 0
    outcomes = store.write([Write(Action.DELETE, one.record, one.version) for one in tasks])
    for one, outcome in zip(tasks, outcomes, strict=True):
        raise_failure(outcome, one.record.id)
    return sum(outcome.result is Result.WRITTEN for outcome in outcomes)


class PurgeExecutor:
    """
    The executor of the system task `task-purge`.

    Args:
        store: gives the store of the moment, or None while none is bound.
        age: how long ago a task must have completed.
        keeping: how long its history is kept.
        audit_age: how long the audit is kept.
    """

    task_type = PURGE_TYPE

    def __init__(
        self,
        store: Callable[[], TaskStore | None],
        *,
        clock: Clock,
        age: timedelta,
        keeping: Keeping,
        audit_age: timedelta,
    ) -> None:
        self._store = store
        self._clock = clock
        self._age_millis = age // _MILLISECOND
        self._keeping = keeping
        self._audit_millis = audit_age // _MILLISECOND

    def execute(self, task: Task, callback: Callback) -> None:
        """
        Purge once, drop history and audit behind their time, and leave the numbers of all in the status details.
        """
        store, now = self._store(), self._clock.now().wall
        removed = dropped = forgotten = 0
        if store is not None:
            removed = purge(store, before=now - self._age_millis, keeping=self._keeping, now=now)
            dropped = store.drop_history(before=self._keeping.oldest(now))
            forgotten = store.drop_audit(before=now - self._audit_millis)
        details = {"purgedTasks": removed, "purgedHistory": dropped, "purgedAudit": forgotten}
        callback.update_status_details(details)
        callback.complete()

    def can_resume(self, task: Task) -> bool:
        """
        Tell that a broken-off purge starts again.
        """
        return False

    def resume(self, task: Task, callback: Callback) -> None:
        """
        Start again.
        """
        self.execute(task, callback)
