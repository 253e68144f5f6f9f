"""
Showing: when the memory tasks of this node are written down for the others to list, and when the notes of a dead
incarnation are removed.

A list is written when something in it has changed, at most every 5 seconds; a node without memory tasks writes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..clock import Instant
from ..model import Note, Stored
from .board import Board
from .messages import ForgetNotes, ShowMemory
from .table import MemoryTable

AT_MOST_EVERY = 5_000
GATHER = 200
"""Milliseconds from the first change to the write: tasks are mostly made in rows."""


class Showing:
    """
    What of the memory tasks the others can see, and what is to be removed.
    """

    def __init__(self, board: Board, table: Callable[[], MemoryTable]) -> None:
        self.board = board
        self._table = table
        self._name = self._incarnation = ""
        self._known: tuple[Stored[Note], ...] | None = ()
        self._revision = 0
        self._asked: int | None = None
        self._written_at = -AT_MOST_EVERY
        self._changed_at: int | None = None
        self._hurry = False
        self._forget: dict[str, int] = {}

    @property
    def calling(self) -> bool:
        """
        Whether a list is being written.
        """
        return self._asked is not None

    def hurry(self) -> None:
        """
        Write the next change at once: somebody has asked for it.
        """
        self._hurry = True

    def forget(self, beat_id: str) -> None:
        """
        Remove the notes of a dead incarnation.
        """
        self._forget.setdefault(beat_id, 0)

    def ask(self, now: Instant) -> list[ShowMemory | ForgetNotes]:
        """
        Return what is to be written and removed now.
        """
        over = [name for name, at in self._forget.items() if now.boot >= at]
        for name in over:
            self._forget[name] = now.boot + self.board.options.lease_millis
        asked: list[ShowMemory | ForgetNotes] = [ForgetNotes(name) for name in over]
        at = self._due(now)
        if at is not None and now.boot >= at and self.board.lease_held(now.boot):
            asked.append(self._show(now))
        return asked

    def _due(self, now: Instant) -> int | None:
        table = self._table()
        if self.board.incarnation != self._incarnation:
            # What an earlier incarnation showed goes with it.
            self._incarnation = self.board.incarnation
            self._name = f"{self.board.options.node_id}:{self._incarnation}"
            self._known, self._revision = (), 0
        if self._asked is not None or table.revision == self._revision:
            return None
        if self._known == () and not len(table):
            self._revision = table.revision
            return None
        if self._changed_at is None:
            self._changed_at = now.boot
        return 0 if self._hurry else max(self._changed_at + GATHER, self._written_at + AT_MOST_EVERY)

    def _show(self, now: Instant) -> ShowMemory:
        table = self._table()
        # Read before the tasks: a change in between is written once more.
        self._asked = table.revision
        self._written_at, self._changed_at, self._hurry = now.boot, None, False
        return ShowMemory(self._name, tuple(table.all()), self._known)

    def next_at(self, now: Instant) -> int | None:
        """
        Return when `ask` has something (boot clock).
        """
        times = [*self._forget.values()]
        due = self._due(now)
        if due is not None:
            times.append(max(due, self._written_at + GATHER))
        return min(times, default=None)

    def shown(self, query: ShowMemory, notes: Sequence[Stored[Note]]) -> None:
        """
        Take the notes as they were written.
        """
        asked, self._asked = self._asked, None
        if query.name == self._name and asked is not None:
            self._known, self._revision = tuple(notes), asked

    def failed(self) -> None:
        """
        Take that it is not known what was written; the next attempt reads first.
        """
        self._asked, self._known = None, None

    def forgotten(self, query: ForgetNotes) -> None:
        """
        Take that the notes of a dead incarnation are gone.
        """
        self._forget.pop(query.name, None)
