"""
Who else is there: peers by their heartbeats, watched on this node's own clock, and declared dead by an acknowledged
write (P7, P8, P9).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..clock import Instant
from ..model import Heartbeat, Stored
from .lease import OBSERVER_SHARE, beat_interval

AFTER_BEAT = 250
"""Milliseconds after the common moment of heartbeats when they are read."""
READS_A_LEASE = 15
"""How often at most a peer that should have moved is looked at again, in a lease."""
JITTER = 100
"""Milliseconds by which a read may come early or late without being taken for another one."""


@dataclass(slots=True)
class Peer:
    """
    One other incarnation: its newest heartbeat, and when the read was sent (boot clock) that first showed its counter.
    """

    seen: Stored[Heartbeat]
    since: int
    declaring: bool = False

    @property
    def beat(self) -> Heartbeat:
        """
        The newest heartbeat read.
        """
        return self.seen.record


@dataclass(slots=True)
class Missing:
    """
    An incarnation that owns something and has no heartbeat document: since when it is watched (boot clock, of a sent
    read).
    """

    node_id: str
    since: int
    last: int


class Membership:
    """
    What this node knows of the others. `dead` are incarnations whose death was acknowledged: only their work may be
    touched.
    """

    def __init__(self, node_id: str, incarnation: str, *, lease_millis: int) -> None:
        self.node_id = node_id
        self.incarnation = incarnation
        self.lease_millis = lease_millis
        self.peers: dict[str, Peer] = {}
        self.missing: dict[str, Missing] = {}
        self.dead: dict[str, Stored[Heartbeat]] = {}
        self.changed = True
        self._last_read: int | None = None

    def rejoin(self, incarnation: str) -> None:
        """
        Go on as another incarnation; the former one is watched like any other until its death is confirmed.
        """
        self.incarnation = incarnation
        self.changed = True

    def observe(self, beats: Iterable[Stored[Heartbeat]], *, sent: Instant) -> list[Peer]:
        """
        Take heartbeats read by id in a read that was sent at `sent`; return the peers that may be declared dead.

        An observer that did not look for half a lease starts its watch afresh: it may have been the one that paused.
        """
        paused = self._last_read is None or sent.boot - self._last_read > self.lease_millis // 2
        self._last_read = sent.boot
        suspects: list[Peer] = []
        for stored in beats:
            peer = self._update(stored, sent, paused=paused)
            if peer is not None and self._silent(peer, sent) and not peer.declaring:
                suspects.append(peer)
        return suspects

    def next_read(self, now: Instant) -> int:
        """
        Return when the heartbeats are read next (boot clock): after the common beat, soon again for a peer that has not
        moved since, and at the very moment when a silent one may be declared dead.
        """
        interval = beat_interval(self.lease_millis)
        last = self._last_read if self._last_read is not None else now.boot - interval
        common = now.boot + interval - (now.wall - AFTER_BEAT) % interval
        times = [common if common - last > min(JITTER, interval // 4) else common + interval]
        soon = last + max(100, self.lease_millis // READS_A_LEASE)
        for peer in self.peers.values():
            overdue = peer.since + beat_interval(peer.beat.lease_millis) + JITTER
            dead = peer.since + int(peer.beat.lease_millis * OBSERVER_SHARE) + 1
            times.append(min(max(overdue, soon), dead if dead > last else max(overdue, soon)))
        return min(times)

    def _update(self, stored: Stored[Heartbeat], sent: Instant, *, paused: bool) -> Peer | None:
        beat = stored.record
        if beat.incarnation == self.incarnation or beat.incarnation in self.dead:
            return None
        self.missing.pop(beat.incarnation, None)
        peer = self.peers.get(beat.incarnation)
        if peer is None:
            peer = self.peers[beat.incarnation] = Peer(stored, sent.boot)
            self.changed = True
            return peer
        if beat.counter != peer.beat.counter or paused:
            peer.since = sent.boot
        self.changed = self.changed or _role(beat) != _role(peer.beat)
        peer.seen = stored
        return peer

    def _silent(self, peer: Peer, sent: Instant) -> bool:
        marked = peer.beat.dead_by is not None
        return marked or sent.boot - peer.since >= peer.beat.lease_millis * OBSERVER_SHARE

    def vanished(self, asked: Iterable[str], found: Iterable[str]) -> None:
        """
        Take note of peers whose document is gone: they stopped in good order, or were recovered by another node.
        """
        for document_id in set(asked) - set(found):
            incarnation = document_id.rpartition(":")[2]
            self.dead.pop(incarnation, None)
            if self.peers.pop(incarnation, None) is not None:
                self.changed = True

    def stranger(self, node_id: str, incarnation: str, *, sent: Instant) -> None:
        """
        Note that an incarnation that is not known owns something, as a search sent at `sent` shows.

        A gap of three leases between two sightings starts the watch afresh.
        """
        one = self.missing.get(incarnation)
        if one is None or sent.boot - one.last > 3 * self.lease_millis:
            self.missing[incarnation] = Missing(node_id, sent.boot, sent.boot)
        else:
            one.last = sent.boot

    def long_missing(self, incarnation: str) -> bool:
        """
        Tell whether an incarnation was watched for a whole lease without a heartbeat document.
        """
        one = self.missing.get(incarnation)
        return one is not None and one.last - one.since >= self.lease_millis * OBSERVER_SHARE

    def died(self, stored: Stored[Heartbeat]) -> None:
        """
        Take an acknowledged death.
        """
        incarnation = stored.record.incarnation
        self.peers.pop(incarnation, None)
        self.missing.pop(incarnation, None)
        self.dead[incarnation] = stored
        self.changed = True

    def buried(self, incarnation: str) -> None:
        """
        Forget a dead incarnation: its runs are recovered and its document is gone.
        """
        self.dead.pop(incarnation, None)

    def alive(self) -> list[Heartbeat]:
        """
        Return the peers not known to be dead, without this node.
        """
        return [peer.beat for peer in self.peers.values() if peer.beat.dead_by is None]

    def peer_ids(self) -> tuple[str, ...]:
        """
        Return the document ids of the peers to read.
        """
        return tuple(peer.beat.id for peer in self.peers.values())


def _role(beat: Heartbeat) -> tuple[object, ...]:
    return (beat.executor_node, beat.tags, beat.task_types, beat.busy, beat.dead_by)
