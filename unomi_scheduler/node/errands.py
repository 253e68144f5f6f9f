"""
Errands: the threads that take the core's writes and questions to the store and bring back what it said.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ..clock import Clock
from ..errors import SchedulerError, StoreUnavailable
from ..ports import Outcome, Result, TaskStore
from ..stores.homes import wherever
from . import messages as m

LOG = logging.getLogger("unomi_scheduler.node")
WRITERS, READERS = 3, 4


class Errands:
    """
    A few threads for writes and a few for questions, so that a slow search holds up no end of a run.
    """

    def __init__(self, post: Callable[[m.Event], object], clock: Clock) -> None:
        self.store: TaskStore | None = None
        self._post = post
        self._clock = clock
        self._writers = ThreadPoolExecutor(WRITERS, "unomi-writer")
        self._readers = ThreadPoolExecutor(READERS, "unomi-reader")

    def write(self, batch: m.Batch) -> None:
        """
        Do these writes; `Committed` follows.
        """
        self._writers.submit(self._write, batch)

    def read(self, query: m.Query) -> None:
        """
        Ask this; `Answered` follows.
        """
        self._readers.submit(self._read, query)

    def close(self) -> None:
        """
        Take no more errands.
        """
        self._writers.shutdown(wait=False)
        self._readers.shutdown(wait=False)

    def _write(self, batch: m.Batch) -> None:
        try:
            outcomes = self._bound().write(batch.writes)
        except Exception as error:
            # Whatever went wrong in between, nobody knows whether the writes were done (P3).
            LOG.exception("A batch of writes failed", extra={"action": "batch_failed"})
            failure = error if isinstance(error, SchedulerError) else StoreUnavailable(repr(error))
            outcomes = [Outcome(Result.UNKNOWN, error=failure)] * len(batch.writes)
        self._post(m.Committed(batch.number, outcomes))

    def _read(self, query: m.Query) -> None:
        sent = self._clock.now()
        try:
            answer = QUESTIONS[type(query)](self._bound(), query)
        except SchedulerError as error:
            self._post(m.Answered(query, sent, error=error))
        except Exception as error:
            # The core waits for an answer to every question.
            LOG.exception("A question to the store failed", extra={"action": "query_broken"})
            self._post(m.Answered(query, sent, error=StoreUnavailable(repr(error))))
        else:
            self._post(m.Answered(query, sent, answer=answer))

    def _bound(self) -> TaskStore:
        if self.store is None:
            raise StoreUnavailable("no store is bound")
        return self.store


def _owned(store: TaskStore, query: m.AskOwned) -> Any:
    if query.fresh:
        store.refresh()
    return store.find_owned(query.query)


def _tasks(store: TaskStore, query: m.AskTasks) -> Any:
    # A dependency that has not been moved to its id yet is not a deleted one.
    return wherever(store, query.ids) if query.purpose == "dependencies" else store.tasks(query.ids)


def _slots(store: TaskStore, query: m.AskSlots) -> Any:
    if query.fresh:
        store.refresh()
    return store.slots(query.types)


def _waiting(store: TaskStore, query: m.AskWaiting) -> Any:
    if query.fresh:
        store.refresh()
    return store.find_waiting(on=query.on, limit=query.limit, after=query.after)


QUESTIONS: dict[type, Callable[[TaskStore, Any], Any]] = {
    m.AskDue: lambda store, query: store.find_due(query.query),
    m.AskOwned: _owned,
    m.AskTasks: _tasks,
    m.AskHeartbeats: lambda store, query: store.heartbeats(query.ids),
    m.AskSlots: _slots,
    m.AskUnplaced: lambda store, query: store.find_unplaced(limit=query.limit),
    m.AskWaiting: _waiting,
    m.AskClock: lambda store, _: store.clock(),
}
