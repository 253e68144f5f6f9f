"""
The outbox: rows of the history on their way from the documents to the store, behind the runs (P20).

Every entry stands in its task's document first; its row waits here only so that it goes with others, so a process that
is killed loses nothing but time. Whoever next writes or removes the document takes the entries that are not known to
have their row; a row is created only once, so taking one twice is harmless.

What is known: `history_flushed` in the document, which moves with the next claim, and the rows acknowledged here
lately. What would drop an entry from its document before it has its row waits for it (`holds`).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING

from ..clock import Instant
from ..errors import InvalidTask, SchedulerError, StoreUnavailable
from ..model import HISTORY_LIMIT, HistoryRow, Task
from ..ports import Outcome, Result
from ..rules import history
from .complaints import and_more
from .messages import Flush, Flushed

if TYPE_CHECKING:
    from .board import Board

LOG = logging.getLogger("unomi_scheduler.node")
FLUSH_EVERY = 1_000
"""Milliseconds that a row waits for others."""
BUSY = 500
"""Rows that come in that time when the store has better to do: nobody waits for rows, and they wait on."""
PATIENCE = 10_000
"""Milliseconds that rows wait for a busy time to end, at most."""
MOST_ROWS = 1_000
"""Rows of one flush."""
URGENT = HISTORY_LIMIT // 2
"""Rows of one task that wait for nothing more: long before an eleventh entry would drop one of them."""
MANY_ROWS = 10_000
"""Rows that do not wait for a busy time to end."""
MOST_WAITING = 50_000
"""Rows kept in memory while the store takes none; what comes then stays in its document, and is looked for later."""
KEPT_ACKS = 100_000
"""Acknowledged rows that are remembered at least, so that a task's next claim says that it has them; as hashes, which
take 16 MB at most. What is forgotten before that claim is flushed again."""
LAST_ROWS = 2_000
"""Milliseconds that the last rows have when a node stops or leaves the store; peers find by the heartbeat left behind
that some lack."""
BACKOFF = (100, 200, 400, 800, 1_600, 3_000, 5_000)
"""Milliseconds before rows that were not acknowledged are sent again."""


class Outbox:
    """
    The rows of one node that the store has not acknowledged. Switched off, it keeps none and nothing waits.
    """

    def __init__(self, board: Board) -> None:
        self._board = board
        self._enabled = board.options.history_enabled
        self._ttl = board.options.history_ttl_millis
        self._rows: dict[str, HistoryRow] = {}
        self._flight: tuple[str, ...] = ()
        self._number = 0
        self._acked: set[int] = set()
        self._acked_before: set[int] = set()
        self._ends: dict[str, int] = {}
        self._flush_at: int | None = None
        self._waiting_since = 0
        self._came = 0
        self._not_before = 0
        self._failures = 0
        self._urgent = False
        self.postponed_since: int | None = None
        """The end of the oldest run whose row found no room here (epoch ms): it is still to be looked for."""
        self.postponed = 0
        self.since = 0
        """Every run that this node ended before this moment (epoch ms) has its row. The heartbeat tells it (P6)."""

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, row_id: str) -> bool:
        return row_id in self._rows

    @property
    def enabled(self) -> bool:
        """
        Whether a history is kept at all.
        """
        return self._enabled

    @property
    def troubled(self) -> bool:
        """
        Whether the store did not take the last rows.
        """
        return self._failures > 0

    @property
    def crowded(self) -> bool:
        """
        Whether there is too little room for a page of other nodes' rows.
        """
        return len(self._rows) > MOST_WAITING // 2

    @property
    def clean(self) -> bool:
        """
        Whether every entry taken here has its row.
        """
        return not self._rows and self.postponed_since is None

    def finished(self, idle_since: int, now: Instant) -> bool:
        """
        Tell whether a node that has done everything else since a moment (boot clock) need not wait for rows any more.
        """
        return not self._rows or self.troubled or now.boot >= idle_since + LAST_ROWS

    def waiting(self) -> frozenset[str]:
        """
        Return the ids of the rows that wait.
        """
        return frozenset(self._rows)

    # --- what comes in

    def ended(self, claim_id: str, now: Instant) -> None:
        """
        Note that a body has returned, whose end is about to be written.
        """
        if self._enabled:
            self._ends[claim_id] = now.wall

    def dropped(self, claim_id: str) -> None:
        """
        Note that an end was not written, and will not be.
        """
        self._ends.pop(claim_id, None)

    def take(self, task: Task, now: Instant) -> None:
        """
        Take the entries of a document as acknowledged or read that are not known to have their rows.
        """
        if not self._enabled:
            return
        waiting = 0
        for one in history.unflushed(task):
            row_id = history.row_id(task, one)
            if row_id in self._rows:
                waiting += 1
            elif not self._is_acked(row_id):
                waiting += self._keep(history.row_of(task, one, row_id), now)
        if waiting >= URGENT:
            self._urgent = True

    def hurry(self) -> None:
        """
        Let the rows that wait go at once.
        """
        self._urgent = True

    def _keep(self, row: HistoryRow, now: Instant) -> int:
        if row.end < now.wall - self._ttl:
            self._done(row)
            return 0
        if len(self._rows) >= MOST_WAITING:
            former = self.postponed_since
            self.postponed_since = row.end if former is None else min(former, row.end)
            self.postponed += 1
            self._done(row)
            self._board.count("history.postponed")
            return 0
        if not self._rows:
            self._waiting_since, self._came = now.boot, 0
        self._rows[row.id] = row
        self._came += 1
        if self._flush_at is None:
            self._flush_at = now.boot + FLUSH_EVERY
        return 1

    def _done(self, row: HistoryRow) -> None:
        if row.claim_id is not None:
            self._ends.pop(row.claim_id, None)

    # --- what is known

    def known(self, task: Task) -> int:
        """
        Return how many of the document's entries, from the oldest, are known to have their row.
        """
        flushed = history.flushed_of(task)
        if not self._enabled:
            return flushed
        for one in task.history[flushed:]:
            if not self._is_acked(history.row_id(task, one)):
                break
            flushed += 1
        return flushed

    def _is_acked(self, row_id: str) -> bool:
        known = hash(row_id)
        return known in self._acked or known in self._acked_before

    def has(self, task: Task, number: int, now: Instant) -> bool:
        """
        Tell whether the oldest `number` entries have their rows, or are too old to have any.
        """
        if not self._enabled:
            return True
        rows = (history.row_of(task, one) for one in task.history[self.known(task) : number])
        return all(self._is_acked(row.id) or row.end < now.wall - self._ttl for row in rows)

    # --- what goes out

    def flush(self, now: Instant, *, hurry: bool = False) -> list[Flush]:
        """
        Return the flush to send now, if any.
        """
        self._note_since(now)
        if self._flight or not self._rows or now.boot < self._not_before:
            return []
        if not (hurry or self._urgent or self._ripe(now)):
            return []
        rows = tuple(islice(self._rows.values(), MOST_ROWS))
        self._number += 1
        self._flight = tuple(row.id for row in rows)
        return [Flush(self._number, rows)]

    def _ripe(self, now: Instant) -> bool:
        if self._flush_at is not None and now.boot < self._flush_at:
            return False
        came, self._came = self._came, 0
        if came < BUSY or len(self._rows) >= MANY_ROWS or now.boot - self._waiting_since >= PATIENCE:
            return True
        self._flush_at = now.boot + FLUSH_EVERY
        return False

    def _note_since(self, now: Instant) -> None:
        if self._enabled:
            oldest = next(iter(self._ends.values()), now.wall)
            self.since = oldest if self.postponed_since is None else min(oldest, self.postponed_since)

    def next_at(self) -> int | None:
        """
        Return when `flush` may have something to do, on the boot clock.
        """
        if not self._rows or self._flight:
            return None
        return max(self._not_before, 0 if self._urgent or self._flush_at is None else self._flush_at)

    def flushed(self, event: Flushed, now: Instant) -> None:
        """
        Take the answers to a flush: what is not acknowledged goes again, as it is.
        """
        if event.number != self._number:
            return
        failure: SchedulerError | None = None
        former = len(self._rows)
        for row_id, outcome in zip(self._flight, event.outcomes, strict=True):
            failure = self._acknowledge(row_id, outcome, now) or failure
        self._board.count("history.flushed", sum(one.result is Result.WRITTEN for one in event.outcomes))
        self._flight = ()
        more = len(self._rows) >= MOST_ROWS
        self._urgent = self._urgent and more
        self._flush_at = now.boot + (0 if more else FLUSH_EVERY) if self._rows else None
        if len(self._acked) > KEPT_ACKS:
            self._acked_before, self._acked = self._acked, set()
        self._tell(failure, now, took=len(self._rows) < former)

    def _acknowledge(self, row_id: str, outcome: Outcome, now: Instant) -> SchedulerError | None:
        expired = self._rows[row_id].end < now.wall - self._ttl
        if outcome.result is not Result.WRITTEN and not isinstance(outcome.error, InvalidTask) and not expired:
            # Behind the others, which may belong to an index that takes them.
            self._rows[row_id] = self._rows.pop(row_id)
            return outcome.error or StoreUnavailable("the store did not take rows of the history")
        if outcome.result is not Result.WRITTEN and not expired:
            # No store takes this row, now or later: it counts as there, or it would come again and again.
            self._board.count("history.refused")
            kept = self._board.complaints.tell("row", now.boot)
            if kept is not None:
                LOG.warning(
                    "A row of the history is left out%s: %s", and_more(kept), outcome.error,
                    extra={"action": "history_row_refused"},
                )  # fmt: skip
        self._done(self._rows.pop(row_id))
        self._acked.add(hash(row_id))
        return None

    def _tell(self, failure: SchedulerError | None, now: Instant, *, took: bool) -> None:
        complaints = self._board.complaints
        if failure is None:
            self._failures = 0
            if complaints.worked("history", now.boot):
                LOG.info("The store is back: the node goes on", extra={"action": "store_back"})
            return
        # A store that took some rows is well: those of a month that it keeps closed must not slow the others.
        self._failures = 0 if took else self._failures
        self._not_before = now.boot + BACKOFF[min(self._failures, len(BACKOFF) - 1)]
        self._failures += not took
        kept = complaints.failed("history", "history", now.boot)
        if kept is not None:
            LOG.warning(
                "%d rows of the history wait for the store; runs go on%s: %s", len(self._rows), and_more(kept), failure,
                extra={"action": "history_refused"},
            )  # fmt: skip


def lost_answer(rows: Sequence[HistoryRow], error: SchedulerError) -> list[Outcome]:
    """
    Return what a flush without any answer came to.
    """
    return [Outcome(Result.UNKNOWN, error=error)] * len(rows)
