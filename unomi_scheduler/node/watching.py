"""
Watching: when the heartbeats of others are searched for and read, and what becomes of the answers (P6, P7, P8).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..clock import Instant
from ..model import Heartbeat, Stored
from .board import Board
from .deaths import Declare
from .membership import Membership, Peer
from .messages import AskHeartbeats
from .recovery import Recovery

FIRST_SEARCHES, SEARCH_AGAIN = 700, 2_000
"""Milliseconds between two searches for nodes: at the beginning, doubling; and after a lost claim."""


class Watching:
    """
    The heartbeat documents this node knows of, and when it looks at them next.
    """

    def __init__(self, board: Board, members: Membership, recovery: Recovery) -> None:
        self.board = board
        self.members = members
        self.recovery = recovery
        self._read_next = 0
        self._search_next = 0
        self._searched = 0
        self._began: int | None = None
        self._known: set[str] = set()

    def hurry(self) -> None:
        """
        Search for nodes at once.
        """
        self._search_next = 0

    def also(self, document_id: str, now: Instant) -> None:
        """
        Watch this document too, from now on.
        """
        self._known.add(document_id)
        self._read_next = now.boot

    def next_at(self) -> int:
        """
        Return when `ask` has a question (boot clock).
        """
        return min(self._read_next, self._search_next)

    def due(self, now: Instant) -> bool:
        """
        Tell whether the known heartbeats are read now.
        """
        return now.boot >= self._read_next

    def ask(self, now: Instant) -> list[AskHeartbeats]:
        """
        Return the reads and searches to make now.
        """
        questions = self._read(now) if self.due(now) else []
        if self.board.claims_lost:
            # Somebody else claims from this share: perhaps a node that is not known yet.
            self.board.claims_lost = False
            self._search_next = min(self._search_next, self._searched + SEARCH_AGAIN)
        if now.boot >= self._search_next:
            # Nodes that start together meet soon; later a newcomer is found within a lease.
            self._began = now.boot if self._began is None else self._began
            self._searched = now.boot
            lease = self.board.options.lease_millis
            self._search_next = now.boot + min(lease, now.boot - self._began + FIRST_SEARCHES)
            questions.append(AskHeartbeats(None))
        return questions

    def _read(self, now: Instant) -> list[AskHeartbeats]:
        # Until the answer tells when to look again.
        self._read_next = now.boot + self.board.options.lease_millis // 3
        mine = f"{self.board.options.node_id}:{self.board.incarnation}"
        wanted = tuple(sorted((self._known | set(self.members.peer_ids())) - {mine}))
        return [AskHeartbeats(wanted, inbox=mine)]

    def found(self, query: AskHeartbeats, answer: Sequence[Stored[Heartbeat]], *, sent: Instant, now: Instant) -> None:
        """
        Take the heartbeats that a search or a read, sent at `sent`, has found.
        """
        found = {stored.record.id: stored for stored in answer}
        if query.ids is None:
            # A search is old news: it only tells whom to read (P6).
            new = found.keys() - self._known
            self._known.update(found)
            if new:
                self._read_next = now.boot
        elif query.purpose == "strangers":
            self.recovery.unknown(query.ids, set(found), now)
            self._known.update(found)
        else:
            self._observe(query.ids, found, sent, now)

    def _observe(
        self, asked: tuple[str, ...], found: dict[str, Stored[Heartbeat]], sent: Instant, now: Instant
    ) -> None:
        before = dict(self.members.peers)
        self.members.vanished(asked, found)
        self._known.difference_update(set(asked) - found.keys())
        for peer in self.members.observe(found.values(), sent=sent):
            self.board.commits.submit(Declare(self.members, peer, self.recovery.on_death))
        self._read_next = self.members.next_read(now)
        self._tell(before, now)

    def _tell(self, before: Mapping[str, Peer], now: Instant) -> None:
        after, news = self.members.peers, self.board.news
        for incarnation in after.keys() - before.keys():
            beat = after[incarnation].beat
            if beat.dead_by is None and beat.node_id != self.board.options.node_id:
                news.joined(beat)
        for incarnation in before.keys() - after.keys():
            news.left(before[incarnation].beat, silent=now.boot - before[incarnation].since)
