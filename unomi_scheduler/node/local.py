"""
Memory tasks: the same life cycle, retries and history as stored ones, in this process.

Users' threads and the core both change the table, so it has a lock; each change is a pure rule applied under it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from threading import Lock

from ..clock import Instant
from ..errors import Conflict, LeaseLost, TaskNotFound
from ..model import Task, TaskStatus
from ..rules import claims, outcomes
from ..rules.claims import Standing, standing
from ..rules.progress import progressed
from ..rules.readiness import due_at
from .board import Board
from .messages import SetTimer
from .runs import (
    Failed,
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
)


class MemoryTable:
    """
    The memory tasks of one process, by id.
    """

    def __init__(self) -> None:
        self._tasks: dict[str, Task] = {}
        self._lock = Lock()

    def put(self, task: Task) -> None:
        """
        Add a task.

        Raises:
            Conflict: the id is taken.
        """
        with self._lock:
            if task.id in self._tasks:
                raise Conflict(f"A memory task with the id {task.id} exists already")
            self._tasks[task.id] = task

    def get(self, task_id: str) -> Task | None:
        """
        Return a task, or None.
        """
        with self._lock:
            return self._tasks.get(task_id)

    def all(self) -> list[Task]:
        """
        Return all tasks.
        """
        with self._lock:
            return list(self._tasks.values())

    def change(self, task_id: str, rule: Callable[[Task], Task]) -> Task:
        """
        Apply a pure rule to a task and return what it became.

        Raises:
            TaskNotFound: there is no such task.
        """
        with self._lock:
            if task_id not in self._tasks:
                raise TaskNotFound(task_id)
            changed = rule(self._tasks[task_id])
            self._tasks[task_id] = changed
            return changed

    def remove(self, task_id: str) -> bool:
        """
        Remove a task; tell whether there was one.
        """
        with self._lock:
            return self._tasks.pop(task_id, None) is not None


class Locals:
    """
    The part of the core that runs memory tasks: timers in, tickets out.
    """

    def __init__(self, board: Board, table: MemoryTable) -> None:
        self.board = board
        self.table = table
        self.occupied: dict[Pool, int] = dict.fromkeys(Pool, 0)
        self._ready: dict[Pool, deque[str]] = {pool: deque() for pool in Pool}
        self._queued: set[str] = set()
        self._runs: dict[str, tuple[str, Pool, Task]] = {}
        self._types: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._runs)

    def knows(self, claim_id: str) -> bool:
        """
        Tell whether a claim is a memory task's.
        """
        return claim_id in self._runs

    def arm_all(self) -> None:
        """
        Set the timer of every task: at the start, and when executors were registered.
        """
        for task in self.table.all():
            self._arm(task)

    def changed(self, task_id: str) -> None:
        """
        Take a change by a user: set the timer anew, tell a run that is no longer the owner.
        """
        task = self.table.get(task_id)
        for claim_id, (owner, _, _) in self._runs.items():
            if owner == task_id and (task is None or task.claim_id != claim_id):
                self.board.commands.append(TellRun(claim_id=claim_id, signal=Signal.CANCELLED))
        if task is None:
            self.board.commands.append(SetTimer(task_id, None))
        else:
            self._arm(task)

    def _arm(self, task: Task) -> None:
        running = any(owner == task.id for owner, _, _ in self._runs.values())
        at = None if running or self.board.stopping else due_at(task)
        if task.id not in self._queued:
            self.board.commands.append(SetTimer(task.id, at))

    def fired(self, task_id: str) -> None:
        """
        Take a timer: the task waits for a slot of its pool.
        """
        task = self.table.get(task_id)
        pool = self.board.pool_of(task) if task is not None else None
        if pool is not None and task_id not in self._queued:
            self._queued.add(task_id)
            self._ready[pool].append(task_id)

    def advance(self, now: Instant, room: Callable[[Pool], int]) -> None:
        """
        Start what is ready and has a slot; exclusive types one at a time within this process (P15).
        """
        if self.board.stopping:
            return
        for pool, ready in self._ready.items():
            free = room(pool)
            for _ in range(len(ready)):
                if free <= 0:
                    break
                task_id = ready.popleft()
                if self._blocked(task_id):
                    ready.append(task_id)
                    continue
                self._queued.discard(task_id)
                free -= self._start(task_id, pool, now)

    def _blocked(self, task_id: str) -> bool:
        task = self.table.get(task_id)
        return task is not None and task.exclusive and self._types.get(task.task_type, 0) > 0

    def _start(self, task_id: str, pool: Pool, now: Instant) -> int:
        before = self.table.get(task_id)
        if before is None or not claims.claimable(before, now=now.wall):
            if before is not None:
                self._arm(before)
            return 0
        claim_id = self.board.fresh_id()
        claimed = self.table.change(
            task_id, lambda task: self._claim(task, claim_id, now) if claims.claimable(task, now=now.wall) else task
        )
        if claimed.claim_id != claim_id:
            return 0
        self._runs[claim_id] = (task_id, pool, before)
        self.occupied[pool] += 1
        self._types[claimed.task_type] = self._types.get(claimed.task_type, 0) + 1
        resumed = claims.resumes(before)
        self.board.commands.append(StartRun(ticket=Ticket(task=claimed, claim_id=claim_id, pool=pool, resumed=resumed)))
        return 1

    def _claim(self, task: Task, claim_id: str, now: Instant) -> Task:
        return claims.claim(task, by=self.board.claimant, claim_id=claim_id, now=now.wall)

    def reported(self, event: RunReported) -> None:
        """
        Take a report of a body; it is stored at once.
        """
        task_id = self._runs[event.claim_id][0]
        held = self._apply(task_id, event.claim_id, lambda task: progressed(task, event.progress))
        if event.receipt is None:
            return
        if held:
            self.board.commands.append(ReportStored(claim_id=event.claim_id, receipt=event.receipt))
        else:
            error = LeaseLost("this run does not own its task any more")
            self.board.commands.append(ReportRefused(claim_id=event.claim_id, receipt=event.receipt, error=error))

    def ended(self, event: RunEnded, now: Instant) -> None:
        """
        Take the end of a body.
        """
        task_id, pool, before = self._runs.pop(event.claim_id)
        self.occupied[pool] -= 1
        self._types[before.task_type] -= 1
        held = self._apply(task_id, event.claim_id, lambda task: self._end(task, before, event, now))
        if held:
            self._count(event)
        else:
            self.board.count("tasks.fenced")
        task = self.table.get(task_id)
        if task is None:
            return
        if task.status is not TaskStatus.RUNNING and task.owner_incarnation and not held:
            task = self.table.change(task_id, claims.released)
        if task.delete_requested:
            self.table.remove(task_id)
        elif not self.board.stopping:
            self._arm(task)

    def _apply(self, task_id: str, claim_id: str, rule: Callable[[Task], Task]) -> bool:
        held = False

        def guarded(task: Task) -> Task:
            nonlocal held
            held = standing(task, claim_id) is Standing.HELD
            return rule(task) if held else task

        try:
            self.table.change(task_id, guarded)
        except TaskNotFound:
            return False
        return held

    def _end(self, task: Task, before: Task, event: RunEnded, now: Instant) -> Task:
        verdict = event.verdict
        if isinstance(verdict, NotStarted):
            return claims.give_back(task, before=before)
        if isinstance(verdict, Succeeded):
            return outcomes.complete(task, now=now.wall, duration=event.duration)
        if isinstance(verdict, Failed):
            return outcomes.fail(task, error=verdict.error, now=now.wall, duration=event.duration)
        return self._interrupt(task, verdict.reason, now)

    def _interrupt(self, task: Task, reason: str, now: Instant) -> Task:
        node_id = self.board.options.node_id
        return outcomes.crash(task, now=now.wall, found_by=node_id, reason=reason, counted=False)

    def _count(self, event: RunEnded) -> None:
        name = {Succeeded: "tasks.completed", Failed: "tasks.failed"}.get(type(event.verdict))
        if name is not None:
            self.board.count(name)
            self.board.count("tasks.execution.time", event.duration)

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
            task_id, _, _ = self._runs.pop(claim_id)
            self._apply(task_id, claim_id, lambda task: self._interrupt(task, outcomes.SHUTDOWN, now))
        return left
