"""
A live run: what one run is told, what it reports, and its one end. Safe from any thread.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from queue import SimpleQueue
from threading import RLock
from typing import Any, TypeVar

from ..clock import Clock
from ..errors import LeaseLost
from ..rules.progress import Progress
from .alarms import Alarm, Alarms
from .executors import FunctionExecutor, ObjectExecutor
from .runs import Failed, Interrupted, RunEnded, RunReported, Signal, Ticket, Verdict

_log = logging.getLogger(__name__)
ENDED = "the run has ended"
Settle = Callable[[Exception | None], object]
RunEvent = RunEnded | RunReported
_T = TypeVar("_T")


class Patience:
    """
    How a body waits for an answer, or for being told: in real time.
    """

    def block(self, answers: SimpleQueue[_T], timeout: float | None = None) -> _T:
        """
        Return the next answer.

        Raises:
            Empty: none came in `timeout` seconds.
        """
        return answers.get(timeout=timeout)

    async def until(self, future: asyncio.Future[Any], timeout: float | None = None) -> None:  # noqa: ASYNC109 - as above
        """
        Return when the future is done, or `timeout` seconds are over.
        """
        if timeout is None:
            await future
        else:
            await asyncio.wait((future,), timeout=timeout)


@dataclass(kw_only=True, slots=True)
class Host:
    """
    What all live runs of a node share. `ended` is told the claim id once the end was posted.
    """

    node_id: str
    clock: Clock
    post: Callable[[RunEvent], object]
    ended: Callable[[str], None]
    alarms: Alarms
    report_interval: int
    callback_timeout: int
    patience: Patience = field(default_factory=Patience)
    receipts: count[int] = field(default_factory=count)


class LiveRun:
    """
    One run from its ticket to its end. What most runs do not need (waits, alarms, reports) is made when it is used.
    """

    started: int | None = None
    resumed = False
    reason: str | None = None
    noticed = False
    _is_lost = False
    _ended = False
    _pending: Progress | None = None
    _quiet: Alarm | None = None
    _waits: dict[int, Settle] | None = None
    _watches: dict[int, Settle] | None = None

    def __init__(self, ticket: Ticket, body: FunctionExecutor | ObjectExecutor, host: Host) -> None:
        self.ticket = ticket
        self.task = ticket.task
        self.body = body
        self.host = host
        # Reentrant, since whoever gets a report may answer it in the same call.
        self._lock = RLock()

    def tell(self, signal: Signal) -> None:
        """
        Tell the run to give up; whoever waits for that is woken. The first reason stays.

        A node that stops still takes a last checkpoint; after any other signal nothing is stored any more.
        """
        with self._lock:
            is_news = self.reason is None and self.started is not None and not self._ended
            if signal is Signal.STOPPING:
                self._warn(signal.value)
            else:
                self._lose(signal.value)
        if is_news:
            _log.log(
                logging.WARNING if signal is Signal.LEASE_LOST else logging.INFO,
                "A run of %s is told to give up: %s",
                self.task.task_type,
                signal.value,
                extra=self.log_extra("run_lease_lost" if signal is Signal.LEASE_LOST else "run_told"),
            )

    def answer(self, receipt: int, error: Exception | None) -> None:
        """
        Settle the report with this receipt; a `LeaseLost` tells the whole run.
        """
        with self._lock:
            if isinstance(error, LeaseLost):
                self._lose(str(error) or Signal.TAKEN.value)
            elif self._waits and receipt in self._waits:
                self._waits.pop(receipt)(error)

    def report(self, progress: Progress) -> None:
        """
        Report at once if the last report is long enough ago, else with the next one; the last value wins. Never blocks.

        Raises:
            LeaseLost: the run was told to give up, or has ended.
        """
        with self._lock:
            self._check_held()
            self._pending = self._pending.then(progress) if self._pending else progress
            if self._quiet is None:
                self._send_pending()

    def checkpoint(self, progress: Progress, settle: Settle) -> None:
        """
        Report at once, together with what is pending; `settle` is called once, with None or the reason it failed.

        Raises:
            LeaseLost: the run was told to give up, or has ended.
        """
        with self._lock:
            self._check_held()
            receipt = self._await(settle)
            self._post_report(progress, receipt)

    def watch(self, settle: Settle) -> int | None:
        """
        Call `settle` when the run is told to give up or ends; None if it was or did already.
        """
        with self._lock:
            if self.reason is not None:
                return None
            number = next(self.host.receipts)
            self._watches = {**(self._watches or {}), number: settle}
            return number

    def unwatch(self, number: int) -> None:
        """
        Forget a watch; harmless when it was called.
        """
        with self._lock:
            if self._watches:
                self._watches.pop(number, None)

    def end(self, verdict: Verdict) -> bool:
        """
        End the run once: what is pending is reported, then the verdict. Later ends are ignored.
        """
        with self._lock:
            if self._ended:
                return False
            self._ended = True
            try:
                self._close()
                self._post_end(verdict)
            finally:
                self.host.ended(self.ticket.claim_id)
        if self.started is not None and _log.isEnabledFor(logging.DEBUG):
            ended = type(verdict).__name__.lower()
            _log.debug("A run of %s has %s", self.task.task_type, ended, extra=self.log_extra("run_ended"))
        return True

    def begin(self, boot: int) -> None:
        """
        Note that the body begins.
        """
        self.started = boot
        if _log.isEnabledFor(logging.DEBUG):
            _log.debug("A run of %s begins", self.task.task_type, extra=self.log_extra("run_started"))

    def noticed_reason(self) -> str | None:
        """
        Return why the body should give up, and note that it knows: if it returns now, it has given up.
        """
        if self.reason is not None:
            self.noticed = True
        return self.reason

    def failure(self, error: str) -> Failed | Interrupted:
        """
        Return what a failure of the body means: nothing, if it was told to give up.
        """
        return Failed(error) if self.reason is None else Interrupted(self.reason)

    def log_failure(self, verdict: Failed | Interrupted, error: BaseException | None = None) -> None:
        """
        Log a failure once, with the traceback if there is one.
        """
        if isinstance(verdict, Failed):
            _log.error(
                "A run of %s failed: %s",
                self.task.task_type,
                verdict.error,
                exc_info=error,
                extra=self.log_extra("run_failed"),
            )
        else:
            # What a body raises on its way out is no error, but it may be of interest.
            unexpected = None if isinstance(error, LeaseLost) else error
            _log.info(
                "A run of %s gave up: %s",
                self.task.task_type,
                verdict.reason,
                exc_info=unexpected,
                extra=self.log_extra("run_interrupted"),
            )

    def log_extra(self, action: str) -> dict[str, Any]:
        """
        Return what a log line about this run carries.
        """
        return {
            "action": action,
            "task_id": self.task.id,
            "task_type": self.task.task_type,
            "claim_id": self.ticket.claim_id,
            "fence": self.task.fence,
            "node_id": self.host.node_id,
        }

    def _check_held(self) -> None:
        if self._is_lost:
            self.noticed = True
            raise LeaseLost(self.reason)

    def _warn(self, reason: str) -> None:
        if self.reason is None:
            self.reason = reason
        watches, self._watches = self._watches or {}, None
        for settle in watches.values():
            settle(LeaseLost(self.reason))

    def _lose(self, reason: str) -> None:
        self._is_lost = True
        self._warn(reason)
        if self._waits:
            self.noticed = True
            waits, self._waits = self._waits, None
            for settle in waits.values():
                settle(LeaseLost(self.reason))

    def _close(self) -> None:
        self._lose(ENDED)
        if self._quiet is not None:
            self.host.alarms.cancel(self._quiet)

    def _post_end(self, verdict: Verdict) -> None:
        host = self.host
        if self._pending is not None:
            self._post_report(Progress(), None)
        duration = 0 if self.started is None else host.clock.now().boot - self.started
        host.post(RunEnded(self.ticket.claim_id, verdict, duration, self.resumed))

    def _await(self, settle: Settle) -> int:
        number = next(self.host.receipts)
        if self._waits is None:
            self._waits = {}
        self._waits[number] = settle
        return number

    def _post_report(self, progress: Progress, receipt: int | None) -> None:
        if self._pending is not None:
            progress, self._pending = self._pending.then(progress), None
        self.host.post(RunReported(claim_id=self.ticket.claim_id, progress=progress, receipt=receipt))

    def _send_pending(self) -> None:
        self._quiet = self.host.alarms.set(self.host.report_interval, self._quiet_over)
        self._post_report(Progress(), None)

    def _quiet_over(self) -> None:
        with self._lock:
            self._quiet = None
            if self._pending is not None and not self._ended:
                self._send_pending()


def describe(error: BaseException) -> str:
    """
    Return an error as `TypeName: message`.
    """
    name = type(error).__name__
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - a user's __str__ may raise anything, and the run must still end
        text = "(its text cannot be read)"
    return f"{name}: {text}" if text else name
