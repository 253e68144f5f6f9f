"""
The change that ends, cancels or removes a run record for which no run stands any more, once its history has its rows
(P20).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..clock import Instant
from ..model import Stored, Task, TaskStatus
from ..ports import Action, Write
from ..rules import everywhere as rules
from ..rules import requests
from ..rules.everywhere import Advice, Care
from ..rules.lifecycle import ENDED
from .commits import Change, replace_write

if TYPE_CHECKING:
    from .board import Board
    from .running import Running


def tidy(
    board: Board,
    running: Running,
    stored: Stored[Task],
    advice: Advice,
    now: Instant,
    *,
    removed: Callable[[str], None],
    anyway: bool,
    wanted: Callable[[], bool],
) -> None:
    """
    Submit the change of a record when nothing of its history would be lost by it, or that has been waited for.

    Args:
        anyway: remove it even when the store took no rows; this node keeps them then.
        wanted: whether it is still to be done, asked when its turn comes.
    """
    change = Tidy(board, running, stored, advice, removed=removed, anyway=anyway, wanted=wanted)
    if advice.care is Care.REMOVE:
        board.holds.before_removal(stored.record, now, change.submit)
    else:
        board.holds.before_eviction(stored.record, now, change)


class Tidy(Change):
    """
    One record: FAILED with a reason, CANCELLED, or gone; a run of it that goes on here is told.

    What is to go while its history lacks rows is only marked: the next look at the records, or a purge, removes it.
    """

    __slots__ = ("_advice", "_again", "_anyway", "_board", "_flushed", "_removed", "_running", "_stored", "_wanted")

    def __init__(
        self,
        board: Board,
        running: Running,
        stored: Stored[Task],
        advice: Advice,
        *,
        removed: Callable[[str], None],
        anyway: bool,
        wanted: Callable[[], bool],
    ) -> None:
        super().__init__(Task, stored.record.id)
        self._board = board
        self._running = running
        self._stored = stored
        self._advice = advice
        self._removed = removed
        self._anyway = self._flushed = anyway
        self._again = False
        self._wanted = wanted

    def submit(self, flushed: bool) -> None:  # noqa: FBT001 - what a hold tells
        """
        Go on, when every entry has its row or that was waited for.
        """
        self._flushed = flushed or self._anyway
        self._board.commits.submit(self)

    def prepare(self, now: Instant) -> Write | None:
        """
        Act on what was read.
        """
        return self._write(self._stored, now) if self._wanted() else None

    def _write(self, stored: Stored[Task], now: Instant) -> Write | None:
        record, node_id = stored.record, self._board.options.node_id
        owned = record.owner_incarnation is not None or record.status is TaskStatus.RUNNING
        if self._advice.care is Care.REMOVE:
            if not owned and self._flushed:
                return Write(Action.DELETE, record, stored.version)
            marked = requests.mark_deleted(record, now=now.wall, node_id=node_id)
            return None if record.delete_requested else replace_write(marked, stored)
        if record.status in ENDED:
            return None
        if self._advice.care is Care.CANCEL:
            return replace_write(requests.cancel(record, now=now.wall, node_id=node_id), stored)
        if owned:
            return None
        return replace_write(rules.closed(record, now=now.wall, found_by=node_id, reason=self._advice.reason), stored)

    def reconsider(self, current: Stored[Task] | None, now: Instant) -> Write | None:
        """
        Act on what stands now, if it is still the same turn, or whatever it is when the record has to go.
        """
        if current is None or current.record.all_nodes_of != self._stored.record.all_nodes_of:
            return None
        same = current.record.all_nodes_period == self._stored.record.all_nodes_period
        if not same and self._advice.care is Care.CLOSE:
            return None
        # What was added to its history meanwhile needs its row first, too.
        removes = self._advice.care is Care.REMOVE
        added = current.record.history != self._stored.record.history
        self._again = added and (removes or self._board.holds.must_wait(current.record))
        return None if self._again else self._write(current, now)

    def done(self, stored: Stored[Task], now: Instant) -> None:
        """
        It stands as it should.
        """
        self._board.timeline.wrote(stored.record.id, stored.version)
        if self.write is not None and self.write.action is Action.DELETE:
            self._board.timeline.forget(stored.record.id)
            self._removed(stored.record.id)
            return
        self._board.outbox.take(stored.record, now)
        if self._advice.care is Care.CLOSE:
            self._board.count("tasks.failed")
        self._running.changed(stored)
        self._board.offer(stored, now.wall)

    def lost(self, current: Stored[Task] | None, now: Instant) -> None:
        """
        Somebody else was first.
        """
        if current is None:
            self._removed(self._stored.record.id)
        else:
            self._running.changed(current)
            self._board.offer(current, now.wall)
            if self._again:
                tidy(
                    self._board, self._running, current, self._advice, now,
                    removed=self._removed, anyway=self._anyway, wanted=self._wanted,
                )  # fmt: skip
