"""
A simulated machine: the real core and the real lease, with bodies that are only durations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
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
from unomi_scheduler.node.cores import Cores
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
from unomi_scheduler.ports import Action, Outcome, Result, Write
from unomi_scheduler.rules.progress import Progress

LEASE = 3_000
TYPES = ("plain", "resumable", "lonely")


@dataclass
class Seat:
    """
    One binding of a machine: its heartbeat, until it is left.
    """

    number: int
    lease: Lease
    leaving: bool = False
    followed: bool = False
    over: bool = False


class Machine:
    """
    One process: it can be paused and killed, and then it does nothing at all. It can leave the store and join it again.
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
        self.seats: dict[int, Seat] = {}
        self.leases: dict[str | None, Lease] = {}
        self._numbers = 0
        self._told: set[str] = set()
        self._stubborn = self.rng.random() < 0.3
        self.cores = Cores(
            NodeOptions(node_id=node_id, lease_millis=LEASE, threads=threads, system_threads=1, async_slots=1),
            rng=Random(self.rng.random()),
            metrics=self.metrics,
            memory=MemoryTable(),
            lease_held=self._held,
        )
        infos = {name: ExecutorInfo(task_type=name, pool=Pool.TASKS, resumable=name == "resumable") for name in TYPES}
        self.post(m.ExecutorsChanged(infos))
        self._join()
        self._watch()

    @property
    def inbox(self) -> str | None:
        """
        The name of the inbox of the incarnation in office, if there is one.
        """
        seat = self.seats.get(self._numbers)
        return None if seat is None else f"{self.node_id}:{seat.lease.incarnation}"

    def all_cores(self) -> Iterator[Core]:
        """
        Return the core in office and those that wait for a body.
        """
        yield self.cores.current
        yield from self.cores.former.values()

    # --- bindings

    def _join(self) -> None:
        self._numbers += 1
        seat = self.seats[self._numbers] = Seat(self._numbers, self._new_lease())
        self.post(m.StoreBound(seat.number, seat.lease.incarnation))
        self._beat(seat)

    def _new_lease(self) -> Lease:
        lease = Lease(self._first_beat())
        self.leases[lease.incarnation] = lease
        return lease

    def rebind(self, patience: int) -> None:
        """
        Leave the store, and join it again when the runs have ended or the patience is over.
        """
        seat = self.seats.get(self._numbers)
        if seat is not None and not seat.leaving:
            seat.leaving = True
            self.world.counts["rebinds"] += 1
            self.post(m.LeaveStore(self.instant().boot + patience))

    def _follow(self, number: int) -> None:
        seat = self.seats[number]
        if not seat.followed:
            seat.followed = True
            self.later(self.rng.randrange(100), self._join)

    def _left(self, command: m.Left) -> None:
        self._follow(command.binding)
        seat = self.seats.pop(command.binding)
        seat.over = True
        version = seat.lease.version
        if command.settled and version is not None:
            farewell = Write(Action.DELETE, seat.lease.document, version)
            self.world.send([farewell], timeout=LEASE // 4, answer=lambda _: None)

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
            self.cores.handle(event, now)
        for command in self.cores.advance(now):
            self._do(command)
        self._wake(max(1, self.cores.next_at(now) - now.boot))

    def _do(self, command: m.Command) -> None:
        if isinstance(command, m.Batch):
            self.world.send(command.writes, timeout=2_000, answer=self._answer(partial(self._commit, command)))
        elif isinstance(command, m.Flush):
            self._flush(command)
        elif isinstance(command, m.Ask):
            self._put(command.query, command.binding)
        elif isinstance(command, m.LeftBehind):
            self.world.counts["left behind"] += 1
            self._follow(command.binding)
        elif isinstance(command, m.Left):
            self._left(command)
        elif isinstance(command, StartRun):
            ticket = command.ticket
            self.later(self.rng.choice((0, 0, 1, 30)), lambda: self._start(ticket))
        elif isinstance(command, TellRun):
            self._tell(command.claim_id)
        elif isinstance(command, m.Obey):
            self.world.obeyed[command.order.id] += 1
            done = m.Obeyed(command.order.id, {"changed": True}, command.binding)
            self.later(self.rng.randrange(300), lambda: self.post(done))

    def _flush(self, flush: m.Flush) -> None:
        self.world.carry(
            lambda: self.world.store.add_history(flush.rows),
            len(flush.rows),
            timeout=2_000,
            answer=self._answer(lambda out: self.post(m.Flushed(flush.number, out, flush.binding))),
        )

    def _answer(self, take: Callable[[Any], None]) -> Callable[[Any], None]:
        return lambda answer: self.later(0, lambda: take(answer))

    def _commit(self, batch: m.Batch, outcomes: list[Outcome]) -> None:
        self.post(m.Committed(batch.number, outcomes, batch.binding))

    def _put(self, query: m.Query, binding: int) -> None:
        sent = self.instant()

        def take(answer: Any, error: Any) -> None:
            self.later(0, lambda: self.post(m.Answered(query, sent, answer=answer, error=error, binding=binding)))

        self.world.ask(lambda: QUESTIONS[type(query)](self.world.store, query), timeout=2_000, answer=take)

    # --- bodies

    def _start(self, ticket: Any) -> None:
        claim_id = ticket.claim_id
        task = ticket.task
        if claim_id in self._told or not self.may_start(task.owner_incarnation):
            self.post(RunEnded(claim_id=claim_id, verdict=NotStarted(), duration=0))
            return
        body = Body(self.leases[task.owner_incarnation], task.id, task.task_type, claim_id, task.fence, task.exclusive)
        self.bodies[claim_id] = body
        self.world.checks.starts(body, now=self.world.now)
        duration = self.rng.choice((0, 1, 5, 20, 200, 900, 3 * LEASE))
        if task.task_type == "resumable":
            for part in (1, 2):
                self.later(duration * part // 3, partial(self._report, claim_id, part))
        self.later(duration, lambda: self._end(claim_id, self._verdict(), duration))

    def _held(self, binding: int, boot: int) -> bool:
        # The lease is another object after a rejoin.
        return binding in self.seats and self.seats[binding].lease.held(boot)

    def may_start(self, incarnation: str | None) -> bool:
        """
        Tell whether a body that this incarnation claimed may be called now (P7).
        """
        now = self.instant().boot
        return any(seat.lease.incarnation == incarnation and seat.lease.held(now) for seat in self.seats.values())

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
        self._told.add(claim_id)
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

    def _advert(self, seat: Seat, beat: Heartbeat) -> Heartbeat:
        core = self.cores.of(seat.number)
        return replace(beat, task_types=TYPES, history_since=core.board.outbox.since if core is not None else 0)

    def _beat(self, seat: Seat) -> None:
        if seat.over:
            return
        sent = self.instant()
        write = seat.lease.beat(sent, partial(self._advert, seat))
        lease = seat.lease
        answer = self._answer(lambda out: self._beaten(seat, lease, out[0], sent))
        self.world.send([write], timeout=LEASE // 4, answer=answer)

    def _beaten(self, seat: Seat, lease: Lease, outcome: Outcome, sent: Instant) -> None:
        step = lease.answered(outcome, sent=sent)
        if step is Step.READ:
            document_id = lease.document.id

            def take(found: Any, error: Any) -> None:
                self.later(0, lambda: self._seen(seat, lease, found, error))

            self.world.ask(lambda: self.world.store.heartbeats([document_id]), timeout=LEASE // 4, answer=take)
            return
        self._next_beat(seat, step, acknowledged=outcome.result is Result.WRITTEN)

    def _seen(self, seat: Seat, lease: Lease, found: Any, error: Any) -> None:
        step = Step.BEAT if error is not None else lease.seen(found[0] if found else None)
        self._next_beat(seat, step, acknowledged=False)

    def _next_beat(self, seat: Seat, step: Step, *, acknowledged: bool) -> None:
        if step is not Step.FENCED:
            self.later(LEASE // 3 if acknowledged else 200, lambda: self._beat(seat))
            return
        self.world.counts["fenced"] += 1
        self._tell_lapsed()
        if not seat.leaving:
            seat.lease = self._new_lease()
            self.post(m.Rejoined(seat.lease.incarnation, seat.number))
            self._beat(seat)

    def _tell_lapsed(self) -> None:
        now = self.instant().boot
        for claim_id, body in list(self.bodies.items()):
            if not body.lease.held(now):
                self._tell(claim_id)

    def _watch(self) -> None:
        now = self.instant().boot
        self._tell_lapsed()
        untils = [seat.lease.until - now for seat in self.seats.values() if seat.lease.held(now)]
        self.later(max(1, min(untils, default=50)), self._watch)
