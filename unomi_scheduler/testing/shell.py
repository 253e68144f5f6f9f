"""
The shell of a manual node: the node's own core, and everything around it done in the caller's thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ..errors import ConfigurationError, SchedulerError
from ..model import Task
from ..node import messages as m
from ..node.parts import Parts
from ..node.runs import ReportStored
from ..node.shell import Node
from ..ports import TaskStore
from .clock import SettableClock
from .parts import HandErrands, HandPulse, HandTimers
from .runs import Run
from .workers import HandWorkers, NodeDied

MOST_TURNS = 100_000
LONGEST_WAIT = 600_000
"""Milliseconds that a body waits for what only somebody else can bring about, before it is told that nobody will."""
_BEYOND_DRAIN = 3_000


class HandNode(Node):
    """
    A node that does something only when it is told to. `checkpointed` is called whenever a checkpoint of a body was
    stored, in that body's place.

    Args:
        number: of this node among those that a test makes; with the same one, its random numbers are the same too.
    """

    def __init__(self, *, clock: SettableClock, number: int, **ties: Any) -> None:
        self._pulses: list[HandPulse] = []
        parts = Parts(
            workers=HandWorkers, timers=HandTimers, errands=HandErrands, pulse=self._make_pulse, pause=self._pause
        )
        super().__init__(clock=clock, parts=parts, **ties)
        self.moving = clock
        # The same claim ids and the same jitter each time a test is run, and never those of the node before.
        self._rng.seed(f"{self.options.node_id}:{number}:{clock.boot}")
        self.dead = False
        self.checkpointed: Callable[[], object] = lambda: None
        self._stored = 0
        self.workers.wait_by(self.steps)

    @property
    def workers(self) -> HandWorkers:
        """
        The workers.
        """
        assert isinstance(self._workers, HandWorkers)  # noqa: S101 - made above
        return self._workers

    @property
    def timers(self) -> HandTimers:
        """
        The timers of memory tasks.
        """
        assert isinstance(self._timers, HandTimers)  # noqa: S101 - made above
        return self._timers

    def _make_pulse(self, *arguments: Any, **named: Any) -> HandPulse:
        pulse = HandPulse(*arguments, **named)
        self._pulses.append(pulse)
        return pulse

    def _pause(self, seconds: float) -> None:
        self.moving.advance(round(seconds * 1000))

    def _set_off(self) -> None:
        self.settle()

    # --- turns

    def look(self) -> None:
        """
        Have the core search at its next turn, instead of once in a poll interval.
        """
        self._inbox.put(m.LookNow())

    def settle(self) -> None:
        """
        Let the core take turns until nothing more happens at this moment; no body is executed.
        """
        for _ in range(MOST_TURNS):
            # What the bodies of a dead node still say is heard by nobody.
            if self.dead or not self._turn_once():
                return
        raise SchedulerError(f"The node did not come to rest in {MOST_TURNS} turns at one moment")

    def _turn_once(self) -> bool:
        now = self._clock.now()
        self._progress = now.boot
        for pulse in self._pulses:
            pulse.keep(now)
        self.workers.alarms.ring()
        self.timers.fire(now.wall)
        events = self._take(0)
        for event in events:
            self._cores.handle(event, now)
        commands = self._cores.advance(now)
        for command in commands:
            self._do(command)
        self._show_busy(now)
        return bool(events or commands)

    def _do(self, command: m.Command) -> None:
        if isinstance(command, ReportStored):
            self._stored += 1
        super()._do(command)

    def steps(self, millis: int | None = None) -> Iterator[None]:
        """
        Go on step by step, and yield after each: first at this moment, then moving the clock, for at most a time.

        Raises:
            SchedulerError: without a time, when what is waited for does not come.
        """
        began = self._clock.now().boot
        while True:
            self.settle()
            self._tell_stored()
            yield
            now = self._clock.now()
            waited = now.boot - began
            if millis is not None and waited >= millis:
                return
            if millis is None and waited >= LONGEST_WAIT:
                raise SchedulerError(
                    "The body waits for something that does not come: in a manual node nobody else acts meanwhile; "
                    "give the wait a time-out, or act from the body (ManualNode.after_checkpoint)"
                )
            until = began + (LONGEST_WAIT if millis is None else millis)
            self.moving.advance(max(1, min(self.next_at(), until) - now.boot))

    def _tell_stored(self) -> None:
        while self._stored and not self.dead:
            self._stored -= 1
            self.checkpointed()
            self.settle()
        if self.dead:
            raise NodeDied

    def next_at(self) -> int:
        """
        Return when the node wants its next turn at the latest, on the boot clock.
        """
        now = self._clock.now()
        times = [self._cores.next_at(now), *(pulse.next_at() for pulse in self._pulses)]
        times += [at for at in (self.workers.alarms.next_at(), self._timer_at()) if at is not None]
        return min(times)

    def _timer_at(self) -> int | None:
        now, at = self._clock.now(), self.timers.next_at()
        return None if at is None else now.boot + at - now.wall

    def work_at(self) -> int | None:
        """
        Return the next moment, on the boot clock, at which there may be something to do beside looking; the due times
        of stored tasks are not among them.
        """
        now, core = self._clock.now(), self._cores.current
        times = [self._timer_at(), self.workers.alarms.next_at(), core.everywhere.next_at(now)]
        times += [core.commits.next_at(now.boot), core.board.holds.next_at(), core.board.outbox.next_at()]
        return min((at for at in times if at is not None and at > now.boot), default=None)

    def able(self, task: Task) -> bool:
        """
        Tell whether this node may run a task and has its executor.
        """
        options = self.options
        is_meant = (task.on_nodes and options.node_id in task.on_nodes) or not set(task.on_tags).isdisjoint(
            options.tags
        )
        return self._registry.body(task.task_type) is not None and (not task.targeted or bool(is_meant))

    def perform_next(self) -> Run | None:
        """
        Execute the next run that the core has started, and let the core take its end.
        """
        run = self.workers.perform_next()
        if not self.dead:
            self.settle()
        return run

    # --- life

    def bind(
        self,
        store: TaskStore | None,
        *,
        state_dir: Path | None = None,
        released: Callable[[], object] = lambda: None,
        same: bool = False,
    ) -> None:
        """
        Take a store before the start.

        Raises:
            ConfigurationError: the node runs.
        """
        if self.running:
            raise ConfigurationError("A manual node keeps its store while it runs; make another ManualNode(store=...)")
        super().bind(store, state_dir=state_dir, released=released, same=same)

    def stop(self, timeout_millis: int | None = None, *, exiting: bool = False) -> tuple[str, ...]:
        """
        Leave as any node does, the clock moving as long as that takes.
        """
        if not self.running:
            return ()
        patience = self.options.drain_timeout_millis if timeout_millis is None else timeout_millis
        self._offers.left()
        self._inbox.put(m.StopRequested(deadline=self._clock.now().boot + patience, exiting=exiting))
        for _ in self.steps(patience + _BEYOND_DRAIN):
            if self._stopped.is_set():
                return self._leftover
        self._leftover = tuple(run.claim_id for run in self._workers.active())
        return self._leftover

    def die(self) -> None:
        """
        Be gone, as a process that was killed: nothing more is written, and the heartbeat's document stays.
        """
        self.dead, self.running = True, False
        self._pulses.clear()
        self._offers.left()
