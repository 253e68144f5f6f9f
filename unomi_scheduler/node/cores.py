"""
The cores of a node: the one in office, which has the memory tasks, and those of stores it has left that still wait for
a body. Together they are one step machine, like each of them: no threads, clocks or I/O.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from random import Random

from ..clock import Instant
from ..metrics import Metrics
from .core import Core
from .messages import (
    Answered,
    Ask,
    Batch,
    Command,
    Committed,
    Event,
    ExecutorsChanged,
    ExecutorSet,
    Flush,
    Flushed,
    LeaveStore,
    Left,
    LeftBehind,
    Nudged,
    Obey,
    Obeyed,
    Offered,
    Rejoined,
    ScheduledBefore,
    Stopped,
    StopRequested,
    StoreBound,
    Tell,
)
from .options import NodeOptions
from .runs import Pool, RunEnded, RunReported
from .table import MemoryTable

UNBOUND = 0
"""The binding of a core without a store."""


class Cores:
    """
    Which core takes which event, and the hand-over of the office when a store is left.

    `lease_held(binding, boot)` tells whether the node may act in the store of a binding. Answers to a binding that is
    over, and hints for it, are dropped, so that nothing said of one store is ever taken for another's.
    """

    def __init__(
        self,
        options: NodeOptions,
        *,
        rng: Random,
        metrics: Metrics,
        memory: MemoryTable,
        lease_held: Callable[[int, int], bool],
    ) -> None:
        self._options = options
        self._rng = rng
        self._metrics = metrics
        self._lease_held = lease_held
        self.former: dict[int, Core] = {}
        self.binding = UNBOUND
        self._stop: StopRequested | None = None
        self._stopped: Stopped | None = None
        self._leftover: tuple[str, ...] = ()
        self._unsettled: tuple[int, ...] = ()
        self.current = self._unbound(memory)
        self.slots = self.current.board.slots
        """How many bodies each pool of the node may run at once, whatever store their tasks are in."""

    def _unbound(self, memory: MemoryTable) -> Core:
        return Core(
            self._options,
            incarnation=f"{self._rng.getrandbits(128):032x}",
            rng=self._rng,
            metrics=self._metrics,
            memory=memory,
            lease_held=lambda _: False,
            store_bound=False,
        )

    def handle(self, event: Event, now: Instant) -> None:
        """
        Give one event to the core, or the cores, that it concerns.
        """
        if isinstance(event, StoreBound):
            self._bind(event)
        elif isinstance(event, LeaveStore):
            self._hand_over(now)
        elif isinstance(event, StopRequested):
            self._stop = event
        for core in self._concerned(event):
            core.handle(event, now)

    def _concerned(self, event: Event) -> list[Core]:
        if isinstance(event, LeaveStore):
            return [core for core in self.former.values() if not core.leaving.begun]
        if isinstance(event, StopRequested | ExecutorsChanged | ExecutorSet):
            return [*self.former.values(), self.current]
        if isinstance(event, Committed | Flushed | Answered | Rejoined | Offered | ScheduledBefore | Nudged | Obeyed):
            core = self.of(event.binding)
            return [] if core is None or event.binding == UNBOUND else [core]
        if isinstance(event, RunEnded | RunReported):
            return [next((one for one in self.former.values() if one.running.knows(event.claim_id)), self.current)]
        return [self.current]

    def of(self, binding: int) -> Core | None:
        """
        Return the core of a binding, or None when it is over or has not begun.
        """
        return self.current if binding == self.binding else self.former.get(binding)

    def _bind(self, event: StoreBound) -> None:
        self.binding = event.binding
        self.current.board.lease_held = lambda boot: self._lease_held(event.binding, boot)

    def _hand_over(self, now: Instant) -> None:
        if self.binding == UNBOUND:
            return
        former = self.former[self.binding] = self.current
        self.current, self.binding = self._unbound(MemoryTable()), UNBOUND
        former.hand_over_to(self.current, now)
        if self._stop is not None:
            self.current.handle(self._stop, now)

    def advance(self, now: Instant) -> list[Command]:
        """
        Let every core decide what to do now, and return the commands of all.
        """
        self._share_slots()
        commands: list[Command] = []
        for binding, core in (*self.former.items(), (self.binding, self.current)):
            for command in core.advance(now):
                if isinstance(command, Batch | Flush | Ask | Tell | Obey | LeftBehind | Left):
                    commands.append(replace(command, binding=binding))
                elif isinstance(command, Stopped):
                    self._core_stopped(core, binding, command)
                else:
                    commands.append(command)
                if isinstance(command, Left | Stopped) and core is not self.current:
                    self.former.pop(binding, None)
        if self._stopped is not None and not self.former:
            commands.append(Stopped(self._leftover, unsettled=self._unsettled))
            self._stopped = None
        return commands

    def _share_slots(self) -> None:
        # A body that has not returned has its thread still, whatever store its task is in.
        taken: Counter[Pool] = Counter()
        for core in self.former.values():
            taken.update(core.running.occupied)
        self.current.board.slots = {pool: slots - taken[pool] for pool, slots in self.slots.items()}

    def _core_stopped(self, core: Core, binding: int, command: Stopped) -> None:
        self._leftover += command.leftover
        self._unsettled += () if core.board.outbox.clean else (binding,)
        if core is self.current:
            self._stopped = command

    def next_at(self, now: Instant) -> int:
        """
        Return when `advance` must be called again at the latest, on the boot clock, if no event comes before.
        """
        return min(core.next_at(now) for core in (*self.former.values(), self.current))
