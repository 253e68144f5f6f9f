"""
Changes that wait for rows of the history: what would drop an entry from its document before it has one (P20).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ..clock import Instant
from ..model import HISTORY_LIMIT, Task
from .commits import Change, Commits
from .outbox import Outbox

PATIENCE = 1_000
"""Milliseconds that the eleventh entry, or a removal, waits for the rows before it."""


class Held(NamedTuple):
    """
    A change that waits until the oldest `enough` entries of a task have their rows; `then` is told whether they have.
    """

    task: Task
    enough: int
    until: int
    then: Callable[[bool], None]


class Holds:
    """
    The changes of one node that wait, by task.

    Half of the ten make a flush urgent, so an end waits only where ten runs of one task end within one flush. It waits
    no longer than `PATIENCE`, and not at all while the store takes no rows: runs go on then, and what they drop from
    the document is kept by the outbox alone. Only then, and only in a burst, a node that is killed takes rows with it.
    """

    def __init__(self, outbox: Outbox, commits: Commits) -> None:
        self._outbox = outbox
        self._commits = commits
        self._held: dict[str, list[Held]] = {}

    def __contains__(self, task_id: str) -> bool:
        return task_id in self._held

    @property
    def empty(self) -> bool:
        """
        Whether no change waits: who stops has nothing left to write then, and waits `PATIENCE` for it at most.
        """
        return not self._held

    def must_wait(self, task: Task) -> bool:
        """
        Tell whether one more entry would drop one without a row, and a flush may still save it.
        """
        if len(task.history) < HISTORY_LIMIT or task.history_flushed or self._outbox.troubled:
            return False
        return self._outbox.enabled and self._outbox.known(task) < 1

    def before_eviction(self, task: Task, now: Instant, change: Change) -> None:
        """
        Submit a change that adds an entry, once the oldest entry has its row or `PATIENCE` is over.
        """
        if self.must_wait(task):
            self._hold(task, 1, now, lambda _: self._commits.submit(change))
        else:
            self._commits.submit(change)

    def before_removal(self, task: Task, now: Instant, then: Callable[[bool], None]) -> None:
        """
        Call `then` with whether every entry has its row: once it has, or when `PATIENCE` is over.
        """
        self._hold(task, len(task.history), now, then)

    def _hold(self, task: Task, enough: int, now: Instant, then: Callable[[bool], None]) -> None:
        self._outbox.take(task, now)
        held = Held(task, enough, now.boot + PATIENCE, then)
        if not self._ended(held, now):
            self._outbox.hurry()
            self._held.setdefault(task.id, []).append(held)

    def release(self, now: Instant) -> None:
        """
        Let go of the changes that need not wait any longer.
        """
        # What is let go may bring a change that waits itself.
        waiting, self._held = self._held, {}
        for task_id, several in waiting.items():
            left = [held for held in several if not self._ended(held, now)]
            if left:
                self._held[task_id] = left + self._held.get(task_id, [])
        if self._held:
            self._outbox.hurry()

    def _ended(self, held: Held, now: Instant) -> bool:
        there = self._outbox.has(held.task, held.enough, now)
        if there or self._outbox.troubled or now.boot >= held.until:
            held.then(there)
            return True
        return False

    def next_at(self) -> int | None:
        """
        Return when a change has waited long enough, on the boot clock.
        """
        return min((held.until for several in self._held.values() for held in several), default=None)
