"""
The workers of a manual node: a queue of runs, each of which is executed in the caller's thread when it is told to.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, TypeVar

from ..node.live import LiveRun, Patience
from ..node.pools import ThreadPool
from ..node.runs import Failed, Interrupted, NotStarted, RunEnded, Succeeded, Ticket, Verdict
from ..node.workers import Workers
from .parts import HandAlarms
from .runs import Run, RunOutcome

T = TypeVar("T")
_NOT_STARTED = NotStarted()


class NodeDied(BaseException):
    """
    Raised in a body whose node has died, so that nothing behind that line happens.
    """


class HandRun(LiveRun):
    """
    A live run that remembers how it ended.
    """

    verdict: Verdict | None = None
    raised: BaseException | None = None

    def end(self, verdict: Verdict) -> bool:
        """
        End the run once.
        """
        is_first = super().end(verdict)
        if is_first:
            self.verdict = verdict
        return is_first

    def log_failure(self, verdict: Failed | Interrupted, error: BaseException | None = None) -> None:
        """
        Log a failure of the body, and keep what it raised.
        """
        self.raised = error
        if not isinstance(error, NodeDied):
            super().log_failure(verdict, error)

    def shown(self, began: int) -> Run:
        """
        Return the run as a test sees it; `began` is on the wall clock.
        """
        verdict = self.verdict
        error = verdict.error if isinstance(verdict, Failed) else None
        if isinstance(verdict, Interrupted):
            error = verdict.reason
        boot = self.host.clock.now().boot
        return Run(
            task=self.task,
            task_id=self.task.id,
            type=self.task.task_type,
            outcome=self._outcome(),
            error=error,
            exception=self.raised,
            resumed=self.resumed,
            at=datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=began),
            duration=timedelta(milliseconds=boot - (self.started if self.started is not None else boot)),
        )

    def _outcome(self) -> RunOutcome:
        if isinstance(self.raised, NodeDied):
            return RunOutcome.DIED
        if self.verdict is None:
            return RunOutcome.UNFINISHED
        if isinstance(self.verdict, Succeeded):
            return RunOutcome.SUCCEEDED
        return RunOutcome.FAILED if isinstance(self.verdict, Failed) else RunOutcome.INTERRUPTED


class HandPatience(Patience):
    """
    How a body waits in a manual node: the node goes on meanwhile, and its clock moves until the answer is there.

    Args:
        steps: yields after each step of the node, for at most that many milliseconds (None: until there is no sense).
    """

    def __init__(self, steps: Callable[[int | None], Iterator[None]]) -> None:
        self._steps = steps

    def block(self, answers: SimpleQueue[T], timeout: float | None = None) -> T:
        """
        Return the next answer.
        """
        for _ in self._steps(_millis(timeout)):
            if not answers.empty():
                break
        return answers.get_nowait()

    async def until(self, future: asyncio.Future[Any], timeout: float | None = None) -> None:  # noqa: ASYNC109 - as above
        """
        Return when the future is done, or the time is over.
        """
        for _ in self._steps(_millis(timeout)):
            # What was told from outside the loop arrives in its next turn.
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            if future.done():
                return


def _millis(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1000)


class _Queue(ThreadPool):
    def __init__(self, perform: Callable[[LiveRun], None]) -> None:
        super().__init__("unomi-hand", 0, perform)

    def next(self) -> LiveRun | None:
        """
        Return the run that waits longest, or None.
        """
        try:
            return self._queue.get_nowait()
        except Empty:
            return None


class HandWorkers(Workers):
    """
    Workers without threads: `perform_next` executes one run, to its end, in the caller's thread.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.alarms = self._host.alarms = HandAlarms(self._clock)
        self._tasks = self._queue = _Queue(self._perform)

    def wait_by(self, steps: Callable[[int | None], Iterator[None]]) -> None:
        """
        Make these the steps in which a body waits.
        """
        self._host.patience = HandPatience(steps)

    def start(self) -> None:
        """
        Do nothing: there is no thread.
        """

    def run(self, ticket: Ticket) -> None:
        """
        Queue a run.
        """
        body = self._registry.body(ticket.task.task_type)
        if body is None or self._stopping.is_set():
            self._host.post(RunEnded(claim_id=ticket.claim_id, verdict=_NOT_STARTED, duration=0))
            return
        run = HandRun(ticket, body, self._host)
        self._active[ticket.claim_id] = run
        self._queue.put(run)

    def perform_next(self) -> Run | None:
        """
        Execute the next run that may start, and return how it went; None when there is none.
        """
        while isinstance(run := self._queue.next(), HandRun):
            began = self._clock.now().wall
            if run.body.is_async:
                _drive(lambda: self._perform_async(run))
            else:
                self._perform(run)
            if isinstance(run.verdict, NotStarted):
                continue
            return run.shown(began)
        return None


def _drive(body: Callable[[], Any]) -> None:
    # Not the thread's own loop: a test may be in it, or count on it afterwards.
    def execute() -> None:
        with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
            runner.run(body())

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        execute()
        return
    thread = Thread(target=execute, name="unomi-hand")
    thread.start()
    thread.join()
