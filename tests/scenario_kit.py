"""
What the contract's scenarios run on: one node, its tasks in this process's memory, or in one of the stores.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Event
from typing import Any

from tests.waiting import eventually
from unomi_scheduler import Scheduler, Task, TaskBuilder, TaskStatus
from unomi_scheduler.clock import SystemClock
from unomi_scheduler.stores.memory import MemoryStore

MEMORY_TASK, MEMORY_STORE, SQLITE = PLACES = ("memory task", "memory store", "sqlite")
LIMIT = 20.0
"""Seconds after which a scenario gives up waiting."""
SETTINGS: dict[str, Any] = {
    "node_id": "test-scheduler-node",
    "poll_interval": "200ms",
    "drain_timeout": "5s",
    "purge_enabled": False,
    "completed_task_ttl": "0s",
}


class Runs:
    """
    A body that notes when each run begins and does what the scenario says: `script` gets the run's number from 0.
    """

    def __init__(self, script: Callable[[int, Any], object] = lambda *_: None) -> None:
        self._script = script
        self._begun: SimpleQueue[float] = SimpleQueue()
        self._count = 0
        self.starts: list[float] = []

    def __call__(self, context: Any) -> None:
        """
        Run once.
        """
        number, self._count = self._count, self._count + 1
        self._begun.put(time.monotonic() * 1000)
        self._script(number, context)

    def wait(self, number: int) -> list[float]:
        """
        Return when the first `number` runs began (ms), once they have.
        """
        while len(self.starts) < number:
            try:
                self.starts.append(self._begun.get(timeout=LIMIT))
            except Empty:
                raise AssertionError(f"only {len(self.starts)} of {number} runs began in {LIMIT} s") from None
        return self.starts[:number]

    def gaps(self, number: int) -> list[float]:
        """
        Return the milliseconds between the beginnings of the first `number` runs.
        """
        starts = self.wait(number)
        return [later - earlier for earlier, later in pairwise(starts)]

    @property
    def count(self) -> int:
        """
        How many runs have begun.
        """
        return self._count


@dataclass
class Place:
    """
    A started scheduler, and whether the scenario's tasks are stored. `gate` is opened when the scenario is over.
    """

    scheduler: Scheduler
    persistent: bool
    gate: Event = field(default_factory=Event)

    def task(self, task_type: str, body: Callable[..., object], *, can_resume: bool = False) -> TaskBuilder:
        """
        Register a body and begin the definition of a task for it.
        """
        self.scheduler.executor(task_type, can_resume=can_resume)(body)
        return self.builder(task_type)

    def builder(self, task_type: str) -> TaskBuilder:
        """
        Begin the definition of a task.
        """
        builder = self.scheduler.new_task(task_type)
        return builder if self.persistent else builder.non_persistent()

    def wait(self, task: Task, holds: Callable[[Task], bool], within: float = LIMIT) -> Task:
        """
        Return a task once something holds of it.
        """

        def look() -> Task | None:
            now = self.scheduler.get_task(task.id)
            return now if holds(now) else None

        return eventually(look, f"{task.task_type} is still {self.scheduler.get_task(task.id)}", within)

    def reach(self, task: Task, *statuses: TaskStatus, within: float = LIMIT) -> Task:
        """
        Return a task once it is in one of these states.
        """
        return self.wait(task, lambda now: now.status in statuses, within)

    def metric(self, name: str, expected: int) -> None:
        """
        Wait until a counter stands at a number, and see that it does not go beyond.
        """
        eventually(
            lambda: self.scheduler.get_metric(name) >= expected,
            f"{name} is {self.scheduler.get_metric(name)}, expected {expected}", LIMIT,
        )  # fmt: skip
        assert self.scheduler.get_metric(name) == expected, name


def statuses(task: Task) -> list[str]:
    """
    Return the kinds of the entries of a task's history.
    """
    return [entry["status"] for entry in task.history]


@contextmanager
def opened(scheduler: Scheduler, *, persistent: bool) -> Iterator[Place]:
    """
    Start a scheduler for one scenario, and stop it behind.
    """
    place = Place(scheduler, persistent)
    with scheduler:
        try:
            yield place
        finally:
            place.gate.set()


@contextmanager
def place_of(kind: str, folder: Path, **settings: Any) -> Iterator[Place]:
    """
    Make one of `PLACES`.
    """
    stores: dict[str, Any] = {
        MEMORY_TASK: None,
        MEMORY_STORE: MemoryStore(SystemClock()),
        SQLITE: f"sqlite:///{folder}/tasks.db",
    }
    scheduler = Scheduler(store=stores[kind], **{**SETTINGS, "state_dir": folder / "state", **settings})
    with opened(scheduler, persistent=kind != MEMORY_TASK) as place:
        yield place
