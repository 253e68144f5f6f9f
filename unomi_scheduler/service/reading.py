"""
Reading: what users see of tasks, nodes and metrics.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

from ..errors import ConfigurationError, InvalidTask, SchedulerError, TaskNotFound
from ..model import Activity, Heartbeat, HistoryRow, Malformed, Misplaced, Page, Slot, Task, TaskStatus, TypeSummary
from ..ports import LIST_CAP, Records, StoreReport, TaskQuery, TaskStore
from ..rules.dependencies import awaited
from ..stores.homes import find, wherever
from ..stores.reading import told
from .elsewhere import Elsewhere
from .everywhere import NodeRun, as_shown, node_runs, own_run, read_records
from .explaining import View, explain
from .history import page_of_history
from .listing import in_order, list_tasks, query_of, status_of
from .observing import Observation, observation_of
from .queueing import with_waits
from .types import merged, stretches, summaries_of
from .watch import Wanted, Watch
from .wiring import Wiring

_log = logging.getLogger(__name__)
HOUR = timedelta(hours=1)
_MILLISECOND = timedelta(milliseconds=1)


class Reading:
    """
    The part of a scheduler that changes nothing.
    """

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring
        self._elsewhere = Elsewhere(wiring)

    @property
    def node_id(self) -> str:
        """
        The id of this process's node.
        """
        return self._wiring.node.options.node_id

    @property
    def executor_node(self) -> bool:
        """
        Whether this node runs tasks; one that does not still manages them. See `set_executor_node`.
        """
        return self._wiring.node.executor_node

    @property
    def clock_trusted(self) -> bool:
        """
        Whether this node knows that its clock is near enough to the store's; before that it claims nothing.

        True too where there is nothing to compare: no store is bound, or it does not tell its clock.
        """
        return self._wiring.node.clock_trusted

    def get_task(self, task_id: str) -> Task:
        """
        Return a task: a memory task of this process, or a stored one as the store has it now. One that is due and waits
        for the run of another of its type alone says so in `waiting_for_task_type`; so it is in the lists, too.

        Failing those, a memory task of another node, as that node showed it at most some seconds ago;
        `executing_node_id` is the node.

        Raises:
            TaskNotFound: no task has this id.
            InvalidTask: the document is no task.
        """
        near = self._wiring.memory_get(task_id)
        task = near if near is not None else self._stored_or_far(task_id)
        elsewhere = near is None and not task.persistent
        (shown,) = self._shown([task], far={id(task)} if elsewhere else ())
        return shown

    def _far(self, task_id: str) -> Task:
        found = self._elsewhere.find(task_id)
        if not found:
            raise TaskNotFound(task_id)
        return found[0]

    def get_memory_tasks(self) -> list[Task]:
        """
        Return the memory tasks of this process, the oldest first.
        """
        return self._shown(in_order(self._wiring.memory_tasks(), TaskQuery()))

    def get_persistent_tasks(self) -> list[Task]:
        """
        Return the stored tasks, the oldest first, up to 10,000 of them; none while no store is bound.
        """
        store = self._wiring.store()
        if store is None:
            return []
        page = store.find(TaskQuery(limit=-1))
        if page.total_size > len(page.list):
            shown = {"action": "list_capped", "total": page.total_size, "cap": LIST_CAP}
            _log.warning("Only %d of %d tasks are listed; use find_tasks", len(page.list), page.total_size, extra=shown)
        return self._shown(page.list)

    def get_all_tasks(self) -> list[Task]:
        """
        Return the memory tasks of this process and the stored tasks, the oldest first.
        """
        return in_order([*self.get_memory_tasks(), *self.get_persistent_tasks()], TaskQuery())

    def find_tasks(
        self,
        *,
        status: TaskStatus | str | None = None,
        task_type: str | None = None,
        offset: int = 0,
        limit: int = 50,
        sort_by: str | None = None,
        records: bool = False,
    ) -> Page:
        """
        Return one page of the tasks that match, stored ones and memory tasks as one list.

        The memory tasks of other nodes are as those showed them at most some seconds ago; `executing_node_id` is the
        node. Of a node with more than 2,000 they are only counted, in the total.

        Args:
            limit: -1 means all, up to 10,000.
            sort_by: `field`, `field:asc` or `field:desc`; by default the oldest come first.
            records: list the run records of all-nodes tasks too.

        Raises:
            InvalidTask: the status or the field is unknown, or a number is out of range.
        """
        query = query_of(status=status, task_type=task_type, offset=offset, limit=limit, sort_by=sort_by)
        query = replace(query, records=Records.SHOWN if records else Records.HIDDEN)
        store, far = self._wiring.store(), self._elsewhere.tasks()
        page = list_tasks(query, memory=[*self._wiring.memory_tasks(), *far], store=store)
        total = page.total_size + self._elsewhere.uncounted(query)
        return replace(page, list=tuple(self._shown(page.list, far={id(task) for task in far})), total_size=total)

    def node_runs(self, task_id: str) -> Mapping[str, NodeRun]:
        """
        Return what each node made of an all-nodes task, by node id; of a memory task, what its process did.

        Raises:
            TaskNotFound: no task has this id.
            InvalidTask: it does not run on all nodes.
        """
        memory = self._wiring.memory_get(task_id)
        task = memory if memory is not None else self._stored_or_far(task_id)
        if not task.persistent and task.run_on_all_nodes:
            node_id = self.node_id if memory is not None else task.executing_node_id or ""
            return {node_id: own_run(task, node_id=node_id, alive=memory is None or self._wiring.node.running)}
        if not task.everywhere:
            raise InvalidTask(f"Task {task_id} does not run on all nodes; only such a task has a run for each")
        return self._node_runs(task)

    def _node_runs(self, definition: Task) -> Mapping[str, NodeRun]:
        nodes = self.nodes()
        return node_runs(definition, records=self._records(definition, nodes), nodes=nodes, now=self._now())

    def _records(self, definition: Task, nodes: Sequence[Heartbeat]) -> list[Task]:
        store = self._wiring.store()
        return read_records(store, definition.id, (one.node_id for one in nodes)) if store is not None else []

    def history(self, task_id: str, offset: int = 0, limit: int = 50) -> Page[HistoryRow]:
        """
        Return one page of a task's history, the newest first; also of a task that is gone, while its rows are kept.

        That of a task for all nodes has the runs of each node. A memory task has the last ten entries of its own.

        Args:
            limit: -1 means all, up to 10,000.

        Raises:
            TaskNotFound: no task has this id, and no row is of one that had it.
            InvalidTask: a number is out of range.
        """
        memory = self._wiring.memory_get(task_id)
        if memory is not None:
            return page_of_history(None, task_id, [memory], offset=offset, limit=limit)
        store = self._wiring.store()
        found = self._record(store, task_id) if store is not None else None
        task = found.task if isinstance(found, Misplaced) else found if isinstance(found, Task) else None
        documents = [] if task is None else [task, *(self._records(task, self.nodes()) if task.everywhere else ())]
        page = page_of_history(store, task.id if task else task_id, documents, offset=offset, limit=limit)
        if found is None and not page.total_size:
            return page_of_history(None, task_id, [self._far(task_id)], offset=offset, limit=limit)
        return page

    def _record(self, store: TaskStore, task_id: str) -> Task | Malformed | None:
        try:
            return find(store, task_id).record
        except TaskNotFound:
            return None

    def explain(self, task_id: str) -> tuple[str, ...]:
        """
        Return why a task does not run, or when it will, as sentences.

        Raises:
            TaskNotFound: no task has this id.
        """
        task = self._wiring.memory_get(task_id)
        if task is None:
            store = self._wiring.store()
            if store is None:
                raise TaskNotFound(task_id)
            record = self._record(store, task_id)
            if record is None:
                return self._explain_far(self._far(task_id))
            if isinstance(record, Misplaced):
                return (f"the document {record.id} is not looked at yet: {record.reason}",)
            if not isinstance(record, Task):
                return (f"in quarantine, no node looks at it: {record.reason}",)
            task = record
        return explain(task, self._view(task))

    def _explain_far(self, task: Task) -> tuple[str, ...]:
        beat = self._elsewhere.node(task.executing_node_id or "")
        view = View(
            now=self._now(),
            node_id=beat.node_id,
            tags=beat.tags,
            running=True,
            executor_node=beat.executor_node,
            nodes=[beat],
            local_types=frozenset(beat.task_types),
            elsewhere=True,
        )
        return f"in the memory of node {beat.node_id}, which alone runs it", *explain(task, view)

    def nodes(self) -> list[Heartbeat]:
        """
        Return the nodes of the cluster that no peer declared dead.
        """
        self._wiring.store()
        return self._wiring.node.nodes()

    def task_types(self, within: timedelta = HOUR, *, memory: bool = True) -> list[TypeSummary]:
        """
        Return what there is of each task type, and how the runs went that ended within a time of now; by name.

        The memory tasks of this process are among them, with the last ten runs of each, unless `memory` is false.
        """
        since, store = self._now() - within // _MILLISECOND, self._wiring.store()
        stored = store.summaries(since=since) if store is not None else []
        return merged(summaries_of(self._wiring.memory_tasks() if memory else (), since=since), stored)

    def observe(self) -> Observation:
        """
        Return what this process measures of itself; it asks no store and holds nothing up.
        """
        return observation_of(self._wiring)

    def store_defects(self) -> tuple[str, ...]:
        """
        Return what is wrong with the index or the tables themselves, each with what to do; few requests, no change.

        Raises:
            StoreUnavailable: the store did not answer.
        """
        try:
            store = self._wiring.store()
            return () if store is None else store.defects()
        except ConfigurationError as error:
            return (str(error),)

    def activity(self, within: timedelta = HOUR, parts: int = 60) -> list[Activity]:
        """
        Return how many runs ended in each of `parts` equal stretches of a time up to now, the oldest first.

        The memory tasks of this process are among them, with the last ten runs of each.

        Raises:
            InvalidTask: the time is too short to have so many parts of a millisecond, or there are none.
        """
        step = within // _MILLISECOND // parts if parts > 0 else 0
        if step < 1:
            raise InvalidTask(
                f"Invalid parts: expected 1 or more, each of a millisecond or more, got {parts} of {within}"
            )
        since, store = self._now() - step * parts, self._wiring.store()
        stored = store.activity(since=since, step=step) if store is not None else []
        return stretches(stored, self._wiring.memory_tasks(), since=since, step=step, parts=parts)

    def get_metric(self, name: str) -> int:
        """
        Return a counter of this node; an unknown one is 0.
        """
        return self._wiring.metrics.get(name)

    def get_all_metrics(self) -> dict[str, int]:
        """
        Return every counter of this node, and `pendingOperations`: 0, as nothing is ever queued before a start.
        """
        return {**self._wiring.metrics.all(), "pendingOperations": 0}

    def watch(
        self,
        *,
        status: TaskStatus | str | None = None,
        task_type: str | None = None,
        task_id: str | None = None,
        records: bool = False,
        since: str | None = None,
    ) -> Watch:
        """
        Watch stored tasks as they change, in the whole cluster, whoever changes them; close the watch after use.

        What this process writes is told at once, what others write when a search shows it; each task as it is after the
        change. Removals are told by the process that removes alone. Memory tasks are not watched.

        Args:
            status, task_type, task_id: only tasks that are such after the change.
            records: the run records of all-nodes tasks too.
            since: the `position` of a change or a watch, of whatever process: what has changed since comes first.

        Raises:
            WatchRefused: there are too many, or the scheduler was stopped.
            StoreUnavailable, ConfigurationError: the store cannot be read.
        """
        wanted = Wanted(
            status=None if status is None else status_of(status), task_type=task_type, task_id=task_id, records=records
        )
        return self._wiring.feed.watch(wanted, since)

    def reset_metrics(self) -> None:
        """
        Set every counter of this node to 0.
        """
        self._wiring.metrics.reset()

    def check(self) -> StoreReport:
        """
        Return what is wrong with the store and what to do; never raises for the store's state.
        """
        try:
            store = self._wiring.store()
        except SchedulerError as error:
            return StoreReport(problems=(str(error),))
        if store is None:
            return StoreReport(
                problems=("no store is bound: only memory tasks run; set `store` or call bind_store(url)",)
            )
        return store.check()

    def _stored_or_far(self, task_id: str) -> Task:
        try:
            return self._stored(task_id)
        except TaskNotFound:
            return self._far(task_id)

    def _stored(self, task_id: str) -> Task:
        store = self._wiring.store()
        if store is None:
            raise TaskNotFound(task_id)
        record = find(store, task_id).record
        if isinstance(record, Misplaced):
            return record.task
        if isinstance(record, Malformed):
            raise InvalidTask(f"Task {task_id} is in quarantine: {record.reason}")
        return record

    def _shown(self, tasks: Sequence[Task], *, far: Collection[int] = ()) -> list[Task]:
        # What the tasks of other nodes wait for is in their memory.
        wiring, now = self._wiring, self._now()
        near = [as_shown(task, now=now) for task in tasks if id(task) not in far]
        waits = iter(with_waits(near, memory=wiring.memory_tasks(), store=wiring.store(), now=now))
        return [as_shown(task, now=now) if id(task) in far else next(waits) for task in tasks]

    def _now(self) -> int:
        return self._wiring.clock.now().wall

    def _view(self, task: Task) -> View:
        wiring = self._wiring
        store = wiring.store()
        return View(
            now=store.clock() if store is not None else self._now(),
            node_id=self.node_id,
            tags=wiring.settings.tags,
            running=wiring.node.running,
            executor_node=self.executor_node,
            nodes=self.nodes(),
            runs=self._node_runs(task) if task.everywhere else {},
            local_types=wiring.registry.types(),
            slot=self._slot(task),
            dependencies=self._dependencies(task),
            max_clock_offset=wiring.node.options.max_clock_offset_millis,
        )

    def _dependencies(self, task: Task) -> dict[str, Task | None]:
        if task.status is not TaskStatus.WAITING:
            return {}
        names = awaited(task)
        near = {name: None if task.persistent else self._wiring.memory_get(name) for name in names}
        far = [name for name in names if near[name] is None]
        store = self._wiring.store()
        there = {name: one for name, one in near.items() if one is not None}
        return there | (told(far, wherever(store, far)) if store is not None else dict.fromkeys(far))

    def _slot(self, task: Task) -> Slot | None:
        if not task.persistent:
            return self._lane(task) if task.exclusive else None
        store = self._wiring.store()
        if store is None or not task.exclusive:
            return None
        return next((one.record for one in store.slots([task.task_type])), None)

    def _lane(self, task: Task) -> Slot | None:
        # Memory tasks are exclusive within their process (P15): the one that runs holds what a slot document is.
        return next(
            (
                Slot(task_type=one.task_type, task_id=one.id, claim_id=one.claim_id or one.id, owner=self.node_id)
                for one in self._wiring.memory_tasks()
                if one.exclusive and one.task_type == task.task_type and one.owner_incarnation is not None
            ),
            None,
        )
