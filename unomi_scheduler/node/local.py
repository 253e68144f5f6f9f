"""
Memory tasks: the same life cycle, retries and history as stored ones, in this process.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ..clock import Instant
from ..errors import LeaseLost
from ..model import Task
from ..rules import claims, outcomes
from ..rules.claims import Standing, standing
from ..rules.placement import targets
from ..rules.progress import progressed
from ..rules.readiness import due_at
from .board import Board
from .counting import count_end, tell_end
from .dependents import Dependents
from .messages import SetTimer
from .ready import Entry, Ready
from .runs import (
    Failed,
    Interrupted,
    NotStarted,
    Pool,
    ReportRefused,
    ReportStored,
    RunEnded,
    RunReported,
    Signal,
    StartRun,
    Succeeded,
    TellRun,
    Ticket,
    broken_off,
)
from .table import MemoryTable

PURGES_A_TTL = 10
SHORTEST_PURGE, LONGEST_PURGE = 60_000, 24 * 3_600_000
"""Old tasks are forgotten ten times in the time that they are kept, within these bounds (ms)."""


class LocalRun(NamedTuple):
    """
    One run of a memory task: the task right before its claim, as claimed, where it runs, and since when (boot clock).
    """

    before: Task
    claimed: Task
    pool: Pool
    since: int


class Locals:
    """
    The part of the core that runs memory tasks: timers in, tickets out.
    """

    def __init__(self, board: Board, table: MemoryTable) -> None:
        self.board = board
        self.table = table
        self.dependents = Dependents(board, table)
        self.occupied: dict[Pool, int] = dict.fromkeys(Pool, 0)
        self._ready = Ready()
        self._runs: dict[str, LocalRun] = {}
        self._claims: dict[str, str] = {}
        self._purge_next = 0

    def move_to(self, board: Board) -> None:
        """
        Go on with another core: its node has another store from now on, or none.
        """
        self.board = board
        self.dependents.move_to(board)

    def __len__(self) -> int:
        return len(self._runs)

    def knows(self, claim_id: str) -> bool:
        """
        Tell whether a claim is a memory task's.
        """
        return claim_id in self._runs

    # --- when

    def arm_all(self, now: Instant) -> None:
        """
        Set the timer of every task: at the start, and when executors were registered.
        """
        for task in self.table.all():
            self.free(self.dependents.note(task.id, now))
            self._arm(task.id)

    def changed(self, task_id: str, now: Instant) -> None:
        """
        Take a change by a user: set the timer anew, tell a run that is no longer the owner, wake who waits.
        """
        task = self.table.get(task_id)
        claim_id = self._claims.get(task_id)
        if claim_id is not None and (task is None or task.claim_id != claim_id):
            self.board.commands.append(TellRun(claim_id=claim_id, signal=Signal.CANCELLED))
        self.free(self.dependents.note(task_id, now))
        self._arm(task_id)

    def free(self, tasks: list[Task]) -> None:
        """
        Set the timers of tasks that wait for no other any more.
        """
        for task in tasks:
            self._arm(task.id)

    def _arm(self, task_id: str) -> None:
        # A queued task goes through its timer again, so that the queue never holds an old due time or lane.
        self._ready.forget(task_id)
        task = self.table.get(task_id)
        idle = task is not None and task_id not in self._claims and not self.board.stopping
        at = due_at(task) if task is not None and idle and self._runs_here(task) else None
        self.board.commands.append(SetTimer(task_id, at))

    def _runs_here(self, task: Task) -> bool:
        # The same program schedules its memory tasks on every node; those that name other nodes rest here.
        options = self.board.options
        may = self.board.executor_node or task.run_on_all_nodes
        return may and targets(task, node_id=options.node_id, tags=options.tags)

    def fired(self, task_id: str) -> None:
        """
        Take a timer: the task waits for a slot of its pool.
        """
        task = self.table.get(task_id)
        pool = self.board.pool_of(task) if task is not None else None
        if task is not None and pool is not None and task_id not in self._claims and self._runs_here(task):
            self._ready.add(task, pool)

    # --- start

    def advance(self, now: Instant, room: Callable[[Pool], int]) -> None:
        """
        Start what is ready and has a slot; forget what is old.
        """
        if self.board.stopping:
            return
        self._purge(now)
        for pool in Pool:
            free = room(pool)
            while free > 0 and (entry := self._ready.take(pool)) is not None:
                free -= self._start(entry, pool, now)

    def _purge(self, now: Instant) -> None:
        ttl = self.board.options.memory_ttl_millis
        if ttl is None or now.boot < self._purge_next:
            return
        self._purge_next = now.boot + min(max(ttl // PURGES_A_TTL, SHORTEST_PURGE), LONGEST_PURGE)
        self.table.purge(before=now.wall - ttl, cancelled=True)

    def _start(self, entry: Entry, pool: Pool, now: Instant) -> int:
        run = self._claim(entry, pool, now)
        if run is None or not run.claimed.exclusive:
            self._ready.pass_on(entry.lane)
        if run is None:
            self._arm(entry.task_id)
            return 0
        task, claim_id = run.claimed, run.claimed.claim_id or ""
        if task.exclusive:
            self._ready.occupy(task.task_type)
        self._runs[claim_id] = run
        self._claims[task.id] = claim_id
        self.occupied[pool] += 1
        self.board.count("tasks.lock.acquired")
        self.board.count("tasks.running")
        due = due_at(run.before) or 0
        ticket = Ticket(task=task, claim_id=claim_id, pool=pool, resumed=claims.resumes(run.before), due=due)
        self.board.commands.append(StartRun(ticket=ticket))
        return 1

    def _claim(self, entry: Entry, pool: Pool, now: Instant) -> LocalRun | None:
        claim_id = self.board.fresh_id()
        # Made exclusive, or no longer, since it was queued: it goes through its timer again.
        found = self.table.get(entry.task_id)
        if found is None or found.exclusive is (entry.lane is None) or not claims.claimable(found, now=now.wall):
            return None

        def rule(task: Task) -> Task:
            if task is not found:
                return task
            resuming = self.board.resumes(task.task_type)
            return claims.claim(task, by=self.board.claimant, claim_id=claim_id, now=now.wall, resuming=resuming)

        self.board.count("tasks.lock.attempts")
        claimed = self.table.try_change(entry.task_id, rule)
        if claimed is None or claimed.claim_id != claim_id:
            # A user was faster between the two looks.
            self.board.count("tasks.lock.conflicts")
            return None
        return LocalRun(found, claimed, pool, now.boot)

    # --- reports and ends

    def reported(self, event: RunReported) -> None:
        """
        Take a report of a body; it is stored at once.
        """
        held = self._apply(event.claim_id, lambda task: progressed(task, event.progress))
        if event.receipt is None:
            return
        if held:
            self.board.commands.append(ReportStored(claim_id=event.claim_id, receipt=event.receipt))
        else:
            error = LeaseLost("this run does not own its task any more")
            self.board.commands.append(ReportRefused(claim_id=event.claim_id, receipt=event.receipt, error=error))

    def ended(self, event: RunEnded, now: Instant) -> None:
        """
        Take the end of a body. What was cancelled, deleted or removed meanwhile stays so, and the outcome is dropped.
        """
        run = self._runs[event.claim_id]
        held = self._apply(event.claim_id, lambda task: self._end(task, run.before, event, now))
        if held:
            count_end(self.board, event, before=run.before)
            if (after := self.table.get(run.claimed.id)) is not None:
                tell_end(self.board, event, claimed=run.claimed, after=after)
        elif not isinstance(event.verdict, NotStarted):
            self.board.count("tasks.fenced")
            self.board.news.dropped(run.claimed)
        self._leave(event.claim_id, now)

    def _leave(self, claim_id: str, now: Instant) -> None:
        run = self._runs.pop(claim_id)
        task_id = run.claimed.id
        del self._claims[task_id]
        self.occupied[run.pool] -= 1
        self.board.count("tasks.lock.released")
        if run.claimed.exclusive:
            self._ready.release(run.claimed.task_type)
        # A task that was cancelled while it ran names its owner until the body has returned (P17).
        self.table.try_change(
            task_id,
            lambda task: claims.released(task) if task.owner_incarnation and task.fence == run.claimed.fence else task,
        )
        self.table.remove_marked(task_id)
        self.free(self.dependents.note(task_id, now))
        self._arm(task_id)

    def _apply(self, claim_id: str, rule: Callable[[Task], Task]) -> bool:
        held = False

        def guarded(task: Task) -> Task:
            nonlocal held
            held = standing(task, claim_id) is Standing.HELD
            return rule(task) if held else task

        self.table.try_change(self._runs[claim_id].claimed.id, guarded)
        return held

    def _end(self, task: Task, before: Task, event: RunEnded, now: Instant) -> Task:
        verdict = event.verdict
        if isinstance(verdict, NotStarted):
            return claims.give_back(task, before=before)
        if isinstance(verdict, Succeeded):
            return outcomes.complete(task, now=now.wall, duration=event.duration)
        if isinstance(verdict, Failed):
            return outcomes.fail(task, error=verdict.error, now=now.wall, duration=event.duration)
        node_id, reason = self.board.options.node_id, broken_off(verdict)
        return outcomes.crash(task, now=now.wall, found_by=node_id, reason=reason, counted=False)

    # --- the end of the node

    def tell_all(self, signal: Signal) -> None:
        """
        Tell every running body.
        """
        self.board.commands.extend(TellRun(claim_id=claim_id, signal=signal) for claim_id in self._runs)

    def abandon(self, now: Instant) -> list[str]:
        """
        Record the runs that have not returned as interrupted, because the process ends; return their claims.
        """
        left = list(self._runs)
        for claim_id in left:
            duration = now.boot - self._runs[claim_id].since
            self.ended(RunEnded(claim_id, Interrupted(outcomes.SHUTDOWN), duration), now)
        return left
