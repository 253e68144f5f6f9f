"""
The deaths of nodes: declared by an acknowledged write (P8), also of those that have no heartbeat (P9), and buried after
their runs are recovered.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import replace

from ..clock import Instant
from ..model import Heartbeat, Stored
from ..ports import Action, Write
from .commits import Change, replace_write
from .membership import Membership, Peer

OnDeath = Callable[[Heartbeat], None]


class _Mark(Change):
    """
    Put the mark of death into a heartbeat document, or confirm one that stands: any mark is as good as ours.
    """

    __slots__ = ("_members", "_then")

    def __init__(self, members: Membership, document_id: str, then: OnDeath) -> None:
        super().__init__(Heartbeat, document_id)
        self._members = members
        self._then = then

    def applied(self, current: Stored[Heartbeat]) -> bool:
        """
        The document is marked.
        """
        return current.record.dead_by is not None

    def reconsider(self, current: Stored[Heartbeat] | None, now: Instant) -> Write | None:
        """
        A mark by another node is confirmed; a heartbeat that moved lives.
        """
        if current is not None and current.record.dead_by is not None:
            return replace_write(current.record, current)
        return None

    def done(self, stored: Stored[Heartbeat], now: Instant) -> None:
        """
        Dead: its work may be touched.
        """
        self._members.died(stored)
        self._then(stored.record)

    @abstractmethod
    def lost(self, current: Stored[Heartbeat] | None, now: Instant) -> None:
        """
        It lives, or another node has buried it.
        """


class Declare(_Mark):
    """
    Declare an incarnation dead on condition that its heartbeat did not move.
    """

    __slots__ = ("_peer", "_seen")

    def __init__(self, members: Membership, peer: Peer, then: OnDeath) -> None:
        super().__init__(members, peer.beat.id, then)
        self._peer = peer
        # What the decision was based on: a later read may show that it lives, and must not become the condition.
        self._seen = peer.seen
        peer.declaring = True

    def prepare(self, now: Instant) -> Write | None:
        """
        Mark what was read; a mark that stands is written again as it is.
        """
        beat = self._seen.record
        marked = beat if beat.dead_by else replace(beat, dead_by=self._members.node_id)
        return replace_write(marked, self._seen)

    def lost(self, current: Stored[Heartbeat] | None, now: Instant) -> None:
        """
        It lives and is watched on, or it is gone.
        """
        self._peer.declaring = False
        if current is None:
            self._members.peers.pop(self._peer.beat.incarnation, None)


class DeclareUnknown(_Mark):
    """
    Declare an incarnation dead that has no heartbeat document, by creating a marked one: whoever would beat under this
    id meets it.
    """

    __slots__ = ("_beat",)

    def __init__(self, members: Membership, marked: Heartbeat, then: OnDeath) -> None:
        super().__init__(members, marked.id, then)
        self._beat = marked

    def prepare(self, now: Instant) -> Write | None:
        """
        Create the marked document.
        """
        return Write(Action.CREATE, self._beat)

    def lost(self, current: Stored[Heartbeat] | None, now: Instant) -> None:
        """
        It has a document after all, and is watched like any other.
        """
        self._members.missing.pop(self._beat.incarnation, None)


class Bury(Change):
    """
    Remove the heartbeat of a dead incarnation, after its runs are recovered.
    """

    __slots__ = ("_members", "_stored")

    def __init__(self, members: Membership, stored: Stored[Heartbeat]) -> None:
        super().__init__(Heartbeat, stored.record.id)
        self._members = members
        self._stored = stored

    def prepare(self, now: Instant) -> Write | None:
        """
        Delete what was marked.
        """
        return Write(Action.DELETE, self._stored.record, self._stored.version)

    def reconsider(self, current: Stored[Heartbeat] | None, now: Instant) -> Write | None:
        """
        Another node's confirmation moved the version: delete that.
        """
        return Write(Action.DELETE, current.record, current.version) if current is not None else None

    def done(self, stored: Stored[Heartbeat], now: Instant) -> None:
        """
        Gone.
        """
        self._members.buried(self._stored.record.incarnation)

    def lost(self, current: Stored[Heartbeat] | None, now: Instant) -> None:
        """
        Gone already.
        """
        self._members.buried(self._stored.record.incarnation)
