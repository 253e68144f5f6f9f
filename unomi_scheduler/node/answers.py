"""
Answers: who takes the answer to each question, and who takes that there was none. One table tells both.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from ..clock import Instant
from ..errors import SchedulerError
from ..model import Heartbeat, Note, Slot, Task
from ..ports import Found
from ..rules.orders import inbox_id
from . import messages as m
from .complaints import and_more
from .dependents import PURPOSE as DEPENDENTS
from .everywhere import CONFIRM
from .everywhere import PURPOSE as EVERYWHERE
from .hints import PURPOSE as NUDGE

if TYPE_CHECKING:
    from .core import Core

LOG = logging.getLogger("unomi_scheduler.node")
ADOPT_AGAIN = 1_000
"""Milliseconds between two pages of documents that others wrote."""
SETTLE: Mapping[type, Callable[[tuple[str, ...]], m.Query]] = {
    Task: m.AskTasks,
    Slot: m.AskSlots,
    Heartbeat: partial(m.AskHeartbeats, purpose="settle"),
    Note: lambda ids: m.AskInbox(tuple(one.partition(":")[2] for one in ids), purpose="settle"),
}
"""By what question a document is read whose write met a conflict or had no answer."""


class Question(NamedTuple):
    """
    What becomes of one kind of question: `found(query, answer, sent, now)`, or `failed(query, error, now)`.
    """

    found: Callable[[Any, Any, Instant, Instant], None]
    failed: Callable[[Any, SchedulerError, Instant], None] = lambda _query, _error, _now: None


class Answers:
    """
    Hands what the store said to the parts of a core.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self._table: dict[type, Question] = {
            m.AskDue: Question(
                lambda _, found, __, now: core.discovery.found(found, now, skip=core.under_way),
                lambda _, error, __: core.discovery.failed(error),
            ),
            m.AskOwned: Question(
                lambda _, found, sent, now: core.ask(*core.recovery.found(found, sent=sent, now=now)),
                lambda _, __, ___: core.recovery.failed(),
            ),
            m.AskWaiting: Question(
                lambda query, found, _, now: core.ask(*core.waiting.found(query, found, now)),
                lambda query, _, now: core.waiting.failed(query, now),
            ),
            m.AskEnded: Question(
                lambda _, found, __, now: core.repairs.found(found, now), lambda _, __, now: core.repairs.failed(now)
            ),
            m.AskTasks: Question(self._tasks, self._tasks_unread),
            m.AskSlots: Question(self._slots, lambda query, _, now: core.commits.unread(Slot, query.types or (), now)),
            m.AskHeartbeats: Question(self._heartbeats, self._heartbeats_unread),
            m.AskInbox: Question(self._inboxes, self._inboxes_unread),
            m.ShowMemory: Question(
                lambda query, notes, _, __: core.showing.shown(query, notes), lambda _, __, ___: core.showing.failed()
            ),
            m.ForgetNotes: Question(lambda query, _, __, ___: core.showing.forgotten(query)),
            m.AskUnplaced: Question(self._unplaced),
            m.AskRecords: Question(lambda _, page, __, now: core.records.found(page, now)),
            m.AskClock: Question(lambda _, millis, sent, now: core.clock.told(millis, sent=sent, now=now)),
        }
        self._takers: dict[str, Callable[[Any, Sequence[Any], Instant], None]] = {
            DEPENDENTS: lambda ids, answer, now: core.locals.free(core.locals.dependents.read(ids, answer, now)),
            "dependencies": core.waiting.read,
            "dependents": core.waiting.woken,
            "lane": core.lanes.checked,
            "check": self._checked,
            EVERYWHERE: core.everywhere.read,
            CONFIRM: core.everywhere.confirmed,
            "records": core.records.read,
            NUDGE: lambda _, answer, now: core.hints.read(answer, now, under_way=core.under_way),
        }
        """Who takes tasks that were read, by the purpose of the question; any other settles writes."""

    def answered(self, event: m.Answered, now: Instant) -> None:
        """
        Take an answer, or that there was none.
        """
        question = self._table[type(event.query)]
        if event.error is None:
            self._core.worked(type(event.query), now)
            question.found(event.query, event.answer, event.sent, now)
        elif not (isinstance(event.query, m.AskClock) and self._core.clock.failed(event.error, now)):
            self._complain(event.query, event.error, now)
            question.failed(event.query, event.error, now)

    def _complain(self, query: m.Query, error: SchedulerError, now: Instant) -> None:
        kept = self._core.board.complaints.failed("question", type(query).__name__, now.boot)
        if kept is not None:
            LOG.warning(
                "The store did not answer a question%s: %s", and_more(kept), error, extra={"action": "query_failed"}
            )

    def _settle(self, kind: type[Any], ids: Iterable[str], answer: Sequence[Any], now: Instant) -> None:
        found = {stored.record.id: stored for stored in answer}
        for document_id in ids:
            self._core.commits.read(kind, document_id, found.get(document_id), now)

    # --- tasks

    def _unplaced(self, _query: m.AskUnplaced, found: Found, _sent: Instant, now: Instant) -> None:
        self._core.discovery.adopt(found, now)
        if found.after is not None:
            # A restore brings many at once.
            self._core.unplaced_next = now.boot + ADOPT_AGAIN

    def _tasks(self, query: m.AskTasks, answer: Sequence[Any], _sent: Instant, now: Instant) -> None:
        take = self._takers.get(query.purpose)
        if take is not None:
            take(query.ids, answer, now)
            return
        for task_id, stored in zip(query.ids, answer, strict=True):
            task = stored if stored is not None and isinstance(stored.record, Task) else None
            self._core.commits.read(Task, task_id, task, now)

    def _checked(self, _ids: Sequence[str], answer: Sequence[Any], _now: Instant) -> None:
        for stored in answer:
            if stored is not None and isinstance(stored.record, Task):
                self._core.running.changed(stored)

    def _tasks_unread(self, query: m.AskTasks, _error: SchedulerError, now: Instant) -> None:
        core = self._core
        if query.purpose == DEPENDENTS:
            core.locals.dependents.unread()
        elif query.purpose in (EVERYWHERE, CONFIRM):
            core.everywhere.failed(query.ids)
        elif query.purpose in ("dependencies", "dependents"):
            core.waiting.unread(query, now)
        elif query.purpose == "lane":
            core.lanes.unchecked(query.ids, now)
        elif query.purpose == "settle":
            core.commits.unread(Task, query.ids, now)

    # --- slots, heartbeats and notes

    def _slots(self, query: m.AskSlots, answer: Sequence[Any], sent: Instant, now: Instant) -> None:
        core = self._core
        if query.types is None:
            core.lanes.recover(answer, core.members.dead)
            core.ask(*core.recovery.slots(answer, sent=sent, now=now))
        else:
            self._settle(Slot, query.types, answer, now)

    def _heartbeats(self, query: m.AskHeartbeats, answer: Sequence[Any], sent: Instant, now: Instant) -> None:
        if query.purpose == "settle":
            self._settle(Heartbeat, query.ids or (), answer, now)
            return
        beats = [stored for stored in answer if isinstance(stored.record, Heartbeat)]
        self._core.watching.found(query, beats, sent=sent, now=now)
        if query.inbox is not None:
            self._core.inbox.read(next((one for one in answer if isinstance(one.record, Note)), None), now)

    def _heartbeats_unread(self, query: m.AskHeartbeats, _error: SchedulerError, now: Instant) -> None:
        if query.purpose == "settle":
            self._core.commits.unread(Heartbeat, query.ids or (), now)

    def _inboxes(self, query: m.AskInbox, answer: Sequence[Any], _sent: Instant, now: Instant) -> None:
        # Only what was asked for a change settles it: another read may be older than the write.
        if query.purpose == "settle":
            self._settle(Note, map(inbox_id, query.names), answer, now)
            return
        for stored in answer:
            self._core.inbox.read(stored, now)

    def _inboxes_unread(self, query: m.AskInbox, _error: SchedulerError, now: Instant) -> None:
        if query.purpose == "settle":
            self._core.commits.unread(Note, map(inbox_id, query.names), now)
