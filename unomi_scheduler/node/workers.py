"""
The workers: they run the bodies of a node and decide nothing. What they are told and what they say is in `runs`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event, Lock, Thread, current_thread

from ..clock import Clock
from .alarms import Alarms
from .bodies import call_async, call_function, call_object
from .executors import FunctionExecutor
from .live import Host, LiveRun, RunEvent
from .pools import LoopPool, ThreadPool
from .registry import Registry
from .runs import NotStarted, Pool, ReportRefused, ReportStored, RunEnded, Signal, Ticket

REPORT_INTERVAL = 1.0
"""Seconds between two progress reports of one run."""
_NOT_STARTED = NotStarted()


@dataclass(frozen=True, kw_only=True, slots=True)
class ActiveRun:
    """
    One run that has not ended; `started` is on the boot clock in ms, None while the run is queued.
    """

    claim_id: str
    task_id: str
    task_type: str
    pool: Pool
    started: int | None
    told: str | None
    persistent: bool
    incarnation: str | None


class Workers:
    """
    Threads for sync bodies, threads for system tasks, and one event loop for async bodies.

    Each ticket ends in exactly one `RunEnded`. `lease_held` is asked right before a stored task's body is called (P7),
    for the incarnation that claimed it. `began(task_type, late)` is told each body's begin, `late` ms after it was due.
    Durations are in seconds. `start` twice and `stop` before `start` are harmless; what was stopped stays stopped.
    """

    def __init__(
        self,
        registry: Registry,
        post: Callable[[RunEvent], object],
        clock: Clock,
        *,
        node_id: str,
        threads: int,
        system_threads: int,
        loop_slots: int,
        lease_held: Callable[[str | None], bool],
        callback_timeout: float,
        report_interval: float = REPORT_INTERVAL,
        began: Callable[[str, int], object] = lambda _task_type, _late: None,
    ) -> None:
        self._registry = registry
        self._lease_held = lease_held
        self._began = began
        self._clock = clock
        self._active: dict[str, LiveRun] = {}
        self._lock = Lock()
        self._is_started = False
        self._stopping = Event()
        self._drained = Event()
        self._loop = LoopPool(loop_slots, self._perform_async)
        self._tasks = ThreadPool("unomi-task", threads, self._perform)
        self._system = ThreadPool("unomi-system", system_threads, self._perform)
        self._host = Host(
            node_id=node_id,
            clock=clock,
            post=post,
            ended=self._forget,
            alarms=Alarms(clock),
            report_interval=round(report_interval * 1000),
            callback_timeout=round(callback_timeout * 1000),
        )

    def start(self) -> None:
        """
        Start the threads; the event loop starts with its first body.
        """
        with self._lock:
            if self._is_started or self._stopping.is_set():
                return
            self._is_started = True
        self._tasks.start()
        self._system.start()

    def run(self, ticket: Ticket) -> None:
        """
        Run a body as soon as its pool has a thread or a slot. Never blocks.

        Without an executor, or when stopping, the run ends as `NotStarted` at once.
        """
        body = self._registry.body(ticket.task.task_type)
        if body is None or self._stopping.is_set():
            self._host.post(RunEnded(claim_id=ticket.claim_id, verdict=_NOT_STARTED, duration=0))
            return
        run = LiveRun(ticket, body, self._host)
        self._active[ticket.claim_id] = run
        self._pool(ticket, is_async=body.is_async).put(run)
        if self._stopping.is_set():
            # It may be behind the end mark, where no thread looks any more.
            self._take_back()

    def recall(self, *, memory: bool = True) -> None:
        """
        Take back what waits for a thread, memory tasks only with `memory`; each ends as `NotStarted`.
        """
        for pool in (self._tasks, self._system, self._loop):
            for run in pool.recall():
                if memory or run.task.persistent:
                    run.end(_NOT_STARTED)
                else:
                    pool.put(run)
        if not memory and self._stopping.is_set():
            # What was put back may be behind the end mark, where no thread looks any more.
            self._take_back()

    def tell(self, claim_id: str, signal: Signal) -> None:
        """
        Tell a run's context; harmless when the run has ended.
        """
        run = self._active.get(claim_id)
        if run is not None:
            run.tell(signal)

    def answer(self, command: ReportStored | ReportRefused) -> None:
        """
        Wake the body that waits for this receipt; harmless when nobody does.
        """
        run = self._active.get(command.claim_id)
        if run is not None:
            run.answer(command.receipt, command.error if isinstance(command, ReportRefused) else None)

    def active(self) -> tuple[ActiveRun, ...]:
        """
        Return the runs that have not ended, as they are now, in the order they came.
        """
        return tuple(_shown(run) for run in self._active.copy().values())

    def load(self) -> dict[Pool, tuple[int, int]]:
        """
        Return for each pool how many bodies it has under way, and how many runs wait for a thread or a slot of it.
        """
        numbers = Counter((run.ticket.pool, run.started is not None) for run in self._active.copy().values())
        return {pool: (numbers[pool, True], numbers[pool, False]) for pool in Pool}

    def stop(self, timeout: float) -> list[str]:
        """
        Tell every run to give up and wait for them; return the claim ids of those that have not ended.

        Those are never ended by force: each still posts its end when its body returns.
        """
        until = self._clock.now().boot + timeout * 1000
        self._stopping.set()
        for run in self._active.copy().values():
            run.tell(Signal.STOPPING)
        self._take_back()
        self._check_drained()
        self._drained.wait(timeout)
        left = list(self._active)
        if not left:
            self._join(until)
        return left

    def _take_back(self) -> None:
        for run in (*self._tasks.take_back(), *self._system.take_back(), *self._loop.recall()):
            run.end(_NOT_STARTED)

    def _pool(self, ticket: Ticket, *, is_async: bool) -> ThreadPool | LoopPool:
        # The executor may have been replaced since the claim: a sync body must never block the loop.
        if is_async:
            return self._loop
        return self._system if ticket.pool is Pool.SYSTEM else self._tasks

    def _may_start(self, run: LiveRun) -> bool:
        if run.reason is not None or self._stopping.is_set():
            return False
        return not run.task.persistent or self._lease_held(run.task.owner_incarnation)

    def _note_begin(self, run: LiveRun) -> None:
        now, due = self._clock.now(), run.ticket.due
        run.begin(now.boot)
        if due > 0:
            self._began(run.task.task_type, max(0, now.wall - due))

    def _perform(self, run: LiveRun) -> None:
        if not self._may_start(run):
            run.end(_NOT_STARTED)
            return
        self._note_begin(run)
        if isinstance(run.body, FunctionExecutor):
            call_function(run, run.body)
        else:
            call_object(run, run.body)

    async def _perform_async(self, run: LiveRun) -> None:
        if not self._may_start(run) or not isinstance(run.body, FunctionExecutor):
            run.end(_NOT_STARTED)
            return
        self._note_begin(run)
        await call_async(run, run.body)

    def _forget(self, claim_id: str) -> None:
        self._active.pop(claim_id, None)
        if self._stopping.is_set():
            self._check_drained()

    def _check_drained(self) -> None:
        if not self._active:
            self._host.alarms.stop()
            self._loop.close()
            self._drained.set()

    def _join(self, until: float) -> None:
        for thread in self._threads():
            if thread.ident is not None and thread is not current_thread():
                thread.join(max(0, until - self._clock.now().boot) / 1000)

    def _threads(self) -> list[Thread]:
        pools = (self._tasks, self._system, self._loop, self._host.alarms)
        return [thread for pool in pools for thread in pool.threads]


def _shown(run: LiveRun) -> ActiveRun:
    return ActiveRun(
        claim_id=run.ticket.claim_id,
        task_id=run.task.id,
        task_type=run.task.task_type,
        pool=run.ticket.pool,
        started=run.started,
        told=run.reason,
        persistent=run.task.persistent,
        incarnation=run.task.owner_incarnation,
    )
