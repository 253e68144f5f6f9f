"""
Several nodes on one store in one process, and a journal of what their bodies did.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Any, Self

from tests.waiting import eventually
from unomi_scheduler import Scheduler, Task, TaskContext, TaskStatus, TaskStore

Body = Callable[[TaskContext], object]


@dataclass(frozen=True, kw_only=True)
class Ran:
    """
    One run: seconds on the process's clock.
    """

    task_id: str
    node_id: str
    began: float
    ended: float


class Journal:
    """
    What ran where and when.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._ran: list[Ran] = []
        self._running: Counter[str] = Counter()
        self.most_at_once: Counter[str] = Counter()

    def noting(self, body: Body) -> Body:
        """
        Return a body that notes each of its runs, and how many of its type run at once.
        """

        def noted(context: TaskContext) -> None:
            task, began = context.task, time.monotonic()
            self._count(task.task_type, 1)
            try:
                body(context)
            finally:
                self._count(task.task_type, -1)
                ended = time.monotonic()
                with self._lock:
                    self._ran.append(Ran(task_id=task.id, node_id=context.node_id, began=began, ended=ended))

        return noted

    def _count(self, task_type: str, number: int) -> None:
        with self._lock:
            self._running[task_type] += number
            self.most_at_once[task_type] = max(self.most_at_once[task_type], self._running[task_type])

    def ran(self, task_id: str = "") -> list[Ran]:
        """
        Return the runs that have ended (of one task), in the order of their beginning.
        """
        with self._lock:
            return sorted((one for one in self._ran if task_id in ("", one.task_id)), key=lambda one: one.began)


class Nodes:
    """
    The nodes of one test; `manager` takes no part and only schedules and looks.
    """

    def __init__(self, store: Callable[[], TaskStore | str], folder: Path, **settings: Any) -> None:
        self._store = store
        self._folder = folder
        self._settings = settings
        self._made: list[Scheduler] = []
        self.journal = Journal()
        self.manager = self._make("manager", executor_node=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for node in self._made:
            node.stop()

    def _make(self, node_id: str, **settings: Any) -> Scheduler:
        common = {"purge_enabled": False, "drain_timeout": "3s", "state_dir": self._folder / node_id}
        node = Scheduler(store=self._store(), node_id=node_id, **{**common, **self._settings, **settings})
        self._made.append(node)
        return node

    def start(self, names: str, bodies: Mapping[str, Body], **settings: Any) -> list[Scheduler]:
        """
        Start nodes whose names stand apart by blanks, each with all bodies by task type; return when they know each
        other.
        """
        nodes = [self._make(name, **settings) for name in names.split()]
        for node in nodes:
            for task_type, body in bodies.items():
                node.executor(task_type)(self.journal.noting(body))
            node.start()
        wanted = {node.node_id for node in self._made if node.running and node.executor_node}

        def met() -> bool:
            return all(
                wanted <= {beat.node_id for beat in node._wiring.node._cores.current.members.alive()} | {node.node_id}
                for node in nodes
            )

        eventually(met, "the nodes know each other")
        return nodes

    def task(self, task_id: str) -> Task:
        """
        Return a task as it stands.
        """
        return self.manager.get_task(task_id)

    def reached(self, task_id: str, status: TaskStatus, within: float = 20) -> Task:
        """
        Return a task once it is in a state.
        """

        def look() -> Task | None:
            task = self.task(task_id)
            return task if task.status is status else None

        return eventually(look, f"{task_id} is {status}", within)
