"""
Virtual time, and the store at the far end of an unreliable wire.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from random import Random
from typing import Any

from tests.simulation.checks import Checks
from unomi_scheduler.clock import Instant
from unomi_scheduler.errors import SchedulerError, StoreRefused, StoreUnavailable
from unomi_scheduler.model import Task
from unomi_scheduler.ports import Outcome, Result, Write
from unomi_scheduler.stores.memory import MemoryStore

EPOCH = 1_750_000_000_000


class WorldClock:
    """
    The world's own clock, which the store reads.
    """

    def __init__(self) -> None:
        self.elapsed = 0

    def now(self) -> Instant:
        """
        Return the present moment.
        """
        return Instant(EPOCH + self.elapsed, self.elapsed)


@dataclass(frozen=True, kw_only=True)
class Faults:
    """
    The shares of requests that go wrong, 0 to 1.
    """

    refused: float = 0.01
    lost: float = 0.01
    answer_lost: float = 0.02
    late: float = 0.01
    failed_read: float = 0.02
    longest_late: int = 8_000


class World:
    """
    The heap of what happens next, and the store.
    """

    def __init__(self, seed: int, faults: Faults) -> None:
        self.rng = Random(seed)
        self.faults = faults
        self.clock = WorldClock()
        self.store = MemoryStore(self.clock, refresh_interval_ms=500, identity="world")
        self.checks = Checks()
        self.counts: Counter[str] = Counter()
        self.obeyed: Counter[str] = Counter()
        self._heap: list[tuple[int, int, Callable[[], None]]] = []
        self._order = 0

    @property
    def now(self) -> int:
        """
        Milliseconds since the beginning.
        """
        return self.clock.elapsed

    def after(self, delay: float, action: Callable[[], None]) -> None:
        """
        Do something `delay` ms from now.
        """
        self._order += 1
        heappush(self._heap, (self.now + max(0, int(delay)), self._order, action))

    def run_until(self, moment: int) -> None:
        """
        Let everything happen that is to happen up to a moment.
        """
        while self._heap and self._heap[0][0] <= moment:
            at, _, action = heappop(self._heap)
            self.clock.elapsed = max(self.now, at)
            action()
        self.clock.elapsed = moment

    def apply(self, writes: Sequence[Write]) -> list[Outcome]:
        """
        Do writes at the store, checking each one against the promises.
        """
        outcomes = []
        for write in writes:
            before = self.store.tasks([write.record.id])[0] if isinstance(write.record, Task) else None
            outcome = self.store.write([write])[0]
            if outcome.result is Result.WRITTEN and isinstance(write.record, Task):
                self.checks.written(before.record if before else None, write, self.now)
            outcomes.append(outcome)
        return outcomes

    def send(self, writes: Sequence[Write], *, timeout: int, answer: Callable[[list[Outcome]], None]) -> None:
        """
        Carry writes to the store and the outcomes back, or not.
        """
        self.carry(lambda: self.apply(writes), len(writes), timeout=timeout, answer=answer)

    def carry(
        self,
        apply: Callable[[], list[Outcome]],
        number: int,
        *,
        timeout: int,
        answer: Callable[[list[Outcome]], None],
    ) -> None:
        """
        Carry a number of writes of any kind.
        """
        dice, faults = self.rng.random(), self.faults
        unknown = [Outcome(Result.UNKNOWN, error=StoreUnavailable("no answer"))] * number
        self.counts["batches"] += 1
        if dice < faults.refused:
            self.counts["refused"] += 1
            refused = [Outcome(Result.REFUSED, error=StoreRefused("too busy"))] * number
            self.after(self._latency(), lambda: answer(refused))
        elif dice < faults.refused + faults.lost:
            self.counts["lost"] += 1
            self.after(timeout, lambda: answer(unknown))
        elif dice < faults.refused + faults.lost + faults.answer_lost:
            self.counts["answer lost"] += 1
            self.after(self._latency(), lambda: _do(apply))
            self.after(timeout, lambda: answer(unknown))
        elif dice < faults.refused + faults.lost + faults.answer_lost + faults.late:
            self.counts["late"] += 1
            self.after(timeout + self.rng.randrange(faults.longest_late), lambda: _do(apply))
            self.after(timeout, lambda: answer(unknown))
        else:
            self.after(self._latency(), lambda: self._apply_and(apply, answer))

    def ask(
        self, question: Callable[[], Any], *, timeout: int, answer: Callable[[Any, SchedulerError | None], None]
    ) -> None:
        """
        Carry a question to the store and the answer back, or not.
        """
        if self.rng.random() < self.faults.failed_read:
            self.counts["failed reads"] += 1
            self.after(timeout, lambda: answer(None, StoreUnavailable("no answer")))
            return

        def put() -> None:
            found = question()
            self.after(self._latency(), lambda: answer(found, None))

        self.after(self._latency(), put)

    def _latency(self) -> int:
        return self.rng.choice((1, 2, 2, 3, 5, 8, 40))

    def _apply_and(self, apply: Callable[[], list[Outcome]], answer: Callable[[list[Outcome]], None]) -> None:
        outcomes = apply()
        self.after(self._latency(), lambda: answer(outcomes))


def _do(apply: Callable[[], object]) -> None:
    apply()
