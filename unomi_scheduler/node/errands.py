"""
Errands: the threads that take the core's writes and questions to the store and bring back what it said.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ..clock import Clock
from ..errors import SchedulerError, StoreUnavailable
from ..ports import Outcome, Records, Result, TaskQuery, TaskStore
from ..rules.orders import INBOX
from ..stores import memory_notes
from ..stores.homes import wherever
from . import messages as m
from .dependents import PURPOSE as MEMORY
from .outbox import lost_answer

LOG = logging.getLogger("unomi_scheduler.node")
WRITERS, READERS = 3, 4
DEPENDENCIES = frozenset({"dependencies", MEMORY})
"""The purposes of reads of what other tasks wait for."""


class Errands:
    """
    A few threads for writes and a few for questions to one store, so that a slow search holds up no end of a run.

    What they bring back carries the number of their binding.
    """

    def __init__(self, store: TaskStore, binding: int, post: Callable[[m.Event], object], clock: Clock) -> None:
        self._store = store
        self._binding = binding
        self._post = post
        self._clock = clock
        self._writers = ThreadPoolExecutor(WRITERS, "unomi-writer")
        self._readers = ThreadPoolExecutor(READERS, "unomi-reader")
        self._flushers = ThreadPoolExecutor(1, "unomi-history")

    def write(self, batch: m.Batch) -> None:
        """
        Do these writes; `Committed` follows.
        """
        self._writers.submit(self._write, batch)

    def flush(self, flush: m.Flush) -> None:
        """
        Add these rows to the history; `Flushed` follows.
        """
        self._flushers.submit(self._flush, flush)

    def read(self, query: m.Query) -> None:
        """
        Ask this; `Answered` follows.
        """
        self._readers.submit(lambda: self._post(self.answer(query)))

    def close(self, *, wait: bool = False) -> None:
        """
        Take no more errands; with `wait`, return when those under way have ended.
        """
        for threads in (self._writers, self._readers, self._flushers):
            threads.shutdown(wait=wait, cancel_futures=wait)

    def _write(self, batch: m.Batch) -> None:
        try:
            outcomes = self._store.write(batch.writes)
        except Exception as error:
            # Whatever went wrong in between, nobody knows whether the writes were done (P3).
            LOG.exception("A batch of writes failed", extra={"action": "batch_failed"})
            failure = error if isinstance(error, SchedulerError) else StoreUnavailable(repr(error))
            outcomes = [Outcome(Result.UNKNOWN, error=failure)] * len(batch.writes)
        self._post(m.Committed(batch.number, outcomes, self._binding))

    def _flush(self, flush: m.Flush) -> None:
        try:
            outcomes = self._store.add_history(flush.rows)
        except Exception as error:
            LOG.exception("A flush of the history failed", extra={"action": "flush_failed"})
            failure = error if isinstance(error, SchedulerError) else StoreUnavailable(repr(error))
            outcomes = lost_answer(flush.rows, failure)
        self._post(m.Flushed(flush.number, outcomes, self._binding))

    def answer(self, query: m.Query) -> m.Answered:
        """
        Ask this in the caller's thread, and return the answer.
        """
        sent = self._clock.now()
        try:
            answer = QUESTIONS[type(query)](self._store, query)
        except SchedulerError as error:
            return m.Answered(query, sent, error=error, binding=self._binding)
        except Exception as error:
            # The core waits for an answer to every question.
            LOG.exception("A question to the store failed", extra={"action": "query_broken"})
            return m.Answered(query, sent, error=StoreUnavailable(repr(error)), binding=self._binding)
        return m.Answered(query, sent, answer=answer, binding=self._binding)


def _owned(store: TaskStore, query: m.AskOwned) -> Any:
    if query.fresh:
        store.refresh()
    return store.find_owned(query.query)


def _tasks(store: TaskStore, query: m.AskTasks) -> Any:
    # A dependency that has not been moved to its id yet is not a deleted one.
    return (wherever if query.purpose in DEPENDENCIES else _by_id)(store, query.ids)


def _by_id(store: TaskStore, ids: Sequence[str]) -> Sequence[Any]:
    return store.tasks(ids)


def _slots(store: TaskStore, query: m.AskSlots) -> Any:
    if query.fresh:
        store.refresh()
    return store.slots(query.types)


def _waiting(store: TaskStore, query: m.AskWaiting) -> Any:
    if query.fresh:
        store.refresh()
    return store.find_waiting(on=query.on, limit=query.limit, after=query.after)


def _ended(store: TaskStore, query: m.AskEnded) -> Any:
    if query.fresh:
        store.refresh()
    return store.find_ended(query.query)


def _heartbeats(store: TaskStore, query: m.AskHeartbeats) -> Any:
    if query.inbox is None or query.ids is None:
        return store.heartbeats(query.ids)
    return store.watched(query.ids, [(INBOX, query.inbox)])


def _forget(store: TaskStore, query: m.ForgetNotes) -> Any:
    memory_notes.forget(store, query.name)
    return ()


QUESTIONS: dict[type, Callable[[TaskStore, Any], Any]] = {
    m.AskDue: lambda store, query: store.find_due(query.query),
    m.AskOwned: _owned,
    m.AskTasks: _tasks,
    m.AskHeartbeats: _heartbeats,
    m.ShowMemory: lambda store, query: memory_notes.show(store, query.name, query.tasks, query.known),
    m.ForgetNotes: _forget,
    m.AskInbox: lambda store, query: store.notes(INBOX, query.names),
    m.AskSlots: _slots,
    m.AskUnplaced: lambda store, query: store.find_unplaced(limit=query.limit),
    m.AskWaiting: _waiting,
    m.AskRecords: lambda store, _: store.find(TaskQuery(records=Records.ONLY, limit=-1, sort_by="id")),
    m.AskEnded: _ended,
    m.AskClock: lambda store, _: store.clock(),
}
