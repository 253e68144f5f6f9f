"""
Nudges among faults: for the right node and for the wrong one, late, twice, and of versions that are long past.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random

import pytest

from tests.simulation.nodes import Machine
from tests.simulation.test_simulation import CALM, STORM, Story
from unomi_scheduler.model import Version
from unomi_scheduler.node import messages as m
from unomi_scheduler.node.nudging import Hint
from unomi_scheduler.ports import TaskQuery

SEEDS = 6


class Gossip:
    """
    Tells nodes of tasks at random: what stands in the store, and what stood there some time ago.
    """

    def __init__(self, story: Story, seed: int) -> None:
        self._story = story
        self._rng = Random(seed)
        self._past: list[Hint] = []
        self.told = 0

    def begin(self) -> None:
        """
        Go on until the story ends.
        """
        self._story.world.after(self._rng.randrange(20, 400), self._turn)

    def _turn(self) -> None:
        self.begin()
        store, rng = self._story.world.store, self._rng
        ids = [task.id for task in store.find(TaskQuery(limit=-1)).list]
        found = store.tasks(rng.sample(ids, min(len(ids), 5)))
        self._past += [Hint(one.record.id, one.version, 0) for one in found if one is not None]
        chosen = (*rng.sample(self._past, min(len(self._past), 8)), Hint("none", Version("elsewhere", 1, 1), 0))
        for machine in rng.sample(self._story.machines, 2):
            for _ in range(rng.choice((1, 1, 2))):
                self._later(machine, partial(self._tell, machine, chosen, more=rng.random() < 0.2))

    def _later(self, machine: Machine, action: Callable[[], None]) -> None:
        delay = self._rng.choice((0, 1, 5, 300, 5_000))
        self._story.world.after(delay, lambda: machine.later(0, action))

    def _tell(self, machine: Machine, hints: tuple[Hint, ...], *, more: bool) -> None:
        self.told += 1
        machine.post(m.Nudged(hints, more=more, binding=machine.cores.binding))


@pytest.mark.parametrize("seed", range(SEEDS))
def test_whatever_nodes_are_told_breaks_no_promise(seed: int) -> None:
    """
    Neither in the storm nor behind it: each hint costs a read at most (the promises are checked at every write).
    """
    story = Story(20_000 + seed, everyone=seed % 2 == 1)
    gossip = Gossip(story, seed)
    gossip.begin()
    story.storm()
    story.calm()
    story.check_settled()

    assert gossip.told > (STORM + CALM) // 1_000
    assert story.world.checks.claims > 50
