"""
The writer: gathers the changes of a node into few bulk writes and settles each one for sure (P1, P3, P5).

A change is an edge of one document. It is sent as a conditional write; on a conflict the document is read and the
change decides anew from what stands there; an answer that was lost is settled by sending the same write again, and what
then looks like our own write is confirmed by one more acknowledged write before anyone acts on it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable
from enum import IntEnum
from random import Random
from typing import Any, ClassVar, NamedTuple

from ..clock import Instant
from ..errors import ConfigurationError, InvalidTask, SchedulerError, StoreUnavailable
from ..model import Record, Stored
from ..ports import Action, Outcome, Result, Write
from .messages import Batch

MOST_IN_FLIGHT = 3
MOST_IN_BATCH = 800
FULL_ENOUGH = 200
"""A further batch goes out beside one under way when this many changes wait, or one of them has waited `PATIENCE`."""
PATIENCE = 4
BACKOFF = (50, 100, 200, 400, 800, 1_600, 3_000)
"""Milliseconds before a write that got no answer, or a refusal, is sent again; with jitter."""


class Priority(IntEnum):
    """
    What goes first when not everything fits (P5).
    """

    END = 0
    PROGRESS = 1
    CLAIM = 2


class Change(ABC):
    """
    One intended edge of one document, which `key` names: its kind and id.
    """

    priority: ClassVar[Priority] = Priority.END
    settles: ClassVar[bool] = True
    """Whether a conflict is worth a decision from the document as it stands; a lost claim is just lost."""

    __slots__ = ("attempts", "confirming", "key", "not_before", "unsure", "write")

    def __init__(self, kind: type[Any], document_id: str) -> None:
        self.key = (kind, document_id)
        self.write: Write | None = None
        self.unsure = False
        self.confirming = False
        self.attempts = 0
        self.not_before = 0

    @abstractmethod
    def prepare(self, now: Instant) -> Write | None:
        """
        Return the write from what is known now, or None when there is nothing to do any more.
        """

    @abstractmethod
    def reconsider(self, current: Stored[Any] | None, now: Instant) -> Write | None:
        """
        Return the write that makes the edge on the document as it stands, or None when the edge is out of reach.
        """

    def applied(self, current: Stored[Any]) -> bool:
        """
        Tell whether the document, as read, shows this very change.
        """
        return False

    @abstractmethod
    def done(self, stored: Stored[Any], now: Instant) -> None:
        """
        The store acknowledged the change.
        """

    @abstractmethod
    def lost(self, current: Stored[Any] | None, now: Instant) -> None:
        """
        The change will never be made: somebody else was there first, or the store does not take the document.
        """

    def refused(self, error: SchedulerError, now: Instant) -> bool:
        """
        The store did not do it for a reason of its own; return whether to try again later.
        """
        return not isinstance(error, InvalidTask)


class Reading(NamedTuple):
    """
    A change that waits for its document to be read.
    """

    change: Change
    sent: bool


class Commits:
    """
    All changes of one node that are not settled yet.
    """

    def __init__(self, rng: Random, problem: Callable[[Change, SchedulerError, Instant], None]) -> None:
        self._rng = rng
        self._problem = problem
        self._queues: tuple[deque[Change], ...] = (deque(), deque(), deque())
        self._held: dict[tuple[type[Any], str], deque[Change] | None] = {}
        self._flying: dict[int, list[Change]] = {}
        self._later: list[Change] = []
        self._reading: list[Change] = []
        self._asked: dict[tuple[type[Any], str], Change] = {}
        self._waiting_since: int | None = None
        self._number = 0
        self._sent: dict[int, int] = {}
        self.round_trip = 0
        self.troubled: set[type[Any]] = set()
        """The kinds of documents of which the last write with an outcome was not done, for no reason of its own."""

    def submit(self, change: Change) -> None:
        """
        Take a change; those of one document are made one after the other.
        """
        key = change.key
        if key not in self._held:
            self._held[key] = None
            self._queues[change.priority].append(change)
            return
        waiting = self._held[key]
        if waiting is None:
            waiting = self._held[key] = deque()
        waiting.append(change)

    def busy(self, kind: type[Any], document_id: str) -> bool:
        """
        Tell whether a change of this document is not settled yet.
        """
        return (kind, document_id) in self._held

    @property
    def empty(self) -> bool:
        """
        Whether every change is settled.
        """
        return not self._held

    @property
    def claims_waiting(self) -> int:
        """
        How many claims are queued and not sent.
        """
        return len(self._queues[Priority.CLAIM])

    def flush(self, now: Instant) -> list[Batch]:
        """
        Return the batches to send now.
        """
        self._wake(now)
        batches: list[Batch] = []
        while len(self._flying) < MOST_IN_FLIGHT and self._ripe(now):
            changes = self._take(now)
            if not changes:
                break
            self._number += 1
            self._flying[self._number] = changes
            self._sent[self._number] = now.boot
            batches.append(Batch(self._number, tuple(change.write for change in changes if change.write)))
        return batches

    def next_at(self, boot: int) -> int | None:
        """
        Return when `flush` may have something to send, on the boot clock; None when only an answer can bring it.
        """
        times = [change.not_before for change in self._later]
        if any(self._queues) and len(self._flying) < MOST_IN_FLIGHT:
            times.append((self._waiting_since or boot) + PATIENCE)
        return min(times, default=None)

    def to_read(self, kind: type[Any]) -> tuple[str, ...]:
        """
        Return the ids of the documents to read for settling, and note that they were asked for.
        """
        wanted = [change for change in self._reading if change.key[0] is kind]
        if wanted:
            self._reading = [change for change in self._reading if change.key[0] is not kind]
            self._asked.update((change.key, change) for change in wanted)
        return tuple(change.key[1] for change in wanted)

    def committed(self, number: int, outcomes: Iterable[Outcome], now: Instant) -> None:
        """
        Take the outcomes of a batch.
        """
        self.round_trip += (now.boot - self._sent.pop(number) - self.round_trip) // 4
        for change, outcome in zip(self._flying.pop(number), outcomes, strict=True):
            self._settle(change, outcome, now)

    def read(self, kind: type[Any], document_id: str, current: Stored[Any] | None, now: Instant) -> None:
        """
        Take a document that was read for settling.
        """
        change = self._asked.pop((kind, document_id), None)
        if change is None:
            return
        if change.unsure and current is not None and change.applied(current):
            change.confirming = True
            change.write = Write(Action.REPLACE, current.record, current.version)
            self._queues[Priority.END].append(change)
            return
        change.write = change.reconsider(current, now)
        if change.write is None:
            self._finish(change)
            change.lost(current, now)
        else:
            self._queues[change.priority].append(change)

    def unread(self, kind: type[Any], ids: Iterable[str], now: Instant) -> None:
        """
        Take back documents that could not be read; they are asked for again after a pause.
        """
        for document_id in ids:
            change = self._asked.pop((kind, document_id), None)
            if change is not None:
                change.write = None
                self._postpone(change, now)

    def _settle(self, change: Change, outcome: Outcome, now: Instant) -> None:
        if outcome.result is Result.WRITTEN:
            write = change.write
            assert write is not None and outcome.version is not None  # noqa: S101, PT018 - the store's contract
            if self.troubled:
                self.troubled.discard(change.key[0])
            self._finish(change)
            change.done(Stored(write.record, outcome.version), now)
        elif outcome.result in (Result.CONFLICT, Result.MISSING):
            self._conflict(change, now)
        elif outcome.result is Result.UNKNOWN:
            change.unsure = True
            self._trouble(change, outcome.error or StoreUnavailable("the store did not answer a write"), now)
            self._postpone(change, now)
        else:
            self._refuse(change, outcome, now)

    def _conflict(self, change: Change, now: Instant) -> None:
        change.confirming = False
        if change.settles or change.unsure:
            self._reading.append(change)
        else:
            self._finish(change)
            change.lost(None, now)

    def _refuse(self, change: Change, outcome: Outcome, now: Instant) -> None:
        error = outcome.error or ConfigurationError("the store refused a write without a reason")
        self._trouble(change, error, now)
        # The very same document was refused: an attempt whose answer was lost was refused as well.
        settled = isinstance(error, InvalidTask)
        if change.refused(error, now) or (change.unsure and not settled):
            self._postpone(change, now)
        else:
            self._finish(change)
            change.lost(None, now)

    def _trouble(self, change: Change, error: SchedulerError, now: Instant) -> None:
        if not isinstance(error, InvalidTask):
            self.troubled.add(change.key[0])
        self._problem(change, error, now)

    def _postpone(self, change: Change, now: Instant) -> None:
        pause = BACKOFF[min(change.attempts, len(BACKOFF) - 1)]
        change.attempts += 1
        change.not_before = now.boot + pause + int(pause * self._rng.random())
        self._later.append(change)

    def _wake(self, now: Instant) -> None:
        if not self._later:
            return
        ripe = [change for change in self._later if change.not_before <= now.boot]
        if ripe:
            self._later = [change for change in self._later if change.not_before > now.boot]
            for change in ripe:
                # Without a write the read failed: read again. With one, the very same write goes again (P3).
                if change.write is None:
                    self._reading.append(change)
                else:
                    self._queues[change.priority].append(change)

    def _ripe(self, now: Instant) -> bool:
        waiting = sum(len(queue) for queue in self._queues)
        if not waiting:
            self._waiting_since = None
            return False
        if not self._flying or waiting >= FULL_ENOUGH:
            return True
        if self._waiting_since is None:
            self._waiting_since = now.boot
        return now.boot - self._waiting_since >= PATIENCE

    def _take(self, now: Instant) -> list[Change]:
        self._waiting_since = None
        changes: list[Change] = []
        for queue in self._queues:
            while queue and len(changes) < MOST_IN_BATCH:
                change = queue.popleft()
                if change.write is None:
                    change.write = change.prepare(now)
                if change.write is None:
                    self._finish(change)
                else:
                    changes.append(change)
        return changes

    def _finish(self, change: Change) -> None:
        waiting = self._held.pop(change.key)
        if waiting:
            following = waiting.popleft()
            self._held[change.key] = waiting
            self._queues[following.priority].append(following)


def replace_write(record: Record, stored: Stored[Any]) -> Write:
    """
    Return the write that puts `record` in the place of what was read.
    """
    return Write(Action.REPLACE, record, stored.version)
