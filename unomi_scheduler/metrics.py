"""
Metrics: counters of one node since its start, under the original's names (contract section 8).

An event is counted once, after the write that made it true was acknowledged: the node counts what runs do, the service
what users ask for. `waiting` counts tasks that had to wait for others, `running` runs that were started, `resumed` the
tasks that somebody resumed or that went on from a crash by themselves, `lock.*` the claims of runs (`timeouts`: those
whose owner's lease had ended), `recovery.*` what was done about them, `audit.lost` the rows of the audit that the
store did not take.

Beside the counters: how long runs took and how late they began, by task type, and how long the store took, by verb.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from threading import Lock

from .distributions import Distributions, Tallies


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
    AUDIT_LOST = "audit.lost"


class Outcome(StrEnum):
    """
    How the body of a run ended.
    """

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


RUN_SECONDS = (0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 60.0, 300.0, 1_800.0, 7_200.0)
DELAY_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 10.0, 60.0, 600.0)
STORE_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_SECOND = 1_000


class Metrics:
    """
    Counters and distributions that any thread may add to.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._counters: dict[str, int] = {}
        self.run_seconds = Distributions(RUN_SECONDS)
        self.delay_seconds = Distributions(DELAY_SECONDS)
        self.store_seconds = Distributions(STORE_SECONDS)
        self.runs = Tallies()
        self.store_errors = Tallies()

    def ran(self, ended: Sequence[tuple[str, Outcome, int]]) -> None:
        """
        Take runs that were committed: their type, how they ended, and how long the body took in ms.
        """
        self.run_seconds.add_all([(task_type, millis / _SECOND) for task_type, _, millis in ended])
        self.runs.add_all([(task_type, outcome) for task_type, outcome, _ in ended])

    def began(self, task_type: str, late: int) -> None:
        """
        Take the begin of a body, and how many ms after its task was due that is.
        """
        self.delay_seconds.add(task_type, late / _SECOND)

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
        Set every counter to 0, and forget every distribution.
        """
        with self._lock:
            self._counters.clear()
        for one in (self.run_seconds, self.delay_seconds, self.store_seconds, self.runs, self.store_errors):
            one.clear()
