"""
The node's own lease: when its heartbeat is due, what it writes, and how long it may act (P6, P7, P8). Pure but for
its own state.

The heartbeat thread owns it; the core and the workers read `held`, which is one comparison of one integer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from enum import Enum, auto

from ..clock import Instant
from ..model import Heartbeat, Stored, Version
from ..ports import Action, Outcome, Result, Write

OWNER_SHARE = 0.9
"""The part of its lease after which an owner gives up (P7)."""
OBSERVER_SHARE = 1.1
"""The part of the recorded lease after which an observer may call a silent node dead (P7)."""


def beat_interval(lease_millis: int) -> int:
    """
    Return the milliseconds between two heartbeats.
    """
    return max(1, lease_millis // 3)


def until_beat(wall: int, lease_millis: int) -> int:
    """
    Return the milliseconds until the next heartbeat: nodes beat at the same multiples of the interval.

    So one read shortly after shows them all, and a silent node is noticed at once. Clocks that differ only cost reads.
    """
    interval = beat_interval(lease_millis)
    wait = interval - wall % interval
    return wait if wait > interval // 5 else wait + interval


class Step(Enum):
    """
    What the heartbeat thread does next.
    """

    BEAT = auto()
    """Write `Lease.beat()` when it is due."""
    READ = auto()
    """Read the own document by id and give it to `seen`."""
    FENCED = auto()
    """Declared dead, or the document is gone: this incarnation is over."""


class Lease:
    """
    The heartbeat of one incarnation.
    """

    def __init__(self, first: Heartbeat) -> None:
        self._beat = first
        self._version: Version | None = None
        self._unsure = False
        self._until = -1
        self.renewed: int | None = None
        """When the last acknowledged beat was sent (boot clock), None before the first."""

    @property
    def incarnation(self) -> str:
        """
        The incarnation whose lease this is.
        """
        return self._beat.incarnation

    @property
    def version(self) -> Version | None:
        """
        The version of the last acknowledged beat, None before the first.
        """
        return self._version

    @property
    def document(self) -> Heartbeat:
        """
        The last beat attempted.
        """
        return self._beat

    @property
    def until(self) -> int:
        """
        The moment on the boot clock when this node must stop acting.
        """
        return self._until

    def held(self, boot: int) -> bool:
        """
        Tell whether the node may act at this moment of its boot clock.
        """
        return boot < self._until

    def beat(self, now: Instant, advert: Callable[[Heartbeat], Heartbeat]) -> Write:
        """
        Return the next write: the counter one higher, conditional on the last acknowledged beat.
        """
        self._beat = replace(advert(self._beat), counter=self._beat.counter + 1, beat_at=now.wall)
        return Write(Action.CREATE if self._version is None else Action.REPLACE, self._beat, self._version)

    def answered(self, outcome: Outcome, *, sent: Instant) -> Step:
        """
        Take the outcome of the beat that was sent at `sent`; the lease counts from there.
        """
        if outcome.result is Result.WRITTEN:
            self._version, self._unsure = outcome.version, False
            self.renewed = sent.boot
            self._until = sent.boot + int(self._beat.lease_millis * OWNER_SHARE)
            return Step.BEAT
        if outcome.result is Result.UNKNOWN:
            self._unsure = True
            return Step.BEAT
        if outcome.result is Result.REFUSED:
            return Step.BEAT
        # A conflict after a lost answer may be our own earlier beat: only then is it worth a look (P3).
        return Step.READ if self._unsure and outcome.result is Result.CONFLICT else self._fence()

    def seen(self, found: Stored[Heartbeat] | None) -> Step:
        """
        Take the own document as read after a conflict; ours and unmarked, the next beat is conditional on it.
        """
        if found is None or found.record.dead_by is not None or found.record.counter > self._beat.counter:
            return self._fence()
        self._version = found.version
        return Step.BEAT

    def _fence(self) -> Step:
        self._until = -1
        return Step.FENCED
