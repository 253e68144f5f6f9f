"""
Dependents: told to what they wait for when they are made, and judged here when a user ends what they wait for (P14).

A dependency names who waits for it in its own document. The name is written after the dependent itself and on condition
of the version read, so whoever ends the dependency sees it, or the dependency had ended before and is judged here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence

from ..clock import Clock
from ..errors import SchedulerError
from ..metrics import Metric, Metrics
from ..model import Stored, Task, TaskStatus
from ..ports import Action, Result, TaskStore, Write
from ..rules.dependencies import MANY, Readiness, awaited, judge_known, satisfied, settled, with_dependents
from ..stores.homes import wherever
from ..stores.reading import told
from .edits import RACES, SENDS, change
from .history import Keeping

_log = logging.getLogger(__name__)
PAGE = 500


class Dependents:
    """
    Args:
        offer: told of each task that was written, with its version, and of its store.
        node_id: of the node in whose name a dependent fails.
        keeping: sees to the rows of a history before an entry leaves its document.
        keep: told of each dependent that failed, whose history has an entry more.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        metrics: Metrics,
        node_id: Callable[[], str],
        offer: Callable[[Stored[Task], TaskStore], None],
        keeping: Keeping,
        keep: Callable[[TaskStore, Task], None],
    ) -> None:
        self._clock = clock
        self._metrics = metrics
        self._node_id = node_id
        self._offer = offer
        self._keeping = keeping
        self._keep = keep

    def made(self, store: TaskStore, tasks: Sequence[Task]) -> None:
        """
        Name new tasks that wait in the documents of what they wait for; never raises, as a scan of the nodes finds
        what is not named.
        """
        waiting = [task for task in tasks if task.status is TaskStatus.WAITING]
        if not waiting:
            return
        try:
            self._settle(store, waiting, self._name(store, waiting))
        except SchedulerError as error:
            _not_told(waiting[0], error)

    def ended(self, store: TaskStore, task: Task) -> None:
        """
        Judge those who wait for a task that was cancelled or deleted; never raises, as above.
        """
        if not task.dependents:
            return
        try:
            waiting = list(_waiting_for(store, task))
            names = sorted({name for one in waiting for name in awaited(one)})
            self._settle(store, waiting, _read(store, names))
        except SchedulerError as error:
            _not_told(task, error)

    def _name(self, store: TaskStore, waiting: Sequence[Task]) -> dict[str, Task | None]:
        left: dict[str, list[Task]] = {}
        for task in waiting:
            for name in awaited(task):
                left.setdefault(name, []).append(task)
        known: dict[str, Task | None] = {}
        failures = races = 0
        while left and failures < SENDS and races < RACES:
            names = sorted(left)
            documents = wherever(store, names)
            known |= told(names, documents)
            found = dict(zip(names, documents, strict=True))
            writes = list(_namings(found, left))
            outcomes = store.write(writes) if writes else []
            for write, outcome in zip(writes, outcomes, strict=True):
                if outcome.version is not None and isinstance(write.record, Task):
                    self._offer(Stored(write.record, outcome.version), store)
            results = {write.record.id: outcome.result for write, outcome in zip(writes, outcomes, strict=True)}
            failures += any(result in (Result.REFUSED, Result.UNKNOWN) for result in results.values())
            races += 1
            left = {name: left[name] for name, result in results.items() if result is not Result.WRITTEN}
        if left:
            _log.warning(
                "Dependents were not named in %s: other writers were faster, or the store did not answer; a scan "
                "finds them", ", ".join(sorted(left)), extra={"action": "dependents_not_named"},
            )  # fmt: skip
        return known

    def _settle(self, store: TaskStore, waiting: Sequence[Task], known: Mapping[str, Task | None]) -> None:
        for task in waiting:
            judgement = judge_known(task, known)
            if judgement.readiness is Readiness.WAIT and judgement.unmet == awaited(task):
                continue

            judged = False

            def rule(current: Task, seen: Task = task) -> Task:
                nonlocal judged
                judged = current.status is TaskStatus.WAITING and current.waiting_on_tasks == seen.waiting_on_tasks
                if not judged:
                    return current
                return settled(
                    current, judge_known(current, known), now=self._clock.now().wall, node_id=self._node_id()
                )

            guarded = self._keeping.guarded(store, rule, now=lambda: self._clock.now().wall)
            stored = change(store, task.id, guarded)
            self._offer(stored, store)
            if judged and stored.record.status is TaskStatus.FAILED:
                self._keep(store, stored.record)
                self._metrics.add(Metric.FAILED)
                self.ended(store, stored.record)


def _namings(found: Mapping[str, Stored[Task] | object | None], left: Mapping[str, list[Task]]) -> Iterator[Write]:
    for name, stored in found.items():
        task = _task_of(stored)
        if task is None or not isinstance(stored, Stored):
            continue
        ids = [one.id for one in left[name] if not satisfied(task, since=one.creation_date)]
        named = with_dependents(task, ids)
        if named is not task:
            yield Write(Action.REPLACE, named, stored.version)


def _task_of(stored: object) -> Task | None:
    return stored.record if isinstance(stored, Stored) and isinstance(stored.record, Task) else None


def _read(store: TaskStore, names: Sequence[str]) -> dict[str, Task | None]:
    return told(names, wherever(store, names))


def _waiting_for(store: TaskStore, task: Task) -> Iterator[Task]:
    if MANY not in task.dependents:
        found = [_task_of(stored) for stored in store.tasks(task.dependents)]
        yield from (one for one in found if one is not None and one.status is TaskStatus.WAITING)
        return
    store.refresh()
    after: str | None = None
    while True:
        page = store.find_waiting(on=task.id, limit=PAGE, after=after)
        yield from (stored.record for stored in page.tasks)
        if not isinstance(page.after, str):
            return
        after = page.after


def _not_told(task: Task, error: SchedulerError) -> None:
    _log.warning(
        "Those who wait for or with task %s are found by a scan only: %s",
        task.id,
        error,
        extra={"action": "dependents_not_told", "task_id": task.id},
    )
