"""
When a node reads its peers' heartbeats.
"""

from __future__ import annotations

import pytest

from unomi_scheduler.clock import Instant
from unomi_scheduler.model import Heartbeat, Stored, Version
from unomi_scheduler.node.lease import beat_interval
from unomi_scheduler.node.membership import JITTER, Membership

LEASE = 10_000
START = 540_000_000 * beat_interval(LEASE)
"""A common moment of heartbeats (epoch ms)."""


class World:
    """
    A member that reads a peer which beats at the common moments, `lag` ms after each until its beat can be read.
    """

    def __init__(self, *, skew: int, latency: int, lag: int = 0) -> None:
        self.members = Membership("anna", "a1", lease_millis=LEASE)
        self.skew, self.latency, self.lag = skew, latency, lag
        self.boot = 0

    def read(self) -> None:
        """
        Read once, and go on to the moment of the next read.
        """
        sent = Instant(START + self.boot + self.skew, self.boot)
        counter = (sent.wall - self.lag) // beat_interval(LEASE)
        beat = Heartbeat(
            node_id="berta", incarnation="b1", counter=counter, lease_millis=LEASE, started_at=0, beat_at=sent.wall
        )
        self.members.observe([Stored(beat, Version("nodes", counter, 1))], sent=sent)
        self.boot = self.members.next_read(Instant(sent.wall + self.latency, self.boot + self.latency))


@pytest.mark.parametrize("latency", [0, 1, 3, 40])
@pytest.mark.parametrize("phase", [0, 243, 249, 250, 251, 1_000, 3_332])
def test_a_peer_that_beats_is_read_once_a_beat(phase: int, latency: int) -> None:
    """
    Whenever the first read was: one just before the moment for reads must not lead to two at every beat.
    """
    world = World(skew=phase, latency=latency)
    world.read()
    world.read()
    began, reads = world.boot, 30
    for _ in range(reads):
        world.read()

    assert world.boot - began >= (reads - 1) * beat_interval(LEASE)


def test_a_peer_whose_beat_is_late_is_read_again_soon() -> None:
    """
    But not more often than that.
    """
    world = World(skew=0, latency=3, lag=600)
    gaps = []
    for _ in range(10):
        before = world.boot
        world.read()
        gaps.append(world.boot - before)

    assert min(gaps[2:]) < beat_interval(LEASE) // 2
    assert sum(gaps[2:]) >= 4 * (beat_interval(LEASE) - JITTER)
