"""
Metrics: counters of one node since its start, under the original's names (contract section 8).

An event is counted once, after the write that made it true was acknowledged: the node counts what runs do, the service
what users ask for. `waiting` counts tasks that had to wait for others, `running` runs that were started, `resumed` the
tasks that somebody resumed or that went on from a crash by themselves, `lock.*` the claims of runs (`timeouts`: those
whose owner's lease had ended), `recovery.*` what was done about them.
"""

from __future__ import annotations

from enum import StrEnum
from threading import Lock


class Metric(StrEnum):
    """
    The names every node has from its start; others may join them.
    """

    COMPLETED = "tasks.completed"
    FAILED = "tasks.failed"
    CRASHED = "tasks.crashed"
    CREATED = "tasks.created"
    CANCELLED = "tasks.cancelled"
    RESUMED = "tasks.resumed"
    RETRIED = "tasks.retried"
    WAITING = "tasks.waiting"
    RUNNING = "tasks.running"
    LOCK_TIMEOUTS = "tasks.lock.timeouts"
    LOCK_CONFLICTS = "tasks.lock.conflicts"
    LOCK_ATTEMPTS = "tasks.lock.attempts"
    LOCK_ACQUIRED = "tasks.lock.acquired"
    LOCK_RELEASED = "tasks.lock.released"
    EXECUTION_TIME = "tasks.execution.time"
    RECOVERY_ATTEMPTS = "tasks.recovery.attempts"
    RECOVERY_SUCCESSES = "tasks.recovery.successes"


class Metrics:
    """
    Counters that any thread may add to.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._counters: dict[str, int] = {}

    def add(self, name: str, n: int = 1) -> None:
        """
        Add `n` to a counter; a new name starts at 0.
        """
        with self._lock:
            self._counters[str(name)] = self._counters.get(name, 0) + n

    def get(self, name: str) -> int:
        """
        Return a counter; one that nothing was added to is 0.
        """
        with self._lock:
            return self._counters.get(name, 0)

    def all(self) -> dict[str, int]:
        """
        Return every counter by name at one moment, those of `Metric` even when they are 0.
        """
        with self._lock:
            return {**{metric.value: 0 for metric in Metric}, **self._counters}

    def reset(self) -> None:
        """
        Set every counter to 0.
        """
        with self._lock:
            self._counters.clear()
