"""
The nodes of one scenario on one store: in this process, or, to be killed, in processes of their own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from itertools import count, islice
from pathlib import Path
from threading import Event
from types import TracebackType
from typing import Any, Self

from tests.factories import make_running_task, make_task
from tests.service_suite.bodies import RESUMABLE, SAMPLE, Journal, Line, register
from tests.service_suite.cut import CutStore
from tests.service_suite.doomed import CutOff, Doomed, KilledProcess
from tests.waiting import eventually
from unomi_scheduler import Scheduler, Task, TaskBuilder, TaskNotFound, TaskStatus, TaskStore
from unomi_scheduler.model import Record, Stored
from unomi_scheduler.ports import Action, Write
from unomi_scheduler.rules.placement import partition_of, share_of

LIMIT = 30.0
"""Seconds after which a scenario gives up waiting."""
SHORT_LEASE = 1_500
"""Milliseconds: the lease of a node that is going to die. The others keep the default, which no busy machine ends."""
NODE = "test-scheduler-node"


class Peers:
    """
    The nodes of one test. `manager` takes no part: it only schedules and looks.

    Args:
        store: gives each node its store: an address, or a ready-made one that all share.
        settings: of every node.
    """

    def __init__(self, store: Callable[[], TaskStore | str], folder: Path, **settings: Any) -> None:
        self.folder = folder
        self.journal = Journal(folder)
        self._store = store
        self._settings = settings
        self._made: list[Scheduler] = []
        self._doomed: list[Doomed] = []
        self.manager = self.make("manager", executor_node=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.journal.open_gate("all")
        for doomed in self._doomed:
            doomed.end()
        for node in self._made:
            node.stop()

    # --- nodes

    def _options(self, node_id: str, settings: dict[str, Any]) -> dict[str, Any]:
        common = {
            "node_id": node_id, "purge_enabled": False, "poll_interval": "100ms", "drain_timeout": "5s",
            "state_dir": self.folder / "state",
        }  # fmt: skip
        return {**common, **self._settings, **settings}

    def make(self, node_id: str = NODE, **settings: Any) -> Scheduler:
        """
        Return a node that is not started and knows no executor.
        """
        node = Scheduler(store=self._store(), **self._options(node_id, settings))
        self._made.append(node)
        return node

    def start(self, *names: str, types: Iterable[str] = (SAMPLE, RESUMABLE), **settings: Any) -> list[Scheduler]:
        """
        Start nodes that follow scripts; return when they know each other.
        """
        nodes = [self.make(name, **settings) for name in names]
        for node in nodes:
            register(node, self.journal, *types)
            node.start()
        self.acquaint()
        return nodes

    def one(self, **settings: Any) -> Scheduler:
        """
        Start the only node of a scenario.
        """
        return self.start(NODE, **settings)[0]

    def acquaint(self) -> None:
        """
        Return when the nodes of this process that run tasks know each other.
        """
        running = [node for node in self._made if node.running and node.executor_node]
        wanted = {node.node_id for node in running}

        def met() -> bool:
            return all(wanted <= known(node) | {node.node_id} for node in running)

        eventually(met, "the nodes know each other", LIMIT)

    def doomed(self, node_id: str, **settings: Any) -> Doomed:
        """
        Start a node that is going to die; return when the store knows it.
        """
        chosen = {"lease": f"{SHORT_LEASE}ms", **settings}
        store = self._store()
        one: Doomed
        if isinstance(store, str):
            options = {"store": store, **self._options(node_id, chosen)}
            one = KilledProcess(node_id, self.folder, options)
        else:
            cut = Event()
            node = Scheduler(store=CutStore(store, cut), **self._options(node_id, {"state_dir": None, **chosen}))
            register(node, self.journal)
            node.start()
            one = CutOff(node, cut)
        self._doomed.append(one)
        eventually(lambda: self.alive(node_id), f"{node_id} takes part", LIMIT)
        return one

    def alive(self, node_id: str) -> bool:
        """
        Tell whether nobody has declared a node dead.
        """
        return any(beat.node_id == node_id for beat in self.manager.nodes())

    # --- tasks

    @property
    def store(self) -> TaskStore:
        """
        The store, for what no user can do.
        """
        return self.manager._wiring.required_store()

    def task(self, task_type: str = SAMPLE, *script: str, **parameters: Any) -> TaskBuilder:
        """
        Begin the definition of a task that follows a script.
        """
        return self.manager.new_task(task_type).with_parameters(
            {**({"script": script} if script else {}), **parameters}
        )

    def put(self, *records: Record) -> None:
        """
        Store records as they are, past every rule.
        """
        for outcome in self.store.write([Write(Action.CREATE, one) for one in records]):
            assert outcome.version is not None, outcome
        self.store.refresh()

    def edit(self, task_id: str, rule: Callable[[Task], Task]) -> None:
        """
        Change a document as no scheduler does.
        """

        def done() -> bool:
            stored = self.stored(task_id)
            return self.store.write([Write(Action.REPLACE, rule(stored.record), stored.version)])[0].version is not None

        eventually(done, f"{task_id} is edited")

    def stored(self, task_id: str) -> Stored[Task]:
        """
        Return a document with its version.
        """
        (found,) = self.store.tasks([task_id])
        assert found is not None, task_id
        assert isinstance(found.record, Task)
        return Stored(found.record, found.version)

    def now(self, task_id: str) -> Task:
        """
        Return a task as it stands.
        """
        return self.stored(task_id).record

    def when(self, task_id: str, holds: Callable[[Task], object], what: str = "as expected") -> Task:
        """
        Return a task once something holds of it.
        """

        def look() -> Task | None:
            try:
                task = self.manager.get_task(task_id)
            except TaskNotFound:
                return None
            return task if holds(task) else None

        try:
            return eventually(look, "too late", LIMIT)
        except AssertionError:
            raise AssertionError(f"{task_id} is not {what}: {self.stored(task_id)}") from None

    def reached(self, task_id: str, *statuses: TaskStatus) -> Task:
        """
        Return a task once it is in one of these states.
        """
        return self.when(task_id, lambda task: task.status in statuses, " or ".join(statuses))

    def completed(self, task_id: str) -> Task:
        """
        Return a task once it is COMPLETED.
        """
        return self.reached(task_id, TaskStatus.COMPLETED)

    def said(self, event: str, task_id: str, number: int = 1) -> list[Line]:
        """
        Return what the runs of a task said, once they said it often enough.
        """

        def look() -> list[Line] | None:
            found = self.journal.lines(task_id, event)
            return found if len(found) >= number else None

        return eventually(look, f"{number} × {event} of {task_id}", LIMIT)


def known(node: Scheduler) -> set[str]:
    """
    Return the ids of the nodes that a node knows, without its own.
    """
    return {beat.node_id for beat in node._wiring.node._cores.current.members.alive()}


def shares(names: tuple[str, ...], owner: str, number: int = 1) -> list[str]:
    """
    Return ids of tasks in the share of one of these nodes.
    """
    share = share_of(owner, frozenset(names))
    ids = (one for one in (f"task-{n}" for n in count()) if partition_of(make_task(id=one)) in share)
    return list(islice(ids, number))


def wall() -> int:
    """
    Return the present moment in epoch ms.
    """
    return time.time_ns() // 1_000_000


def waiting_task(task_id: str, **over: Any) -> Task:
    """
    Return a document that is not due for an hour, of a task made now.
    """
    now = wall()
    return make_task(**{"id": task_id, "creation_date": now, "next_scheduled_execution": now + 3_600_000, **over})


def left_behind(task_id: str, *, age: int, lease: int = 0, **over: Any) -> Task:
    """
    Return the document of a run whose node was of another kind: it names an owner and a lock, and no incarnation.
    """
    now = wall()
    values = {
        "id": task_id, "creation_date": now - age, "fence": now - age, "next_scheduled_execution": now - age,
        "lock_owner": "dead-node", "executing_node_id": "dead-node", "owner_incarnation": None, "claim_id": None,
        "lock_date": now - age, "lock_lease_millis": lease, **over,
    }  # fmt: skip
    return make_running_task(**values)


def statuses(task: Task) -> list[str]:
    """
    Return the kinds of the entries of a task's history.
    """
    return [str(entry["status"]) for entry in task.history]
