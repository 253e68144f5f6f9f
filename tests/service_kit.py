"""
A scheduler on a store in memory, with a clock that stands still: for tests of what works without a started node.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.factories import SetClock
from tests.lossy_store import Fault, LossyStore
from unomi_scheduler.model import Malformed, Stored, Task
from unomi_scheduler.ports import Action, Write
from unomi_scheduler.service import Scheduler
from unomi_scheduler.stores.memory import MemoryStore


@dataclass
class Kit:
    """
    The scheduler, its clock, the faults of its store, and the store behind them.
    """

    scheduler: Scheduler
    clock: SetClock
    faults: LossyStore
    store: MemoryStore

    def put(self, *tasks: Task) -> None:
        """
        Store tasks as they are, past the scheduler.
        """
        for outcome in self.store.write([Write(Action.CREATE, task) for task in tasks]):
            assert outcome.version is not None

    def stored(self, task_id: str) -> Task | None:
        """
        Return what stands in the store.
        """
        found = self.found(task_id)
        assert found is None or isinstance(found.record, Task)
        return None if found is None else found.record

    def found(self, task_id: str) -> Stored[Task] | Stored[Malformed] | None:
        """
        Return what stands in the store, with its version.
        """
        return self.store.tasks([task_id])[0]

    def replace(self, task: Task) -> None:
        """
        Write a task over the one of its id, as another writer.
        """
        found = self.found(task.id)
        assert found is not None
        self.store.write([Write(Action.REPLACE, task, found.version)])


def make_kit(*faults: Fault, **settings: Any) -> Kit:
    """
    Return a scheduler that is not started.
    """
    clock = SetClock()
    store = MemoryStore(clock)
    lossy = LossyStore(store, *faults)
    scheduler = Scheduler(store=lossy, clock=clock, **{"node_id": "node-a", **settings})
    return Kit(scheduler, clock, lossy, store)
