"""
The one who looks at the cluster again and again, and carries out orders between: a thread, so that keys never wait.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import TYPE_CHECKING

from .failures import Failure
from .snapshot import Lookout, Wish
from .view import Order

if TYPE_CHECKING:
    from .tasks import Document, Tasks

_DONE = {"cancel": "has been cancelled", "retry": "has been queued for retry", "reset": "has been queued for retry"}


@dataclass(frozen=True)
class Report:
    """
    What came of it: what was seen last, and what to tell.
    """

    seen: Document
    message: str = ""


class Looker:
    """
    Looks every so many seconds, and at once when the wish changes or an order was carried out.

    Args:
        lookout: has had a first look, `seen`, for the wish.
        tell: is called after each, from the thread.
    """

    def __init__(
        self,
        tasks: Tasks,
        lookout: Lookout,
        seen: Document,
        wish: Wish,
        *,
        every: float,
        clock: Callable[[], int],
        tell: Callable[[], None],
    ) -> None:
        self._tasks = tasks
        self._lookout = lookout
        self._every = every
        self._clock = clock
        self._tell = tell
        self._wish = wish
        self._paused = False
        self._asked: SimpleQueue[Order | None] = SimpleQueue()
        self._ended = Event()
        self.report = Report(seen)
        # A server that does not answer must not keep the one who leaves.
        self._thread = Thread(target=self._run, name="looking", daemon=True)

    def start(self) -> None:
        """
        Begin.
        """
        self._thread.start()

    def stop(self) -> None:
        """
        Look no more.
        """
        self._ended.set()
        self._asked.put(None)

    def want(self, wish: Wish, *, paused: bool) -> None:
        """
        Look for this from now on; a pause ends with any other wish, for one look.
        """
        changed = wish != self._wish or (self._paused and not paused)
        self._wish, self._paused = wish, paused
        if changed:
            self._asked.put(None)

    def obey(self, order: Order) -> None:
        """
        Carry an order out soon.
        """
        self._asked.put(order)

    def _run(self) -> None:
        while not self._ended.is_set():
            order, due = self._next()
            if self._ended.is_set():
                return
            message = self._carried_out(order) if order is not None else ""
            if due:
                self.report = self._look(message)
                self._tell()

    def _next(self) -> tuple[Order | None, bool]:
        try:
            return self._asked.get(timeout=self._every), True
        except Empty:
            return None, not self._paused

    def _carried_out(self, order: Order) -> str:
        self._lookout.forget()
        try:
            if order.verb == "cancel":
                self._tasks.cancel(order.task_id)
            else:
                self._tasks.retry(order.task_id, reset=order.verb == "reset")
        except Failure as failure:
            return failure.message
        return f"Task {order.task_id} {_DONE[order.verb]}."

    def _look(self, message: str) -> Report:
        try:
            return Report(self._lookout.look(self._wish, now=self._clock()), message)
        except Failure as failure:
            # What was seen stays, with its time.
            return Report(self.report.seen, " ".join(filter(None, (message, failure.message))))
