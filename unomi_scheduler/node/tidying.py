"""
The change that ends, cancels or removes a run record for which no run stands any more.
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
from .commits import Change, replace_write

if TYPE_CHECKING:
    from .board import Board
    from .running import Running


class Tidy(Change):
    """
    One record: FAILED with a reason, CANCELLED, or gone; a run of it that goes on here is told.
    """

    __slots__ = ("_board", "_care", "_reason", "_removed", "_running", "_stored")

    def __init__(
        self,
        board: Board,
        running: Running,
        stored: Stored[Task],
        advice: Advice,
        *,
        removed: Callable[[str], None],
    ) -> None:
        super().__init__(Task, stored.record.id)
        self._board = board
        self._running = running
        self._stored = stored
        self._care, self._reason = advice
        self._removed = removed

    def prepare(self, now: Instant) -> Write | None:
        """
        Act on what was read.
        """
        return self._write(self._stored, now)

    def _write(self, stored: Stored[Task], now: Instant) -> Write | None:
        record, node_id = stored.record, self._board.options.node_id
        owned = record.owner_incarnation is not None or record.status is TaskStatus.RUNNING
        if self._care is Care.REMOVE:
            if not owned:
                return Write(Action.DELETE, record, stored.version)
            marked = requests.mark_deleted(record, now=now.wall, node_id=node_id)
            return None if record.delete_requested else replace_write(marked, stored)
        if record.status in rules.ENDED:
            return None
        if self._care is Care.CANCEL:
            return replace_write(requests.cancel(record, now=now.wall, node_id=node_id), stored)
        if owned:
            return None
        return replace_write(rules.closed(record, now=now.wall, found_by=node_id, reason=self._reason), stored)

    def reconsider(self, current: Stored[Task] | None, now: Instant) -> Write | None:
        """
        Act on what stands now, if it is still the same turn, or whatever it is when the record has to go.
        """
        if current is None or current.record.all_nodes_of != self._stored.record.all_nodes_of:
            return None
        same = current.record.all_nodes_period == self._stored.record.all_nodes_period
        return self._write(current, now) if same or self._care is not Care.CLOSE else None

    def done(self, stored: Stored[Task], now: Instant) -> None:
        """
        It stands as it should.
        """
        self._board.timeline.wrote(stored.record.id, stored.version)
        if self.write is not None and self.write.action is Action.DELETE:
            self._board.timeline.forget(stored.record.id)
            self._removed(stored.record.id)
            return
        if self._care is Care.CLOSE:
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
