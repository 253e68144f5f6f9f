"""
Ready: the memory tasks that are due and wait for a slot of their pool, by due time; exclusive ones one by one (P15).
"""

from __future__ import annotations

from heapq import heappop, heappush
from itertools import count
from typing import NamedTuple

from ..model import Task
from ..rules.readiness import ALWAYS_DUE, due_at
from .runs import Pool


class Entry(NamedTuple):
    """
    One place in the queue. `lane` is the task's type if it is exclusive; of a type only those that say so are in it.
    """

    due: int
    number: int
    task_id: str
    lane: str | None


class Ready:
    """
    A queue for each pool, and the entries of exclusive types that wait behind a run of their lane.
    """

    def __init__(self) -> None:
        self._queues: dict[Pool, list[Entry]] = {pool: [] for pool in Pool}
        self._parked: dict[str, list[tuple[Entry, Pool]]] = {}
        self._busy: set[str] = set()
        self._numbers = count()
        self._valid: dict[str, int] = {}

    def add(self, task: Task, pool: Pool) -> None:
        """
        Queue a task; harmless when it is queued.
        """
        if task.id not in self._valid:
            lane = task.task_type if task.exclusive else None
            entry = Entry(due_at(task) or ALWAYS_DUE, next(self._numbers), task.id, lane)
            self._valid[task.id] = entry.number
            heappush(self._queues[pool], entry)

    def forget(self, task_id: str) -> None:
        """
        Take a task out of the queue; harmless when it is not in it.
        """
        self._valid.pop(task_id, None)

    def take(self, pool: Pool) -> Entry | None:
        """
        Return the first entry whose lane is free and take it out, or None. `occupy` or `pass_on` must follow.
        """
        queue = self._queues[pool]
        while queue:
            entry = heappop(queue)
            if self._valid.get(entry.task_id) != entry.number:
                self.pass_on(entry.lane)
            elif entry.lane is not None and entry.lane in self._busy:
                heappush(self._parked.setdefault(entry.lane, []), (entry, pool))
            else:
                del self._valid[entry.task_id]
                return entry
        return None

    def occupy(self, lane: str) -> None:
        """
        Let nobody else into a lane: a run of it has begun.
        """
        self._busy.add(lane)

    def release(self, lane: str) -> None:
        """
        Let the next one into a lane: its run has ended.
        """
        self._busy.discard(lane)
        self.pass_on(lane)

    def pass_on(self, lane: str | None) -> None:
        """
        Let the next one try for a lane, since the one before did not begin.
        """
        parked = self._parked.get(lane) if lane is not None and lane not in self._busy else None
        while parked:
            entry, pool = heappop(parked)
            if self._valid.get(entry.task_id) == entry.number:
                heappush(self._queues[pool], entry)
                return
