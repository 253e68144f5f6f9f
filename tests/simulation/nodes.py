"""
A simulated machine: the real core and the real lease, with bodies that are only durations.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from random import Random
from typing import Any

from tests.simulation.checks import Body
from tests.simulation.world import World
from unomi_scheduler.clock import Instant
from unomi_scheduler.metrics import Metrics
from unomi_scheduler.model import Heartbeat
from unomi_scheduler.node import messages as m
from unomi_scheduler.node.core import Core
from unomi_scheduler.node.errands import QUESTIONS
from unomi_scheduler.node.lease import Lease, Step
from unomi_scheduler.node.options import NodeOptions
from unomi_scheduler.node.runs import (
    ExecutorInfo,
    Failed,
    Interrupted,
    NotStarted,
    Pool,
    RunEnded,
    RunReported,
    StartRun,
    Succeeded,
    TellRun,
    Verdict,
)
from unomi_scheduler.node.table import MemoryTable
from unomi_scheduler.ports import Outcome, Result
from unomi_scheduler.rules.progress import Progress

LEASE = 3_000
TYPES = ("plain", "resumable", "lonely")


class Machine:
    """
    One process: it can be paused and killed, and then it does nothing at all.
    """

    def __init__(self, world: World, node_id: str, *, threads: int = 3) -> None:
        self.world = world
        self.rng = Random(world.rng.random())
        self.node_id = node_id
        self.alive = True
        self.paused_until = 0
        self.bodies: dict[str, Body] = {}
        self._inbox: list[m.Event] = []
        self._turn_at: int | None = None
        self._turns = 0
        self.metrics = Metrics()
        self.lease = Lease(self._first_beat())
        self._stubborn = self.rng.random() < 0.3
        self.core = Core(
            NodeOptions(node_id=node_id, lease_millis=LEASE, threads=threads, system_threads=1, async_slots=1),
            incarnation=self.lease.incarnation,
            rng=Random(self.rng.random()),
            metrics=self.metrics,
            memory=MemoryTable(),
            lease_held=self._held,
        )
        infos = {name: ExecutorInfo(task_type=name, pool=Pool.TASKS, resumable=name == "resumable") for name in TYPES}
        self.post(m.ExecutorsChanged(infos))
        self._beat()
        self._watch()

    # --- a process that can stand still

    def later(self, delay: float, action: Callable[[], None]) -> None:
        """
        Do something in this process, unless it is dead by then; a pause puts it off.
        """

        def act() -> None:
            if not self.alive:
                return
            if self.world.now < self.paused_until:
                self.later(self.paused_until - self.world.now + self.rng.randrange(20), action)
            else:
                action()

        self.world.after(delay, act)

    def pause(self, millis: int) -> None:
        """
        Stand still, as after SIGSTOP.
        """
        self.paused_until = self.world.now + millis

    def kill(self) -> None:
        """
        Be gone, as after kill -9; what is on the wire still arrives.
        """
        self.alive = False
        for body in self.bodies.values():
            self.world.checks.ends(body)

    def instant(self) -> Instant:
        """
        Return the machine's present moment.
        """
        return self.world.clock.now()

    # --- core

    def post(self, event: m.Event) -> None:
        """
        Give the core an event.
        """
        self._inbox.append(event)
        self._wake(0)

    def _wake(self, delay: int) -> None:
        at = self.world.now + delay
        if self._turn_at is None or at < self._turn_at:
            self._turn_at = at
            self._turns += 1
            turn = self._turns
            self.later(delay, lambda: self._turn(turn))

    def _turn(self, turn: int) -> None:
        if turn != self._turns:
            return
        self._turn_at = None
        now = self.instant()
        events, self._inbox = self._inbox, []
        for event in events:
            self.core.handle(event, now)
        for command in self.core.advance(now):
            self._do(command)
        self._wake(max(1, self.core.next_at(now) - now.boot))

    def _do(self, command: m.Command) -> None:
        if isinstance(command, m.Batch):
            number = command.number
            self.world.send(
                command.writes, timeout=2_000, answer=self._answer(lambda out: self.post(m.Committed(number, out)))
            )
        elif isinstance(command, m.Ask):
            self._put(command.query)
        elif isinstance(command, StartRun):
            ticket = command.ticket
            self.later(self.rng.choice((0, 0, 1, 30)), lambda: self._start(ticket))
        elif isinstance(command, TellRun):
            self._tell(command.claim_id)

    def _answer(self, take: Callable[[Any], None]) -> Callable[[Any], None]:
        return lambda answer: self.later(0, lambda: take(answer))

    def _put(self, query: m.Query) -> None:
        sent = self.instant()

        def take(answer: Any, error: Any) -> None:
            self.later(0, lambda: self.post(m.Answered(query, sent, answer=answer, error=error)))

        self.world.ask(lambda: QUESTIONS[type(query)](self.world.store, query), timeout=2_000, answer=take)

    # --- bodies

    def _start(self, ticket: Any) -> None:
        claim_id = ticket.claim_id
        if not self.may_start():
            self.post(RunEnded(claim_id=claim_id, verdict=NotStarted(), duration=0))
            return
        task = ticket.task
        body = Body(self.lease, task.id, task.task_type, claim_id, task.fence, task.exclusive)
        self.bodies[claim_id] = body
        self.world.checks.starts(body, now=self.world.now)
        duration = self.rng.choice((0, 1, 5, 20, 200, 900, 3 * LEASE))
        if task.task_type == "resumable":
            for part in (1, 2):
                self.later(duration * part // 3, partial(self._report, claim_id, part))
        self.later(duration, lambda: self._end(claim_id, self._verdict(), duration))

    def _held(self, boot: int) -> bool:
        # The lease is another object after a rejoin.
        return self.lease.held(boot)

    def may_start(self) -> bool:
        """
        Tell whether a body may be called now (P7).
        """
        return self.lease.held(self.instant().boot)

    def _verdict(self) -> Verdict:
        return Failed("boom") if self.rng.random() < 0.15 else Succeeded()

    def _report(self, claim_id: str, part: int) -> None:
        body = self.bodies.get(claim_id)
        if body is not None and not body.told:
            progress = Progress(step="going on", checkpoint={"part": part})
            self.post(RunReported(claim_id=claim_id, progress=progress, receipt=part))

    def _end(self, claim_id: str, verdict: Verdict, duration: int) -> None:
        body = self.bodies.pop(claim_id, None)
        if body is not None:
            self.world.checks.ends(body)
            self.post(RunEnded(claim_id=claim_id, verdict=verdict, duration=duration))

    def _tell(self, claim_id: str) -> None:
        body = self.bodies.get(claim_id)
        if body is not None and not body.told:
            body.told = True
            if not self._stubborn:
                self.later(self.rng.randrange(50), lambda: self._end(claim_id, Interrupted("told"), 1))

    # --- heartbeat and watchdog

    def _first_beat(self) -> Heartbeat:
        return Heartbeat(
            node_id=self.node_id,
            incarnation=f"{self.rng.getrandbits(64):x}",
            counter=0,
            lease_millis=LEASE,
            started_at=self.instant().wall,
            beat_at=self.instant().wall,
        )

    def _advert(self, beat: Heartbeat) -> Heartbeat:
        return replace(beat, task_types=TYPES)

    def _beat(self) -> None:
        sent = self.instant()
        write = self.lease.beat(sent, self._advert)
        lease = self.lease
        self.world.send([write], timeout=LEASE // 4, answer=self._answer(lambda out: self._beaten(lease, out[0], sent)))

    def _beaten(self, lease: Lease, outcome: Outcome, sent: Instant) -> None:
        step = lease.answered(outcome, sent=sent)
        if step is Step.READ:
            document_id = lease.document.id

            def take(found: Any, error: Any) -> None:
                self.later(0, lambda: self._seen(lease, found, error))

            self.world.ask(lambda: self.world.store.heartbeats([document_id]), timeout=LEASE // 4, answer=take)
            return
        self._next_beat(step, acknowledged=outcome.result is Result.WRITTEN)

    def _seen(self, lease: Lease, found: Any, error: Any) -> None:
        step = Step.BEAT if error is not None else lease.seen(found[0] if found else None)
        self._next_beat(step, acknowledged=False)

    def _next_beat(self, step: Step, *, acknowledged: bool) -> None:
        if step is Step.FENCED:
            self.lease = Lease(self._first_beat())
            self.world.counts["fenced"] += 1
            for claim_id in list(self.bodies):
                self._tell(claim_id)
            self.post(m.Rejoined(self.lease.incarnation))
            self._beat()
        else:
            self.later(LEASE // 3 if acknowledged else 200, self._beat)

    def _watch(self) -> None:
        now = self.instant().boot
        if self.lease.held(now):
            self.later(max(1, self.lease.until - now), self._watch)
            return
        for claim_id in list(self.bodies):
            self._tell(claim_id)
        self.later(50, self._watch)
