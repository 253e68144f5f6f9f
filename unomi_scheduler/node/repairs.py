"""
Repairs: rows of runs whose node ended them and was gone before it flushed them (P20).

A heartbeat tells since when its node's rows may be missing. Once nothing of a dead incarnation runs any more, so that
no late write of it can end a run, the tasks executed since that moment are read and their entries taken; only then its
heartbeat is buried. One node does it, the one that declared the death; the others step in when it does not.
"""

from __future__ import annotations

from ..clock import Instant
from ..model import Heartbeat
from ..ports import EndedQuery, Found
from .board import Board
from .membership import Membership
from .messages import AskEnded

PAGE = 500
UNTOLD = 60_000
"""Milliseconds before its last beat since when the rows of a node may be missing that does not tell."""
STEP_IN = 2
"""Leases after which another node's repair is done here too."""
OWN = ""
"""Stands for this node, when it had no room for rows."""


class Repairs:
    """
    One scan at a time, for all incarnations that wait for one.
    """

    def __init__(self, board: Board, members: Membership) -> None:
        self.board = board
        self.members = members
        self._met: dict[str, int] = {}
        self._wanted: dict[str, int] = {}
        self._scanned: dict[str, int] = {}
        self._done: set[str] = set()
        self._after: tuple[int, str] | None = None
        self._asked = False
        self._scanning = False
        self._rest: frozenset[str] | None = None
        self._not_before = 0
        self._postponed = 0

    def repaired(self, beat: Heartbeat, now: Instant) -> bool:
        """
        Tell whether a dead incarnation's rows are there, as far as documents have them; else see to it.

        The caller has seen that nothing of it runs any more.
        """
        incarnation = beat.incarnation
        if not self.board.outbox.enabled or incarnation in self._done:
            return True
        if incarnation not in self._wanted and incarnation not in self._scanned:
            met = self._met.setdefault(incarnation, now.boot)
            mine = beat.dead_by == self.board.options.node_id
            if mine or now.boot - met >= STEP_IN * self.board.options.lease_millis:
                self._wanted[incarnation] = beat.history_since or beat.beat_at - UNTOLD
        return False

    def ask(self, now: Instant) -> AskEnded | None:
        """
        Return the next page to read, if any.
        """
        outbox = self.board.outbox
        self._finish()
        self._forget_buried()
        if outbox.postponed_since is not None and not self._scanned:
            self._wanted[OWN] = outbox.postponed_since
        if self._asked or self._rest is not None or now.boot < self._not_before:
            return None
        if outbox.troubled or outbox.crowded or self.board.stopping:
            return None
        if not self._scanning:
            if not self._wanted:
                return None
            self._scanned, self._wanted = self._wanted, {}
            self._scanning, self._after = True, None
            self._postponed = outbox.postponed
        self._asked = True
        since = min(self._scanned.values())
        return AskEnded(EndedQuery(since=since, limit=PAGE, after=self._after), fresh=self._after is None)

    def found(self, found: Found, now: Instant) -> None:
        """
        Take a page.
        """
        self._asked = False
        for stored in found.tasks:
            self.board.outbox.take(stored.record, now)
        self._after = found.after if isinstance(found.after, tuple) else None
        if self._after is None:
            self._scanning = False
            self._rest = self.board.outbox.waiting()
            self._finish()

    def failed(self, now: Instant) -> None:
        """
        Take a page that could not be read: it is asked for again.
        """
        self._asked = False
        self._not_before = now.boot + self.board.options.lease_millis // 3

    def _forget_buried(self) -> None:
        dead = self.members.dead
        for incarnation in [one for one in self._met if one not in dead]:
            del self._met[incarnation]
            self._wanted.pop(incarnation, None)
            self._done.discard(incarnation)

    def _finish(self) -> None:
        outbox = self.board.outbox
        if self._rest is None or any(one in outbox for one in self._rest):
            return
        self._rest = None
        scanned, self._scanned = self._scanned, {}
        if outbox.postponed != self._postponed:
            # Some rows found no room, perhaps some of these.
            self._wanted = {**self._wanted, **scanned}
            return
        if scanned.pop(OWN, None) is not None:
            outbox.postponed_since = None
        self._done.update(scanned)
