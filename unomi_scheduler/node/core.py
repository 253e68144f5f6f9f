"""
The core: a node as a step machine. Events go in (`handle`), commands come out (`advance`); it has no threads, clocks
or I/O.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from random import Random
from typing import Any

from ..clock import Instant
from ..errors import InvalidTask, SchedulerError
from ..metrics import Metrics
from ..model import Stored, Task
from .answers import SETTLE, Answers
from .board import Board
from .clockwatch import ClockWatch
from .commits import Change, Commits
from .complaints import and_more
from .discovery import Discovery
from .everywhere import Everywhere
from .exclusive import Lanes
from .hints import Hints
from .inbox import Inbox
from .leaving import Leaving
from .local import Locals
from .membership import Membership
from .messages import (
    Answered,
    Ask,
    AskTasks,
    AskUnplaced,
    Command,
    Committed,
    Event,
    ExecutorsChanged,
    ExecutorSet,
    Flushed,
    LeaveStore,
    LookNow,
    MemoryChanged,
    Nudged,
    Obeyed,
    Offered,
    Recall,
    Rejoined,
    ScheduledBefore,
    StopRequested,
    StoreBound,
    TimerFired,
)
from .options import NodeOptions
from .records import Records
from .recovery import Recovery
from .repairs import Repairs
from .running import Phase, Running
from .runs import Pool, RunEnded, RunReported, Signal
from .showing import Showing
from .stopping import Stopping
from .table import MemoryTable
from .waiting import Waiting
from .watching import Watching

LOG = logging.getLogger("unomi_scheduler.node")
RECALL_AFTER = 250
"""Milliseconds without any end in a full node after which tickets that no worker began are taken back."""
MOST_CLAIMS = 800
UNPLACED_PAGE = 500
LOOK_AGAIN = 20
"""Milliseconds before a duty that could not be done is tried again."""


class Core:
    """
    One node's state and its decisions, in one store. `store_bound` false: memory tasks only.
    """

    def __init__(
        self,
        options: NodeOptions,
        *,
        incarnation: str,
        rng: Random,
        metrics: Metrics,
        memory: MemoryTable,
        lease_held: Callable[[int], bool],
        store_bound: bool = True,
    ) -> None:
        self.store_bound = store_bound
        self.commits = Commits(rng, self._problem)
        self.board = Board(
            options, incarnation=incarnation, rng=rng, metrics=metrics, commits=self.commits, lease_held=lease_held
        )
        self.members = Membership(options.node_id, incarnation, lease_millis=options.lease_millis)
        self.running = Running(self.board)
        self.lanes = Lanes(self.board, self.running)
        self.everywhere = Everywhere(self.board, self.running)
        self.discovery = Discovery(self.board, self.members, self.everywhere)
        self.hints = Hints(self.board, self.discovery, self.running)
        self.repairs = Repairs(self.board, self.members)
        self.recovery = Recovery(self.board, self.members, self.running, self.repairs)
        self.records = Records(self.board, self.members, self.everywhere)
        self.waiting = Waiting(self.board)
        self.locals = Locals(self.board, memory)
        self.stopping = Stopping(self.board, self.running, self.locals)
        self.leaving = Leaving(self.board, self.running)
        self.showing = Showing(self.board, lambda: self.locals.table)
        self.recovery.forget = self.showing.forget
        self.inbox = Inbox(self.board, self._executor_set)
        self.clock = ClockWatch(self.board)
        self.watching = Watching(self.board, self.members, self.recovery)
        self.board.offer = self._offer
        self.board.wake = self.waiting.wake
        self.unplaced_next = 0
        self._recalled = 0
        self._claimed_until = 0
        self.answers = Answers(self)
        self._handlers: dict[type, Callable[[Any, Instant], None]] = {
            Committed: self._committed,
            Flushed: self.board.outbox.flushed,
            Answered: self.answers.answered,
            Offered: self._offered,
            ScheduledBefore: lambda event, _: self.everywhere.scheduled_before(event.ids),
            Nudged: lambda event, now: self.hints.told(event, now, under_way=self.under_way),
            ExecutorsChanged: self._executors_changed,
            TimerFired: lambda event, _: self.locals.fired(event.task_id),
            MemoryChanged: lambda event, now: self.locals.changed(event.task_id, now),
            Rejoined: self._rejoined,
            StoreBound: self._store_bound,
            LeaveStore: self.leaving.request,
            LookNow: lambda _, __: self._look_now(),
            ExecutorSet: self._executor_set,
            Obeyed: self._obeyed,
            StopRequested: self.stopping.request,
            RunEnded: self._run_ended,
            RunReported: self._run_reported,
        }

    def hand_over_to(self, successor: Core, now: Instant) -> None:
        """
        Give the memory tasks, and what is known of executors, to the core that takes the place of this one.
        """
        self.locals, successor.locals = successor.locals, self.locals
        for core in (self, successor):
            core.locals.move_to(core.board)
            core.stopping.local = core.locals
        successor.board.executors = self.board.executors
        successor.board.executor_node = self.board.executor_node
        successor.everywhere.able(self.board.executors, now.wall)

    # --- events

    def handle(self, event: Event, now: Instant) -> None:
        """
        Take one event.
        """
        self._handlers[type(event)](event, now)

    def _committed(self, event: Committed, now: Instant) -> None:
        troubled = frozenset(self.commits.troubled)
        self.commits.committed(event.number, event.outcomes, now)
        for kind in troubled - self.commits.troubled:
            self.worked(kind, now)

    def _run_ended(self, event: RunEnded, now: Instant) -> None:
        if self.locals.knows(event.claim_id):
            self.locals.ended(event, now)
        else:
            self.running.ended(event, now)

    def _run_reported(self, event: RunReported, now: Instant) -> None:
        if self.locals.knows(event.claim_id):
            self.locals.reported(event)
        else:
            self.running.reported(event)

    def _offered(self, event: Offered, now: Instant) -> None:
        if event.created:
            self.everywhere.scheduled(event.stored.record)
        self.board.timeline.wrote(event.stored.record.id, event.stored.version)
        self.running.changed(event.stored)
        self.waiting.note(event.stored)
        self.waiting.ended(event.stored.record)
        self.locals.dependents.hurry(event.stored.record.id)
        at = self.discovery.offer(event.stored, now.wall, own=True)
        self.hints.wrote(event.stored, at)
        self.board.outbox.take(event.stored.record, now)

    def _offer(self, stored: Stored[Task], now: int, *, own: bool = False) -> None:
        self.hints.wrote(stored, self.discovery.offer(stored, now, own=own))
        self.waiting.note(stored)
        self.waiting.ended(stored.record)
        self.locals.dependents.hurry(stored.record.id)

    def _executors_changed(self, event: ExecutorsChanged, now: Instant) -> None:
        self.board.executors = event.executors
        self.everywhere.able(event.executors, now.wall)
        self.members.changed = True
        self.discovery.hurry()
        self.locals.arm_all(now)

    def _executor_set(self, event: ExecutorSet, now: Instant) -> None:
        if event.enabled is not self.board.executor_node:
            self.board.executor_node = event.enabled
            self.discovery.set_executor_node()
            self.locals.arm_all(now)

    def _obeyed(self, event: Obeyed, _now: Instant) -> None:
        self.inbox.obeyed(event.order_id, event.outcome)
        self.showing.hurry()

    def _rejoined(self, event: Rejoined, now: Instant) -> None:
        self.watching.also(f"{self.board.options.node_id}:{self.board.incarnation}", now)
        self.running.tell_all(Signal.LEASE_LOST)
        self.board.become(event.incarnation)
        self.members.rejoin(event.incarnation)
        self.discovery.hurry()

    def _store_bound(self, event: StoreBound, now: Instant) -> None:
        for stored in event.dead:
            self.members.died(stored)
        self.board.become(event.incarnation)
        self.members.rejoin(event.incarnation)
        self.everywhere.joined(now.wall)
        self.store_bound = True

    def _look_now(self) -> None:
        self.discovery.hurry()
        self.recovery.hurry()
        self.watching.hurry()
        self.unplaced_next = 0

    def _problem(self, change: Change, error: SchedulerError, now: Instant) -> None:
        complaints, (kind, document_id) = self.board.complaints, change.key
        if isinstance(error, InvalidTask):
            # One document's fault; the store is well.
            kept = complaints.tell("document", now.boot)
        else:
            kept = complaints.failed("write", kind.__name__, now.boot)
        if kept is not None:
            LOG.warning(
                "A write of %s was not acknowledged%s: %s", document_id, and_more(kept), error,
                extra={"action": "write_refused"},
            )  # fmt: skip

    def worked(self, part: type, now: Instant) -> None:
        """
        Note that a kind of write or question was done.
        """
        if self.board.complaints.worked(part.__name__, now.boot):
            LOG.info("The store is back: the node goes on", extra={"action": "store_back"})

    def under_way(self, task_id: str) -> bool:
        """
        Tell whether something is being done with a task here.
        """
        return self.running.of_task(task_id) is not None or self.board.busy(task_id) or self.lanes.waiting(task_id)

    # --- commands

    def advance(self, now: Instant) -> list[Command]:
        """
        Decide what to do now and return the commands.
        """
        self._claimed_until = now.wall
        self.board.timeline.turn(now.boot)
        self.board.news.turn(now.boot)
        self.stopping.advance(now)
        self.locals.advance(now, lambda pool: self._local_room(pool, now))
        if self.store_bound:
            self._claim(now)
            self.board.commands.extend(self.hints.tell(now))
            self._questions(now)
            self._recall(now)
            self.board.holds.release(now)
            self.board.commands.extend(self.commits.flush(now))
            # Behind the claims and the ends.
            self.board.commands.extend(self.board.outbox.flush(now, hurry=self.board.stopping))
            self.leaving.advance(now, calling=self._calling)
        self.stopping.finish(now, calling=self.store_bound and self._calling)
        self.board.flush_counts()
        commands, self.board.commands = self.board.commands, []
        return commands

    @property
    def _calling(self) -> bool:
        # A list that is still being written would stay behind.
        return self.waiting.calling or self.showing.calling

    def _local_room(self, pool: Pool, now: Instant) -> int:
        # Claims ahead do not count: a backlog of stored tasks must not starve the others.
        return self.running.room(pool, now.boot) - self.locals.occupied[pool]

    def _claim(self, now: Instant) -> None:
        board = self.board
        if not board.may_act(now.boot):
            return
        self.ask(*self.lanes.advance(now, lambda pool: self._local_room(pool, now)))
        self.everywhere.advance(now, lambda pool: self._room(pool, now))
        for pool in Pool:
            room = self._room(pool, now)
            if room <= 0:
                continue
            for entry in board.timeline.due(pool, now.wall, most=room):
                if not self.under_way(entry.stored.record.id):
                    self.running.begin(entry.stored, now, claim_id=board.fresh_id(), pool=pool)

    def _room(self, pool: Pool, now: Instant) -> int:
        free = self.running.room(pool, now.boot) - self.locals.occupied[pool]
        return min(free, MOST_CLAIMS - self.commits.claims_waiting)

    def _recall(self, now: Instant) -> None:
        stuck = any(
            self.running.started[pool] > self.board.slots[pool]
            and now.boot - max(self.running.last_move[pool], self._recalled) > RECALL_AFTER
            for pool in Pool
        )
        if stuck:
            self._recalled = now.boot
            self.board.commands.append(Recall())

    def ask(self, *queries: Any) -> None:
        """
        Put these questions to the store; None is none.
        """
        self.board.commands.extend(Ask(query) for query in queries if query is not None)

    def _questions(self, now: Instant) -> None:
        for kind, question in SETTLE.items():
            ids = self.commits.to_read(kind)
            if ids:
                self.ask(question(ids))
        self.ask(*self.waiting.ask(now), self.inbox.ask(now), *self.showing.ask(now))
        if self.leaving.begun:
            return
        self.ask(self.hints.ask(), self.discovery.ask(now), *self.recovery.ask(now))
        self.ask(self.locals.dependents.ask(now), *self.everywhere.ask(now), *self.records.ask(now))
        self.ask(self.repairs.ask(now))
        if self.watching.due(now):
            self._check_runs(now)
        self.ask(*self.watching.ask(now), self.clock.ask(now))
        if now.boot >= self.unplaced_next and self.board.may_act(now.boot):
            self.unplaced_next = now.boot + 2 * self.board.options.lease_millis
            self.ask(AskUnplaced(UNPLACED_PAGE))

    def _check_runs(self, now: Instant) -> None:
        # A run that writes nothing would not hear that it was cancelled elsewhere: look, without a write.
        quiet = self.board.options.lease_millis // 3
        ids = tuple(
            run.task_id for run in self.running if run.phase is Phase.STARTED and now.boot - run.started > quiet
        )
        if ids:
            self.ask(AskTasks(ids, purpose="check"))

    def next_at(self, now: Instant) -> int:
        """
        Return when `advance` must be called again at the latest, on the boot clock, if no event comes before.
        """
        times: list[int | None] = [now.boot + 1_000, self.stopping.next_at()]
        if self.store_bound:
            times += [self.commits.next_at(now.boot), self.leaving.next_at()]
            times += [self.board.outbox.next_at(), self.board.holds.next_at()]
        if self.store_bound and not self.leaving.begun:
            if self._just_due(now):
                return now.boot
            times += self._duties(now)
        # What was due just now and did not happen waits for something else: look again soon, not at once.
        return min(at if at > now.boot else now.boot + LOOK_AGAIN for at in times if at is not None)

    def _just_due(self, now: Instant) -> bool:
        # While the last turn's commands were done: nobody has tried to claim it yet.
        dues = (self.board.timeline.next_at(pool) for pool in Pool if self.running.room(pool, now.boot) > 0)
        return any(due is not None and self._claimed_until < due <= now.wall for due in dues)

    def _duties(self, now: Instant) -> list[int | None]:
        times = [
            self.discovery.next_at(), self.recovery.next_at(),
            self.lanes.next_at(now, lambda pool: self._local_room(pool, now)), self.waiting.next_at(),
            self.locals.dependents.next_at(), self.everywhere.next_at(now), self.records.next_at(),
            self.watching.next_at(), self.clock.next_at(), self.inbox.next_at(),
            self.showing.next_at(now),
        ]  # fmt: skip
        for pool in Pool:
            due = self.board.timeline.next_at(pool)
            if due is not None and self.running.room(pool, now.boot) > 0:
                times.append(now.boot + max(0, due - now.wall))
        return times
