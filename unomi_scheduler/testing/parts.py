"""
The parts of a node without threads: what a node does beside its core happens here in the caller's thread, when its turn
comes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..clock import Instant
from ..node import messages as m
from ..node.alarms import Alarms
from ..node.errands import Errands
from ..node.heartbeat import Pulse
from ..node.memory import MemoryTimers


class HandErrands(Errands):
    """
    The way to the store: each errand is done when it is given.
    """

    def write(self, batch: m.Batch) -> None:
        """
        Do these writes.
        """
        self._write(batch)

    def flush(self, flush: m.Flush) -> None:
        """
        Add these rows to the history.
        """
        self._flush(flush)

    def read(self, query: m.Query) -> None:
        """
        Ask this.
        """
        self._post(self.answer(query))


class HandPulse(Pulse):
    """
    The heartbeat and its watchdog, both done by `keep`.
    """

    def __init__(self, store: Any, **ties: Any) -> None:
        super().__init__(store, **ties)
        self._threads = []
        self._told = False
        self._due = 0

    def begin(self) -> None:
        """
        Write the first beat.
        """
        super().begin()
        self._due = self._after(self._until_beat())

    def keep(self, now: Instant) -> None:
        """
        Beat if it is time to, and tell the runs if the lease has ended.
        """
        while not self._ending.is_set() and (self._nudge.is_set() or now.boot >= self._due):
            self._nudge.clear()
            self._due = self._after(self._beat_once())
        if self.lease.held(now.boot):
            self._told = False
        elif not self._told and self.lease.version is not None:
            self._told = True
            self._lapsed()

    def next_at(self) -> int:
        """
        Return when `keep` is due again, on the boot clock.
        """
        now = self._clock.now().boot
        return self._due if self._told or not self.lease.held(now) else min(self._due, self.lease.until)

    def _after(self, seconds: float) -> int:
        return self._clock.now().boot + round(seconds * 1000)


class HandTimers(MemoryTimers):
    """
    The timers of memory tasks: those that are due fire when they are looked at.
    """

    def __init__(self, fire: Callable[[str], object]) -> None:
        self._fire = fire
        self._moments: dict[str, int] = {}

    def start(self) -> None:
        """
        Do nothing: there is no thread.
        """

    def set(self, task_id: str, at: int | None) -> None:
        """
        Fire at this wall-clock moment (epoch ms) instead of any earlier setting; None clears.
        """
        self._moments.pop(task_id, None)
        if at is not None:
            self._moments[task_id] = at

    def stop(self) -> None:
        """
        Forget all timers.
        """
        self._moments.clear()

    def fire(self, wall: int) -> None:
        """
        Fire what is due, the earliest first.
        """
        for task_id, at in sorted(self._moments.items(), key=lambda item: item[1]):
            if at <= wall:
                del self._moments[task_id]
                self._fire(task_id)

    def next_at(self) -> int | None:
        """
        Return when the next one is due, on the wall clock.
        """
        return min(self._moments.values(), default=None)


class HandAlarms(Alarms):
    """
    The alarms of runs: those that are due ring when they are looked at.
    """

    def ring(self) -> None:
        """
        Ring what is due.
        """
        for ring in self._taken(self._clock.now().boot):
            self._ring(ring)

    def next_at(self) -> int | None:
        """
        Return when the next one is due, on the boot clock.
        """
        return min((next(iter(queue.values()))[0] for queue in self._queues.values() if queue), default=None)

    def _wake(self) -> None:
        # There is no thread to wake.
        return
